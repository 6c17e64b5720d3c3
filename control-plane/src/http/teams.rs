//! The teams of a person, and the team itself.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::input::Body;
use super::page::whole;
use super::problem::{Problem, ProblemDocument};
use super::state::Api;
use crate::store::{Listed, MadeTeam, OwnTeam, Person, Team, Tenant};

/// A name for a team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NameTeam {
    /// At most 100 characters.
    name: String,
}

/// The teams that the person is in, or has a project in.
#[utoipa::path(get, path = "/teams", tag = "team", operation_id = "list_teams", responses((status = OK, body = Listed<OwnTeam>)))]
pub async fn list(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<Listed<OwnTeam>>, Problem> {
    Ok(Json(whole(api.store.list_teams(&person).await?)))
}

/// Makes a further team, which is the person's. Whoever comes with an API key gets one for it: a key is for one
/// team.
#[utoipa::path(post, path = "/teams", tag = "team", operation_id = "create_team", request_body = NameTeam,
    responses((status = CREATED, body = MadeTeam),
        (status = FORBIDDEN, body = ProblemDocument, content_type = "application/problem+json",
            description = "`quota_exceeded`: the person's plan allows no more teams (`limit`, `used`)")))]
pub async fn create(
    State(api): State<Api>,
    person: Person,
    Body(new): Body<NameTeam>,
) -> Result<(StatusCode, Json<MadeTeam>), Problem> {
    let made = api.store.create_team(&person, &new.name).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Gives the team another name.
#[utoipa::path(patch, path = "/team", tag = "team", operation_id = "rename_team", request_body = NameTeam,
    responses((status = OK, body = Team)))]
pub async fn rename(
    State(api): State<Api>,
    tenant: Tenant,
    Body(to): Body<NameTeam>,
) -> Result<Json<Team>, Problem> {
    Ok(Json(api.store.rename_team(&tenant, &to.name).await?))
}

/// Deletes the team, with the keys and memberships of all. Its projects must be deleted and its agents revoked before.
#[utoipa::path(delete, path = "/team", tag = "team", operation_id = "delete_team", responses((status = NO_CONTENT)))]
pub async fn delete(State(api): State<Api>, tenant: Tenant) -> Result<StatusCode, Problem> {
    api.store.delete_team(&tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}
