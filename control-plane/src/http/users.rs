//! The people of the installation, for its administrators.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use towline_shared::ids::UserId;
use utoipa::ToSchema;

use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::store::password_resets::Maker;
use crate::store::{KnownUser, Listed, Person, UserChange, UserRole, UserState};

/// A link to a new password, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct ResetLink {
    /// Whose password it is for.
    email: String,
    /// To be handed to the person. What stands behind the `#` is a secret.
    link: String,
    /// When it ends.
    expires_at: DateTime<Utc>,
}

/// What shall change of somebody; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeUser {
    /// What they may do in the installation.
    role: Option<UserRole>,
    /// Whether they are let in.
    state: Option<UserState>,
}

/// All people of the installation, for its administrators.
#[utoipa::path(get, path = "/users", tag = "installation", operation_id = "list_users", params(PageQuery),
    responses((status = OK, body = Listed<KnownUser>)))]
pub async fn list(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<KnownUser>>, Problem> {
    Ok(Json(api.store.list_users(query.page()?).await?))
}

/// Makes a link by which somebody chooses a new password, for administrators of the installation. It
/// works once, for an hour; using it ends the person's sessions.
#[utoipa::path(post, path = "/users/{id}/reset-link", tag = "installation", operation_id = "make_reset_link",
    params(("id" = Uuid, Path, description = "The person")), responses((status = CREATED, body = ResetLink)))]
pub async fn reset_link(
    State(api): State<Api>,
    person: Person,
    Id(user): Id<UserId>,
) -> Result<(StatusCode, Json<ResetLink>), Problem> {
    let by = Maker::Administrator(&person);
    let made = api.store.make_reset(user, by).await?;
    let link = api.link("/reset", &made.token).await?;
    let made = ResetLink {
        email: made.email,
        link,
        expires_at: made.expires_at,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Makes somebody an administrator of the installation or takes that from them, suspends them or lets them in
/// again. Who is suspended has no session any more, and their keys open nothing; what is theirs stays.
#[utoipa::path(patch, path = "/users/{id}", tag = "installation", operation_id = "change_user",
    params(("id" = Uuid, Path, description = "The person")), request_body = ChangeUser,
    responses((status = OK, body = KnownUser)))]
pub async fn change(
    State(api): State<Api>,
    person: Person,
    Id(user): Id<UserId>,
    Body(ChangeUser { role, state }): Body<ChangeUser>,
) -> Result<Json<KnownUser>, Problem> {
    let change = UserChange { role, state };
    Ok(Json(api.store.change_user(&person, user, change).await?))
}

/// Turns off the second factor of somebody who has lost it and the recovery codes. They are told.
#[utoipa::path(delete, path = "/users/{id}/second-factor", tag = "installation", operation_id = "remove_second_factor",
    params(("id" = Uuid, Path, description = "The person")), responses((status = NO_CONTENT)))]
pub async fn remove_second_factor(
    State(api): State<Api>,
    person: Person,
    Id(user): Id<UserId>,
) -> Result<StatusCode, Problem> {
    api.store.remove_second_factor(&person, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
