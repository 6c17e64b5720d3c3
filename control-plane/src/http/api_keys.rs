//! Keys of the API.

use axum::Json;
use axum::extract::State;
use chrono::{TimeDelta, Utc};
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::ApiKeyId;
use utoipa::ToSchema;

use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::store::{ApiKey, Listed, NewApiKey, Tenant};

/// The longest a key may be given, in days: ten years.
const MAX_DAYS: u32 = 3650;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// What it is for.
    name: String,
    /// When it ends; never when left out.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

/// The team's keys, without their secrets.
#[utoipa::path(get, path = "/api-keys", tag = "keys", operation_id = "list_api_keys", params(PageQuery), responses((status = OK, body = Listed<ApiKey>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<ApiKey>>, Problem> {
    Ok(Json(api.store.list_api_keys(&tenant, query.page()?).await?))
}

/// Makes a key. It is shown this once.
#[utoipa::path(post, path = "/api-keys", tag = "keys", operation_id = "create_api_key", request_body = CreateApiKey,
    responses((status = CREATED, body = NewApiKey)))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<CreateApiKey>,
) -> Result<(StatusCode, Json<NewApiKey>), Problem> {
    let expires_at = match new.expires_in_days {
        None => None,
        Some(days @ 1..=MAX_DAYS) => Some(Utc::now() + TimeDelta::days(days.into())),
        Some(days) => {
            let detail = format!("{days} is not between 1 and {MAX_DAYS} days");
            return Err(Problem::invalid("expires_in_days", detail));
        }
    };
    let key = api
        .store
        .create_api_key(&tenant, &new.name, expires_at)
        .await?;
    Ok((StatusCode::CREATED, Json(key)))
}

/// Ends a key at once.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "keys", operation_id = "revoke_api_key", params(("id" = Uuid, Path, description = "The key")),
    responses((status = NO_CONTENT)))]
pub async fn revoke(
    State(api): State<Api>,
    tenant: Tenant,
    Id(key): Id<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    api.store.revoke_api_key(&tenant, key).await?;
    Ok(StatusCode::NO_CONTENT)
}
