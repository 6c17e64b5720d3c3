//! Somebody was sent to a provider of identities: what is to be known when they come back.
//!
//! An attempt is found by its state, which went through the provider, and by a secret that only the
//! browser has that was sent: whoever has but one of them has nothing. It is used up by being found.

use chrono::{DateTime, TimeDelta, Utc};
use towline_pki::{hash_token, random_token};
use towline_shared::ids::UserId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Tx, execute, local_now, optional};
use super::{Result, Store, StoreError};
use crate::domain::identity::{AttemptSecrets, ProviderId};
use crate::vault::Place;

/// The prefix of the browser's secret.
pub(super) const BROWSER_PREFIX: &str = "twlo";
/// How long somebody may take at the provider.
pub const LASTS: TimeDelta = TimeDelta::minutes(10);
/// The most attempts at a time. The oldest make room: who signs in takes seconds, so those were given up.
const MOST: i64 = 4096;

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To sign in.
    SignIn,
    /// To link an identity to the account of who is signed in.
    Link(UserId),
}

impl Purpose {
    fn user(self) -> Option<Uuid> {
        match self {
            Self::SignIn => None,
            Self::Link(user) => Some(user.uuid()),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Option<Uuid>,
    secrets_encrypted: Vec<u8>,
    key_version: i64,
}

impl Store {
    /// Writes an attempt down, and gives the secret for the browser.
    pub async fn begin_attempt(
        &self,
        provider: &ProviderId,
        purpose: Purpose,
        state: &str,
        secrets: &AttemptSecrets,
    ) -> Result<Zeroizing<String>> {
        let browser = random_token(BROWSER_PREFIX)?;
        let (id, now) = (Uuid::now_v7(), local_now());
        let mut tx = self.main().begin().await?;
        let text = secrets.to_text();
        let sealed = self.seal(&mut tx, place(id), text.as_bytes()).await?;
        execute!(
            tx.conn(),
            "DELETE FROM oauth_attempts WHERE expires_at <= COALESCE((SELECT expires_at FROM oauth_attempts
                WHERE expires_at > $1 ORDER BY expires_at DESC LIMIT 1 OFFSET $2), $1)",
            now,
            MOST - 1
        )?;
        execute!(
            tx.conn(),
            "INSERT INTO oauth_attempts
                (id, provider, state_hash, browser_hash, secrets_encrypted, key_version, user_id, expires_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            id,
            provider.as_str(),
            hash_token(state),
            hash_token(&browser),
            sealed.bytes.as_slice(),
            sealed.key_version,
            purpose.user(),
            now + LASTS,
            now
        )?;
        tx.commit().await?;
        Ok(browser)
    }

    /// Uses an attempt up; nothing, if there is none of this browser at this provider, or not any more.
    /// Of any number of racers one gets it.
    pub async fn take_attempt(
        &self,
        provider: &ProviderId,
        state: &str,
        browser: &str,
    ) -> Result<Option<(Purpose, AttemptSecrets)>> {
        let mut tx = self.main().begin().await?;
        let taken = optional!(
            tx.conn(),
            Row,
            "DELETE FROM oauth_attempts
             WHERE state_hash = $1 AND browser_hash = $2 AND provider = $3 AND expires_at > $4
             RETURNING id, user_id, secrets_encrypted, key_version",
            hash_token(state),
            hash_token(browser),
            provider.as_str(),
            local_now()
        )?;
        let Some(row) = taken else {
            tx.roll_back().await?;
            return Ok(None);
        };
        tx.commit().await?;
        let sealed = row.secrets_encrypted.as_slice();
        let opened = self.unseal(place(row.id), row.key_version, sealed).await?;
        let secrets = AttemptSecrets::from_text(&opened).ok_or_else(|| {
            StoreError::Damaged("the secrets of an attempt to sign in".to_owned())
        })?;
        let purpose = row
            .user_id
            .map_or(Purpose::SignIn, |user| Purpose::Link(user.into()));
        Ok(Some((purpose, secrets)))
    }
}

/// Forgets those who did not come back.
pub(super) async fn prune(tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
    let sql = "DELETE FROM oauth_attempts WHERE expires_at < $1";
    execute!(tx.conn(), sql, now)?;
    let sql = "DELETE FROM waiting_sign_ins WHERE expires_at < $1";
    execute!(tx.conn(), sql, now)?;
    Ok(())
}

const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "oauth_attempts",
        id,
        version: 1,
    }
}
