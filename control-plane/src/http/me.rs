//! Who asks.

use axum::Json;
use axum::extract::State;

use super::problem::Problem;
use super::state::Api;
use crate::store::{Me, Tenant};

/// The user, team and key behind this request.
#[utoipa::path(get, path = "/me", tag = "keys", operation_id = "show_me", responses((status = OK, body = Me)))]
pub async fn show(State(api): State<Api>, tenant: Tenant) -> Result<Json<Me>, Problem> {
    Ok(Json(api.store.me(&tenant).await?))
}
