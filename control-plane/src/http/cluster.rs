//! What a project has in a cluster: what happened to it, whether it is as it was applied, and what is done to it at once.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use towline_shared::cluster::{ClusterAct, Drift, EventWeight, WorkloadKind};
use towline_shared::ids::ProjectId;
use towline_shared::query::{Query as AgentQuery, Reply};
use towline_shared::{cluster, query};
use utoipa::{IntoParams, ToSchema};

use super::containers::unreachable;
use super::deployments::idempotency_key;
use super::input::{Body, Id, Query};
use super::page::whole;
use super::problem::{Kind, Problem, ProblemDocument};
use super::releases::{Accepted, RolledBack, rolled_back};
use super::state::Api;
use crate::domain::cluster_action::{Act, Asked};
use crate::ops::{self, ProjectCluster};
use crate::store::{Listed, Named, StoreError, Target, Tenant};

/// In which cluster.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ClusterQuery {
    /// The target's id or name; it may be left out when the project came up in one cluster alone.
    target: Option<String>,
}

/// Something that happened to an object of a project.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterEvent {
    /// When it happened last.
    at: DateTime<Utc>,
    /// The object, by its kind and name.
    #[schema(example = "Pod/web-5d4f-x2x")]
    object: String,
    /// Its namespace.
    namespace: String,
    /// `normal`, or `warning` when somebody should look.
    #[schema(value_type = String, example = "warning")]
    weight: EventWeight,
    /// The cluster's word for it.
    #[schema(example = "FailedScheduling")]
    reason: String,
    /// Its sentence.
    message: String,
    /// How often it happened.
    count: u32,
}

/// How what a project has in a cluster differs from what was applied there.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterDrift {
    /// The cluster.
    target: Named,
    /// The release that came up last; none while a deployment is at work, or where none has come up.
    release: Option<String>,
    /// How many objects were compared.
    compared: u32,
    /// Those that differ, at most 500.
    drifted: Vec<DriftedObject>,
}

/// An object that is not as it was applied.
#[derive(Debug, Serialize, ToSchema)]
pub struct DriftedObject {
    /// The object, by its kind and name.
    #[schema(example = "Deployment/web")]
    object: String,
    /// Its namespace; empty for one of the whole cluster.
    namespace: String,
    /// `changed` or `gone`.
    #[schema(value_type = String, example = "changed")]
    drift: Drift,
    /// The fields that differ, at most 20; without values, which may be secret.
    #[schema(example = json!(["spec.replicas"]))]
    fields: Vec<String>,
    /// Who has changed anything of it beside Towline, at most 20.
    #[schema(example = json!(["kubectl-edit"]))]
    managers: Vec<String>,
}

/// Something to be done at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClusterAction {
    /// The target's id or name; it may be left out when the project came up in one cluster alone.
    #[schema(example = "k8s")]
    target: Option<String>,
    /// The namespace; the project's, or else that of the target's agent, when left out.
    namespace: Option<String>,
    /// What is to be done.
    action: Act,
    /// The kind of the workload: `deployment`, `stateful_set` or `daemon_set`; left out for `delete_pod`.
    #[schema(value_type = Option<String>, example = "deployment")]
    kind: Option<WorkloadKind>,
    /// The name of the workload, or of the pod.
    #[schema(example = "web")]
    name: String,
    /// For `scale`: how many pods there are to be, until the next deployment.
    #[schema(minimum = 0, maximum = 1000)]
    replicas: Option<u32>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterActed {
    /// The cluster.
    target: Named,
    /// What was done, for people.
    #[schema(
        example = "Deployment/web is to have 3 pods instead of 2, until it is deployed again"
    )]
    message: String,
}

/// Where to take back what others have changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectCluster {
    /// The target's id or name; it may be left out when the project came up in one cluster alone.
    target: Option<String>,
}

impl From<cluster::ClusterEvent> for ClusterEvent {
    fn from(event: cluster::ClusterEvent) -> Self {
        Self {
            at: DateTime::from_timestamp_millis(event.at_ms).unwrap_or_default(),
            object: event.object,
            namespace: event.namespace,
            weight: event.weight,
            reason: event.reason,
            message: event.message,
            count: event.count,
        }
    }
}

impl From<cluster::DriftedObject> for DriftedObject {
    fn from(drifted: cluster::DriftedObject) -> Self {
        Self {
            object: drifted.object,
            namespace: drifted.namespace,
            drift: drifted.drift,
            fields: drifted.fields,
            managers: drifted.managers,
        }
    }
}

impl ClusterDrift {
    fn of(target: Target, drift: cluster::ClusterDrift) -> Self {
        let drifted = drift.drifted.into_iter().take(cluster::MAX_DRIFTED);
        Self {
            target: named(target),
            release: Some(drift.release).filter(|release| !release.is_empty()),
            compared: drift.compared,
            drifted: drifted.map(DriftedObject::from).collect(),
        }
    }
}

/// What happened in a cluster to what a project has there, the latest first: at most 500 events, as long as the cluster keeps
/// them, which is an hour unless its owner says more.
#[utoipa::path(get, path = "/projects/{id}/cluster/events", tag = "deployments", operation_id = "list_cluster_events",
    params(("id" = Uuid, Path, description = "The project"), ClusterQuery), responses((status = OK, body = Listed<ClusterEvent>)))]
pub async fn events(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<ClusterQuery>,
) -> Result<Json<Listed<ClusterEvent>>, Problem> {
    let cluster = find(&api, &tenant, project, query.target.as_deref()).await?;
    match ask(&api, &cluster, AgentQuery::ClusterEvents(project)).await? {
        Reply::ClusterEvents(events) => {
            let events = events.into_iter().take(query::MAX_EVENTS);
            Ok(Json(whole(events.map(ClusterEvent::from).collect())))
        }
        Reply::Failed(why) => Err(unanswered(why)),
        _ => Err(unanswered(ANOTHER)),
    }
}

/// Whether what a project has in a cluster is as it was applied there. The cluster is asked by a dry run; nothing is changed.
#[utoipa::path(get, path = "/projects/{id}/cluster/drift", tag = "deployments", operation_id = "show_cluster_drift",
    params(("id" = Uuid, Path, description = "The project"), ClusterQuery), responses((status = OK, body = ClusterDrift)))]
pub async fn drift(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<ClusterQuery>,
) -> Result<Json<ClusterDrift>, Problem> {
    let cluster = find(&api, &tenant, project, query.target.as_deref()).await?;
    match ask(&api, &cluster, AgentQuery::ClusterDrift(project)).await? {
        Reply::ClusterDrift(drift) => Ok(Json(ClusterDrift::of(cluster.target, drift))),
        Reply::Failed(why) => Err(unanswered(why)),
        _ => Err(unanswered(ANOTHER)),
    }
}

/// Restarts or scales a workload of the project, or deletes a pod of it, at once. It is written down before it is done. No release
/// has it: the next deployment takes back what was scaled.
#[utoipa::path(post, path = "/projects/{id}/cluster/actions", tag = "deployments", operation_id = "act_in_cluster",
    params(("id" = Uuid, Path, description = "The project")), request_body = NewClusterAction,
    responses((status = OK, body = ClusterActed), (status = CONFLICT, body = ProblemDocument, content_type = "application/problem+json",
        description = "The target is no cluster, the project has no such object there, or the cluster does not take it")))]
pub async fn act(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(new): Body<NewClusterAction>,
) -> Result<Json<ClusterActed>, Problem> {
    let mut asked = Asked {
        act: new.action,
        kind: new.kind,
        name: new.name,
        replicas: new.replicas,
        namespace: new.namespace,
    };
    let action = asked.action().map_err(StoreError::from)?;
    let cluster = find(&api, &tenant, project, new.target.as_deref()).await?;
    asked.namespace = asked.namespace.or_else(|| cluster.namespace.clone());
    let (action_name, detail) = (asked.act.audited(), asked.detail(&cluster.target.name));
    api.store
        .note_cluster_action(&tenant, project, action_name, detail)
        .await?;
    let act = ClusterAct {
        project,
        namespace: asked.namespace,
        action,
    };
    match ask(&api, &cluster, AgentQuery::ClusterAct(act)).await? {
        Reply::Acted(message) => Ok(Json(ClusterActed {
            target: named(cluster.target),
            message,
        })),
        Reply::Failed(why) => Err(Problem::new(Kind::Conflict, why).remedy(
            "see that the project has it in that namespace, and that the agent may change it there",
        )),
        _ => Err(unanswered(ANOTHER)),
    }
}

/// Takes back what others have changed: deploys again what came up last in the cluster, like a rollback to it that takes
/// fields from other managers (`"conflicts": "force"`).
#[utoipa::path(post, path = "/projects/{id}/cluster/correct", tag = "deployments", operation_id = "correct_cluster",
    params(("id" = Uuid, Path, description = "The project"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating a request with its key changes nothing")),
    request_body = CorrectCluster,
    responses((status = ACCEPTED, body = RolledBack, headers(("Location" = String, description = "The deployment")))))]
pub async fn correct(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    headers: HeaderMap,
    Body(new): Body<CorrectCluster>,
) -> Result<Accepted, Problem> {
    let key = idempotency_key(&headers)?;
    let place = (project, new.target.as_deref());
    let done = ops::correct(&api.store, &api.egress, &tenant, place, key).await?;
    Ok(rolled_back(done))
}

/// What is said of an agent that knows no better.
const ANOTHER: &str = "the agent answered another question";

async fn find(
    api: &Api,
    tenant: &Tenant,
    project: ProjectId,
    target: Option<&str>,
) -> Result<ProjectCluster, Problem> {
    Ok(ops::find_cluster(&api.store, tenant, project, target).await?)
}

async fn ask(api: &Api, cluster: &ProjectCluster, query: AgentQuery) -> Result<Reply, Problem> {
    let asked = api.agents.ask(cluster.agent, query).await;
    asked.map_err(unreachable)
}

fn unanswered(why: impl Into<String>) -> Problem {
    Problem::new(Kind::Unavailable, why)
        .remedy("see that the agent reaches its cluster, and may read there what is named")
        .retry_after(Duration::from_secs(10))
}

fn named(target: Target) -> Named {
    Named {
        id: target.id.uuid(),
        name: target.name,
    }
}
