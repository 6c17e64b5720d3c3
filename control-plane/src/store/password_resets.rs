//! Links to a new password: they work once, for an hour.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use towline_pki::{hash_token, random_token};
use towline_shared::ids::UserId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::accounts::set_password;
use super::audit::{self, Actor};
use super::db::{Tx, execute, local_now, optional};
use super::{
    Account, Device, Person, Resource, Result, Store, StoreError, accounts, notification_events,
    sessions,
};
use crate::domain::notification::NotificationEvent;
use crate::domain::password::PasswordHash;

/// The prefix of a link's secret.
const PREFIX: &str = "twlr";
/// How long a link works.
pub const LASTS: TimeDelta = TimeDelta::hours(1);
/// How long the row stays, so that people can be told what became of it.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// A new link's secret, which is given out this once.
pub struct MintedReset {
    /// Whose password it is for.
    pub email: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// The secret.
    pub token: Zeroizing<String>,
}

/// Who makes a link for somebody.
#[derive(Clone, Copy, Debug)]
pub enum Maker<'a> {
    /// Somebody who was asked for it by mail: the link goes to the person's own address alone.
    Mail(IpAddr),
    /// An administrator of the installation.
    Administrator(&'a Person),
    /// Whoever can read the installation's files.
    Operator,
}

impl Maker<'_> {
    const fn actor(&self) -> Actor {
        match self {
            Self::Mail(_) => Actor::Anonymous,
            Self::Administrator(person) => person.actor(),
            Self::Operator => Actor::System,
        }
    }

    fn id(&self) -> Option<Uuid> {
        match self {
            Self::Administrator(person) => Some(person.user().uuid()),
            Self::Mail(_) | Self::Operator => None,
        }
    }

    fn detail(&self) -> serde_json::Value {
        match self {
            Self::Mail(address) => json!({ "by": "mail", "address": address.to_string() }),
            Self::Administrator(_) => json!({ "by": "administrator" }),
            Self::Operator => json!({ "by": "operator" }),
        }
    }
}

impl Store {
    /// Makes a link to a new password for somebody.
    pub async fn make_reset(&self, user: UserId, by: Maker<'_>) -> Result<MintedReset> {
        let token = random_token(PREFIX)?;
        let mut tx = self.main().begin().await?;
        let sql = "SELECT email FROM users WHERE id = $1";
        let found = optional!(tx.conn(), (String,), sql, user.uuid())?;
        let (email,) = found.ok_or(StoreError::NotFound(Resource::User))?;
        let (id, now) = (Uuid::now_v7(), local_now());
        let expires_at = now + LASTS;
        execute!(
            tx.conn(),
            "INSERT INTO password_resets (id, user_id, token_hash, made_by, expires_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
            id,
            user.uuid(),
            hash_token(&token),
            by.id(),
            expires_at,
            now
        )?;
        let subject = ("password_reset", id);
        let (actor, detail) = (by.actor(), by.detail());
        let action = "password_reset.create";
        audit::append_to_account(&mut tx, user, actor, action, subject, detail, now).await?;
        tx.commit().await?;
        Ok(MintedReset {
            email,
            expires_at,
            token,
        })
    }

    /// Whose password a link is for, if it works. It is looked at before the work of hashing.
    pub async fn account_of_reset(&self, token: &str) -> Result<Account> {
        let mut reader = self.main().read().await?;
        let found = optional!(
            reader.conn(),
            (Uuid, String),
            "SELECT u.id, u.email FROM password_resets r JOIN users u ON u.id = r.user_id
             WHERE r.token_hash = $1 AND r.used_at IS NULL AND r.expires_at > $2",
            hash_token(token),
            local_now()
        )?;
        let (user, email) = found.ok_or(StoreError::NotFound(Resource::PasswordReset))?;
        Ok(Account {
            user: user.into(),
            email,
            password: None,
        })
    }

    /// Uses a link up: the person has this password, and no session any more. Their other links end, too.
    /// Of any number of racers one gets it: the row is changed once.
    pub async fn use_reset(
        &self,
        token: &str,
        password: &PasswordHash,
        device: &Device,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let consumed = optional!(
            tx.conn(),
            (Uuid, Uuid),
            "UPDATE password_resets SET used_at = $2, updated_at = $2
             WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING id, user_id",
            hash_token(token),
            now
        )?;
        let (id, user) = consumed.ok_or(StoreError::NotFound(Resource::PasswordReset))?;
        let user = UserId::from(user);
        accounts::lock(&mut tx, user).await?;
        set_password(&mut tx, user, password, now).await?;
        let event = NotificationEvent::AccountPasswordChanged;
        notification_events::account_changed(&mut tx, user, event, now).await?;
        let ended = sessions::end_all_but(&mut tx, user, None).await?;
        execute!(
            tx.conn(),
            "UPDATE password_resets SET used_at = $2, updated_at = $2 WHERE user_id = $1 AND used_at IS NULL",
            user.uuid(),
            now
        )?;
        let (actor, subject) = (device.actor(user), ("password_reset", id));
        let detail = json!({ "sessions_ended": ended });
        let action = "password_reset.use";
        audit::append_to_account(&mut tx, user, actor, action, subject, detail, now).await?;
        tx.commit().await?;
        self.wake().outbox();
        Ok(())
    }
}

/// Forgets old links.
pub(super) async fn prune(tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
    let sql = "DELETE FROM password_resets WHERE expires_at < $1";
    execute!(tx.conn(), sql, now - KEPT_FOR)?;
    Ok(())
}
