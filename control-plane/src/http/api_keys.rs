//! Keys of the API.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::ApiKeyId;
use utoipa::ToSchema;

use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::projects::project_named;
use super::state::Api;
use crate::domain::scope::Scopes;
use crate::store::api_keys::MAX_RATE;
use crate::store::{ApiKey, Listed, MintedApiKey, NewApiKey, Tenant};

/// The longest a key may be given, in days: ten years.
const MAX_DAYS: u32 = 3650;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// What it is for.
    name: String,
    /// What it may be used for, such as `projects:read` or `deployments:write`; `all` when left out. Who may
    /// write may read.
    #[schema(max_items = 26)]
    scopes: Option<Vec<String>>,
    /// The one project that it is for, by id or name; all when left out.
    project: Option<String>,
    /// The most requests in a minute; as many as the plan allows when left out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    requests_per_minute: Option<u32>,
    /// When it ends; never when left out.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

impl CreateApiKey {
    fn scopes(&self) -> Result<Scopes, Problem> {
        let Some(names) = &self.scopes else {
            return Ok(Scopes::All);
        };
        Scopes::of(names.iter().map(String::as_str)).map_err(|unfit| {
            Problem::invalid("scopes", unfit.to_string()).remedy(
                "give \"all\", or names such as projects:read; docs/permissions.md lists them",
            )
        })
    }

    fn requests_per_minute(&self) -> Result<Option<u32>, Problem> {
        match self.requests_per_minute {
            Some(rate) if rate == 0 || rate > MAX_RATE => Err(Problem::invalid(
                "requests_per_minute",
                format!("{rate} is not between 1 and {MAX_RATE}"),
            )),
            rate => Ok(rate),
        }
    }

    fn expires_at(&self) -> Result<Option<DateTime<Utc>>, Problem> {
        match self.expires_in_days {
            None => Ok(None),
            Some(days @ 1..=MAX_DAYS) => Ok(Some(Utc::now() + TimeDelta::days(days.into()))),
            Some(days) => {
                let detail = format!("{days} is not between 1 and {MAX_DAYS} days");
                Err(Problem::invalid("expires_in_days", detail))
            }
        }
    }
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
    responses((status = CREATED, body = MintedApiKey)))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<CreateApiKey>,
) -> Result<(StatusCode, Json<MintedApiKey>), Problem> {
    let project = project_named(&api, &tenant, new.project.as_deref()).await?;
    let key = NewApiKey {
        name: &new.name,
        scopes: new.scopes()?,
        project: project.as_ref(),
        requests_per_minute: new.requests_per_minute()?,
        expires_at: new.expires_at()?,
    };
    let key = api.store.create_api_key(&tenant, key).await?;
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
