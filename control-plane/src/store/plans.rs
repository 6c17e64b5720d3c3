//! Plans: what the teams of a person may use.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{PlanId, TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::{self, Entry};
use super::billing::plan_of;
use super::db::{Conn, Tx, all, execute, local_now, one, optional};
use super::{Resource, Result, Store, StoreError, Tenant, installation};

/// The most that a limit can be; whoever wants more wants none.
pub const MAX_LIMIT: u32 = 1_000_000;
/// The highest price, in cents.
pub const MAX_PRICE: u32 = 100_000_000;

pub(super) const OF_TEAM: &str = concat!(
    "SELECT p.id, p.name, p.price, p.currency, p.max_projects, p.max_deployments_per_day,
        p.max_requests_per_minute, p.max_teams, p.created_at, p.updated_at
     FROM teams t JOIN users u ON u.id = t.owner_id JOIN plans p ON p.id = ",
    plan_of!("u", "$2"),
    " WHERE t.id = $1"
);
const OF_PERSON: &str = concat!(
    "SELECT p.id, p.name, p.price, p.currency, p.max_projects, p.max_deployments_per_day,
        p.max_requests_per_minute, p.max_teams, p.created_at, p.updated_at
     FROM users u JOIN plans p ON p.id = ",
    plan_of!("u", "$2"),
    " WHERE u.id = $1"
);
pub(super) const PROJECTS: &str = "SELECT COUNT(*) FROM projects WHERE team_id = $1";
/// There are few plans, and all of them are read.
const ALL: &str = "SELECT id, name, price, currency, max_projects, max_deployments_per_day, max_requests_per_minute, max_teams,
        created_at, updated_at
     FROM plans ORDER BY price, id";

/// What the teams of a person may use.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Plan {
    /// The plan's id.
    #[schema(value_type = Uuid)]
    #[sqlx(try_from = "Uuid")]
    pub id: PlanId,
    /// Its name.
    pub name: String,
    /// Its price per month, in cents of the currency.
    pub price: i64,
    /// The currency (ISO 4217).
    pub currency: String,
    /// The most projects that a team has; null is without limit.
    pub max_projects: Option<i64>,
    /// The most deployments that a team begins on a UTC day; null is without limit.
    pub max_deployments_per_day: Option<i64>,
    /// The most requests to the API of a team in a minute; null is without limit.
    pub max_requests_per_minute: Option<i64>,
    /// The most teams that belong to a person, their own one counted; null is without limit.
    pub max_teams: Option<i64>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What shall become of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewLimit {
    /// It stays.
    #[default]
    Same,
    /// There is none any more.
    Unlimited,
    /// It is so many.
    AtMost(u32),
}

/// What shall change of a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanChange {
    /// The price in cents.
    pub price: Option<u32>,
    /// The most projects of a team.
    pub max_projects: NewLimit,
    /// The most deployments of a team on a UTC day.
    pub max_deployments_per_day: NewLimit,
    /// The most requests to the API of a team in a minute.
    pub max_requests_per_minute: NewLimit,
    /// The most teams of a person.
    pub max_teams: NewLimit,
}

impl NewLimit {
    fn of(self, present: Option<i64>) -> Option<i64> {
        match self {
            Self::Same => present,
            Self::Unlimited => None,
            Self::AtMost(limit) => Some(limit.into()),
        }
    }

    fn check(self, field: &'static str) -> Result<()> {
        match self {
            Self::AtMost(limit) if limit > MAX_LIMIT => Err(StoreError::Invalid {
                field,
                message: format!("{limit} is over {MAX_LIMIT}"),
                remedy: format!("give 0 to {MAX_LIMIT}, or null for no limit"),
            }),
            _ => Ok(()),
        }
    }
}

impl Store {
    /// All plans, the cheapest first.
    pub async fn list_plans(&self) -> Result<Vec<Plan>> {
        let mut reader = self.main().read().await?;
        Ok(all!(reader.conn(), Plan, ALL)?)
    }

    /// Changes a plan. It holds at once, for all whose plan it is; what they have stays, also beyond a
    /// lower limit. To be called only for administrators of the installation.
    pub async fn change_plan(
        &self,
        tenant: &Tenant,
        plan: PlanId,
        change: PlanChange,
    ) -> Result<Plan> {
        change.max_projects.check("max_projects")?;
        change
            .max_deployments_per_day
            .check("max_deployments_per_day")?;
        change
            .max_requests_per_minute
            .check("max_requests_per_minute")?;
        change.max_teams.check("max_teams")?;
        check_price(change.price)?;
        let mut tx = self.main().begin().await?;
        let before = lock(&mut tx, plan).await?;
        let now = local_now();
        let after = Plan {
            price: change.price.map_or(before.price, Into::into),
            max_projects: change.max_projects.of(before.max_projects),
            max_deployments_per_day: change
                .max_deployments_per_day
                .of(before.max_deployments_per_day),
            max_requests_per_minute: change
                .max_requests_per_minute
                .of(before.max_requests_per_minute),
            max_teams: change.max_teams.of(before.max_teams),
            updated_at: now,
            ..before.clone()
        };
        execute!(
            tx.conn(),
            "UPDATE plans SET price = $2, max_projects = $3, max_deployments_per_day = $4, max_requests_per_minute = $5, max_teams = $6,
                updated_at = $7 WHERE id = $1",
            plan.uuid(),
            after.price,
            after.max_projects,
            after.max_deployments_per_day,
            after.max_requests_per_minute,
            after.max_teams,
            now
        )?;
        write_audit(&mut tx, tenant, &before, &after).await?;
        tx.commit().await?;
        Ok(after)
    }
}

fn check_price(price: Option<u32>) -> Result<()> {
    match price {
        Some(price) if price > MAX_PRICE => Err(StoreError::Invalid {
            field: "price",
            message: format!("{price} is over {MAX_PRICE} cents"),
            remedy: "give the price of a month in cents".to_owned(),
        }),
        _ => Ok(()),
    }
}

async fn lock(tx: &mut Tx, plan: PlanId) -> Result<Plan> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id, name, price, currency, max_projects, max_deployments_per_day, max_requests_per_minute, max_teams,
        created_at, updated_at
         FROM plans WHERE id = $1",
        "SELECT id, name, price, currency, max_projects, max_deployments_per_day, max_requests_per_minute, max_teams,
        created_at, updated_at
         FROM plans WHERE id = $1 FOR NO KEY UPDATE",
    );
    let plan = optional!(conn, Plan, sql, plan.uuid())?;
    plan.ok_or(StoreError::NotFound(Resource::Plan))
}

async fn write_audit(tx: &mut Tx, tenant: &Tenant, before: &Plan, after: &Plan) -> Result<()> {
    let terms = |plan: &Plan| {
        json!({
            "price": plan.price,
            "max_projects": plan.max_projects,
            "max_deployments_per_day": plan.max_deployments_per_day,
            "max_requests_per_minute": plan.max_requests_per_minute,
            "max_teams": plan.max_teams,
        })
    };
    let entry = Entry {
        chain: installation::id(tx).await?,
        team: None,
        actor: tenant.actor(),
        action: "plan.change",
        subject: ("plan", Some(after.id.uuid())),
        detail: json!({ "before": terms(before), "after": terms(after) }),
    };
    audit::append(tx, &entry, after.updated_at).await
}

/// The plan of the team's owner, as it is at this moment.
pub(super) async fn of_team(conn: Conn<'_>, team: TeamId) -> Result<Plan> {
    Ok(one!(conn, Plan, OF_TEAM, team.uuid(), local_now())?)
}

/// A person's plan, as it is at this moment.
pub(super) async fn of_person(conn: Conn<'_>, person: UserId) -> Result<Plan> {
    Ok(one!(conn, Plan, OF_PERSON, person.uuid(), local_now())?)
}
