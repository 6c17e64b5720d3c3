//! Second factors: a secret that a person's device shares, and codes for when it is lost.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use towline_pki::hash_token;
use towline_shared::ids::UserId;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::audit::{self, Actor};
use super::db::{Tx, execute, local_now, one, optional};
use super::{
    Person, Result, Store, StoreError, accounts, counted, notification_events, sessions, stored,
};
use crate::domain::notification::NotificationEvent;
use crate::domain::recovery;
use crate::vault::Place;

const TABLE: &str = "second_factors";

/// Whether a second factor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorState {
    /// It is not.
    Off,
    /// A secret was made, and no code has shown that a device has it.
    Pending,
    /// It is.
    On,
}

/// How a person's second factor stands.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct FactorStatus {
    /// Whether it is asked for.
    pub state: FactorState,
    /// Recovery codes that are not used.
    pub recovery_codes_left: u64,
}

/// A person's second factor.
pub struct SecondFactor {
    /// The secret that the device has.
    pub secret: Zeroizing<Vec<u8>>,
    /// Whether it is asked for.
    pub state: FactorState,
    /// The step of the last code that was taken.
    pub last_step: u64,
}

impl Store {
    /// How the person's second factor stands.
    pub async fn second_factor_status(&self, person: &Person) -> Result<FactorStatus> {
        let mut reader = self.main().read().await?;
        let user = person.user().uuid();
        let sql = "SELECT enabled_at FROM second_factors WHERE user_id = $1";
        let row = optional!(reader.conn(), (Option<DateTime<Utc>>,), sql, user)?;
        let (left,) = one!(
            reader.conn(),
            (i64,),
            "SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL",
            user
        )?;
        Ok(FactorStatus {
            state: row.map_or(FactorState::Off, |(at,)| state(at)),
            recovery_codes_left: counted(left),
        })
    }

    /// Keeps a secret that is asked for as soon as a code shows that a device has it. It takes the place
    /// of one that was never enabled.
    pub(crate) async fn propose_second_factor(
        &self,
        tx: &mut Tx,
        person: &Person,
        secret: &[u8],
    ) -> Result<()> {
        let (id, user, now) = (Uuid::now_v7(), person.user().uuid(), local_now());
        let sealed = self.seal(tx, place(id), secret).await?;
        let sql = "DELETE FROM second_factors WHERE user_id = $1 AND enabled_at IS NULL";
        execute!(tx.conn(), sql, user)?;
        let made = execute!(
            tx.conn(),
            "INSERT INTO second_factors (id, user_id, secret_encrypted, key_version, last_step, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 0, $5, $5) ON CONFLICT (user_id) DO NOTHING",
            id,
            user,
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        if made == 0 {
            return Err(StoreError::Conflict {
                message: "the second factor is on already".to_owned(),
                remedy: "turn it off first".to_owned(),
            });
        }
        note(tx, person, "second_factor.propose", Value::Null, now).await
    }

    /// The person's second factor, if there is a secret.
    pub(crate) async fn second_factor(
        &self,
        tx: &mut Tx,
        user: UserId,
    ) -> Result<Option<SecondFactor>> {
        let row = optional!(
            tx.conn(),
            (Uuid, i64, Vec<u8>, Option<DateTime<Utc>>, i64),
            "SELECT id, key_version, secret_encrypted, enabled_at, last_step FROM second_factors WHERE user_id = $1",
            user.uuid()
        )?;
        let Some((id, key_version, sealed, enabled_at, last_step)) = row else {
            return Ok(None);
        };
        Ok(Some(SecondFactor {
            secret: self.unseal(place(id), key_version, &sealed).await?,
            state: state(enabled_at),
            last_step: counted(last_step),
        }))
    }
}

/// From now on the second factor is asked for, and these codes stand in for it once each. Every session
/// but the one that asks ends: they began without it.
pub(crate) async fn enable(
    tx: &mut Tx,
    person: &Person,
    step: u64,
    codes: &[Zeroizing<String>],
    now: DateTime<Utc>,
) -> Result<()> {
    let user = person.user().uuid();
    execute!(
        tx.conn(),
        "UPDATE second_factors SET enabled_at = $2, last_step = $3, updated_at = $2 WHERE user_id = $1",
        user,
        now,
        stored(step)
    )?;
    forget_codes(tx, person.user()).await?;
    for code in codes {
        execute!(
            tx.conn(),
            "INSERT INTO recovery_codes (id, user_id, code_hash, created_at) VALUES ($1, $2, $3, $4)",
            Uuid::now_v7(),
            user,
            hash_token(&recovery::plain(code)),
            now
        )?;
    }
    let event = NotificationEvent::AccountSecondFactorOn;
    notification_events::account_changed(tx, person.user(), event, now).await?;
    let ended = sessions::end_all_but(tx, person.user(), person.session()).await?;
    let detail = json!({ "sessions_ended": ended });
    note(tx, person, "second_factor.enable", detail, now).await
}

/// From now on the password is enough, by the person's own wish.
pub(crate) async fn disable(tx: &mut Tx, person: &Person, now: DateTime<Utc>) -> Result<()> {
    accounts::lock(tx, person.user()).await?;
    remove(tx, person.user(), person.actor(), now).await
}

/// From now on the password is enough, in a transaction that has locked the account.
pub(super) async fn remove(tx: &mut Tx, user: UserId, by: Actor, now: DateTime<Utc>) -> Result<()> {
    let sql = "DELETE FROM second_factors WHERE user_id = $1";
    if execute!(tx.conn(), sql, user.uuid())? == 0 {
        return Err(StoreError::Conflict {
            message: "the second factor is off already".to_owned(),
            remedy: "there is nothing to do".to_owned(),
        });
    }
    forget_codes(tx, user).await?;
    let event = NotificationEvent::AccountSecondFactorOff;
    notification_events::account_changed(tx, user, event, now).await?;
    let (action, subject) = ("second_factor.disable", ("user", user.uuid()));
    audit::append_to_account(tx, user, by, action, subject, Value::Null, now).await
}

/// Takes the code of a step; false if it, or a later one, was taken before.
pub(crate) async fn use_step(
    tx: &mut Tx,
    user: UserId,
    step: u64,
    now: DateTime<Utc>,
) -> Result<bool> {
    let changed = execute!(
        tx.conn(),
        "UPDATE second_factors SET last_step = $2, updated_at = $3
         WHERE user_id = $1 AND enabled_at IS NOT NULL AND last_step < $2",
        user.uuid(),
        stored(step),
        now
    )?;
    Ok(changed == 1)
}

/// Uses a recovery code up; false if it is none of the person's, or was used.
pub(crate) async fn use_recovery_code(
    tx: &mut Tx,
    user: UserId,
    typed: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let changed = execute!(
        tx.conn(),
        "UPDATE recovery_codes SET used_at = $3 WHERE code_hash = $2 AND user_id = $1 AND used_at IS NULL",
        user.uuid(),
        hash_token(&recovery::plain(typed)),
        now
    )?;
    Ok(changed == 1)
}

async fn forget_codes(tx: &mut Tx, user: UserId) -> Result<()> {
    let sql = "DELETE FROM recovery_codes WHERE user_id = $1";
    execute!(tx.conn(), sql, user.uuid())?;
    Ok(())
}

async fn note(
    tx: &mut Tx,
    person: &Person,
    action: &str,
    detail: Value,
    now: DateTime<Utc>,
) -> Result<()> {
    let (user, actor) = (person.user(), person.actor());
    let subject = ("user", user.uuid());
    audit::append_to_account(tx, user, actor, action, subject, detail, now).await
}

pub(super) fn state(enabled_at: Option<DateTime<Utc>>) -> FactorState {
    match enabled_at {
        Some(_) => FactorState::On,
        None => FactorState::Pending,
    }
}

const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: TABLE,
        id,
        version: 1,
    }
}
