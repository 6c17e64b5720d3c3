//! What people do at once to what a project has in a cluster.
//!
//! Only what bears the project's label is touched, and none of it is written into a release: what was scaled by hand has
//! its number until the next deployment takes it back.

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use towline_shared::cluster::{ClusterAct, ClusterAction, Workload, WorkloadKind};
use towline_shared::query::Reply;

use super::api::{Api, text};
use super::at::{At, Kind, is_name};
use super::cluster::Cluster;
use super::error::ApiError;
use super::labels::{PROJECT, RESTARTED, label};

/// Why something is not done.
enum Refusal {
    Api(ApiError),
    Said(String),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// Does it, and says what was done.
pub(super) async fn act(cluster: &Cluster, act: ClusterAct) -> Reply {
    match done(cluster, act).await {
        Ok(words) => Reply::Acted(words),
        Err(Refusal::Said(why)) => Reply::Failed(why),
        Err(Refusal::Api(error)) => Reply::Failed(error.to_string()),
    }
}

async fn done(cluster: &Cluster, act: ClusterAct) -> Result<String, Refusal> {
    let namespace = act
        .namespace
        .unwrap_or_else(|| cluster.config.namespace.clone());
    if !is_name(&namespace) || cluster.check_namespace(&namespace).is_some() {
        return Err(Refusal::Said(format!(
            "the namespace {namespace} is not among those of this agent"
        )));
    }
    let api = cluster.api().await?;
    let project = act.project.to_string();
    match act.action {
        ClusterAction::Restart(workload) => {
            let at = at(&namespace, &workload)?;
            own(&api, &at, &project).await?;
            let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
            let annotations = json!({"metadata": {"annotations": {RESTARTED: now}}});
            api.merge(&at, "", &json!({"spec": {"template": annotations}}))
                .await?;
            Ok(format!("{at} gets new pods, in the way of its own updates"))
        }
        ClusterAction::Scale(workload, replicas) => {
            if workload.kind == WorkloadKind::DaemonSet {
                let why = "a DaemonSet has a pod on each node, and no number to set";
                return Err(Refusal::Said(why.to_owned()));
            }
            let at = at(&namespace, &workload)?;
            let before = own(&api, &at, &project).await?;
            let before = before.pointer("/spec/replicas").and_then(Value::as_u64);
            api.merge(&at, "/scale", &json!({"spec": {"replicas": replicas}}))
                .await?;
            let before = before.map_or_else(String::new, |before| format!(" instead of {before}"));
            Ok(format!(
                "{at} is to have {replicas} pods{before}, until it is deployed again"
            ))
        }
        ClusterAction::DeletePod(name) => {
            if !is_name(&name) {
                return Err(Refusal::Said(format!("{name:?} is no name of a pod")));
            }
            let at = At::new(Kind::pod(), &namespace, &name);
            let pod = own(&api, &at, &project).await?;
            api.delete(&at, &text(&pod, "/metadata/uid")).await?;
            Ok(format!("{at} is deleted"))
        }
    }
}

fn at(namespace: &str, workload: &Workload) -> Result<At, Refusal> {
    let (kind, plural) = match workload.kind {
        WorkloadKind::Deployment => ("Deployment", "deployments"),
        WorkloadKind::StatefulSet => ("StatefulSet", "statefulsets"),
        WorkloadKind::DaemonSet => ("DaemonSet", "daemonsets"),
    };
    if !is_name(&workload.name) {
        return Err(Refusal::Said(format!(
            "{:?} is no name of a {kind}",
            workload.name
        )));
    }
    Ok(At::new(
        Kind::own("apps/v1", kind, plural),
        namespace,
        &workload.name,
    ))
}

/// The object, if it is the project's.
async fn own(api: &Api, at: &At, project: &str) -> Result<Value, Refusal> {
    let there = api.get(at).await?;
    let there = there.filter(|there| label(there, PROJECT) == Some(project));
    there.ok_or_else(|| {
        let namespace = at.namespace.clone().unwrap_or_default();
        Refusal::Said(format!("the project has no {at} in {namespace}"))
    })
}
