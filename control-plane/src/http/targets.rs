//! Where deploys go.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::TargetId;
use utoipa::ToSchema;

use super::auth::may_test;
use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::ops;
use crate::store::docker_tls::ClientPems;
use crate::store::{Listed, Target, Tenant};

/// The team's targets.
#[utoipa::path(get, path = "/targets", tag = "targets", operation_id = "list_targets", params(PageQuery),
    responses((status = OK, body = Listed<Target>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Target>>, Problem> {
    Ok(Json(api.store.list_targets(&tenant, query.page()?).await?))
}

/// A target.
#[utoipa::path(get, path = "/targets/{id}", tag = "targets", operation_id = "show_target", params(("id" = Uuid, Path, description = "The target")),
    responses((status = OK, body = Target)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
) -> Result<Json<Target>, Problem> {
    Ok(Json(api.store.target(&tenant, target).await?))
}

/// What a target's host is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLabels {
    /// All its labels, at most 16 of 1 to 40 lower-case letters, digits and hyphens.
    #[schema(example = json!(["builder"]))]
    labels: Vec<String>,
}

/// Gives a target labels, in place of those that it has. Hosts with the label `builder` are there to build for others.
#[utoipa::path(put, path = "/targets/{id}/labels", tag = "targets", operation_id = "set_target_labels", request_body = SetLabels,
    params(("id" = Uuid, Path, description = "The target")), responses((status = OK, body = Target)))]
pub async fn set_labels(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Body(set): Body<SetLabels>,
) -> Result<Json<Target>, Problem> {
    let set = api.store.set_target_labels(&tenant, target, set.labels);
    Ok(Json(set.await?))
}

/// A target to add. Hosts with an agent become targets by enrolling; this is for engines that are reached over TLS.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddTarget {
    /// What it is called; unique in the team.
    #[schema(example = "build-1")]
    name: String,
    /// What kind it is.
    r#type: AddedType,
    /// Where the engine is, by a name or address that its certificate bears.
    #[schema(example = "tcp://10.0.0.5:2376")]
    host: String,
    /// `ca.pem`: the engine's authority.
    ca: String,
    /// `cert.pem`: a client's certificate.
    cert: String,
    /// `key.pem`: its key. It is never shown again.
    #[schema(write_only)]
    key: String,
}

/// Which targets can be added.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddedType {
    /// An engine that is reached over TLS.
    DockerTls,
}

/// The files of a client, in place of those that are there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceCredentials {
    /// Where the engine is from now on; as it was, when left out.
    #[schema(example = "tcp://10.0.0.5:2376")]
    host: Option<String>,
    /// `ca.pem`: the engine's authority.
    ca: String,
    /// `cert.pem`: a client's certificate.
    cert: String,
    /// `key.pem`: its key. It is never shown again.
    #[schema(write_only)]
    key: String,
}

/// Adds an engine that is reached over TLS. It has to answer to the files; nothing is kept if it does not.
#[utoipa::path(post, path = "/targets", tag = "targets", operation_id = "add_target", request_body = AddTarget,
    responses((status = CREATED, body = Target)))]
pub async fn add(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<AddTarget>,
) -> Result<(StatusCode, Json<Target>), Problem> {
    let AddedType::DockerTls = new.r#type;
    let pems = ClientPems {
        ca: new.ca,
        cert: new.cert,
        key: new.key,
    };
    let engine = ops::GivenEngine::read(Some(&new.host), pems)?;
    may_test(&api, tenant.user(), "engines")?;
    let (store, program) = (&api.store, &api.agent_program);
    let made = ops::add_docker_tls(store, &api.egress, program, &tenant, &new.name, engine);
    Ok((StatusCode::CREATED, Json(made.await?)))
}

/// Replaces the files by which an engine is reached, once it has answered to the new ones.
#[utoipa::path(put, path = "/targets/{id}/credentials", tag = "targets", operation_id = "replace_target_credentials",
    request_body = ReplaceCredentials, params(("id" = Uuid, Path, description = "The target")),
    responses((status = OK, body = Target)))]
pub async fn replace_credentials(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Body(new): Body<ReplaceCredentials>,
) -> Result<Json<Target>, Problem> {
    let pems = ClientPems {
        ca: new.ca,
        cert: new.cert,
        key: new.key,
    };
    // A foreign target tells nothing, whatever was sent.
    api.store.target(&tenant, target).await?;
    let engine = ops::GivenEngine::read(new.host.as_deref(), pems)?;
    may_test(&api, tenant.user(), "engines")?;
    let changed = ops::replace_docker_tls(&api.store, &api.egress, &tenant, target, engine);
    Ok(Json(changed.await?))
}

/// Takes an engine away that is reached over TLS: its keys are forgotten, and its unfinished jobs fail. What runs there goes on.
#[utoipa::path(delete, path = "/targets/{id}", tag = "targets", operation_id = "remove_target",
    params(("id" = Uuid, Path, description = "The target")), responses((status = NO_CONTENT)))]
pub async fn remove(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
) -> Result<StatusCode, Problem> {
    ops::forget_docker_tls(&api.store, &tenant, target).await?;
    Ok(StatusCode::NO_CONTENT)
}
