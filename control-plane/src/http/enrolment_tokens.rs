//! Rights to become an agent.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use towline_shared::ids::EnrolmentTokenId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::input::{Body, Id, Query};
use super::install;
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::install::ClusterAgent;
use crate::store::{EnrolmentToken, Listed, NewEnrolmentToken, StoreError, Tenant};

/// The longest a token may be given, in minutes, and what it is given when the request does not say.
const MAX_MINUTES: u32 = 15;

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEnrolmentToken {
    /// What the agent will be called.
    name: String,
    /// How long it is valid; 15 when left out.
    #[schema(minimum = 1, maximum = 15)]
    ttl_minutes: Option<u32>,
    /// For an agent in a Kubernetes cluster: how it is to be.
    kubernetes: Option<InCluster>,
}

/// An agent in a cluster.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InCluster {
    /// The namespace that jobs work in, which must be there; `default` when left out.
    #[schema(example = "shop")]
    namespace: Option<String>,
    /// The agent's image, as the cluster's nodes know it; `towline-agent` with this version when left out.
    #[schema(example = "registry.example.com/towline-agent:0.1.0")]
    image: Option<String>,
}

/// What makes an agent in a cluster. The token is in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterInstall {
    /// All its objects, for `kubectl apply --server-side -f -`.
    manifest: String,
    /// The same by its chart, to be run beside Towline's sources.
    helm: String,
}

/// A token that was just made. It is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeToken {
    /// Its id.
    id: Uuid,
    /// What the agent will be called.
    name: String,
    /// The token.
    token: String,
    /// When it ends.
    expires_at: DateTime<Utc>,
    /// What to run on a host that has the agent.
    command: String,
    /// What to run, as root, on one that has not: it fetches the script and the agent from here, and checks both.
    install: String,
    /// What makes an agent in a cluster, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<ClusterInstall>,
}

/// The team's tokens, without their secrets.
#[utoipa::path(get, path = "/enrolment-tokens", tag = "agents", operation_id = "list_enrolment_tokens", params(PageQuery),
    responses((status = OK, body = Listed<EnrolmentToken>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<EnrolmentToken>>, Problem> {
    Ok(Json(
        api.store
            .list_enrolment_tokens(&tenant, query.page()?)
            .await?,
    ))
}

/// Makes a token: good for one host, for a few minutes.
#[utoipa::path(post, path = "/enrolment-tokens", tag = "agents", operation_id = "create_enrolment_token", request_body = CreateEnrolmentToken,
    responses((status = CREATED, body = MadeToken)))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<CreateEnrolmentToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let minutes = new.ttl_minutes.unwrap_or(MAX_MINUTES);
    if !(1..=MAX_MINUTES).contains(&minutes) {
        let detail = format!("{minutes} is not between 1 and {MAX_MINUTES} minutes");
        return Err(Problem::invalid("ttl_minutes", detail));
    }
    let in_cluster = new
        .kubernetes
        .map(|wish| ClusterAgent::new(wish.namespace, wish.image))
        .transpose()
        .map_err(StoreError::from)?;
    let token = NewEnrolmentToken {
        name: new.name,
        ttl: TimeDelta::minutes(minutes.into()),
        address: api.url.to_string(),
    };
    let mut minted = api.store.create_enrolment_token(&tenant, token).await?;
    if let Some(pin) = api.pin {
        minted.token.ca = pin;
    }
    let token = minted.token.to_string();
    let script = install::script_of(&api).await?;
    let made = MadeToken {
        id: minted.id.uuid(),
        name: minted.name,
        command: format!("towline-agent enroll --token {token}"),
        install: crate::install::command(&api.url, &script, &token),
        kubernetes: in_cluster.map(|agent| ClusterInstall {
            manifest: agent.manifest(&token),
            helm: agent.helm(&token),
        }),
        token,
        expires_at: minted.expires_at,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a token that was not used yet.
#[utoipa::path(delete, path = "/enrolment-tokens/{id}", tag = "agents", operation_id = "revoke_enrolment_token",
    params(("id" = Uuid, Path, description = "The token")), responses((status = NO_CONTENT)))]
pub async fn revoke(
    State(api): State<Api>,
    tenant: Tenant,
    Id(token): Id<EnrolmentTokenId>,
) -> Result<StatusCode, Problem> {
    api.store.revoke_enrolment_token(&tenant, token).await?;
    Ok(StatusCode::NO_CONTENT)
}
