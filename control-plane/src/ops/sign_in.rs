//! Signing in by a password, and changing it.

use chrono::{DateTime, Utc};
use towline_shared::ids::UserId;

use super::{OpsError, second_factor};
use crate::domain::password::{Password, PasswordHash};
use crate::passwords::{Passwords, Verdict};
use crate::store::db::Tx;
use crate::store::{
    Account, Device, Means, NewSession, Person, Store, UserState, accounts, notification_events,
    sessions, users,
};

/// Who wants to sign in, and how they show it.
#[derive(Debug)]
pub struct SignIn {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: Password,
    /// A code of the second factor, or a recovery code.
    pub code: Option<String>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLetIn {
    /// No such account, no password, or another: one answer.
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    /// The password of somebody who is signed in is another.
    #[error("the password is wrong")]
    WrongPassword,
    /// The password is right, and a code is asked for besides.
    #[error("a code of the second factor is needed")]
    CodeRequired,
    /// The code is another, or was used.
    #[error("the code is wrong, or was used already")]
    WrongCode,
    /// They have shown who they are, and are shut out.
    #[error("this account is suspended")]
    Suspended,
    /// There is no password to be changed.
    #[error("you have no password yet")]
    NoPassword,
}

/// Begins a session of whom the password shows.
pub async fn sign_in(
    store: &Store,
    passwords: &Passwords,
    sign_in: SignIn,
    device: &Device,
) -> Result<NewSession, OpsError> {
    let account = store.account_by_email(&sign_in.email).await?;
    let stored = account
        .as_ref()
        .and_then(|account| account.password.clone());
    let verdict = passwords.check(sign_in.password, stored).await?;
    let account = account.ok_or(NotLetIn::Wrong)?;
    if verdict == Verdict::Wrong {
        store.note_refused_sign_in(account.user, device, "password");
        return Err(NotLetIn::Wrong.into());
    }
    let (mut tx, now) = lock_as_seen(store, &account).await?;
    let code = sign_in.code.as_deref();
    if let Err(error) = second_factor::check(store, &mut tx, account.user, code, now).await {
        if matches!(error, OpsError::NotLetIn(NotLetIn::WrongCode)) {
            store.note_refused_sign_in(account.user, device, "code");
        }
        return Err(error);
    }
    let begun = let_in(&mut tx, account.user, device, Means::Password, now).await?;
    tx.commit().await?;
    store.wake().outbox();
    Ok(begun)
}

/// Gives somebody who knows the present password a new one. Their other sessions end.
pub async fn change_password(
    store: &Store,
    passwords: &Passwords,
    person: &Person,
    present: Password,
    new: Password,
) -> Result<(), OpsError> {
    let account = confirmed(store, passwords, person, present).await?;
    let new = passwords.hash("new_password", new, &account.email).await?;
    let (mut tx, now) = lock_as_seen(store, &account).await?;
    accounts::change_password(&mut tx, person, &new, now).await?;
    tx.commit().await?;
    store.wake().outbox();
    Ok(())
}

/// The account of somebody who shows once more that they are who they say.
pub(super) async fn confirmed(
    store: &Store,
    passwords: &Passwords,
    person: &Person,
    password: Password,
) -> Result<Account, OpsError> {
    let account = store.account(person).await?;
    let stored = account.password.clone().ok_or(NotLetIn::NoPassword)?;
    match passwords.check(password, Some(stored)).await? {
        Verdict::Right => Ok(account),
        Verdict::Wrong => Err(NotLetIn::WrongPassword.into()),
    }
}

/// Locks an account whose password was checked a moment ago, if that is still the password.
pub(super) async fn lock_as_seen(
    store: &Store,
    account: &Account,
) -> Result<(Tx, DateTime<Utc>), OpsError> {
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    let present: Option<PasswordHash> = accounts::lock(&mut tx, account.user).await?.password;
    if present == account.password {
        Ok((tx, now))
    } else {
        Err(NotLetIn::Wrong.into())
    }
}

/// Begins a session in an account that was there before, and tells its person. To be called last in a transaction that
/// has locked the account; what is told waits in the outbox.
pub(super) async fn let_in(
    tx: &mut Tx,
    user: UserId,
    device: &Device,
    means: Means<'_>,
    now: DateTime<Utc>,
) -> Result<NewSession, OpsError> {
    if users::state_of(tx, user).await? == UserState::Suspended {
        return Err(NotLetIn::Suspended.into());
    }
    notification_events::signs_in(tx, user, device, now).await?;
    Ok(sessions::begin(tx, user, device, means, now).await?)
}
