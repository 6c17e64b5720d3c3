//! Plans: what teams may use.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Deserializer};
use towline_shared::ids::PlanId;
use utoipa::ToSchema;

use super::input::{Body, Id};
use super::page::whole;
use super::problem::Problem;
use super::state::Api;
use crate::store::{Listed, NewLimit, Plan, PlanChange, Tenant};

/// What shall change of a plan; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePlan {
    /// The price per month, in cents.
    #[schema(maximum = 100_000_000)]
    price: Option<u32>,
    /// The most projects of a team; null for no limit.
    #[serde(default, deserialize_with = "limit")]
    #[schema(value_type = Option<u32>, maximum = 1_000_000)]
    max_projects: NewLimit,
    /// The most deployments of a team on a UTC day; null for no limit.
    #[serde(default, deserialize_with = "limit")]
    #[schema(value_type = Option<u32>, maximum = 1_000_000)]
    max_deployments_per_day: NewLimit,
    /// The most requests to the API of a team in a minute; null for no limit.
    #[serde(default, deserialize_with = "limit")]
    #[schema(value_type = Option<u32>, maximum = 1_000_000)]
    max_requests_per_minute: NewLimit,
    /// The most teams that belong to a person, their own one counted; null for no limit.
    #[serde(default, deserialize_with = "limit")]
    #[schema(value_type = Option<u32>, maximum = 1_000_000)]
    max_teams: NewLimit,
}

/// A limit that is given, be it as null.
fn limit<'de, D: Deserializer<'de>>(given: D) -> Result<NewLimit, D::Error> {
    let limit = Option::<u32>::deserialize(given)?;
    Ok(limit.map_or(NewLimit::Unlimited, NewLimit::AtMost))
}

/// All plans, the cheapest first.
#[utoipa::path(get, path = "/plans", tag = "plans", operation_id = "list_plans", responses((status = OK, body = Listed<Plan>)))]
pub async fn list(State(api): State<Api>) -> Result<Json<Listed<Plan>>, Problem> {
    Ok(Json(whole(api.store.list_plans().await?)))
}

/// Changes a plan, for administrators of the installation. It holds at once; what teams have stays.
#[utoipa::path(patch, path = "/plans/{id}", tag = "plans", operation_id = "change_plan",
    params(("id" = Uuid, Path, description = "The plan")), request_body = ChangePlan,
    responses((status = OK, body = Plan)))]
pub async fn change(
    State(api): State<Api>,
    tenant: Tenant,
    Id(plan): Id<PlanId>,
    Body(change): Body<ChangePlan>,
) -> Result<Json<Plan>, Problem> {
    let change = PlanChange {
        price: change.price,
        max_projects: change.max_projects,
        max_deployments_per_day: change.max_deployments_per_day,
        max_requests_per_minute: change.max_requests_per_minute,
        max_teams: change.max_teams,
    };
    Ok(Json(api.store.change_plan(&tenant, plan, change).await?))
}
