//! The people of the installation, for its administrators.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use towline_shared::ids::UserId;
use utoipa::ToSchema;

use super::input::{Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::store::password_resets::Maker;
use crate::store::{Listed, Person, User};

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

/// All people of the installation, for its administrators.
#[utoipa::path(get, path = "/users", tag = "installation", operation_id = "list_users", params(PageQuery),
    responses((status = OK, body = Listed<User>)))]
pub async fn list(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<User>>, Problem> {
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
