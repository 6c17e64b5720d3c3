//! What a team uses of its plan.

use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::IntoParams;

use super::input::Query;
use super::page::page;
use super::problem::Problem;
use super::state::Api;
use crate::store::{PastDays, Tenant, Usage};

/// Which of the past days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// How many past days at most, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before: days before this one. Left out for the first page.
    cursor: Option<NaiveDate>,
}

/// What the team uses today and has used on days before, beside the limits of its plan.
#[utoipa::path(get, path = "/usage", tag = "plans", operation_id = "show_usage", params(UsageQuery),
    responses((status = OK, body = Usage)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Usage>, Problem> {
    let past = PastDays {
        limit: page(query.limit, None)?.limit,
        before: query.cursor,
    };
    Ok(Json(api.store.usage(&tenant, past).await?))
}
