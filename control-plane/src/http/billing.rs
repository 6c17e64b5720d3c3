//! What somebody's plan is, what it comes from, and how it is paid for.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use towline_shared::ids::PlanId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::may_try;
use super::input::{Body, From, body_refused};
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::store::{PayerStanding, Person, Plan, Subscription};
use crate::stripe::{Checkout, EventError, SIGNATURE, Stripe, StripeError};

/// The most bytes of what Stripe tells at once.
pub const MAX_EVENT: usize = 256 * 1024;

/// What somebody has, and what they can buy.
#[derive(Serialize, ToSchema)]
pub struct OwnBilling {
    /// The plan that the teams of this person have now.
    plan: Plan,
    /// Until when a subscription gives it; null when it is the person's own plan.
    until: Option<DateTime<Utc>>,
    /// The person's latest subscriptions, newest first.
    subscriptions: Vec<Subscription>,
    /// The ids of plans that can be bought here; none where nothing is paid for.
    for_sale: Vec<Uuid>,
}

/// What somebody wants to buy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Buy {
    /// The plan's id; one of `for_sale`.
    #[schema(value_type = Uuid)]
    plan: PlanId,
}

/// Where to go on.
#[derive(Serialize, ToSchema)]
pub struct Elsewhere {
    /// A page of Stripe, which is good for a short while.
    url: String,
}

/// The person's plan, what it comes from and what can be bought.
#[utoipa::path(get, path = "/billing", tag = "billing", operation_id = "show_billing",
    responses((status = OK, body = OwnBilling)))]
pub async fn show(State(api): State<Api>, person: Person) -> Result<Json<OwnBilling>, Problem> {
    let billing = api.store.billing(&person).await?;
    let gives = |one: &&Subscription| one.plan_id == Some(billing.plan.id.uuid());
    let until = billing.subscriptions.iter().filter(gives);
    Ok(Json(OwnBilling {
        until: until.filter_map(|one| one.gives_until).max(),
        for_sale: api.stripe.as_ref().map_or_else(Vec::new, Stripe::for_sale),
        plan: billing.plan,
        subscriptions: billing.subscriptions,
    }))
}

/// A page of Stripe on which the person buys a plan.
#[utoipa::path(post, path = "/billing/checkout", tag = "billing", operation_id = "buy_plan",
    request_body = Buy, responses((status = CREATED, body = Elsewhere)))]
pub async fn buy(
    State(api): State<Api>,
    person: Person,
    Body(wish): Body<Buy>,
) -> Result<(StatusCode, Json<Elsewhere>), Problem> {
    let stripe = configured(&api)?;
    let price = stripe.price_of(wish.plan).ok_or_else(|| {
        Problem::invalid("plan", "this plan is not for sale here")
            .remedy("choose one of `for_sale` of GET /api/v1/billing")
    })?;
    let account = api.store.payer(&person).await?;
    if account.standing == PayerStanding::Pays {
        let detail = "you pay for a plan already";
        let remedy = "change or cancel it on the page of POST /api/v1/billing/portal";
        return Err(Problem::new(Kind::Conflict, detail).remedy(remedy));
    }
    let checkout = Checkout {
        user: person.user(),
        price,
        customer: account.customer.as_deref(),
        email: &account.email,
    };
    let url = stripe
        .checkout(&checkout)
        .await
        .map_err(|error| out_of_reach(&error))?;
    Ok((StatusCode::CREATED, Json(Elsewhere { url })))
}

/// A page of Stripe on which the person changes and cancels what they pay for.
#[utoipa::path(post, path = "/billing/portal", tag = "billing", operation_id = "open_billing_portal",
    responses((status = CREATED, body = Elsewhere)))]
pub async fn portal(
    State(api): State<Api>,
    person: Person,
) -> Result<(StatusCode, Json<Elsewhere>), Problem> {
    let stripe = configured(&api)?;
    let customer = api.store.payer(&person).await?.customer.ok_or_else(|| {
        Problem::new(Kind::Conflict, "you have bought nothing yet")
            .remedy("buy a plan first: POST /api/v1/billing/checkout")
    })?;
    let url = stripe
        .portal(&customer)
        .await
        .map_err(|error| out_of_reach(&error))?;
    Ok((StatusCode::CREATED, Json(Elsewhere { url })))
}

/// What Stripe tells of subscriptions. The credential is its signature.
#[utoipa::path(post, path = "/billing/stripe/events", tag = "billing", operation_id = "take_stripe_event",
    request_body(content = serde_json::Value, description = "An event, as Stripe sends it",
        example = json!({"id": "evt_1AbC", "type": "customer.subscription.updated", "created": 1_800_000_000, "data": {}})),
    responses((status = NO_CONTENT)))]
pub async fn take_event(
    State(api): State<Api>,
    From(address): From,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let stripe = configured(&api)?;
    may_try(&api.sign_in, address)?;
    let body = body.map_err(body_refused)?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    match stripe.event(signature.unwrap_or_default(), &body, Utc::now()) {
        Ok(Some(event)) => {
            let took = api.store.take_billing_event(&event).await?;
            tracing::info!(event = event.id, ?took, "Stripe has told of a subscription");
        }
        // There are some two hundred kinds of events; those that nobody asked for are no failure.
        Ok(None) => {}
        Err(EventError::Signature) => {
            api.sign_in.failed(address, Instant::now());
            return Err(Problem::new(
                Kind::Malformed,
                EventError::Signature.to_string(),
            ));
        }
        Err(error @ EventError::Damaged(_)) => {
            tracing::warn!(%error, "an event of Stripe cannot be read");
            return Err(Problem::new(Kind::Malformed, error.to_string()));
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn configured(api: &Api) -> Result<&Stripe, Problem> {
    api.stripe.as_ref().ok_or_else(|| {
        Problem::new(Kind::BillingOff, "nothing is paid for on this installation")
            .remedy("its operator turns payments on by [billing.stripe] in the configuration")
    })
}

/// What Stripe says of our request is for the operator alone.
fn out_of_reach(error: &StripeError) -> Problem {
    tracing::warn!(%error, "Stripe gave no link");
    Problem::new(Kind::Unavailable, "Stripe gave no link")
        .remedy("try again in a while; the server's log has the cause")
}
