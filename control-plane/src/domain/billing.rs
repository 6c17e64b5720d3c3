//! Subscriptions: what people pay for, or were granted, and until when it gives them a plan.
//!
//! A provider's words come late, twice and in any order. Each is a picture of the whole subscription, and of two
//! pictures one always counts: so it does not matter in which order they come, nor how often.

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::ids::{PlanId, UserId};

use super::named::named;

/// How long somebody keeps a plan after the day on which it was to be renewed, while the provider says nothing: as long
/// as Stripe goes on to send what was not taken.
pub const GRACE: TimeDelta = TimeDelta::days(3);
/// The longest time that a plan is granted for.
pub const LONGEST_GRANT: TimeDelta = TimeDelta::days(3660);
/// The most bytes of what a provider calls something.
pub const MAX_FOREIGN_ID: usize = 255;

/// Who says that somebody has a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingProvider {
    /// An administrator of the installation.
    Manual,
    /// Stripe.
    Stripe,
}

named!(BillingProvider {
    Manual: "manual",
    Stripe: "stripe",
});

/// How a subscription stands, in Stripe's words; a grant is `active`, then `canceled`. In the order of a life: of two
/// pictures of one second the later stage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubscriptionStatus {
    /// The first payment is missing.
    Incomplete,
    /// Nothing is paid yet.
    Trialing,
    /// All is paid.
    Active,
    /// Nothing is paid after a trial.
    Paused,
    /// The last payment is missing; it is tried again.
    PastDue,
    /// It is not tried any more.
    Unpaid,
    /// The first payment never came.
    IncompleteExpired,
    /// It is over.
    Canceled,
}

named!(SubscriptionStatus {
    Incomplete: "incomplete",
    Trialing: "trialing",
    Active: "active",
    Paused: "paused",
    PastDue: "past_due",
    Unpaid: "unpaid",
    IncompleteExpired: "incomplete_expired",
    Canceled: "canceled",
});

impl SubscriptionStatus {
    /// Whether somebody has the plan by it.
    pub const fn gives(self) -> bool {
        matches!(self, Self::Trialing | Self::Active | Self::PastDue)
    }

    /// Whether nothing comes after it, whatever is said.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::IncompleteExpired | Self::Canceled)
    }
}

/// A picture of a subscription, as its provider has it at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// How it stands.
    pub status: SubscriptionStatus,
    /// What is paid for, as the provider calls it.
    pub price: Option<String>,
    /// The plan that this is here.
    pub plan: Option<PlanId>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it is renewed.
    pub renew_at: Option<DateTime<Utc>>,
    /// When it was so.
    pub at: DateTime<Utc>,
    /// The event that told it.
    pub event: String,
}

impl Picture {
    /// Of two pictures the greater counts: what is over stays so; then the later one; then, in one second, the later
    /// stage of a life. The rest only makes that one of two always counts.
    fn rank(&self) -> impl Ord + '_ {
        let since = (self.at, self.status, self.renew_at);
        (self.status.is_final(), since, self.event.as_str())
    }

    /// Until when it gives the plan; nothing when it does not.
    pub fn gives_until(&self) -> Option<DateTime<Utc>> {
        let gives = self.status.gives() && self.plan.is_some();
        gives.then(|| self.renew_at.unwrap_or(self.at) + GRACE)
    }
}

/// What is known of a subscription at a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Whose it is.
    pub user: Option<UserId>,
    /// Who pays.
    pub customer: Option<String>,
    /// The picture that counts.
    pub picture: Option<Picture>,
    /// When a payment last failed.
    pub payment_failed_at: Option<DateTime<Utc>>,
}

/// What a provider tells of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingEvent {
    /// The provider's id of the event.
    pub id: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The provider's id of the subscription.
    pub subscription: String,
    /// Who pays.
    pub customer: Option<String>,
    /// Whose it is, as we had the provider note it.
    pub user: Option<UserId>,
    /// What is told.
    pub news: News,
}

/// What is told of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// How it stands.
    Stands(Picture),
    /// Only whose it is.
    Bought,
    /// A payment has failed. What follows from it is told by the next picture.
    PaymentFailed,
}

impl Known {
    /// What is known after an event.
    #[must_use]
    pub fn after(mut self, event: &BillingEvent) -> Self {
        self.user = self.user.or(event.user);
        self.customer = self.customer.or_else(|| event.customer.clone());
        match &event.news {
            News::Bought => {}
            News::PaymentFailed => {
                self.payment_failed_at = self.payment_failed_at.max(Some(event.at));
            }
            News::Stands(new) => {
                if self
                    .picture
                    .as_ref()
                    .is_none_or(|old| old.rank() < new.rank())
                {
                    self.picture = Some(new.clone());
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn event(id: &str, seconds: i64, news: News) -> BillingEvent {
        BillingEvent {
            id: id.to_owned(),
            at: at(seconds),
            subscription: "sub_1".to_owned(),
            customer: Some("cus_1".to_owned()),
            user: None,
            news,
        }
    }

    fn stands(id: &str, seconds: i64, status: SubscriptionStatus) -> BillingEvent {
        let picture = Picture {
            status,
            price: Some("price_1".to_owned()),
            plan: Some(PlanId::from(uuid::Uuid::nil())),
            started_at: at(0),
            renew_at: Some(at(seconds + 1000)),
            at: at(seconds),
            event: id.to_owned(),
        };
        event(id, seconds, News::Stands(picture))
    }

    /// All orders of some events, each told once and then all once more.
    fn orders(events: &[BillingEvent]) -> Vec<Vec<BillingEvent>> {
        if events.is_empty() {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for first in 0..events.len() {
            let mut rest = events.to_vec();
            let first = rest.remove(first);
            all.extend(orders(&rest).into_iter().map(|mut order| {
                order.insert(0, first.clone());
                order
            }));
        }
        all
    }

    fn told(order: &[BillingEvent]) -> Known {
        let told = order.iter().chain(order);
        told.fold(Known::default(), Known::after)
    }

    #[test]
    fn in_whatever_order_and_however_often_the_end_is_one() {
        use SubscriptionStatus::{Active, Canceled, Incomplete, PastDue};
        let user = UserId::new();
        let bought = BillingEvent {
            user: Some(user),
            ..event("evt_b", 1, News::Bought)
        };
        let failed = || event("evt_f", 20, News::PaymentFailed);
        let lives = [
            (
                vec![stands("evt_1", 0, Incomplete), stands("evt_2", 0, Active)],
                Active,
            ),
            (
                vec![stands("evt_2", 0, Incomplete), stands("evt_1", 0, Active)],
                Active,
            ),
            (
                vec![
                    stands("evt_1", 0, Active),
                    stands("evt_2", 20, PastDue),
                    stands("evt_3", 30, Active),
                ],
                Active,
            ),
            (
                vec![stands("evt_1", 0, Active), stands("evt_2", 20, PastDue)],
                PastDue,
            ),
            // Two of one second.
            (
                vec![
                    stands("evt_1", 5, Active),
                    stands("evt_2", 5, Active),
                    stands("evt_3", 5, Canceled),
                ],
                Canceled,
            ),
            // What is said to be later than the end changes nothing.
            (
                vec![
                    stands("evt_1", 0, Active),
                    stands("evt_2", 20, Canceled),
                    stands("evt_3", 30, Active),
                ],
                Canceled,
            ),
        ];
        for (life, end) in lives {
            let events: Vec<_> = life.into_iter().chain([bought.clone(), failed()]).collect();
            let mut orders = orders(&events).into_iter();
            let known = told(&orders.next().unwrap());
            assert_eq!(known.picture.as_ref().unwrap().status, end);
            assert_eq!(
                (known.user, known.payment_failed_at),
                (Some(user), Some(at(20)))
            );
            for order in orders {
                assert_eq!(told(&order), known, "{order:?}");
            }
        }
    }

    #[test]
    fn a_plan_is_given_until_the_renewal_and_a_grace() {
        for status in SubscriptionStatus::ALL {
            let News::Stands(picture) = stands("evt_1", 0, status).news else {
                panic!("a picture");
            };
            let until = status.gives().then(|| at(1000) + GRACE);
            assert_eq!(picture.gives_until(), until, "{status}");
            let unknown = Picture {
                plan: None,
                ..picture
            };
            assert_eq!(unknown.gives_until(), None, "{status}");
        }
    }
}
