//! What deploys and removals have in common: their limits, their log, and running compose.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::future::Future;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;
use towline_shared::failpoint::reach;
use towline_shared::log::{LogLine, LogStream};
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::policy::{HostPolicy, Permission};
use towline_shared::spec::{SOURCE_PASSWORD, Secret, Work};

use super::child::{self, Compose, Running};
use super::engine::Observed;
use super::folder::ProjectFolder;
use super::host::Host;
use super::lines::Lines;
use super::logins::{self, Login};
use super::stop::Stop;
use super::verdict::{self, Failure, Restarts};
use super::watch::Watch;
use crate::executor::errand::Errand;
pub(super) use crate::executor::errand::note;
pub(super) use crate::executor::limits::Limits;
use crate::mask::Masker;
use crate::task::{Start, Task};

/// How often compose's output is looked at while it runs.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long to wait for an engine that is not there when a job begins.
const ENGINE_PATIENCE: Duration = Duration::from_secs(30);
/// How often to look whether an engine is back.
const ENGINE_RETRY: Duration = Duration::from_millis(250);
/// How often a job may seem to lose an engine that answers all the while.
pub(super) const FALSE_OUTAGES: u32 = 2;
/// How many of compose's last lines tell why it failed.
const KEPT_LINES: usize = 40;
/// The source of compose's lines.
const COMPOSE: &str = "compose";

/// A job at work.
pub(super) struct Job<'a> {
    pub host: &'a Host,
    pub task: &'a Task,
    pub project: &'a str,
    pub folder: ProjectFolder,
    pub masker: Masker,
    pub limits: Limits,
    /// Whether a former process has begun what is done now.
    pub start: Start,
    pub effects: Effects,
    /// The services whose images it builds.
    pub builds: BTreeSet<String>,
    course: Course,
    /// The deadline by a clock that nobody sets.
    ends: Instant,
    /// What is waited for, for the message when the time is over.
    pub waiting_for: String,
    /// How far compose's output was taken: by a former process up to what it spooled.
    output_taken: AtomicU64,
}

/// Whether a job has changed anything on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effects {
    None,
    /// It has, or may have.
    Made,
}

/// Which of the things that a job does one after the other it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// What it was given to do.
    First,
    /// What it does since that has failed.
    Again,
}

/// How a call of compose ended.
pub(super) struct Ended {
    /// Nothing, if it was left by a former process of the agent.
    pub status: Option<ExitStatus>,
    /// Its last lines, masked.
    pub last_lines: Vec<String>,
}

impl Ended {
    /// How it ended, if that was a failure.
    pub fn failure(&self) -> Option<String> {
        let status = self.status.filter(|status| !status.success())?;
        Some(status.code().map_or_else(
            || "by a signal".to_owned(),
            |code| format!("with exit code {code}"),
        ))
    }
}

/// Why a call of compose is given up while it runs.
pub(super) enum Interrupted {
    Stop(Stop),
    /// A container cannot come up any more.
    Crashed(Failure),
}

impl From<Stop> for Interrupted {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl<'a> Job<'a> {
    pub fn new(host: &'a Host, task: &'a Task, project: &'a str) -> Self {
        let limits = Limits::fresh(task);
        // What is built for another host leaves nothing on this one, where the project may run, too.
        let home = match &task.spec.work {
            Work::Build(_) => &task.dir,
            _ => &host.state_dir,
        };
        Self {
            host,
            task,
            project,
            folder: ProjectFolder::new(home, project),
            masker: Masker::new(&task.secrets),
            limits,
            start: task.start,
            effects: match task.start {
                Start::Fresh | Start::Resumed(None | Some(Step::Preparing)) => Effects::None,
                Start::Resumed(Some(_)) => Effects::Made,
            },
            builds: BTreeSet::new(),
            course: Course::First,
            ends: limits.ends(),
            waiting_for: String::new(),
            output_taken: task
                .log
                .resume_from(COMPOSE)
                .and_then(|point| point.offset)
                .unwrap_or_default()
                .into(),
        }
    }

    /// Writes a line of Towline's own, of as many lines as the text has.
    pub async fn note(&self, text: &str) {
        for line in self.masker.mask_text(text).lines() {
            self.task.log.send(note(line)).await;
        }
    }

    /// What is done before the work itself.
    pub fn errand(&self) -> Errand<'a> {
        Errand {
            task: self.task,
            masker: self.masker.clone(),
            ends: self.ends,
            given_up: None,
        }
    }

    /// Waits until effects are permitted; from then on the deadline counts.
    pub async fn open(&mut self) -> Result<(), Stop> {
        self.task.gate.opened().await?;
        if self.course == Course::Again {
            return Ok(());
        }
        self.limits = Limits::of_begun(self.task, self.start)?;
        self.ends = self.limits.ends();
        Ok(())
    }

    /// Limits of what begins now.
    pub fn fresh_limits(&self) -> Limits {
        Limits::fresh(self.task)
    }

    /// Goes on with something else, in its own time.
    pub fn begin_again(&mut self, limits: Limits, start: Start) {
        self.limits = limits;
        self.ends = limits.ends();
        self.start = start;
        self.course = Course::Again;
        self.waiting_for.clear();
    }

    /// Does something within the job's time, or until it is cancelled.
    pub async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.task.cancel.cancelled() => Err(Stop::Cancelled),
            done = work => Ok(done),
            () = tokio::time::sleep_until(self.ends) => Err(Stop::Deadline),
        }
    }

    /// How compose is called for this job.
    pub fn compose(&self) -> Result<Compose, Stop> {
        let plugin = self.host.plugin().ok_or_else(|| {
            let message = format!(
                "docker compose is not installed on this host; {}",
                super::plugin::install_hint()
            );
            Stop::failed(FailureReason::EngineUnavailable, message)
        })?;
        Ok(Compose {
            plugin,
            docker_host: self.host.engine.host().to_owned(),
            docker_config: self.docker_config()?,
            project: self.project.to_owned(),
            job: self.task.attempt.job,
            secrets: self.own_secrets(),
            env_file: None,
        })
    }

    /// What the host's owner allows this job. Images that another host has built are none that this one builds.
    pub fn policy(&self) -> HostPolicy {
        let mut policy = self.host.policy.clone();
        if let Work::Relayed(_) = self.task.spec.work {
            policy.build = Permission::Allow;
        }
        policy
    }

    /// The team's logins of registries.
    pub fn logins(&self) -> Vec<Login> {
        logins::of(&self.task.terms, &self.task.secrets)
    }

    /// What compose takes for the docker command line's own folder.
    fn docker_config(&self) -> Result<PathBuf, Stop> {
        let folder = logins::folder(&self.task.dir, &self.host.docker_config, &self.logins());
        folder.map_err(|error| Stop::internal("cannot write the job's folder", &error))
    }

    /// The project's secrets. By what its repository and registries are read, nothing of it sees.
    fn own_secrets(&self) -> Vec<Secret> {
        let secrets = self.task.secrets.iter();
        secrets
            .filter(|secret| secret.name != SOURCE_PASSWORD && !logins::is_password(secret))
            .cloned()
            .collect()
    }

    /// Waits until the engine answers; at the beginning of a job not for long.
    pub async fn engine_at_start(&mut self) -> Result<(), Stop> {
        "the Docker engine to answer".clone_into(&mut self.waiting_for);
        let patience = Instant::now() + ENGINE_PATIENCE;
        loop {
            match self.bounded(self.host.engine.ping()).await? {
                Ok(()) => {
                    reach("agent: found the engine");
                    return Ok(());
                }
                Err(error) if !error.is_outage() || Instant::now() >= patience => {
                    return Err(error.into());
                }
                Err(_) => self.bounded(tokio::time::sleep(ENGINE_RETRY)).await?,
            }
        }
    }

    /// Waits until an engine that went away in the middle is back, as long as the job may take.
    pub async fn engine_back(&mut self) -> Result<(), Stop> {
        "the Docker engine to come back".clone_into(&mut self.waiting_for);
        self.note("the Docker engine does not answer; waiting until it is back")
            .await;
        while self.bounded(self.host.engine.ping()).await?.is_err() {
            self.bounded(tokio::time::sleep(ENGINE_RETRY)).await?;
        }
        self.note("the Docker engine is back").await;
        Ok(())
    }

    /// Waits for compose processes that other jobs have left at work on this project.
    pub async fn alone(&self) -> Result<(), Stop> {
        if let Some(other) = child::recorded(&self.folder.record(child::RECORD)) {
            self.note("waiting for `docker compose` of an earlier job of this project to end")
                .await;
            self.bounded(other.gone()).await?;
        }
        Ok(())
    }

    /// Refuses to touch what Towline has not made.
    pub fn refuse_foreign(&self, owner: Option<&str>, what: &str) -> Result<(), Stop> {
        let ours = self.task.spec.project.to_string();
        if owner == Some(&ours) {
            return Ok(());
        }
        let whose = if owner.is_some_and(|owner| !owner.is_empty()) {
            "another project of Towline"
        } else {
            "nobody Towline knows"
        };
        let message = format!(
            "{what} of the compose project `{}` on this host belongs to {whose}; take it away first (`docker compose -p {} down`) \
             or rename the project",
            self.project, self.project
        );
        Err(Stop::failed(FailureReason::InvalidProject, message))
    }

    pub fn refuse_foreign_containers(&self, containers: &[Observed]) -> Result<(), Stop> {
        containers.iter().try_for_each(|container| {
            self.refuse_foreign(
                Some(&container.owner),
                &format!("the container of service `{}`", container.service),
            )
        })
    }

    /// Runs compose to its end and takes its output. The child outlives the agent; it is stopped when
    /// the job is cancelled or its time is over.
    pub async fn run_compose(
        &self,
        compose: &Compose,
        folder: &std::path::Path,
        arguments: &[&str],
        input: &[u8],
        watch: Option<(&mut Watch, &Restarts)>,
    ) -> Result<Ended, Interrupted> {
        let output = self.output_path();
        let mut running = compose
            .start(folder, arguments, input, &output)
            .map_err(|error| Stop::internal("cannot start docker compose", &error))?;
        reach("agent: started compose");
        if let Err(error) = child::record(&self.folder.record(child::RECORD), &running) {
            // Nothing of a job may work on when the job has ended.
            running.stop().await;
            return Err(Stop::internal("cannot write the project's folder", &error).into());
        }
        reach("agent: noted compose");
        self.attend(running, watch).await
    }

    /// Waits for a compose process and takes its output.
    pub async fn attend(
        &self,
        mut running: Running,
        mut watch: Option<(&mut Watch, &Restarts)>,
    ) -> Result<Ended, Interrupted> {
        let mut output = self.output();
        let result = loop {
            tokio::select! {
                biased;
                () = self.task.cancel.cancelled() => break Err(Stop::Cancelled.into()),
                ended = running.ended() => break Ok(ended),
                () = changed(&mut watch) => {
                    if let Some(failure) = self.crashed(watch.as_ref()).await {
                        break Err(Interrupted::Crashed(failure));
                    }
                }
                () = tokio::time::sleep_until(self.ends) => break Err(Stop::Deadline.into()),
                () = tokio::time::sleep(LOOK_EVERY) => output.drain(self).await,
            }
        };
        if result.is_err() {
            running.stop().await;
        } else {
            reach("agent: saw compose end");
        }
        output.drain(self).await;
        output.finish(self).await;
        let status =
            result?.map_err(|error| Stop::internal("cannot wait for docker compose", &error))?;
        Ok(Ended {
            status,
            last_lines: output.last.into(),
        })
    }

    async fn crashed(&self, watch: Option<&(&mut Watch, &Restarts)>) -> Option<Failure> {
        let (watch, before) = watch?;
        let containers = self.host.engine.observe(self.project).await.ok()?;
        watch.follow(&containers);
        verdict::crash_loop(&containers, before)
    }

    /// What a cancelled job leaves on the host, for a person.
    pub async fn left(&self) -> String {
        // An engine that hangs is told soon; listing its containers would take its time.
        let observed = match self.host.engine.ping().await {
            Ok(()) => self.host.engine.observe(self.project).await,
            Err(error) => Err(error),
        };
        let Ok(containers) = observed else {
            return "The Docker engine does not answer, so what is left cannot be told; look at the host".to_owned();
        };
        if containers.is_empty() {
            return "No container of the project is on the host".to_owned();
        }
        let states: Vec<String> = containers
            .iter()
            .map(|container| format!("{} ({})", container.source, container.phase))
            .collect();
        format!(
            "{} stay on the host; deploy again or remove the project",
            states.join(", ")
        )
    }

    /// The message of a job whose time is over.
    pub async fn overdue(&self) -> String {
        let seconds = self.task.spec.deadline_s;
        let waiting = match self.waiting_for.as_str() {
            "" => "it had not begun to run".to_owned(),
            what => format!("still waiting for: {what}"),
        };
        format!(
            "not done within {seconds} s; {waiting}. {}",
            self.left().await
        )
    }

    fn output_path(&self) -> PathBuf {
        self.task.dir.join("compose.out")
    }

    fn output(&self) -> Output {
        Output {
            path: self.output_path(),
            offset: self.output_taken.load(Ordering::Relaxed),
            lines: Lines::new(self.masker.clone()),
            last: VecDeque::new(),
        }
    }
}

async fn changed(watch: &mut Option<(&mut Watch, &Restarts)>) {
    match watch {
        Some((watch, _)) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// The file that compose writes to, and how far it was taken.
struct Output {
    path: PathBuf,
    /// Up to where it was read.
    offset: u64,
    lines: Lines,
    last: VecDeque<String>,
}

impl Output {
    async fn drain(&mut self, job: &Job<'_>) {
        // The file is small and of this host: reading it does not block for long.
        while let Some(bytes) = self.read() {
            let mut lines = Vec::new();
            self.lines.push(&bytes, &mut lines);
            let before = self.offset;
            self.offset += bytes.len() as u64;
            for (text, taken) in lines {
                let offset = taken.map(|taken| before + taken as u64);
                self.send(job, text, offset).await;
            }
        }
        job.output_taken.store(self.offset, Ordering::Relaxed);
    }

    async fn finish(&mut self, job: &Job<'_>) {
        let mut lines = Vec::new();
        self.lines.finish(&mut lines);
        for (text, _) in lines {
            self.send(job, text, Some(self.offset)).await;
        }
    }

    fn read(&self) -> Option<Vec<u8>> {
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.offset)).ok()?;
        let mut bytes = Vec::new();
        file.take(64 * 1024).read_to_end(&mut bytes).ok()?;
        (!bytes.is_empty()).then_some(bytes)
    }

    async fn send(&mut self, job: &Job<'_>, text: String, offset: Option<u64>) {
        let line = LogLine {
            at_us: Utc::now().timestamp_micros(),
            stream: LogStream::Stderr,
            source: COMPOSE.to_owned(),
            text: text.clone(),
        };
        match offset {
            Some(offset) => job.task.log.send_at(line, offset).await,
            None => job.task.log.send(line).await,
        }
        if self.last.len() == KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(text);
    }
}
