//! What all work in a cluster has in common: its limits, its log, and patience with the API.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towline_shared::log::{LogLine, LogStream};
use towline_shared::manifest::{MAX_MANIFEST_BYTES, find_manifests, is_in_folder};
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::{Deploy, GitSource};

use super::cluster::Cluster;
use super::error::ApiError;
use super::labels::Owner;
use crate::executor::errand::Errand;
use crate::executor::limits::Limits;
use crate::executor::source;
use crate::executor::stop::Stop;
use crate::mask::Masker;
use crate::task::{Start, Task};

/// How long to wait for an API that does not answer when a job begins.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often to ask again.
const RETRY: Duration = Duration::from_millis(500);

/// A job at work.
pub(super) struct Job<'a> {
    pub cluster: &'a Cluster,
    pub task: &'a Task,
    pub owner: Owner,
    pub masker: Masker,
    /// The namespace of objects that name none.
    pub namespace: String,
    pub limits: Limits,
    /// The deadline by a clock that nobody sets.
    ends: Instant,
    /// Whether it has changed anything, or may have.
    pub effects: Effects,
    /// Tripped when a later job has the project.
    pub superseded: CancellationToken,
    waiting_for: Mutex<String>,
    away: AtomicBool,
}

/// Whether a job has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effects {
    None,
    /// It has, or may have.
    Made,
}

impl<'a> Job<'a> {
    pub fn new(cluster: &'a Cluster, task: &'a Task, name: &str) -> Self {
        let limits = Limits::fresh(task);
        let asked = task.terms.cluster();
        Self {
            cluster,
            task,
            owner: Owner {
                project: task.spec.project,
                target: task.spec.target,
                name: name.to_owned(),
            },
            masker: Masker::new(&task.secrets),
            namespace: asked
                .namespace
                .unwrap_or_else(|| cluster.config.namespace.clone()),
            limits,
            ends: limits.ends(),
            effects: match task.start {
                Start::Fresh | Start::Resumed(None | Some(Step::Preparing)) => Effects::None,
                Start::Resumed(Some(_)) => Effects::Made,
            },
            superseded: CancellationToken::new(),
            waiting_for: Mutex::default(),
            away: AtomicBool::new(false),
        }
    }

    /// Writes a line of Towline's own, of as many lines as the text has.
    pub async fn note(&self, text: &str) {
        self.print("towline", LogStream::Note, text).await;
    }

    /// What is done before the work itself.
    pub fn errand(&self) -> Errand<'a> {
        Errand {
            task: self.task,
            masker: self.masker.clone(),
            ends: self.ends,
            given_up: Some((self.superseded.clone(), superseded())),
        }
    }

    /// The files of a release: those of its commit, with the project's own over them.
    pub async fn files(&self, deploy: &Deploy, from: Option<&GitSource>) -> Result<Deploy, Stop> {
        let Some(from) = from else {
            return Ok(deploy.clone());
        };
        self.wait_for("the repository to be fetched");
        let mut tree = source::take(&self.errand(), from, &deploy.files).await?;
        tree.read_whole(is_in_folder, MAX_MANIFEST_BYTES)?;
        let entry = find_manifests(&tree.files).ok_or_else(|| {
            Stop::failed(
                FailureReason::InvalidProject,
                "the commit has no manifests; put them into the folder `kubernetes`, or generate them \
                 (`towline generate --target kubernetes`)",
            )
        })?;
        Ok(Deploy {
            compose_file: entry.to_owned(),
            files: tree.files.clone(),
            ..deploy.clone()
        })
    }

    /// Writes lines that something else has said.
    pub async fn print(&self, source: &str, stream: LogStream, text: &str) {
        for line in self.masker.mask_text(text).lines() {
            let line = LogLine {
                at_us: Utc::now().timestamp_micros(),
                stream,
                source: source.to_owned(),
                text: line.to_owned(),
            };
            self.task.log.send(line).await;
        }
    }

    /// Waits until effects are permitted; from then on the deadline counts.
    pub async fn open(&mut self) -> Result<(), Stop> {
        self.task.gate.opened().await?;
        self.limits = Limits::of_begun(self.task, self.task.start)?;
        self.ends = self.limits.ends();
        Ok(())
    }

    /// Goes on with something else, in its own time.
    pub fn begin_again(&mut self, limits: Limits) {
        self.limits = limits;
        self.ends = limits.ends();
        self.wait_for("");
    }

    /// Does something within the job's time, or until it is cancelled or a later job has the project.
    pub async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.task.cancel.cancelled() => Err(Stop::Cancelled),
            () = self.superseded.cancelled() => Err(superseded()),
            done = work => Ok(done),
            () = tokio::time::sleep_until(self.ends) => Err(Stop::Deadline),
        }
    }

    /// Asks the API, again and again while it is away: for as long as the job may take once it has changed something,
    /// and not for long before. What it is asked can be asked twice.
    pub async fn ask<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<Result<T, ApiError>, Stop>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.bounded(ask()).await? {
                Err(error) if error.is_outage() => {
                    if self.effects == Effects::None && Instant::now() >= until {
                        return Ok(Err(error));
                    }
                    if !self.away.swap(true, Ordering::Relaxed) {
                        self.note(&format!("{error}; waiting until it is back"))
                            .await;
                    }
                    self.bounded(tokio::time::sleep(RETRY)).await?;
                }
                answer => {
                    if self.away.swap(false, Ordering::Relaxed) {
                        self.note("the cluster's API is back").await;
                    }
                    return Ok(answer);
                }
            }
        }
    }

    /// The same, where a refusal ends the job.
    pub async fn must<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        Ok(self.ask(ask).await??)
    }

    /// What is waited for, for the message when the time is over.
    pub fn wait_for(&self, what: &str) {
        let mut waiting = self
            .waiting_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        what.clone_into(&mut waiting);
    }

    /// The message of a job whose time is over.
    pub fn overdue(&self) -> String {
        let waiting = self
            .waiting_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let seconds = self.task.spec.deadline_s;
        match waiting.as_str() {
            "" => format!("not done within {seconds} s; {}", self.left()),
            what => format!(
                "not done within {seconds} s; still waiting for: {what}. {}",
                self.left()
            ),
        }
    }

    /// What a job leaves in place.
    pub fn left(&self) -> &'static str {
        match self.effects {
            Effects::None => "Nothing was changed in the cluster",
            Effects::Made => {
                "What was applied stays in the cluster, and what the release before had beside it; deploy again or roll back"
            }
        }
    }
}

fn superseded() -> Stop {
    Stop::failed(
        FailureReason::Superseded,
        "a later job works on this project of the cluster; this one has stopped",
    )
}
