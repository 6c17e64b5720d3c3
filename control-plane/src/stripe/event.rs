//! Stripe's events, as far as they are of interest. Unknown fields are Stripe's business: it adds some all the time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use towline_shared::ids::{PlanId, UserId};

use super::USER;
use crate::domain::billing::{BillingEvent, MAX_FOREIGN_ID, News, Picture, SubscriptionStatus};

/// Why an event is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It was not signed by Stripe, or not lately. No more is said: whoever asks need not know which.
    #[error("the signature is missing, wrong or too old")]
    Signature,
    /// It is not what Stripe documents.
    #[error("the event cannot be read: {0}")]
    Damaged(String),
}

#[derive(Deserialize)]
struct Event {
    id: String,
    r#type: String,
    created: i64,
}

/// What the event is about, which has a shape by its type.
#[derive(Deserialize)]
struct About<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    object: T,
}

#[derive(Deserialize)]
struct Subscription {
    id: String,
    customer: Reference,
    status: String,
    start_date: Option<i64>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    items: Items,
    /// Of the subscription until version 2025-03-31 of the API, of its items since then.
    current_period_end: Option<i64>,
}

#[derive(Deserialize)]
struct Items {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    price: Price,
    current_period_end: Option<i64>,
}

#[derive(Deserialize)]
struct Price {
    id: String,
}

#[derive(Deserialize)]
struct CheckoutSession {
    client_reference_id: Option<String>,
    customer: Option<Reference>,
    subscription: Option<Reference>,
}

#[derive(Deserialize)]
struct Invoice {
    customer: Option<Reference>,
    /// Until version 2025-03-31 of the API.
    subscription: Option<Reference>,
    /// Since then.
    parent: Option<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Deserialize)]
struct SubscriptionDetails {
    subscription: Option<Reference>,
}

/// An id, or the whole thing where the account has it sent so.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Id(String),
    Whole { id: String },
}

impl Reference {
    fn id(self) -> String {
        match self {
            Self::Id(id) | Self::Whole { id } => id,
        }
    }
}

/// Reads an event: nothing when it is of no interest.
pub fn read(
    body: &[u8],
    prices: &BTreeMap<String, PlanId>,
) -> Result<Option<BillingEvent>, EventError> {
    let event: Event = parse(body)?;
    let at = moment(event.created)?;
    let told = match event.r#type.as_str() {
        "customer.subscription.created" | "customer.subscription.updated" => {
            Some(subscription(&event.id, at, object(body)?, None, prices)?)
        }
        "customer.subscription.deleted" => {
            let over = Some(SubscriptionStatus::Canceled);
            Some(subscription(&event.id, at, object(body)?, over, prices)?)
        }
        "checkout.session.completed" => bought(&event.id, at, object(body)?),
        "invoice.payment_failed" => payment_failed(&event.id, at, object(body)?),
        _ => None,
    };
    told.iter().try_for_each(check_ids)?;
    Ok(told)
}

fn subscription(
    id: &str,
    at: DateTime<Utc>,
    object: Subscription,
    over: Option<SubscriptionStatus>,
    prices: &BTreeMap<String, PlanId>,
) -> Result<BillingEvent, EventError> {
    let status = match over {
        Some(status) => status,
        None => object.status.parse().map_err(|_| {
            EventError::Damaged("the subscription has a status that is not known".to_owned())
        })?,
    };
    // Somebody may have added other things to it at Stripe.
    let items = object.items.data;
    let known = items
        .iter()
        .find(|item| prices.contains_key(&item.price.id));
    let item = known.or_else(|| items.first());
    let renew_at = item.and_then(|item| item.current_period_end);
    let renew_at = renew_at.or(object.current_period_end);
    let price = item.map(|item| item.price.id.clone());
    let plan = price.as_ref().and_then(|price| prices.get(price).copied());
    if plan.is_none() && status.gives() {
        tracing::warn!(
            subscription = object.id,
            price,
            "the price is of no plan that [billing.stripe.prices] names: nothing is given for it"
        );
    }
    let picture = Picture {
        status,
        price,
        plan,
        started_at: object.start_date.map_or(Ok(at), moment)?,
        renew_at: renew_at.map(moment).transpose()?,
        at,
        event: id.to_owned(),
    };
    Ok(BillingEvent {
        id: id.to_owned(),
        at,
        subscription: object.id,
        customer: Some(object.customer.id()),
        user: object.metadata.get(USER).and_then(|text| user(text)),
        news: News::Stands(picture),
    })
}

fn bought(id: &str, at: DateTime<Utc>, object: CheckoutSession) -> Option<BillingEvent> {
    let user = object.client_reference_id.as_deref().and_then(user)?;
    Some(BillingEvent {
        id: id.to_owned(),
        at,
        subscription: object.subscription?.id(),
        customer: object.customer.map(Reference::id),
        user: Some(user),
        news: News::Bought,
    })
}

fn payment_failed(id: &str, at: DateTime<Utc>, object: Invoice) -> Option<BillingEvent> {
    let details = object.parent.and_then(|parent| parent.subscription_details);
    let subscription = details.and_then(|details| details.subscription);
    Some(BillingEvent {
        id: id.to_owned(),
        at,
        subscription: subscription.or(object.subscription)?.id(),
        customer: object.customer.map(Reference::id),
        user: None,
        news: News::PaymentFailed,
    })
}

/// The account may be used for other things, whose ids are not ours.
fn user(text: &str) -> Option<UserId> {
    text.parse().ok()
}

fn moment(seconds: i64) -> Result<DateTime<Utc>, EventError> {
    let in_range = (0..=253_402_300_799).contains(&seconds);
    let moment = DateTime::from_timestamp(seconds, 0).filter(|_| in_range);
    moment.ok_or_else(|| EventError::Damaged(format!("{seconds} is no time")))
}

fn check_ids(event: &BillingEvent) -> Result<(), EventError> {
    let price = match &event.news {
        News::Stands(picture) => picture.price.as_ref(),
        News::Bought | News::PaymentFailed => None,
    };
    let ids = [&event.id, &event.subscription].into_iter();
    let mut ids = ids.chain(&event.customer).chain(price);
    let fits = |id: &String| {
        (1..=MAX_FOREIGN_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if ids.all(fits) {
        Ok(())
    } else {
        Err(EventError::Damaged("an id is too long, or none".to_owned()))
    }
}

fn object<T: DeserializeOwned>(event: &[u8]) -> Result<T, EventError> {
    let about: About<T> = parse(event)?;
    Ok(about.data.object)
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, EventError> {
    serde_json::from_slice(text).map_err(|error| EventError::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn told(kind: &str, object: &Value) -> Result<Option<BillingEvent>, EventError> {
        let pro = PlanId::from(uuid::Uuid::max());
        let prices = [("price_pro".to_owned(), pro)].into_iter().collect();
        let event = json!({"id": "evt_1", "object": "event", "type": kind, "created": 1_800_000_000, "data": {"object": object}});
        read(event.to_string().as_bytes(), &prices)
    }

    fn sold() -> Value {
        json!({
            "id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active", "start_date": 1_700_000_000,
            "metadata": {"towline_user": "01980000-0000-7000-8000-000000000009"},
            "items": {"object": "list", "data": [
                {"price": {"id": "price_support"}, "current_period_end": 1},
                {"price": {"id": "price_pro"}, "current_period_end": 1_802_000_000},
            ]},
        })
    }

    fn picture(event: Option<BillingEvent>) -> Picture {
        match event.unwrap().news {
            News::Stands(picture) => picture,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_subscription_is_read_in_both_shapes_of_the_api() {
        let event = told("customer.subscription.updated", &sold()).unwrap();
        let told_of = event.clone().unwrap();
        assert_eq!(
            (told_of.subscription.as_str(), told_of.customer.as_deref()),
            ("sub_1", Some("cus_1"))
        );
        assert!(told_of.user.is_some());
        let new = picture(event);
        assert_eq!(new.plan, Some(PlanId::from(uuid::Uuid::max())));
        assert_eq!(new.renew_at.unwrap().timestamp(), 1_802_000_000);
        let mut old = sold();
        old["customer"] = json!({"id": "cus_1", "object": "customer"});
        old["current_period_end"] = json!(1_802_000_000);
        old["items"]["data"] = json!([{"price": {"id": "price_pro"}}]);
        assert_eq!(
            picture(told("customer.subscription.updated", &old).unwrap()),
            new
        );
        let gone = picture(told("customer.subscription.deleted", &sold()).unwrap());
        assert_eq!(gone.status, SubscriptionStatus::Canceled);
    }

    #[test]
    fn an_invoice_and_a_checkout_name_their_subscription() {
        for object in [
            json!({"customer": "cus_1", "subscription": "sub_1"}),
            json!({"customer": "cus_1", "parent": {"subscription_details": {"subscription": "sub_1"}}}),
        ] {
            let event = told("invoice.payment_failed", &object).unwrap().unwrap();
            assert_eq!(
                (event.subscription.as_str(), event.news),
                ("sub_1", News::PaymentFailed)
            );
        }
        let user = UserId::new();
        let object = json!({"client_reference_id": user.to_string(), "customer": "cus_1", "subscription": "sub_1"});
        let event = told("checkout.session.completed", &object)
            .unwrap()
            .unwrap();
        assert_eq!((event.user, event.news), (Some(user), News::Bought));
    }

    #[test]
    fn what_is_of_no_interest_is_nothing_and_what_is_damaged_is_told() {
        for (kind, object) in [
            ("customer.created", json!({"id": "cus_1"})),
            ("invoice.payment_failed", json!({"customer": "cus_1"})),
            (
                "checkout.session.completed",
                json!({"subscription": "sub_1"}),
            ),
            (
                "checkout.session.completed",
                json!({"client_reference_id": "order-7", "subscription": "sub_1"}),
            ),
        ] {
            assert_eq!(told(kind, &object), Ok(None), "{kind} {object}");
        }
        let changed = |field: &str, value: Value| {
            let mut object = sold();
            object[field] = value;
            object
        };
        for object in [
            json!({}),
            changed("status", json!("golden")),
            changed("id", json!("x".repeat(256))),
            changed("id", json!("")),
            changed("customer", json!("a b")),
            changed("start_date", json!(-1)),
            changed("start_date", json!(i64::MAX)),
        ] {
            let refused = told("customer.subscription.updated", &object);
            assert!(matches!(refused, Err(EventError::Damaged(_))), "{object}");
        }
        assert!(read(b"", &BTreeMap::new()).is_err());
        assert!(read(b"[]", &BTreeMap::new()).is_err());
    }
}
