//! People and teams, and the one-time link by which the first person comes in.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use towline_pki::{hash_token, random_token};
use towline_shared::ids::{TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::api_keys::{self, FIRST, MintedApiKey, NewApiKey};
use super::audit::{self, Actor, Entry};
use super::db::{Tx, execute, local_now, one};
use super::{Result, Store, StoreError, installation, notification_channels, teams};
use crate::domain::password::PasswordHash;
use crate::domain::permission::Role;

/// The prefix of the set-up link's secret.
const SETUP_PREFIX: &str = "twls";
/// The plan of who sets the installation up: it is theirs, so nothing is limited.
const OWNERS_PLAN: &str = "Enterprise";
/// The plan of who comes in later.
pub(super) const NEWCOMERS_PLAN: &str = "Free";

/// A person.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// The person's id.
    #[schema(value_type = Uuid)]
    pub id: UserId,
    /// The e-mail address; unique without regard to case.
    pub email: String,
    /// The name.
    pub name: String,
    /// What the person may do in the installation.
    pub role: UserRole,
    /// When the person joined.
    pub created_at: DateTime<Utc>,
}

/// What a person may do in the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// To work in teams.
    User,
    /// To change what holds for all teams, too.
    Admin,
}

impl UserRole {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for UserRole {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "user" => Ok(Self::User),
            "admin" => Ok(Self::Admin),
            _ => Err(StoreError::Damaged(format!(
                "{text:?} is no role of a person"
            ))),
        }
    }
}

/// A team: the tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Team {
    /// The team's id.
    #[schema(value_type = Uuid)]
    pub id: TeamId,
    /// The name.
    pub name: String,
}

/// What a set-up made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SetUp {
    /// The first person, administrator of the installation.
    pub user: User,
    /// The person's own team.
    pub team: Team,
    /// The first key.
    pub api_key: MintedApiKey,
}

impl Store {
    /// Makes the secret of a one-time set-up link, in place of any earlier one; nothing when the
    /// installation is set up already.
    pub async fn ensure_setup_link(&self) -> Result<Option<Zeroizing<String>>> {
        let mut tx = self.main().begin().await?;
        if is_set_up(&mut tx).await? {
            return Ok(None);
        }
        let token = random_token(SETUP_PREFIX)?;
        let now = local_now();
        execute!(tx.conn(), "DELETE FROM setup_links WHERE used_at IS NULL")?;
        execute!(
            tx.conn(),
            "INSERT INTO setup_links (id, token_hash, created_at, updated_at) VALUES ($1, $2, $3, $3)",
            Uuid::now_v7(),
            hash_token(&token),
            now
        )?;
        tx.commit().await?;
        Ok(Some(token))
    }
}

/// Whether somebody has set the installation up.
pub(crate) async fn is_set_up(tx: &mut Tx) -> Result<bool> {
    let (users,) = one!(tx.conn(), (i64,), "SELECT COUNT(*) FROM users")?;
    Ok(users > 0)
}

/// Uses up the link; false if there is no such unused link.
pub(crate) async fn consume_setup_link(
    tx: &mut Tx,
    token: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let used = execute!(
        tx.conn(),
        "UPDATE setup_links SET used_at = $2, updated_at = $2 WHERE token_hash = $1 AND used_at IS NULL",
        hash_token(token),
        now
    )?;
    Ok(used == 1)
}

/// Makes the first person, the person's team and first key.
pub(crate) async fn create_first_user(
    tx: &mut Tx,
    email: &str,
    name: &str,
    password: Option<&PasswordHash>,
    now: DateTime<Utc>,
) -> Result<SetUp> {
    let new = NewUser {
        email,
        name,
        password,
        role: UserRole::Admin,
        plan: OWNERS_PLAN,
    };
    let (user, team) = insert_user(tx, &new, now).await?;
    let api_key = api_keys::insert(tx, team.id, user.id, NewApiKey::named(FIRST), now).await?;
    let entry = Entry {
        chain: installation::id(tx).await?,
        team: None,
        actor: Actor::User {
            user: user.id,
            address: None,
        },
        action: "installation.set_up",
        subject: ("user", Some(user.id.uuid())),
        detail: serde_json::Value::Null,
    };
    audit::append(tx, &entry, now).await?;
    Ok(SetUp {
        user,
        team,
        api_key,
    })
}

/// Makes somebody who was not invited: a person with a team of their own.
pub(crate) async fn create_newcomer(
    tx: &mut Tx,
    email: &str,
    name: &str,
    password: Option<&PasswordHash>,
    now: DateTime<Utc>,
) -> Result<User> {
    let new = NewUser {
        email,
        name,
        password,
        role: UserRole::User,
        plan: NEWCOMERS_PLAN,
    };
    match insert_user(tx, &new, now).await {
        Ok((user, _)) => Ok(user),
        Err(StoreError::Conflict { message, .. }) => Err(StoreError::Conflict {
            message,
            remedy: "sign in to it, or ask for a link to a new password".to_owned(),
        }),
        Err(error) => Err(error),
    }
}

/// Somebody to be made.
pub(super) struct NewUser<'a> {
    pub(super) email: &'a str,
    pub(super) name: &'a str,
    pub(super) password: Option<&'a PasswordHash>,
    pub(super) role: UserRole,
    /// The plan's name.
    pub(super) plan: &'static str,
}

/// Makes a person and the team of their own.
pub(super) async fn insert_user(
    tx: &mut Tx,
    new: &NewUser<'_>,
    now: DateTime<Utc>,
) -> Result<(User, Team)> {
    let user = UserId::new();
    let sql = "SELECT id FROM plans WHERE name = $1";
    let (plan,) = one!(tx.conn(), (Uuid,), sql, new.plan)?;
    let made = execute!(
        tx.conn(),
        "INSERT INTO users (id, email, name, role, plan_id, password_hash, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT DO NOTHING",
        user.uuid(),
        new.email,
        new.name,
        new.role.as_str(),
        plan,
        new.password.map(PasswordHash::as_str),
        now
    )?;
    if made == 0 {
        return Err(StoreError::Conflict {
            message: format!("{} has an account here already", new.email),
            remedy: "log in to it first, then join with it: `towline join LINK`".to_owned(),
        });
    }
    notification_channels::insert_mail(tx, user, now).await?;
    let team = teams::insert(tx, user, new.name, now).await?;
    for (chain, action, subject) in [
        (
            installation::id(tx).await?,
            "user.create",
            ("user", Some(user.uuid())),
        ),
        (
            team.id.uuid(),
            "team.create",
            ("team", Some(team.id.uuid())),
        ),
    ] {
        let entry = Entry {
            chain,
            team: (chain == team.id.uuid()).then_some(team.id),
            actor: Actor::User {
                user,
                address: None,
            },
            action,
            subject,
            detail: serde_json::Value::Null,
        };
        audit::append(tx, &entry, now).await?;
    }
    let user = User {
        id: user,
        email: new.email.to_owned(),
        name: new.name.to_owned(),
        role: new.role,
        created_at: now,
    };
    Ok((user, team))
}

/// Puts a person into a team.
pub(super) async fn insert_member(
    tx: &mut Tx,
    team: TeamId,
    user: UserId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO team_members (id, team_id, user_id, role, joined_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5, $5)",
        Uuid::now_v7(),
        team.uuid(),
        user.uuid(),
        role.as_str(),
        now
    )?;
    Ok(())
}

/// A person who exists.
pub(super) async fn user(tx: &mut Tx, id: UserId) -> Result<User> {
    let (email, name, role, created_at): (String, String, String, DateTime<Utc>) = one!(
        tx.conn(),
        (String, String, String, DateTime<Utc>),
        "SELECT email, name, role, created_at FROM users WHERE id = $1",
        id.uuid()
    )?;
    Ok(User {
        id,
        email,
        name,
        role: role.parse()?,
        created_at,
    })
}

/// Checks what a person says of themselves.
pub(crate) fn check_person(email: &str, name: &str) -> Result<()> {
    check_email(email)?;
    check_person_name(name)
}

/// Checks an e-mail address, as far as that is worth it: the proof is that mail arrives.
pub(super) fn check_email(email: &str) -> Result<()> {
    let has_host = email
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if has_host && email.len() <= 254 && !email.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Ok(());
    }
    Err(StoreError::Invalid {
        field: "email",
        message: "this is no e-mail address".to_owned(),
        remedy: "write name@example.org".to_owned(),
    })
}

/// Checks a person's name.
pub(super) fn check_person_name(name: &str) -> Result<()> {
    if !name.trim().is_empty() && name.len() <= 100 && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(StoreError::Invalid {
        field: "name",
        message: "a name has 1 to 100 characters".to_owned(),
        remedy: "give your name".to_owned(),
    })
}
