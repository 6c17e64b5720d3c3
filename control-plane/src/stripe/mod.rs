//! Stripe: the pages on which people pay, and what it tells of their subscriptions.
//!
//! Nothing of a card comes here. A person is sent to a page of Stripe's; whose the subscription is stands in its
//! metadata, which Stripe repeats in each event, so that none of them waits for another. What Stripe tells counts by its
//! signature alone.

mod event;
mod form;
mod signature;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{Request, header};
use serde::Deserialize;
use towline_shared::ids::{PlanId, UserId};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::PublicUrl;
use crate::domain::billing::BillingEvent;
use crate::egress::{BodyEnd, Egress, EgressError, Limits, UrlError};
pub use event::EventError;
use signature::SigningSecret;
pub use signature::{HEADER as SIGNATURE, sign};

/// What a call may cost. A person waits for it.
pub const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(20),
    body: 256 * 1024,
};

/// The name of the metadata that tells whose a subscription is.
const USER: &str = "towline_user";
/// The most characters of Stripe's words on an error that are written into the log.
const MAX_WORDS: usize = 300;

/// What Stripe is told and believed by.
pub struct StripeKeys {
    /// Shows that we are we.
    pub secret_key: Zeroizing<String>,
    /// Shows that Stripe is Stripe.
    pub webhook_secret: Zeroizing<String>,
}

/// Takes payments. Clones are the same.
#[derive(Clone, Debug)]
pub struct Stripe(Arc<Inner>);

struct Inner {
    egress: Egress,
    /// Where its API is.
    api: String,
    secret_key: Zeroizing<String>,
    signing: SigningSecret,
    /// What is for sale: prices at Stripe, and which plans they are here.
    prices: BTreeMap<String, PlanId>,
    /// Where people come back to.
    back: String,
}

/// Something to be bought.
#[derive(Clone, Copy, Debug)]
pub struct Checkout<'a> {
    /// By whom.
    pub user: UserId,
    /// What, as Stripe calls it.
    pub price: &'a str,
    /// Who that is at Stripe, if they have paid before.
    pub customer: Option<&'a str>,
    /// The account's address.
    pub email: &'a str,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// There was no answer.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// Stripe does not do it.
    #[error("Stripe answers {status}: {words}")]
    Refused {
        /// The status.
        status: u16,
        /// Why.
        words: String,
    },
    /// What it says cannot be read.
    #[error("the answer of Stripe has no link, is too long, or broke off")]
    Damaged,
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
}

#[derive(Deserialize)]
struct Link {
    url: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: Words,
}

#[derive(Deserialize)]
struct Words {
    message: Option<String>,
}

impl Stripe {
    /// Stripe, at an address, which is that of a test where it is another than Stripe's own.
    pub fn new(
        egress: Egress,
        api: &str,
        keys: StripeKeys,
        prices: BTreeMap<String, PlanId>,
        url: &PublicUrl,
    ) -> Result<Self, UrlError> {
        egress.check(api)?;
        Ok(Self(Arc::new(Inner {
            egress,
            api: api.trim_end_matches('/').to_owned(),
            signing: SigningSecret::new(&keys.webhook_secret),
            secret_key: keys.secret_key,
            prices,
            back: format!("{url}/sign-in"),
        })))
    }

    /// The ids of the plans that can be bought.
    pub fn for_sale(&self) -> Vec<Uuid> {
        self.0.prices.values().map(|plan| plan.uuid()).collect()
    }

    /// What a plan is called at Stripe, if it is for sale.
    pub fn price_of(&self, plan: PlanId) -> Option<&str> {
        let mut prices = self.0.prices.iter();
        let found = prices.find(|(_, sold)| **sold == plan);
        found.map(|(price, _)| price.as_str())
    }

    /// A page on which somebody pays.
    pub async fn checkout(&self, checkout: &Checkout<'_>) -> Result<String, StripeError> {
        let user = checkout.user.to_string();
        let payer = match checkout.customer {
            Some(customer) => ("customer", customer),
            None => ("customer_email", checkout.email),
        };
        let of_subscription = format!("subscription_data[metadata][{USER}]");
        let fields = [
            ("mode", "subscription"),
            ("line_items[0][price]", checkout.price),
            ("line_items[0][quantity]", "1"),
            ("client_reference_id", &user),
            (&of_subscription, &user),
            ("success_url", &self.0.back),
            ("cancel_url", &self.0.back),
            payer,
        ];
        self.link("/v1/checkout/sessions", &fields).await
    }

    /// A page on which a customer changes and cancels what they pay for.
    pub async fn portal(&self, customer: &str) -> Result<String, StripeError> {
        let fields = [("customer", customer), ("return_url", &self.0.back)];
        self.link("/v1/billing_portal/sessions", &fields).await
    }

    /// What Stripe tells: nothing when it is of no interest. Signed, or it is not Stripe's.
    pub fn event(
        &self,
        signature: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Option<BillingEvent>, EventError> {
        self.0.signing.verify(signature, body, now)?;
        event::read(body, &self.0.prices)
    }

    async fn link(&self, path: &str, fields: &[(&str, &str)]) -> Result<String, StripeError> {
        let mut bearer = header::HeaderValue::try_from(format!("Bearer {}", *self.0.secret_key))
            .map_err(http::Error::from)?;
        bearer.set_sensitive(true);
        let request = Request::post(format!("{}{path}", self.0.api))
            .header(header::AUTHORIZATION, bearer)
            .header(header::CONTENT_TYPE, form::MEDIA_TYPE)
            .body(form::encode(fields).into_bytes())?;
        let answer = self.0.egress.call(request).await?;
        if !(200..300).contains(&answer.status) {
            let refusal: Option<Refusal> = serde_json::from_slice(&answer.body).ok();
            let words = refusal.and_then(|refusal| refusal.error.message);
            let words = words.unwrap_or_else(|| "no reason is told".to_owned());
            return Err(StripeError::Refused {
                status: answer.status,
                words: words
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(MAX_WORDS)
                    .collect(),
            });
        }
        if answer.end != BodyEnd::Whole {
            return Err(StripeError::Damaged);
        }
        let link: Link = serde_json::from_slice(&answer.body).map_err(|_| StripeError::Damaged)?;
        // It is followed by a browser.
        if link.url.starts_with("https://") {
            Ok(link.url)
        } else {
            Err(StripeError::Damaged)
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stripe")
            .field("api", &self.api)
            .field("prices", &self.prices)
            .finish_non_exhaustive()
    }
}
