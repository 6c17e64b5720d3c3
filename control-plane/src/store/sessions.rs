//! Sessions: what a sign-in gives, be it by a password or at a provider. Random, in a cookie, stored as their hash.
//!
//! A session is a person's. What it may do is what the person may at this moment, in the team that
//! each request names.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use towline_pki::{hash_token, random_token};
use towline_shared::ids::{SessionId, TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::audit::{self, Actor};
use super::billing::plan_of;
use super::db::{Tx, all, execute, local_now, optional};
use super::last_use::Used;
use super::project_members::{Standing, single_projects};
use super::tenant::{Asker, Credential, Grant, Person, RateLimits};
use super::text::storable;
use super::{Resource, Result, Store, StoreError, Tenant};
use crate::domain::scope::Scopes;

/// The prefix of a session's secret.
const PREFIX: &str = "twlc";
/// A session that is not used for so long has ended.
const IDLE: TimeDelta = TimeDelta::days(7);
/// A session ends after so long, however much it is used.
pub const LASTS: TimeDelta = TimeDelta::days(30);
/// The most sessions of a person; the longest unused ones end.
const MOST: i64 = 50;
/// The most bytes of a browser's name for itself that are kept.
const MAX_USER_AGENT: usize = 200;

/// One query gives all that a request needs to be judged. Without a team's name it is the first that
/// the person has come into: their own.
pub(super) const AUTHENTICATE: &str = concat!(
    "SELECT s.id, s.user_id, s.last_used_at, u.role AS user_role, t.id AS team_id, m.role, p.max_requests_per_minute, ",
    single_projects!(),
    " AS single_projects
     FROM sessions s JOIN users u ON u.id = s.user_id
     LEFT JOIN teams t ON t.id = COALESCE($4,
        (SELECT f.team_id FROM team_members f WHERE f.user_id = s.user_id ORDER BY f.joined_at, f.team_id LIMIT 1))
     LEFT JOIN team_members m ON m.user_id = s.user_id AND m.team_id = t.id
     LEFT JOIN users h ON h.id = t.owner_id LEFT JOIN plans p ON p.id = ",
    plan_of!("h", "$2"),
    " WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.last_used_at > $3 AND u.suspended_at IS NULL"
);

/// A sign-in of a person, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Session {
    /// The session's id.
    #[schema(value_type = Uuid)]
    #[sqlx(try_from = "Uuid")]
    pub id: SessionId,
    /// What the browser called itself.
    pub user_agent: String,
    /// From where the person signed in.
    pub address: String,
    /// When the person signed in.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: DateTime<Utc>,
    /// When it ends, however much it is used.
    pub expires_at: DateTime<Utc>,
}

/// A new session and its secret, which is given out this once.
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// What the cookie holds.
    pub token: Zeroizing<String>,
}

/// From where somebody signs in.
#[derive(Clone, Debug)]
pub struct Device {
    /// The network address.
    pub address: IpAddr,
    /// What the browser calls itself.
    pub user_agent: String,
}

/// By what somebody signs in.
#[derive(Clone, Copy, Debug)]
pub enum Means<'a> {
    /// Their password.
    Password,
    /// The word of a provider of identities.
    Provider(&'a str),
}

impl Means<'_> {
    fn detail(self, user_agent: &str) -> serde_json::Value {
        match self {
            Self::Password => json!({ "user_agent": user_agent }),
            Self::Provider(id) => json!({ "user_agent": user_agent, "provider": id }),
        }
    }
}

impl Device {
    /// As much of the browser's name for itself as is kept.
    pub(super) fn kept_user_agent(&self) -> String {
        let agent = storable(&self.user_agent);
        agent[..agent.floor_char_boundary(MAX_USER_AGENT)].to_owned()
    }

    /// A person at it.
    pub(crate) const fn actor(&self, user: UserId) -> Actor {
        Actor::User {
            user,
            address: Some(self.address),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    last_used_at: DateTime<Utc>,
    user_role: String,
    team_id: Option<Uuid>,
    role: Option<String>,
    max_requests_per_minute: Option<i64>,
    single_projects: i64,
}

impl Store {
    /// Whose session this is, in the team named or else the person's first; nothing if it is nobody's, or
    /// no more.
    ///
    /// # Errors
    /// `NotFound` when the person is not in the team that is named.
    pub async fn authenticate_session(
        &self,
        token: &str,
        team: Option<TeamId>,
    ) -> Result<Option<Asker>> {
        if !token.starts_with(PREFIX) || token.len() > 128 {
            return Ok(None);
        }
        let now = local_now();
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            AUTHENTICATE,
            hash_token(token),
            now,
            now - IDLE,
            team.map(TeamId::uuid)
        )?;
        drop(reader);
        let Some(row) = row else {
            return Ok(None);
        };
        self.note_use(Used::Session(row.id), Some(row.last_used_at), now);
        let credential = Credential::Session(row.id.into());
        let person = Person::new(row.user_id.into(), row.user_role.parse()?, credential);
        let standing = Standing {
            role: row.role.as_deref(),
            single_projects: row.single_projects,
        };
        let Some(found) = row.team_id.map(TeamId::from) else {
            return match team {
                Some(_) => Err(StoreError::NotFound(Resource::Team)),
                None => Ok(Some(Asker::Alone(person))),
            };
        };
        let Some(access) = self.access(found, person.user(), standing).await? else {
            return Err(StoreError::NotFound(Resource::Team));
        };
        let grant = Grant {
            access,
            scopes: Scopes::All,
            rates: RateLimits::stored(None, row.max_requests_per_minute),
        };
        Ok(Some(Asker::Member(Tenant::new(person, found, grant))))
    }

    /// The person's sessions that have not ended, newest first.
    pub async fn list_sessions(&self, person: &Person) -> Result<Vec<Session>> {
        let now = local_now();
        let mut reader = self.main().read().await?;
        Ok(all!(
            reader.conn(),
            Session,
            "SELECT id, user_agent, address, created_at, last_used_at, expires_at FROM sessions
             WHERE user_id = $1 AND expires_at > $2 AND last_used_at > $3 ORDER BY id DESC LIMIT $4",
            person.user().uuid(),
            now,
            now - IDLE,
            MOST
        )?)
    }

    /// Ends one of the person's sessions.
    pub async fn end_session(&self, person: &Person, session: SessionId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let ended = execute!(
            tx.conn(),
            "DELETE FROM sessions WHERE id = $1 AND user_id = $2",
            session.uuid(),
            person.user().uuid()
        )?;
        if ended == 0 {
            return Err(StoreError::NotFound(Resource::Session));
        }
        let action = if person.session() == Some(session) {
            "session.end"
        } else {
            "session.revoke"
        };
        let subject = ("session", session.uuid());
        let (detail, now) = (serde_json::Value::Null, local_now());
        let (user, actor) = (person.user(), person.actor());
        audit::append_to_account(&mut tx, user, actor, action, subject, detail, now).await?;
        tx.commit().await
    }
}

impl Store {
    /// Writes down that somebody tried to sign in as this person. Nobody waits for it: the answer must take
    /// as long as for an address that nobody has.
    pub(crate) fn note_refused_sign_in(&self, user: UserId, device: &Device, why: &'static str) {
        let (store, device) = (self.clone(), device.clone());
        tokio::spawn(async move {
            if let Err(error) = store.write_refused_sign_in(user, &device, why).await {
                tracing::warn!(%error, "a refused sign-in was not written down");
            }
        });
    }

    async fn write_refused_sign_in(&self, user: UserId, device: &Device, why: &str) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let subject = ("user", user.uuid());
        let detail = json!({ "address": device.address.to_string(), "why": why });
        let (actor, now) = (Actor::Anonymous, local_now());
        audit::append_to_account(&mut tx, user, actor, "session.refuse", subject, detail, now)
            .await?;
        tx.commit().await
    }
}

/// Begins a session of a person. To be called last in a transaction that has locked the account.
pub(crate) async fn begin(
    tx: &mut Tx,
    user: UserId,
    device: &Device,
    means: Means<'_>,
    now: DateTime<Utc>,
) -> Result<NewSession> {
    let token = random_token(PREFIX)?;
    let session = Session {
        id: SessionId::new(),
        user_agent: device.kept_user_agent(),
        address: device.address.to_string(),
        created_at: now,
        last_used_at: now,
        expires_at: now + LASTS,
    };
    execute!(
        tx.conn(),
        "DELETE FROM sessions WHERE user_id = $1 AND id NOT IN
            (SELECT id FROM sessions WHERE user_id = $1 ORDER BY last_used_at DESC LIMIT $2)",
        user.uuid(),
        MOST - 1
    )?;
    execute!(
        tx.conn(),
        "INSERT INTO sessions (id, user_id, token_hash, user_agent, address, last_used_at, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $6)",
        session.id.uuid(),
        user.uuid(),
        hash_token(&token),
        session.user_agent.as_str(),
        session.address.as_str(),
        now,
        session.expires_at
    )?;
    let actor = device.actor(user);
    let subject = ("session", session.id.uuid());
    let detail = means.detail(&session.user_agent);
    audit::append_to_account(tx, user, actor, "session.begin", subject, detail, now).await?;
    Ok(NewSession { session, token })
}

/// Ends a person's sessions, all but one.
pub(super) async fn end_all_but(tx: &mut Tx, user: UserId, kept: Option<SessionId>) -> Result<u64> {
    Ok(execute!(
        tx.conn(),
        "DELETE FROM sessions WHERE user_id = $1 AND ($2 IS NULL OR id <> $2)",
        user.uuid(),
        kept.map(SessionId::uuid)
    )?)
}

/// Forgets those whose time is over; of who comes no more, a few stay so long.
pub(super) async fn prune(tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
    execute!(tx.conn(), "DELETE FROM sessions WHERE expires_at < $1", now)?;
    Ok(())
}
