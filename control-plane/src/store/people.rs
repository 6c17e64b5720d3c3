//! People and teams, and the one-time link by which the first person comes in.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use towline_pki::{hash_token, random_token};
use towline_shared::ids::{ApiKeyId, TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::api_keys::{self, NewApiKey};
use super::audit::{self, Actor, Entry};
use super::db::{Tx, execute, local_now, one};
use super::{Result, Store, StoreError, installation};

/// The prefix of the set-up link's secret.
const SETUP_PREFIX: &str = "twls";
/// The plan of who sets the installation up: it is theirs, so nothing is limited.
const OWNERS_PLAN: &str = "Enterprise";

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
    /// `user` or `admin` (of the installation).
    pub role: String,
    /// When the person joined.
    pub created_at: DateTime<Utc>,
}

/// What a person may do in the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRole {
    /// To work in teams.
    User,
    /// To change what holds for all teams, too.
    Admin,
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
    pub api_key: NewApiKey,
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
    now: DateTime<Utc>,
) -> Result<SetUp> {
    let (user, team) = (UserId::new(), TeamId::new());
    let (plan,) = one!(
        tx.conn(),
        (Uuid,),
        "SELECT id FROM plans WHERE name = $1",
        OWNERS_PLAN
    )?;
    execute!(
        tx.conn(),
        "INSERT INTO users (id, email, name, role, plan_id, created_at, updated_at) VALUES ($1, $2, $3, 'admin', $4, $5, $5)",
        user.uuid(),
        email,
        name,
        plan,
        now
    )?;
    execute!(
        tx.conn(),
        "INSERT INTO teams (id, name, owner_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
        team.uuid(),
        name,
        user.uuid(),
        now
    )?;
    execute!(
        tx.conn(),
        "INSERT INTO team_members (id, team_id, user_id, role, joined_at, created_at, updated_at)
         VALUES ($1, $2, $3, 'owner', $4, $4, $4)",
        Uuid::now_v7(),
        team.uuid(),
        user.uuid(),
        now
    )?;
    let api_key = api_keys::insert(tx, ApiKeyId::new(), team, user, "first key", None, now).await?;
    write_audit(tx, user, team, now).await?;
    Ok(SetUp {
        user: User {
            id: user,
            email: email.to_owned(),
            name: name.to_owned(),
            role: "admin".to_owned(),
            created_at: now,
        },
        team: Team {
            id: team,
            name: name.to_owned(),
        },
        api_key,
    })
}

async fn write_audit(tx: &mut Tx, user: UserId, team: TeamId, now: DateTime<Utc>) -> Result<()> {
    let entries = [
        (
            installation::id(tx).await?,
            None,
            "installation.set_up",
            ("user", Some(user.uuid())),
        ),
        (
            team.uuid(),
            Some(team),
            "team.create",
            ("team", Some(team.uuid())),
        ),
    ];
    for (chain, team, action, subject) in entries {
        let entry = Entry {
            chain,
            team,
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
    Ok(())
}

/// Checks what a person says of themselves.
pub(crate) fn check_person(email: &str, name: &str) -> Result<()> {
    let invalid = |field, message: &str, remedy: &str| {
        Err(StoreError::Invalid {
            field,
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        })
    };
    let has_host = email
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !has_host || email.len() > 254 || email.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return invalid(
            "email",
            "this is no e-mail address",
            "write name@example.org",
        );
    }
    if name.trim().is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        return invalid("name", "a name has 1 to 100 characters", "give your name");
    }
    Ok(())
}
