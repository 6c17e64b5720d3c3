//! The people of the installation, for its administrators.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use towline_shared::ids::UserId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::billing::plan_of;
use super::db::{Tx, all, execute, local_now, one, optional};
use super::page::{Listed, Page};
use super::people::{User, UserRole};
use super::second_factors::{self, FactorState};
use super::tenant::Person;
use super::{Resource, Result, Store, StoreError, accounts, audit, docker_access, sessions};

/// Whether somebody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// They are.
    Active,
    /// Neither they nor their keys are. What is theirs stays and runs on.
    Suspended,
}

impl UserState {
    /// Of somebody who is suspended since then, if they are.
    const fn since(suspended_at: Option<DateTime<Utc>>) -> Self {
        match suspended_at {
            Some(_) => Self::Suspended,
            None => Self::Active,
        }
    }
}

/// Somebody as administrators of the installation see them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KnownUser {
    /// Who it is.
    #[serde(flatten)]
    pub user: User,
    /// Whether they are let in.
    pub state: UserState,
    /// Since when they are not.
    pub suspended_at: Option<DateTime<Utc>>,
    /// The name of the plan that they have now.
    pub plan: String,
    /// Whether they are asked for a second factor.
    pub second_factor: FactorState,
}

/// What shall change of somebody; what is left out stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserChange {
    /// What they may do in the installation.
    pub role: Option<UserRole>,
    /// Whether they are let in.
    pub state: Option<UserState>,
}

macro_rules! select_users {
    ($now:literal, $rest:literal) => {
        concat!(
            "SELECT u.id, u.email, u.name, u.role, u.created_at, u.suspended_at, p.name AS plan, f.id AS factor, f.enabled_at
             FROM users u LEFT JOIN second_factors f ON f.user_id = u.id JOIN plans p ON p.id = ",
            plan_of!("u", $now),
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    name: String,
    role: String,
    created_at: DateTime<Utc>,
    suspended_at: Option<DateTime<Utc>>,
    plan: String,
    factor: Option<Uuid>,
    enabled_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_user(self) -> Result<KnownUser> {
        Ok(KnownUser {
            user: User {
                id: self.id.into(),
                email: self.email,
                name: self.name,
                role: self.role.parse()?,
                created_at: self.created_at,
            },
            state: UserState::since(self.suspended_at),
            suspended_at: self.suspended_at,
            plan: self.plan,
            second_factor: self
                .factor
                .map_or(FactorState::Off, |_| second_factors::state(self.enabled_at)),
        })
    }
}

impl Store {
    /// All people. To be called only for administrators of the installation.
    pub async fn list_users(&self, page: Page) -> Result<Listed<KnownUser>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_users!("$3", " WHERE u.id < $1 ORDER BY u.id DESC LIMIT $2"),
            page.before(),
            page.fetch(),
            local_now()
        )?;
        let users: Result<Vec<_>> = rows.into_iter().map(Row::into_user).collect();
        Ok(page.cut(users?, |known: &KnownUser| known.user.id.uuid()))
    }

    /// Gives somebody another role in the installation, or shuts them out and lets them in again. An
    /// administrator always stays.
    pub async fn change_user(
        &self,
        by: &Person,
        user: UserId,
        change: UserChange,
    ) -> Result<KnownUser> {
        let mut tx = self.main().begin().await?;
        let admins = lock_admins(&mut tx).await?;
        still_admin(by, &admins)?;
        let before = known(&mut tx, user).await?;
        let role = change.role.unwrap_or(before.user.role);
        let state = change.state.unwrap_or(before.state);
        let is_admin = (role, state) == (UserRole::Admin, UserState::Active);
        if !is_admin && admins == [user] {
            return Err(StoreError::Conflict {
                message: "the installation would have no administrator".to_owned(),
                remedy: "make somebody else an administrator first".to_owned(),
            });
        }
        let now = local_now();
        let suspended_at = match state {
            UserState::Active => None,
            UserState::Suspended => Some(before.suspended_at.unwrap_or(now)),
        };
        execute!(
            tx.conn(),
            "UPDATE users SET role = $2, suspended_at = $3, updated_at = $4 WHERE id = $1",
            user.uuid(),
            role.as_str(),
            suspended_at,
            now
        )?;
        let ended = match (before.state, state) {
            (UserState::Active, UserState::Suspended) => {
                sessions::end_all_but(&mut tx, user, None).await?
            }
            _ => 0,
        };
        let hosts = docker_access::hosts_of(&mut tx, user).await?;
        let after = known(&mut tx, user).await?;
        let detail = json!({
            "before": { "role": before.user.role, "state": before.state },
            "after": { "role": role, "state": state },
            "sessions_ended": ended,
        });
        let (actor, subject) = (by.actor(), ("user", user.uuid()));
        audit::append_to_account(&mut tx, user, actor, "user.change", subject, detail, now).await?;
        tx.commit().await?;
        for host in hosts {
            self.wake().docker(host);
        }
        Ok(after)
    }

    /// Turns the second factor of somebody off who has lost it, so that their password is enough.
    pub async fn remove_second_factor(&self, by: &Person, user: UserId) -> Result<()> {
        if by.user() == user {
            return Err(StoreError::Conflict {
                message: "this is your own second factor".to_owned(),
                remedy: "turn it off with your password, or let another administrator do it"
                    .to_owned(),
            });
        }
        let mut tx = self.main().begin().await?;
        let admins = lock_admins(&mut tx).await?;
        still_admin(by, &admins)?;
        known(&mut tx, user).await?;
        accounts::lock(&mut tx, user).await?;
        second_factors::remove(&mut tx, user, by.actor(), local_now()).await?;
        tx.commit().await?;
        self.wake().outbox();
        Ok(())
    }
}

/// Whether somebody is let in, in a transaction that has locked the account.
pub(crate) async fn state_of(tx: &mut Tx, user: UserId) -> Result<UserState> {
    let sql = "SELECT suspended_at FROM users WHERE id = $1";
    let (suspended_at,) = one!(tx.conn(), (Option<DateTime<Utc>>,), sql, user.uuid())?;
    Ok(UserState::since(suspended_at))
}

async fn known(tx: &mut Tx, user: UserId) -> Result<KnownUser> {
    let sql = select_users!("$2", " WHERE u.id = $1");
    let row = optional!(tx.conn(), Row, sql, user.uuid(), local_now())?;
    row.ok_or(StoreError::NotFound(Resource::User))?.into_user()
}

/// All administrators who are let in. They stay so until the commit, so that two who take it from each other do not
/// both do so.
async fn lock_admins(tx: &mut Tx) -> Result<Vec<UserId>> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id, suspended_at FROM users WHERE role = 'admin' ORDER BY id",
        "SELECT id, suspended_at FROM users WHERE role = 'admin' ORDER BY id FOR NO KEY UPDATE",
    );
    let rows = all!(conn, (Uuid, Option<DateTime<Utc>>), sql)?;
    let active = rows
        .into_iter()
        .filter(|(_, suspended)| suspended.is_none());
    Ok(active.map(|(id, _)| id.into()).collect())
}

/// The role may have been taken since the request was let in.
fn still_admin(by: &Person, admins: &[UserId]) -> Result<()> {
    if admins.contains(&by.user()) {
        return Ok(());
    }
    Err(StoreError::Forbidden {
        message: "you do not administer the installation any more".to_owned(),
        remedy: "ask an administrator of the installation".to_owned(),
    })
}
