//! A host with a real engine, and jobs on it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use towline_agent::access::Access;
use towline_agent::dial::Dialer;
use towline_agent::executor::Executor as _;
use towline_agent::executor::docker::{DockerConfig, DockerExecutor, EnginePlace};
use towline_agent::logs::{LogSink, ResumePoint};
use towline_agent::proxy::Proxies;
use towline_agent::relay::Relay;
use towline_agent::state_dir::StateDir;
use towline_agent::task::{Gate, GateState, ProgressSink, Start, StepBegun, Task};
use towline_shared::fence::Fence;
use towline_shared::ids::{JobId, ProjectId, ReleaseId, TargetId};
use towline_shared::log::{LogLine, LogStream};
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::policy::HostPolicy;
use towline_shared::protocol::v1::Attempt;
use towline_shared::spec::{
    Deploy, DeployRelease, FileMode, Interruption, JobSpec, OnFailure, PinnedImage, ProjectFile,
    Proposal, Remove, Secret, Terms, VolumeFate, Work,
};

/// The image that `tests/setup` makes of busybox.
pub const IMAGE: &str = "towline-test/busybox:1";
/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Which of the two engines.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Old,
    New,
}

/// One compose project on one engine, taken away when dropped.
pub struct Host {
    kind: Kind,
    pub state: tempfile::TempDir,
    pub config: DockerConfig,
    pub name: String,
    pub project: ProjectId,
    pub target: TargetId,
}

/// A job of a host.
#[derive(Clone)]
pub struct JobOptions {
    pub job: JobId,
    pub start: Start,
    pub deadline_s: u32,
    pub secrets: Vec<Secret>,
    pub terms: Terms,
    pub gate: GateState,
    pub resume: std::collections::HashMap<String, ResumePoint>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            job: JobId::new(),
            start: Start::Fresh,
            deadline_s: 60,
            secrets: Vec::new(),
            terms: Terms::default(),
            gate: GateState::Open,
            resume: std::collections::HashMap::new(),
        }
    }
}

/// A job at work.
pub struct Running {
    pub work: JoinHandle<Outcome>,
    pub cancel: CancellationToken,
    /// Kept so that a shut gate stays shut and is not gone.
    _gate: tokio::sync::watch::Sender<GateState>,
    pub lines: Arc<Mutex<Vec<LogLine>>>,
    pub steps: Arc<Mutex<Vec<Step>>>,
}

/// How a job went.
#[derive(Debug)]
pub struct Ended {
    pub outcome: Outcome,
    pub lines: Vec<LogLine>,
    pub steps: Vec<Step>,
}

fn required(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run these tests by `./dev test`"))
}

/// The address of a shared engine: a socket, or its folder with its process and address behind.
fn engine_host(kind: Kind) -> String {
    let value = match kind {
        Kind::Old => required("TOWLINE_TEST_ENGINE_OLD"),
        Kind::New => required("TOWLINE_TEST_ENGINE_NEW"),
    };
    match value.split(' ').next() {
        Some(folder) if !folder.starts_with("unix://") => format!("unix://{folder}/docker.sock"),
        _ => value,
    }
}

/// A docker command line folder with the compose plugin.
fn docker_config() -> PathBuf {
    let parts = std::env::var_os("TOWLINE_PARTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.test-parts"),
        PathBuf::from,
    );
    let config = parts.join("docker-config");
    assert!(
        config.join("cli-plugins/docker-compose").exists(),
        "run tests/setup first"
    );
    config.canonicalize().unwrap()
}

impl Host {
    pub fn new(kind: Kind) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let state = tempfile::tempdir().unwrap();
        let config = DockerConfig {
            host: engine_host(kind),
            place: EnginePlace::Here,
            state_dir: state.path().to_owned(),
            policy: HostPolicy::default(),
            access: Access::default(),
            docker_config: docker_config(),
            relay: Relay::new(
                StateDir::existing(state.path()),
                Dialer::new(Proxies::default()),
            ),
        };
        Self {
            kind,
            state,
            config,
            name: format!("exec{}-{number}", std::process::id()),
            project: ProjectId::new(),
            target: TargetId::new(),
        }
    }

    pub fn executor(&self) -> DockerExecutor {
        DockerExecutor::new(self.config.clone())
    }

    /// Runs compose or any docker call of compose's on this host.
    pub fn compose(&self, arguments: &[&str]) -> String {
        let program = self.config.docker_config.join("cli-plugins/docker-compose");
        let mut command = Command::new(program);
        command.args(["--project-name", &self.name]).args(arguments);
        let output = command
            .current_dir(self.state.path())
            .env("DOCKER_HOST", &self.config.host)
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// The full ids of a service's containers.
    pub fn ids(&self, service: &str) -> Vec<String> {
        let text = self.compose(&["ps", "--all", "--quiet", "--no-trunc", service]);
        let text = if text.contains("unknown flag") {
            self.compose(&["ps", "--all", "--quiet", service])
        } else {
            text
        };
        text.lines().map(str::to_owned).collect()
    }

    /// Takes a container away behind Towline's back.
    pub fn remove_container(&self, id: &str) {
        let socket = self.config.host.trim_start_matches("unix://");
        let removed = Command::new("curl")
            .args([
                "--silent",
                "--fail",
                "--request",
                "DELETE",
                "--unix-socket",
                socket,
            ])
            .arg(format!("http://engine/containers/{id}?force=true"))
            .status()
            .unwrap();
        assert!(removed.success());
    }

    /// A process in the network of a shared engine.
    pub fn engine_process(&self) -> Option<String> {
        let value = match self.kind {
            Kind::Old => required("TOWLINE_TEST_ENGINE_OLD"),
            Kind::New => required("TOWLINE_TEST_ENGINE_NEW"),
        };
        value.split(' ').nth(1).map(str::to_owned)
    }

    /// Asks the engine, as only a test may: gives the answer's body, if it did what was asked.
    pub fn engine(&self, method: &str, path: &str) -> Option<String> {
        let socket = self.config.host.trim_start_matches("unix://");
        let answer = Command::new("curl")
            .args([
                "--silent",
                "--fail",
                "--request",
                method,
                "--unix-socket",
                socket,
            ])
            .args(["--header", "Content-Type: application/json"])
            .arg(format!("http://engine{path}"))
            .output()
            .unwrap();
        let text = String::from_utf8(answer.stdout).unwrap();
        answer.status.success().then_some(text)
    }

    /// Gives an image another name.
    pub fn tag(&self, image: &str, name: &str) {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let path = format!("/images/{image}/tag?repo={repository}&tag={tag}");
        self.engine("POST", &path).expect("the image is there");
    }

    /// Takes a name from an image.
    pub fn untag(&self, name: &str) {
        self.engine("DELETE", &format!("/images/{name}"));
    }

    /// Makes a name lead to another image than before: to what a container is, and something more.
    pub fn move_tag(&self, container: &str, name: &str) {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let change = "LABEL%20moved%3Dyes";
        let path =
            format!("/commit?container={container}&repo={repository}&tag={tag}&changes={change}");
        self.engine("POST", &path).expect("the container is there");
    }

    /// Saves an image into a folder of this host's.
    pub fn save(&self, name: &str) -> PathBuf {
        let (archive, folder) = (
            self.state.path().join("saved.tar"),
            self.state.path().join("saved"),
        );
        let socket = self.config.host.trim_start_matches("unix://");
        let saved = Command::new("curl")
            .args(["--silent", "--fail", "--unix-socket", socket, "--output"])
            .arg(&archive)
            .arg(format!("http://engine/images/{name}/get"))
            .status();
        assert!(saved.unwrap().success());
        crate::registry::unpack(&archive, &folder);
        folder
    }

    /// The id of an image by its name.
    pub fn image_id(&self, name: &str) -> Option<String> {
        let shown = self.engine("GET", &format!("/images/{name}/json"))?;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        Some(shown["Id"].as_str().unwrap().to_owned())
    }

    /// The id of the image that a container is made of.
    pub fn image_of(&self, container: &str) -> String {
        let shown = self.engine("GET", &format!("/containers/{container}/json"));
        let shown: serde_json::Value = serde_json::from_str(&shown.unwrap()).unwrap();
        shown["Image"].as_str().unwrap().to_owned()
    }

    /// The names by which Towline keeps images of a service.
    pub fn kept(&self, service: &str) -> Vec<String> {
        let name = format!("towline/{}/{service}", self.name);
        let filter = format!(
            "%7B%22reference%22%3A%5B%22{}%22%5D%7D",
            name.replace('/', "%2F")
        );
        let listed = self.engine("GET", &format!("/images/json?filters={filter}"));
        let listed: Vec<serde_json::Value> = serde_json::from_str(&listed.unwrap()).unwrap();
        let tags = listed
            .iter()
            .flat_map(|image| image["RepoTags"].as_array().unwrap());
        let tags = tags.map(|tag| tag.as_str().unwrap().to_owned());
        tags.filter(|tag| tag.starts_with(&name)).collect()
    }

    /// A release of these files with images that are settled.
    pub fn release_work(&self, files: &[(&str, &str)], images: &[PinnedImage]) -> Work {
        Work::Release(DeployRelease {
            deploy: self.files(files),
            images: images.to_vec(),
            source: None,
            on_failure: OnFailure::Leave,
        })
    }

    /// A release that gives way to what ran before when it does not come up.
    pub fn giving_way_work(&self, files: &[(&str, &str)]) -> Work {
        Work::Release(DeployRelease {
            deploy: self.files(files),
            images: Vec::new(),
            source: None,
            on_failure: OnFailure::RollBack,
        })
    }

    pub fn deploy_work(&self, files: &[(&str, &str)]) -> Work {
        Work::Deploy(self.files(files))
    }

    pub fn preview_work(&self, files: &[(&str, &str)]) -> Work {
        Work::Preview(Proposal {
            deploy: self.files(files),
            source: None,
        })
    }

    fn files(&self, files: &[(&str, &str)]) -> Deploy {
        let file = |(path, content): &(&str, &str)| ProjectFile {
            path: (*path).to_owned(),
            content: content.replace("IMAGE", IMAGE).into_bytes(),
            mode: FileMode::Regular,
        };
        Deploy {
            release: ReleaseId::new(),
            compose_project: self.name.clone(),
            compose_file: files[0].0.to_owned(),
            files: files.iter().map(file).collect(),
            settle_ms: 300,
        }
    }

    pub fn remove_work(&self, volumes: VolumeFate) -> Work {
        Work::Remove(Remove {
            compose_project: self.name.clone(),
            volumes,
        })
    }

    pub fn begin(&self, executor: &DockerExecutor, work: Work, options: JobOptions) -> Running {
        let attempt = Attempt {
            job: options.job,
            fence: Fence::new(1, 1),
        };
        let dir = self.state.path().join("jobs").join(options.job.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let cancel = CancellationToken::new();
        let (gate_opener, gate) = Gate::new(options.gate, cancel.clone());
        let (log, intake) = LogSink::new(options.resume);
        let (steps_in, mut steps_out) = tokio::sync::mpsc::channel::<StepBegun>(1);
        let task = Task {
            attempt,
            spec: JobSpec {
                project: self.project,
                target: self.target,
                work,
                interruption: Interruption::Resume,
                deadline_s: options.deadline_s,
            },
            terms: options.terms,
            secrets: options.secrets,
            start: options.start,
            dir,
            gate,
            cancel: cancel.clone(),
            log,
            progress: ProgressSink::new(attempt, steps_in),
        };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let steps = Arc::new(Mutex::new(Vec::new()));
        let run = executor.run(task);
        let taken = Arc::clone(&lines);
        let work = tokio::spawn(async move {
            let collect = async {
                loop {
                    intake.filled().await;
                    taken.lock().unwrap().extend(intake.take().lines);
                }
            };
            let outcome = tokio::select! {
                outcome = run => outcome,
                () = collect => unreachable!("the log never ends"),
            };
            taken.lock().unwrap().extend(intake.take().lines);
            outcome
        });
        let begun = Arc::clone(&steps);
        tokio::spawn(async move {
            while let Some(step) = steps_out.recv().await {
                begun.lock().unwrap().push(step.step);
                let _ = step.done.send(Ok(()));
            }
        });
        Running {
            work,
            cancel,
            _gate: gate_opener,
            lines,
            steps,
        }
    }

    pub async fn run(&self, work: Work, options: JobOptions) -> Ended {
        self.begin(&self.executor(), work, options).ended().await
    }

    pub async fn deploy(&self, files: &[(&str, &str)]) -> Ended {
        self.run(self.deploy_work(files), JobOptions::default())
            .await
    }

    pub async fn remove(&self, volumes: VolumeFate) -> Ended {
        self.run(self.remove_work(volumes), JobOptions::default())
            .await
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes", "--remove-orphans", "--timeout", "0"]);
    }
}

impl Running {
    pub async fn ended(self) -> Ended {
        let outcome = timeout(PATIENCE, self.work)
            .await
            .expect("the job hangs")
            .unwrap();
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        let steps = std::mem::take(&mut *self.steps.lock().unwrap());
        Ended {
            outcome,
            lines,
            steps,
        }
    }

    /// Waits until a line has come that contains the text.
    pub async fn printed(&self, text: &str) {
        let has = || {
            self.lines
                .lock()
                .unwrap()
                .iter()
                .any(|line| line.text.contains(text))
        };
        for _ in 0..PATIENCE.as_millis() / 10 {
            if has() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{text:?} was not printed: {:#?}",
            self.lines.lock().unwrap()
        );
    }

    /// Ends the work as the death of the agent does: at once, wherever it is.
    pub async fn kill(self) -> Vec<LogLine> {
        self.work.abort();
        let _ = self.work.await;
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

impl Ended {
    pub fn texts(&self) -> Vec<String> {
        self.lines
            .iter()
            .map(|line| format!("{}|{}", line.source, line.text))
            .collect()
    }

    pub fn of(&self, source: &str) -> Vec<&str> {
        self.lines
            .iter()
            .filter(|line| line.source == source)
            .map(|line| line.text.as_str())
            .collect()
    }

    pub fn succeeded(&self) -> &[PinnedImage] {
        match &self.outcome {
            Outcome::Ran { images } | Outcome::Built { images, .. } => images,
            Outcome::Succeeded { .. } => &[],
            other => panic!("{other:?}\n{:#?}", self.texts()),
        }
    }

    pub fn failed(&self, expected: FailureReason, word: &str) {
        match &self.outcome {
            Outcome::Failed { reason, message }
                if *reason == expected && message.contains(word) => {}
            other => panic!(
                "expected {expected:?} with {word:?}: {other:?}\n{:#?}",
                self.texts()
            ),
        }
    }
}

/// The compose processes of a job.
pub fn compose_of(job: JobId) -> Vec<i32> {
    let wanted = format!("TOWLINE_JOB={job}");
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let ours = pids.filter(|pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    });
    ours.collect()
}

/// Kills them, as a host's death does.
pub fn kill_compose_of(job: JobId) {
    for pid in compose_of(job) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

/// What a spool would know after these lines.
pub fn resume_points(
    lines: &[LogLine],
    output: &Path,
) -> std::collections::HashMap<String, ResumePoint> {
    let mut points = std::collections::HashMap::<String, ResumePoint>::new();
    for line in lines.iter().filter(|line| line.stream != LogStream::Note) {
        let point = points.entry(line.source.clone()).or_default();
        point.lines_at = if point.at_us == line.at_us {
            point.lines_at + 1
        } else {
            1
        };
        point.at_us = line.at_us;
    }
    if let Some(point) = points.get_mut("compose") {
        // Offsets are after whole lines.
        let text = std::fs::read_to_string(output).unwrap();
        let count = lines.iter().filter(|line| line.source == "compose").count();
        let taken: usize = text.split_inclusive('\n').take(count).map(str::len).sum();
        point.offset = Some(taken as u64);
    }
    points
}
