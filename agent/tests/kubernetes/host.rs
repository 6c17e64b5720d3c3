//! A namespace of a cluster, and jobs in it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use towline_agent::executor::Executor as _;
use towline_agent::executor::kubernetes::{Access, KubernetesConfig, KubernetesExecutor};
use towline_agent::logs::LogSink;
use towline_agent::task::{Gate, GateState, ProgressSink, Start, StepBegun, Task};
use towline_cluster::{Cluster, Settings};
use towline_shared::cluster::{ClusterPolicy, ClusterTerms};
use towline_shared::fence::Fence;
use towline_shared::ids::{JobId, ProjectId, ReleaseId, TargetId};
use towline_shared::log::LogLine;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::policy::HostPolicy;
use towline_shared::preview::Preview;
use towline_shared::protocol::v1::Attempt;
use towline_shared::spec::{
    Deploy, DeployRelease, FileMode, Interruption, JobSpec, OnFailure, PinnedImage, ProjectFile,
    Proposal, Remove, Secret, Term, Terms, VolumeFate, Work,
};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A namespace of a cluster, taken away when dropped.
pub struct Host {
    /// The cluster in memory, if it is one.
    pub fake: Option<Cluster>,
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
    pub config: KubernetesConfig,
    pub namespace: String,
    pub project: ProjectId,
    pub target: TargetId,
    epoch: AtomicU64,
}

/// What is said of a job.
#[derive(Clone)]
pub struct Options {
    pub start: Start,
    pub deadline_s: u32,
    pub secrets: Vec<Secret>,
    pub terms: Vec<Term>,
    pub fence: Option<Fence>,
    pub gate: GateState,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            start: Start::Fresh,
            deadline_s: 60,
            secrets: Vec::new(),
            terms: Vec::new(),
            fence: None,
            gate: GateState::Open,
        }
    }
}

impl Options {
    pub fn cluster(terms: ClusterTerms) -> Self {
        Self {
            terms: vec![Term::Cluster(terms)],
            ..Self::default()
        }
    }
}

/// How a job went.
#[derive(Debug)]
pub struct Ended {
    pub outcome: Outcome,
    pub lines: Vec<LogLine>,
    pub steps: Vec<Step>,
}

/// A job at work.
pub struct Running {
    pub work: JoinHandle<Outcome>,
    pub cancel: CancellationToken,
    _gate: tokio::sync::watch::Sender<GateState>,
    lines: Arc<Mutex<Vec<LogLine>>>,
    steps: Arc<Mutex<Vec<Step>>>,
    _folder: tempfile::TempDir,
}

/// The one that `tests/setup` has brought, or the machine's.
fn kubectl() -> PathBuf {
    let parts = std::env::var_os("TOWLINE_PARTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.test-parts")),
        PathBuf::from,
    );
    let brought = parts.join("kubernetes/usr/bin/kubectl");
    if brought.exists() {
        brought
    } else {
        PathBuf::from("kubectl")
    }
}

/// Whether pods run in the cluster that is tested with.
pub fn has_pods() -> bool {
    std::env::var("TOWLINE_TEST_PODS").as_deref() != Ok("none")
}

impl Host {
    /// A namespace in the cluster that is named, or in one in memory.
    pub async fn new() -> Self {
        let named = std::env::var_os("TOWLINE_TEST_KUBECONFIG");
        match named {
            Some(path) => Self::on(None, &std::fs::read_to_string(path).unwrap()).await,
            None => Self::in_memory().await,
        }
    }

    /// A namespace in a cluster in memory, whatever is named.
    pub async fn in_memory() -> Self {
        let fake = Cluster::start(Settings::default()).await.unwrap();
        let config = fake.kubeconfig();
        Self::on(Some(fake), &config).await
    }

    async fn on(fake: Option<Cluster>, kubeconfig: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        towline_pki::tls::install_provider();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig).unwrap();
        let namespace = format!("towline-test-{}-{number}", std::process::id());
        let host = Self {
            fake,
            config: KubernetesConfig {
                access: Access::Kubeconfig(path.clone(), None),
                namespace: namespace.clone(),
                home: Some("towline".to_owned()),
                policy: HostPolicy::default(),
                cluster: ClusterPolicy::default(),
            },
            kubeconfig: path,
            folder,
            namespace,
            project: ProjectId::new(),
            target: TargetId::new(),
            epoch: AtomicU64::new(0),
        };
        host.make_namespace(&host.namespace).await;
        host
    }

    pub fn fake(&self) -> &Cluster {
        self.fake
            .as_ref()
            .expect("this test has a cluster in memory")
    }

    pub fn executor(&self) -> KubernetesExecutor {
        KubernetesExecutor::new(self.config.clone())
    }

    /// Another name of this test's own, in the whole cluster.
    pub fn own(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// Runs kubectl as the admin: gives what it prints, or what it complains of.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.kubectl_with(arguments, "").await
    }

    /// The same, with an input.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(kubectl())
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .env("KUBECACHEDIR", self.folder.path().join("cache"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("kubectl is installed (tests/setup)");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// Makes a namespace.
    pub async fn make_namespace(&self, name: &str) {
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.applied_by("tests", &namespace).await;
        let account = ["get", "serviceaccount", "default", "-n", name];
        while self.kubectl(&account).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Has somebody else apply something in the namespace.
    pub async fn applied_by(&self, manager: &str, object: &Value) {
        let manager = format!("--field-manager={manager}");
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--validate=false",
            &manager,
            "-n",
            &self.namespace,
            "-f",
            "-",
        ];
        self.kubectl_with(&arguments, &object.to_string())
            .await
            .unwrap();
    }

    /// An object as kubectl reads it; nothing where there is none.
    pub async fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let arguments = [
            "get",
            kind,
            name,
            "-n",
            &self.namespace,
            "-o",
            "json",
            "--show-managed-fields",
        ];
        let text = self.kubectl(&arguments).await.ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// The names of all objects of a kind in the namespace.
    pub async fn names(&self, kind: &str) -> Vec<String> {
        let text = self
            .kubectl(&["get", kind, "-n", &self.namespace, "-o", "name"])
            .await
            .unwrap();
        text.lines()
            .map(|line| line.rsplit('/').next().unwrap().to_owned())
            .collect()
    }

    pub fn files(files: &[(&str, &str)]) -> Deploy {
        let file = |(path, content): &(&str, &str)| ProjectFile {
            path: (*path).to_owned(),
            content: content.as_bytes().to_vec(),
            mode: FileMode::Regular,
        };
        let files: Vec<ProjectFile> = files.iter().map(file).collect();
        let entry = towline_shared::manifest::find_manifests(&files).unwrap_or("kubernetes");
        Deploy {
            release: ReleaseId::new(),
            compose_project: "shop".into(),
            compose_file: entry.to_owned(),
            files,
            settle_ms: 0,
        }
    }

    /// A release of one file.
    pub fn one(text: &str) -> Work {
        Work::Deploy(Self::files(&[("kubernetes/all.yaml", text)]))
    }

    /// A release that gives way to what ran before when it does not come up.
    pub fn giving_way(text: &str) -> Work {
        Self::release(text, &[], OnFailure::RollBack)
    }

    pub fn release(text: &str, images: &[PinnedImage], on_failure: OnFailure) -> Work {
        Work::Release(DeployRelease {
            deploy: Self::files(&[("kubernetes/all.yaml", text)]),
            images: images.to_vec(),
            source: None,
            on_failure,
        })
    }

    pub fn remove(volumes: VolumeFate) -> Work {
        Work::Remove(Remove {
            compose_project: "shop".into(),
            volumes,
        })
    }

    pub async fn preview(&self, text: &str) -> Preview {
        let proposal = Proposal {
            deploy: Self::files(&[("kubernetes/all.yaml", text)]),
            source: None,
        };
        match self
            .run(Work::Preview(proposal), Options::default())
            .await
            .outcome
        {
            Outcome::Previewed(preview) => *preview,
            other => panic!("{other:?}"),
        }
    }

    /// Deploys one file.
    pub async fn deploy(&self, text: &str) -> Ended {
        self.run(Self::one(text), Options::default()).await
    }

    /// Does a job to its end.
    pub async fn run(&self, work: Work, options: Options) -> Ended {
        let running = self.start(work, options);
        running.ended().await
    }

    /// The fence of the next job.
    pub fn next_fence(&self) -> Fence {
        Fence::new(1, self.epoch.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Begins a job.
    pub fn start(&self, work: Work, options: Options) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let attempt = Attempt {
            job: JobId::new(),
            fence: options.fence.unwrap_or_else(|| self.next_fence()),
        };
        let cancel = CancellationToken::new();
        let (opener, gate) = Gate::new(options.gate, cancel.clone());
        let (sink, intake) = LogSink::new(HashMap::new());
        let (steps, mut begun) = tokio::sync::mpsc::channel::<StepBegun>(8);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let steps_seen = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(step) = begun.recv().await {
                steps_seen.lock().unwrap().push(step.step);
                let _ = step.done.send(Ok(()));
            }
        });
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&lines);
        let task = Task {
            attempt,
            spec: JobSpec {
                project: self.project,
                target: self.target,
                work,
                interruption: Interruption::Resume,
                deadline_s: options.deadline_s,
            },
            terms: Terms::new(options.terms),
            secrets: options.secrets,
            start: options.start,
            dir: folder.path().to_owned(),
            gate,
            cancel: cancel.clone(),
            log: sink,
            progress: ProgressSink::new(attempt, steps),
        };
        let run = self.executor().run(task);
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
        Running {
            work,
            cancel,
            _gate: opener,
            lines,
            steps: seen,
            _folder: folder,
        }
    }
}

impl Running {
    /// Ends the work as the death of the agent does: at once, wherever it is.
    pub async fn kill(self) {
        self.work.abort();
        let _ = self.work.await;
    }

    pub async fn ended(self) -> Ended {
        let outcome = timeout(PATIENCE, self.work)
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "the job does not end: {:#?}",
                    texts(&self.lines.lock().unwrap())
                )
            })
            .unwrap();
        let lines = self.lines.lock().unwrap().clone();
        let steps = self.steps.lock().unwrap().clone();
        Ended {
            outcome,
            lines,
            steps,
        }
    }

    pub fn texts(&self) -> Vec<String> {
        texts(&self.lines.lock().unwrap())
    }

    /// Waits until a line of the log has these words.
    pub async fn says(&self, words: &str) {
        let seen = async {
            while !self.texts().iter().any(|text| text.contains(words)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(PATIENCE, seen).await;
        assert!(waited.is_ok(), "{words:?} is not said: {:#?}", self.texts());
    }
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| line.text.clone()).collect()
}

impl Ended {
    pub fn texts(&self) -> Vec<String> {
        texts(&self.lines)
    }

    /// The images of a job that has succeeded.
    pub fn succeeded(&self) -> Vec<PinnedImage> {
        match &self.outcome {
            Outcome::Ran { images } => images.clone(),
            Outcome::Succeeded { .. } => Vec::new(),
            other => panic!("{other:?}: {:#?}", self.texts()),
        }
    }

    /// The message of a job that has failed for this reason.
    pub fn failed(&self, reason: FailureReason) -> String {
        match &self.outcome {
            Outcome::Failed {
                reason: found,
                message,
            } if *found == reason => message.clone(),
            other => panic!("{other:?}: {:#?}", self.texts()),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.fake.is_some() {
            return;
        }
        let arguments = [
            "delete",
            "namespace",
            "--wait=false",
            "--ignore-not-found",
            &self.namespace,
        ];
        let _ = std::process::Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .output();
    }
}
