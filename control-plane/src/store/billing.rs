//! Who has which plan until when: subscriptions, and the plans that administrators grant.
//!
//! A person's own plan stands in their row: Free, for whoever came by themselves. A subscription gives a dearer one
//! while it lasts. Whether it lasts is asked whenever the plan is read, so that a plan ends on time whether or not
//! somebody has noted its end by then.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{PlanId, SubscriptionId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::{self, Actor};
use super::db::{Tx, all, execute, local_now, one, optional};
use super::page::{Listed, Page};
use super::{Person, Plan, Resource, Result, Store, StoreError, notification_events, plans};
use crate::domain::billing::{BillingProvider, LONGEST_GRANT, SubscriptionStatus};

/// Subscriptions whose end is noted in one transaction.
const BATCH: i64 = 200;
/// So many of a person's subscriptions are shown to them.
const SHOWN: i64 = 20;

/// The id of the plan of the person whose row goes by this alias, at a moment: the dearest that a subscription gives, if
/// it is dearer than their own.
macro_rules! plan_of {
    ($person:literal, $now:literal) => {
        concat!(
            "COALESCE((SELECT bs.plan_id FROM billing_subscriptions bs JOIN plans bp ON bp.id = bs.plan_id
                WHERE bs.user_id = ",
            $person,
            ".id AND bs.gives_until > ",
            $now,
            " AND bp.price > (SELECT own.price FROM plans own WHERE own.id = ",
            $person,
            ".plan_id) ORDER BY bp.price DESC, bp.id DESC LIMIT 1), ",
            $person,
            ".plan_id)"
        )
    };
}
pub(super) use plan_of;

macro_rules! select_subscriptions {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.user_id, u.email, s.provider, s.subscription_id, s.status, s.plan_id, p.name AS plan,
                s.started_at, s.renew_at, s.gives_until, s.payment_failed_at
             FROM billing_subscriptions s LEFT JOIN users u ON u.id = s.user_id LEFT JOIN plans p ON p.id = s.plan_id ",
            $rest
        )
    };
}

macro_rules! due {
    ($lock:literal) => {
        concat!(
            "SELECT id, user_id, provider, status, plan_id FROM billing_subscriptions
             WHERE gives_until IS NOT NULL AND gives_until <= $1 ORDER BY gives_until LIMIT $2",
            $lock
        )
    };
}

/// What a person pays for, or was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Subscription {
    /// The subscription's id.
    #[schema(value_type = Uuid)]
    #[sqlx(try_from = "Uuid")]
    pub id: SubscriptionId,
    /// Whose it is; null while nothing has told that.
    pub user_id: Option<Uuid>,
    /// The person's e-mail address.
    pub email: Option<String>,
    /// `manual` (granted by an administrator) or `stripe`.
    pub provider: String,
    /// What the provider calls it; null for a grant.
    pub subscription_id: Option<String>,
    /// In Stripe's words; a grant is `active`, then `canceled`.
    pub status: String,
    /// The id of the plan; null when its price is of none that is known.
    pub plan_id: Option<Uuid>,
    /// The name of the plan.
    pub plan: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it is renewed, or a grant ends.
    pub renew_at: Option<DateTime<Utc>>,
    /// Until when it gives the plan, with a few days of grace after the renewal; null when it does not any more.
    pub gives_until: Option<DateTime<Utc>>,
    /// When a payment last failed.
    pub payment_failed_at: Option<DateTime<Utc>>,
}

/// What somebody has, and by what.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Billing {
    /// The plan that the person's teams have now.
    pub plan: Plan,
    /// The person's latest subscriptions, newest first.
    pub subscriptions: Vec<Subscription>,
}

/// Somebody who pays, or wants to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The account's address.
    pub email: String,
    /// Who they are at Stripe, if they have paid before.
    pub customer: Option<String>,
    /// Whether they pay now.
    pub standing: PayerStanding,
}

/// Whether somebody pays now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerStanding {
    /// They have a plan by what they pay.
    Pays,
    /// They have none.
    MayBuy,
}

/// A plan that somebody shall have for a while.
#[derive(Clone, Copy, Debug)]
pub struct NewGrant {
    /// Who.
    pub user: UserId,
    /// What.
    pub plan: PlanId,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// Whose a subscription is, by which provider, how it stands, and the plan.
type Held = (Option<Uuid>, String, String, Option<Uuid>);

#[derive(sqlx::FromRow)]
struct Due {
    id: Uuid,
    user_id: Option<Uuid>,
    provider: String,
    status: String,
    plan_id: Option<Uuid>,
}

impl NewGrant {
    fn check(&self, now: DateTime<Utc>) -> Result<()> {
        let message = if self.until <= now {
            "it lies in the past"
        } else if self.until > now + LONGEST_GRANT {
            "it is more than ten years from now"
        } else {
            return Ok(());
        };
        let remedy = "give a moment to come, such as 2027-01-31T00:00:00Z";
        Err(invalid("until", message, remedy))
    }
}

impl Store {
    /// All subscriptions, or a person's. To be called only for administrators of the installation.
    pub async fn list_subscriptions(
        &self,
        of: Option<UserId>,
        page: Page,
    ) -> Result<Listed<Subscription>> {
        let mut reader = self.main().read().await?;
        let (before, fetch) = (page.before(), page.fetch());
        let rows = match of {
            None => {
                let sql = select_subscriptions!("WHERE s.id < $1 ORDER BY s.id DESC LIMIT $2");
                all!(reader.conn(), Subscription, sql, before, fetch)?
            }
            Some(user) => {
                let sql = select_subscriptions!(
                    "WHERE s.user_id = $3 AND s.id < $1 ORDER BY s.id DESC LIMIT $2"
                );
                all!(reader.conn(), Subscription, sql, before, fetch, user.uuid())?
            }
        };
        Ok(page.cut(rows, |one| one.id.uuid()))
    }

    /// What a person has, and by what.
    pub async fn billing(&self, person: &Person) -> Result<Billing> {
        let mut reader = self.main().read().await?;
        let plan = plans::of_person(reader.conn(), person.user()).await?;
        let sql = select_subscriptions!("WHERE s.user_id = $1 ORDER BY s.id DESC LIMIT $2");
        let user = person.user().uuid();
        Ok(Billing {
            plan,
            subscriptions: all!(reader.conn(), Subscription, sql, user, SHOWN)?,
        })
    }

    /// What Stripe is told of a person.
    pub async fn payer(&self, person: &Person) -> Result<Payer> {
        let mut reader = self.main().read().await?;
        let (email, paid) = one!(
            reader.conn(),
            (String, i64),
            "SELECT u.email, (SELECT COUNT(*) FROM billing_subscriptions s
                WHERE s.user_id = u.id AND s.provider = 'stripe' AND s.gives_until > $2) AS paid
             FROM users u WHERE u.id = $1",
            person.user().uuid(),
            local_now()
        )?;
        let customer = optional!(
            reader.conn(),
            (String,),
            "SELECT customer_id FROM billing_subscriptions WHERE user_id = $1 AND customer_id IS NOT NULL
             ORDER BY id DESC LIMIT 1",
            person.user().uuid()
        )?;
        Ok(Payer {
            email,
            customer: customer.map(|(customer,)| customer),
            standing: if paid > 0 {
                PayerStanding::Pays
            } else {
                PayerStanding::MayBuy
            },
        })
    }

    /// Gives somebody a plan for a while. To be called only for administrators of the installation.
    pub async fn grant_plan(&self, by: &Person, new: NewGrant) -> Result<Subscription> {
        let now = local_now();
        new.check(now)?;
        let mut tx = self.main().begin().await?;
        check_worth(&mut tx, &new).await?;
        let id = SubscriptionId::new();
        execute!(
            tx.conn(),
            "INSERT INTO billing_subscriptions (id, user_id, provider, status, plan_id, started_at, renew_at, gives_until,
                created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $6, $6)",
            id.uuid(),
            new.user.uuid(),
            BillingProvider::Manual.as_str(),
            SubscriptionStatus::Active.as_str(),
            new.plan.uuid(),
            now,
            new.until
        )?;
        let made = shown(&mut tx, id).await?;
        let until = new.until.to_rfc3339_opts(SecondsFormat::Secs, true);
        let detail = json!({ "plan": made.plan, "until": until });
        write_audit(
            &mut tx,
            new.user,
            by.actor(),
            "billing.grant",
            id,
            detail,
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Ends a grant early. To be called only for administrators of the installation.
    pub async fn end_grant(&self, by: &Person, id: SubscriptionId) -> Result<()> {
        let now = local_now();
        let mut tx = self.main().begin().await?;
        let conn = tx.conn();
        let sql = conn.pick(
            "SELECT user_id, provider, status, plan_id FROM billing_subscriptions WHERE id = $1",
            "SELECT user_id, provider, status, plan_id FROM billing_subscriptions WHERE id = $1 FOR NO KEY UPDATE",
        );
        let row = optional!(conn, Held, sql, id.uuid())?;
        let (user, provider, status, plan) =
            row.ok_or(StoreError::NotFound(Resource::Subscription))?;
        if provider != BillingProvider::Manual.as_str() {
            return Err(conflict(
                "it is paid for, and ends where it is paid",
                "cancel it in Stripe's dashboard; it ends here when Stripe tells so",
            ));
        }
        if status != SubscriptionStatus::Active.as_str() {
            return Err(conflict("it has ended already", "leave it so"));
        }
        end(
            &mut tx,
            id.uuid(),
            SubscriptionStatus::Canceled.as_str(),
            now,
        )
        .await?;
        if let Some(user) = user {
            let (user, detail) = (user.into(), json!({}));
            tell_of_end(&mut tx, user, plan, now).await?;
            write_audit(&mut tx, user, by.actor(), "billing.end", id, detail, now).await?;
        }
        tx.commit().await?;
        self.wake().outbox();
        Ok(())
    }

    /// Notes of subscriptions that they give no plan any more. To be asked now and then: nothing is given by what is not
    /// noted yet.
    pub(crate) async fn note_lapsed_plans(&self) -> Result<usize> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let conn = tx.conn();
        // Of two replicas one notes.
        let sql = conn.pick(due!(""), due!(" FOR NO KEY UPDATE SKIP LOCKED"));
        let due = all!(conn, Due, sql, now, BATCH)?;
        for one in &due {
            lapse(&mut tx, one, now).await?;
        }
        if due.is_empty() {
            tx.roll_back().await?;
        } else {
            tx.commit().await?;
            self.wake().outbox();
        }
        Ok(due.len())
    }
}

/// A grant of what somebody has anyway would give nothing.
async fn check_worth(tx: &mut Tx, new: &NewGrant) -> Result<()> {
    let sql = "SELECT p.price FROM users u JOIN plans p ON p.id = u.plan_id WHERE u.id = $1";
    let own = optional!(tx.conn(), (i64,), sql, new.user.uuid())?;
    let sql = "SELECT price FROM plans WHERE id = $1";
    let granted = optional!(tx.conn(), (i64,), sql, new.plan.uuid())?;
    match (own, granted) {
        (None, _) => Err(invalid(
            "user",
            "there is no such person",
            "give an id of `towline users ls`",
        )),
        (_, None) => Err(invalid(
            "plan",
            "there is no such plan",
            "give an id of `towline plans ls`",
        )),
        (Some(own), Some(granted)) if granted <= own => Err(invalid(
            "plan",
            "it is not dearer than the plan that the person has anyway",
            "give a dearer one",
        )),
        _ => Ok(()),
    }
}

async fn lapse(tx: &mut Tx, due: &Due, now: DateTime<Utc>) -> Result<()> {
    // A provider's word on how it stands is not ours to change.
    let is_grant = due.provider == BillingProvider::Manual.as_str();
    let ended = SubscriptionStatus::Canceled.as_str();
    let status = if is_grant { ended } else { &due.status };
    end(tx, due.id, status, now).await?;
    let Some(user) = due.user_id else {
        return Ok(());
    };
    let (user, id) = (user.into(), due.id.into());
    tell_of_end(tx, user, due.plan_id, now).await?;
    let detail = json!({ "provider": due.provider, "plan_id": due.plan_id });
    write_audit(tx, user, Actor::System, "billing.lapse", id, detail, now).await
}

async fn tell_of_end(
    tx: &mut Tx,
    user: UserId,
    plan: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(plan) = plan else {
        return Ok(());
    };
    let sql = "SELECT name FROM plans WHERE id = $1";
    let (name,) = one!(tx.conn(), (String,), sql, plan)?;
    notification_events::plan_ended(tx, user, &name, now).await
}

async fn end(tx: &mut Tx, id: Uuid, status: &str, now: DateTime<Utc>) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE billing_subscriptions SET status = $2, gives_until = NULL, updated_at = $3 WHERE id = $1",
        id,
        status,
        now
    )?;
    Ok(())
}

pub(super) async fn shown(tx: &mut Tx, id: SubscriptionId) -> Result<Subscription> {
    let sql = select_subscriptions!("WHERE s.id = $1");
    Ok(one!(tx.conn(), Subscription, sql, id.uuid())?)
}

/// Into the chain of whose plan it is.
pub(super) async fn write_audit(
    tx: &mut Tx,
    user: UserId,
    actor: Actor,
    action: &str,
    id: SubscriptionId,
    detail: serde_json::Value,
    now: DateTime<Utc>,
) -> Result<()> {
    let subject = ("subscription", id.uuid());
    audit::append_to_account(tx, user, actor, action, subject, detail, now).await
}

fn invalid(field: &'static str, message: &str, remedy: &str) -> StoreError {
    StoreError::Invalid {
        field,
        message: message.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn conflict(message: &str, remedy: &str) -> StoreError {
    StoreError::Conflict {
        message: message.to_owned(),
        remedy: remedy.to_owned(),
    }
}
