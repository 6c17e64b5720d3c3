//! Subscriptions, for administrators of the installation: what people pay for, and the plans that they are granted.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::{PlanId, SubscriptionId, UserId};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::input::{Body, Id, Query};
use super::page::page;
use super::problem::Problem;
use super::state::Api;
use crate::store::{Listed, NewGrant, Person, Subscription};

/// Which subscriptions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SubscriptionQuery {
    /// How many items at most, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; left out for the first page.
    cursor: Option<Uuid>,
    /// Those of this person only.
    user: Option<Uuid>,
}

/// A plan that somebody shall have for a while.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantPlan {
    /// The person's id.
    #[schema(value_type = Uuid)]
    user: UserId,
    /// The plan's id; it must be dearer than what the person has anyway.
    #[schema(value_type = Uuid)]
    plan: PlanId,
    /// Until when, at most ten years from now.
    until: DateTime<Utc>,
}

/// All subscriptions, for administrators of the installation.
#[utoipa::path(get, path = "/subscriptions", tag = "billing", operation_id = "list_subscriptions",
    params(SubscriptionQuery), responses((status = OK, body = Listed<Subscription>)))]
pub async fn list(
    State(api): State<Api>,
    Query(query): Query<SubscriptionQuery>,
) -> Result<Json<Listed<Subscription>>, Problem> {
    let page = page(query.limit, query.cursor)?;
    let of = query.user.map(UserId::from);
    Ok(Json(api.store.list_subscriptions(of, page).await?))
}

/// Gives somebody a plan until a date, for administrators of the installation. It then ends by itself: what there is
/// stays, and new work is held to the person's own plan.
#[utoipa::path(post, path = "/subscriptions", tag = "billing", operation_id = "grant_plan",
    request_body = GrantPlan, responses((status = CREATED, body = Subscription)))]
pub async fn grant(
    State(api): State<Api>,
    person: Person,
    Body(new): Body<GrantPlan>,
) -> Result<(StatusCode, Json<Subscription>), Problem> {
    let new = NewGrant {
        user: new.user,
        plan: new.plan,
        until: new.until,
    };
    let made = api.store.grant_plan(&person, new).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a granted plan early, for administrators of the installation. What is paid for is cancelled where it is paid.
#[utoipa::path(delete, path = "/subscriptions/{id}", tag = "billing", operation_id = "end_grant",
    params(("id" = Uuid, Path, description = "The subscription")), responses((status = NO_CONTENT)))]
pub async fn end(
    State(api): State<Api>,
    person: Person,
    Id(id): Id<SubscriptionId>,
) -> Result<StatusCode, Problem> {
    api.store.end_grant(&person, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
