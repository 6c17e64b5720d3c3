//! Docker: an engine by its API, and compose projects by its own plugin.
//!
//! All of the Compose Specification is what people bring, so `docker compose` itself resolves and
//! applies projects; this module judges what it resolved, hands it exactly that, and watches what
//! comes of it. Everything else is said to the engine directly.
//!
//! - `resolve` and `model`: from files to a judged model, without an effect
//! - `folder`: where a project's files live on the host
//! - `deploy`, `remove`: the two kinds of work, on `job`, which has their limits and runs `child`ren
//! - `build`, `publish`, `receive`: images that one host builds and another runs; `archive` is how engines pack them
//! - `layers`: what images that were built are made of
//! - `logins`, `push`: a team's logins of registries, and images that go to one
//! - `preview`: what a release would change
//! - `release`, `kept`: deploys whose images are settled, and what is kept of former ones
//! - `verdict`, `survey`, `handover`, `failure`: pure judgements of what the engine and compose show
//! - `tunnel`, `exec`: what people reach through the control plane
//! - `watch`: events and logs while a job works
//! - `engine`: the engine's API, the only place that knows it

mod archive;
mod build;
pub(super) mod child;
mod deploy;
mod engine;
mod exec;
mod facts;
mod failure;
pub(super) mod folder;
mod handover;
mod host;
mod job;
mod kept;
mod labels;
mod layers;
mod lines;
mod logins;
mod model;
mod plugin;
mod preview;
mod publish;
mod push;
mod receive;
mod release;
mod remove;
mod resolve;
mod samples;
mod source;
mod stop;
mod stream;
mod survey;
mod tunnel;
mod verdict;
mod watch;

pub use lines::Lines;

use std::path::PathBuf;
use std::sync::Arc;

use towline_shared::metrics::ContainerSample;
use towline_shared::outcome::{FailureReason, Outcome};
use towline_shared::policy::HostPolicy;
use towline_shared::protocol::v1::Capabilities;
use towline_shared::query::{Query, Reply, StreamRequest};
use towline_shared::spec::{PinnedImage, Work};
use towline_shared::tunnel::TunnelEnd;

use super::{BoxFuture, BoxStream, Executor, Reached};
use crate::access::Access;
use crate::relay::Relay;
use crate::task::Task;
use host::Host;
use job::Job;
use samples::Samples;
use stop::Stop;

/// The engine's socket, unless another is named.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// What this executor works with.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// The engine's socket: `unix:///path`.
    pub host: String,
    /// Where the engine is.
    pub place: EnginePlace,
    /// The agent's state folder, absolute; projects live in its `projects`.
    pub state_dir: PathBuf,
    /// What this host's owner allows jobs,
    pub policy: HostPolicy,
    /// and lets people reach.
    pub access: Access,
    /// The docker command line's own folder: registry logins and plugins.
    pub docker_config: PathBuf,
    /// The way for images to and from the control plane.
    pub relay: Relay,
}

/// Where the engine is that a socket leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnginePlace {
    /// On this machine.
    Here,
    /// On another. What is read of this machine is not its host's, and files of this one are not there.
    Elsewhere {
        /// The engine as people call it (`tcp://10.0.0.5:2376`).
        url: String,
    },
}

impl DockerConfig {
    /// The folder the docker command line itself would use: `DOCKER_CONFIG`, or `~/.docker`.
    pub fn default_docker_config() -> PathBuf {
        std::env::var_os("DOCKER_CONFIG").map_or_else(
            || {
                std::env::var_os("HOME")
                    .map_or_else(|| PathBuf::from("/root"), PathBuf::from)
                    .join(".docker")
            },
            PathBuf::from,
        )
    }
}

/// Does jobs on a Docker engine.
#[derive(Clone)]
pub struct DockerExecutor {
    host: Arc<Host>,
    samples: Arc<Samples>,
}

impl std::fmt::Debug for DockerExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DockerExecutor({})", self.host.engine.host())
    }
}

impl DockerExecutor {
    /// An executor on this engine; nothing is connected before it is needed.
    pub fn new(config: DockerConfig) -> Self {
        Self {
            host: Arc::new(Host::new(config)),
            samples: Arc::default(),
        }
    }
}

impl Executor for DockerExecutor {
    fn run(&self, task: Task) -> BoxFuture<Outcome> {
        let host = Arc::clone(&self.host);
        Box::pin(async move { work(&host, &task).await })
    }

    fn capabilities(&self) -> BoxFuture<Capabilities> {
        let host = Arc::clone(&self.host);
        Box::pin(async move { facts::capabilities(&host).await })
    }

    fn ask(&self, query: Query) -> BoxFuture<Reply> {
        let host = Arc::clone(&self.host);
        Box::pin(async move {
            match query {
                Query::Containers => match host.engine.containers(None).await {
                    Ok(containers) => Reply::Containers(
                        containers
                            .into_iter()
                            .map(|container| container.summary)
                            .collect(),
                    ),
                    Err(error) => Reply::Failed(error.to_string()),
                },
                Query::ClusterEvents(_) | Query::ClusterDrift(_) | Query::ClusterAct(_) => {
                    Reply::Failed("this target is a Docker engine, and no cluster".to_owned())
                }
            }
        })
    }

    fn open_stream(&self, request: StreamRequest) -> BoxStream<Result<Vec<u8>, String>> {
        stream::open(self.host.engine.clone(), request)
    }

    fn reach_end(&self, end: TunnelEnd) -> BoxFuture<Reached> {
        let host = Arc::clone(&self.host);
        Box::pin(async move { tunnel::lead_to(&host, end).await })
    }

    fn containers(&self) -> BoxFuture<Vec<ContainerSample>> {
        let (host, samples) = (Arc::clone(&self.host), Arc::clone(&self.samples));
        Box::pin(async move { samples.take(&host.engine).await })
    }
}

async fn work(host: &Host, task: &Task) -> Outcome {
    let project = match &task.spec.work {
        Work::Deploy(deploy) => &deploy.compose_project,
        Work::Remove(remove) => &remove.compose_project,
        Work::Release(release) => &release.deploy.compose_project,
        Work::Build(build) => &build.deploy.compose_project,
        Work::Relayed(relayed) => &relayed.release.deploy.compose_project,
        Work::Preview(proposal) => &proposal.deploy.compose_project,
        Work::Termed(_) => return unsplit(),
    };
    if !is_project_name(project) {
        return Outcome::Failed {
            reason: FailureReason::InvalidProject,
            message: format!("{project:?} is no name for a compose project"),
        };
    }
    let mut job = Job::new(host, task, project);
    let done = match &task.spec.work {
        Work::Deploy(deploy) => {
            let done = deploy::run(&mut job, deploy, &[], None).await;
            ran(&job, done).await
        }
        Work::Release(release) => {
            let done = release::run(&mut job, release).await;
            ran(&job, done).await
        }
        Work::Build(build) => {
            let done = Box::pin(build::run(&mut job, build)).await;
            ran(&job, done).await
        }
        Work::Relayed(relayed) => {
            let done = Box::pin(receive::run(&mut job, relayed)).await;
            ran(&job, done).await
        }
        Work::Preview(proposal) => {
            let previewed = Box::pin(preview::run(&mut job, proposal)).await;
            previewed.map(|preview| Outcome::Previewed(Box::new(preview)))
        }
        Work::Remove(remove) => {
            let removed = remove::run(&mut job, remove).await;
            removed.map(|()| Outcome::Succeeded { images: Vec::new() })
        }
        Work::Termed(_) => return unsplit(),
    };
    let outcome = match done {
        Ok(outcome) => outcome,
        Err(stop) => {
            // A job that was resumed may end before it has come to the compose that a former process left at work.
            if let Some(mut left) = child::left_by(task.attempt.job) {
                left.stop().await;
            }
            end(&job, stop).await
        }
    };
    logins::forget(&task.dir);
    outcome
}

/// A task's work comes without its terms.
fn unsplit() -> Outcome {
    Outcome::Failed {
        reason: FailureReason::Internal,
        message: "the job's terms were not taken from its work".to_owned(),
    }
}

async fn ran(job: &Job<'_>, done: Result<Vec<PinnedImage>, Stop>) -> Result<Outcome, Stop> {
    let images = done?;
    let built = layers::of_built(job, &images).await;
    Ok(if built.is_empty() {
        Outcome::Ran { images }
    } else {
        Outcome::Built { images, built }
    })
}

/// The outcome of work that was not done; the log says it too.
async fn end(job: &Job<'_>, stop: Stop) -> Outcome {
    let (reason, message) = match stop {
        Stop::Cancelled => {
            return Outcome::Cancelled {
                left: job.left().await,
            };
        }
        Stop::Told { reason, message } => return failed(job, reason, &message),
        Stop::Failed { reason, message } => (reason, message),
        Stop::Deadline => (FailureReason::Deadline, job.overdue().await),
    };
    job.note(&message).await;
    failed(job, reason, &message)
}

fn failed(job: &Job<'_>, reason: FailureReason, message: &str) -> Outcome {
    let message = job.masker.mask_text(message);
    Outcome::Failed { reason, message }
}

/// The name becomes the name of a folder, so it is not taken on trust.
fn is_project_name(name: &str) -> bool {
    let is_start = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 128
        && name.starts_with(is_start)
        && name.chars().all(|c| is_start(c) || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_name_is_no_path() {
        assert!(is_project_name("shop-1_a") && is_project_name("0"));
        for name in ["", "../x", "a/b", "Shop", "-x", ".", "a b"] {
            assert!(!is_project_name(name), "{name}");
        }
    }
}
