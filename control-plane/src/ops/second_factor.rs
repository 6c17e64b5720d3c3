//! A second factor: turned on by a code that shows that a device has the secret.

use chrono::{DateTime, Utc};
use towline_shared::ids::UserId;
use zeroize::Zeroizing;

use super::sign_in::{confirmed, lock_as_seen};
use super::{NotLetIn, OpsError};
use crate::domain::password::Password;
use crate::domain::{recovery, totp};
use crate::passwords::{PasswordError, Passwords};
use crate::store::db::Tx;
use crate::store::second_factors::{self, FactorState, SecondFactor};
use crate::store::{Person, Store, StoreError, accounts};

/// A secret that a person's device is to have.
pub struct Proposed {
    /// As people type it.
    pub letters: Zeroizing<String>,
    /// As authenticator apps take it.
    pub uri: Zeroizing<String>,
}

/// Makes a secret for who knows the password. It is asked for when it is [enabled](enable_second_factor).
pub async fn propose_second_factor(
    store: &Store,
    passwords: &Passwords,
    person: &Person,
    password: Password,
    issuer: &str,
) -> Result<Proposed, OpsError> {
    let account = confirmed(store, passwords, person, password).await?;
    let secret = Zeroizing::new(random::<{ totp::SECRET_BYTES }>()?);
    let (mut tx, _) = lock_as_seen(store, &account).await?;
    store
        .propose_second_factor(&mut tx, person, secret.as_slice())
        .await?;
    tx.commit().await?;
    Ok(Proposed {
        letters: totp::in_letters(secret.as_slice()),
        uri: totp::uri(secret.as_slice(), &account.email, issuer),
    })
}

/// Turns the second factor on by a code of it, and gives the recovery codes, which are shown this once.
pub async fn enable_second_factor(
    store: &Store,
    person: &Person,
    code: &str,
) -> Result<Vec<Zeroizing<String>>, OpsError> {
    let codes: Result<Vec<_>, OpsError> = (0..recovery::CODES)
        .map(|_| Ok(recovery::shown(random()?)))
        .collect();
    let codes = codes?;
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    accounts::lock(&mut tx, person.user()).await?;
    let factor = store.second_factor(&mut tx, person.user()).await?;
    let factor = factor.filter(|factor| factor.state == FactorState::Pending);
    let factor = factor.ok_or_else(|| StoreError::Conflict {
        message: "there is no secret that waits for a code".to_owned(),
        remedy: "ask for one first; when the second factor is on already, turn it off before"
            .to_owned(),
    })?;
    let step = step(&factor, code, now).ok_or(NotLetIn::WrongCode)?;
    second_factors::enable(&mut tx, person, step, &codes, now).await?;
    tx.commit().await?;
    store.wake().outbox();
    Ok(codes)
}

/// Turns the second factor off for who knows the password.
pub async fn disable_second_factor(
    store: &Store,
    passwords: &Passwords,
    person: &Person,
    password: Password,
) -> Result<(), OpsError> {
    let account = confirmed(store, passwords, person, password).await?;
    let (mut tx, now) = lock_as_seen(store, &account).await?;
    second_factors::disable(&mut tx, person, now).await?;
    tx.commit().await?;
    store.wake().outbox();
    Ok(())
}

/// Whether somebody whose password is right may come in, in a transaction that has locked the account.
/// Codes are used up by it.
pub(super) async fn check(
    store: &Store,
    tx: &mut Tx,
    user: UserId,
    code: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), OpsError> {
    let factor = store.second_factor(tx, user).await?;
    let Some(factor) = factor.filter(|factor| factor.state == FactorState::On) else {
        return Ok(());
    };
    let code = code.ok_or(NotLetIn::CodeRequired)?;
    let right = match step(&factor, code, now) {
        Some(step) => second_factors::use_step(tx, user, step, now).await?,
        None => second_factors::use_recovery_code(tx, user, code, now).await?,
    };
    if right {
        Ok(())
    } else {
        Err(NotLetIn::WrongCode.into())
    }
}

fn step(factor: &SecondFactor, code: &str, now: DateTime<Utc>) -> Option<u64> {
    let now = totp::step_at(u64::try_from(now.timestamp()).unwrap_or(0));
    totp::matching_step(&factor.secret, code, now, factor.last_step)
}

fn random<const N: usize>() -> Result<[u8; N], OpsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| PasswordError::Failed(error.to_string()))?;
    Ok(bytes)
}
