//! What was done in a team, for everybody in it.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::input::Query;
use super::page::{page, span};
use super::problem::Problem;
use super::rule;
use super::state::Api;
use crate::store::{Activity, ActivityFilter, Listed, Tenant};

/// The longest name of an action.
const MAX_ACTION: usize = 100;

/// Which activity.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityQuery {
    /// That concerns this project only.
    project: Option<Uuid>,
    /// Of this person only.
    user: Option<Uuid>,
    /// Of this kind only (`deployment.create`).
    #[param(max_length = 100)]
    action: Option<String>,
    /// From then on.
    since: Option<DateTime<Utc>>,
    /// Before then.
    until: Option<DateTime<Utc>>,
    /// How many items at most, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; left out for the first page.
    cursor: Option<Uuid>,
}

/// What was done in the team, newest first.
#[utoipa::path(get, path = "/activity", tag = "activity", operation_id = "list_activity", params(ActivityQuery),
    responses((status = OK, body = Listed<Activity>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<ActivityQuery>,
) -> Result<Json<Listed<Activity>>, Problem> {
    let filter = ActivityFilter {
        project: rule::narrow(&tenant, query.project.map(Into::into))?,
        user: query.user.map(Into::into),
        action: action(query.action)?,
        span: span(query.since, query.until)?,
    };
    let page = page(query.limit, query.cursor)?;
    Ok(Json(api.store.list_activity(&tenant, &filter, page).await?))
}

/// Checks the name of an action.
pub fn action(name: Option<String>) -> Result<Option<String>, Problem> {
    match name {
        Some(name) if name.is_empty() || name.len() > MAX_ACTION || name.contains('\0') => {
            Err(Problem::invalid(
                "action",
                format!("it must be 1 to {MAX_ACTION} bytes, such as deployment.create"),
            ))
        }
        name => Ok(name),
    }
}
