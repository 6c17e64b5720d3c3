//! Kubernetes: a cluster by its API, and projects by their manifests.
//!
//! A release's objects are judged by the cluster's owner's policy, asked of the cluster by a dry run, applied under our name
//! (server-side apply), waited for, and listed in an inventory, by which what a later release does not have goes. The
//! inventory also guards the project: whoever works on it writes the fence there first.
//!
//! - `wanted`, `secrets`: from files to the objects of a release
//! - `survey`, `compare`: what the cluster has of them, and what is therefore to be done
//! - `guard`, `inventory`: who may work on a project, and what it has
//! - `apply`, `order`, `prune`, `moved`, `kept`: doing it
//! - `verify`, `ready`, `trouble`, `mirror`: waiting for it, and explaining why it does not come up
//! - `deploy`, `remove`, `preview`: the kinds of work, on `job`, which has their limits
//! - `pods`, `events`, `drift`, `measure`, `facts`: what people look at; `acts`: what they do at once
//! - `home`: what the agent itself has in the cluster
//! - `api`, `at`, `error`: the cluster's API, the only place that knows it

mod acts;
mod api;
mod apply;
mod at;
mod cluster;
mod compare;
mod deploy;
mod drift;
mod error;
mod events;
mod facts;
mod guard;
mod home;
mod images;
mod inventory;
mod job;
mod kept;
mod labels;
mod many;
mod measure;
mod mirror;
mod moved;
mod order;
mod pods;
mod preview;
mod prune;
mod ready;
mod remove;
mod secrets;
mod survey;
mod trouble;
mod verify;
mod wanted;

use std::sync::Arc;

use towline_shared::cluster::ClusterPolicy;
use towline_shared::metrics::ContainerSample;
use towline_shared::outcome::{FailureReason, Outcome};
use towline_shared::policy::HostPolicy;
use towline_shared::protocol::v1::Capabilities;
use towline_shared::query::{Query, Reply, StreamRequest};
use towline_shared::spec::{OnFailure, Work};
use towline_shared::tunnel::{TunnelEnd, TunnelRefusal};

use super::stop::Stop;
use super::{BoxFuture, BoxStream, Executor, Reached};
use crate::task::Task;
pub use api::Access;
use cluster::Cluster;
pub use home::{Home, HomeError, Lead};
use job::Job;

/// What this executor works with.
#[derive(Clone, Debug)]
pub struct KubernetesConfig {
    /// How the cluster is reached.
    pub access: Access,
    /// The namespace of objects that name none, unless the project says another.
    pub namespace: String,
    /// The namespace of the agent itself, if it has one there: no job works in it, as pods of it could read the agent's
    /// identity.
    pub home: Option<String>,
    /// What the cluster's owner allows jobs, as on any host,
    pub policy: HostPolicy,
    /// and in a cluster.
    pub cluster: ClusterPolicy,
}

/// Does jobs in a cluster.
#[derive(Clone)]
pub struct KubernetesExecutor {
    cluster: Arc<Cluster>,
}

impl std::fmt::Debug for KubernetesExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KubernetesExecutor({:?})", self.cluster.config.access)
    }
}

impl KubernetesExecutor {
    /// An executor in this cluster; nothing is connected before it is needed.
    pub fn new(config: KubernetesConfig) -> Self {
        Self {
            cluster: Arc::new(Cluster::new(config)),
        }
    }
}

impl Executor for KubernetesExecutor {
    fn run(&self, task: Task) -> BoxFuture<Outcome> {
        let cluster = Arc::clone(&self.cluster);
        Box::pin(async move { work(&cluster, &task).await })
    }

    fn capabilities(&self) -> BoxFuture<Capabilities> {
        let cluster = Arc::clone(&self.cluster);
        Box::pin(async move { facts::capabilities(&cluster).await })
    }

    fn ask(&self, query: Query) -> BoxFuture<Reply> {
        let cluster = Arc::clone(&self.cluster);
        Box::pin(async move {
            let answer = match query {
                Query::Containers => pods::containers(&cluster).await.map(Reply::Containers),
                Query::ClusterEvents(project) => events::of_project(&cluster, project)
                    .await
                    .map(Reply::ClusterEvents),
                Query::ClusterDrift(project) => drift::of_project(&cluster, project)
                    .await
                    .map(Reply::ClusterDrift),
                Query::ClusterAct(act) => return acts::act(&cluster, act).await,
            };
            answer.unwrap_or_else(|error| Reply::Failed(error.to_string()))
        })
    }

    fn open_stream(&self, request: StreamRequest) -> BoxStream<Result<Vec<u8>, String>> {
        pods::log(Arc::clone(&self.cluster), request)
    }

    fn reach_end(&self, end: TunnelEnd) -> BoxFuture<Reached> {
        let what = match end {
            TunnelEnd::DockerApi => "a cluster has no Docker API",
            TunnelEnd::Exec(_) => {
                "commands in pods are not run through the agent; use `kubectl exec`"
            }
        };
        Box::pin(async move { Err((TunnelRefusal::Unavailable, what.to_owned())) })
    }

    fn containers(&self) -> BoxFuture<Vec<ContainerSample>> {
        let cluster = Arc::clone(&self.cluster);
        Box::pin(async move { measure::samples(&cluster).await })
    }
}

async fn work(cluster: &Cluster, task: &Task) -> Outcome {
    let done = match &task.spec.work {
        Work::Deploy(deploy) => {
            let mut job = Job::new(cluster, task, &deploy.compose_project);
            let done = deploy::run(&mut job, (deploy, None), &[], OnFailure::Leave).await;
            (job, done.map(|images| Outcome::Ran { images }))
        }
        Work::Release(release) => {
            let deploy = &release.deploy;
            let mut job = Job::new(cluster, task, &deploy.compose_project);
            let of = (deploy, release.source.as_ref());
            let done = deploy::run(&mut job, of, &release.images, release.on_failure).await;
            (job, done.map(|images| Outcome::Ran { images }))
        }
        Work::Preview(proposal) => {
            let mut job = Job::new(cluster, task, &proposal.deploy.compose_project);
            let done = preview::run(&mut job, proposal).await;
            (
                job,
                done.map(|preview| Outcome::Previewed(Box::new(preview))),
            )
        }
        Work::Remove(remove) => {
            let mut job = Job::new(cluster, task, &remove.compose_project);
            let done = remove::run(&mut job, remove).await;
            let nothing = Outcome::Succeeded { images: Vec::new() };
            (job, done.map(|()| nothing))
        }
        Work::Build(_) | Work::Relayed(_) => {
            return Outcome::Failed {
                reason: FailureReason::InvalidProject,
                message: "images are not built in a cluster, nor brought to it; push them to a registry that it pulls from".to_owned(),
            };
        }
        Work::Termed(_) => {
            return Outcome::Failed {
                reason: FailureReason::Internal,
                message: "the job's terms were not taken from its work".to_owned(),
            };
        }
    };
    match done {
        (_, Ok(outcome)) => outcome,
        (job, Err(stop)) => end(&job, stop).await,
    }
}

/// The outcome of work that was not done; the log says it too.
async fn end(job: &Job<'_>, stop: Stop) -> Outcome {
    let (reason, message) = match stop {
        Stop::Cancelled => {
            return Outcome::Cancelled {
                left: job.left().to_owned(),
            };
        }
        Stop::Told { reason, message } => return failed(job, reason, &message),
        Stop::Failed { reason, message } => (reason, message),
        Stop::Deadline => (FailureReason::Deadline, job.overdue()),
    };
    job.note(&message).await;
    failed(job, reason, &message)
}

fn failed(job: &Job<'_>, reason: FailureReason, message: &str) -> Outcome {
    let message = job.masker.mask_text(message);
    Outcome::Failed { reason, message }
}
