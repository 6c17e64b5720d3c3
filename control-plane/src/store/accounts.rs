//! What people sign in with.

use chrono::{DateTime, Utc};
use serde_json::json;
use towline_shared::ids::UserId;
use uuid::Uuid;

use super::db::{Tx, execute, one, optional};
use super::tenant::Person;
use super::{Result, Store, audit, notification_events, sessions};
use crate::domain::notification::NotificationEvent;
use crate::domain::password::PasswordHash;

/// A person's account, as it was at a moment.
#[derive(Clone, Debug)]
pub struct Account {
    /// The person.
    pub user: UserId,
    /// The e-mail address.
    pub email: String,
    /// The password's hash; nothing when the person has chosen none.
    pub password: Option<PasswordHash>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    password_hash: Option<String>,
}

impl Row {
    fn into_account(self) -> Account {
        Account {
            user: self.id.into(),
            email: self.email,
            password: self.password_hash.map(PasswordHash::new),
        }
    }
}

impl Store {
    /// The account of an e-mail address.
    pub async fn account_by_email(&self, email: &str) -> Result<Option<Account>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            "SELECT id, email, password_hash FROM users WHERE lower(email) = lower($1)",
            email
        )?;
        Ok(row.map(Row::into_account))
    }

    /// The person's account.
    pub async fn account(&self, person: &Person) -> Result<Account> {
        let mut reader = self.main().read().await?;
        let row = one!(
            reader.conn(),
            Row,
            "SELECT id, email, password_hash FROM users WHERE id = $1",
            person.user().uuid()
        )?;
        Ok(row.into_account())
    }
}

/// Locks an account until the commit, and reads it: who signs in while the password changes is either
/// before that, and goes with the other sessions, or finds the new one.
pub(crate) async fn lock(tx: &mut Tx, user: UserId) -> Result<Account> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id, email, password_hash FROM users WHERE id = $1",
        "SELECT id, email, password_hash FROM users WHERE id = $1 FOR NO KEY UPDATE",
    );
    Ok(one!(conn, Row, sql, user.uuid())?.into_account())
}

/// Gives the person a new password, by themselves. Every session but the one that asks ends.
pub(crate) async fn change_password(
    tx: &mut Tx,
    person: &Person,
    password: &PasswordHash,
    now: DateTime<Utc>,
) -> Result<()> {
    set_password(tx, person.user(), password, now).await?;
    let event = NotificationEvent::AccountPasswordChanged;
    notification_events::account_changed(tx, person.user(), event, now).await?;
    let ended = sessions::end_all_but(tx, person.user(), person.session()).await?;
    let (user, actor) = (person.user(), person.actor());
    let subject = ("user", user.uuid());
    let detail = json!({ "sessions_ended": ended });
    let action = "user.change_password";
    audit::append_to_account(tx, user, actor, action, subject, detail, now).await
}

pub(super) async fn set_password(
    tx: &mut Tx,
    user: UserId,
    password: &PasswordHash,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1",
        user.uuid(),
        password.as_str(),
        now
    )?;
    Ok(())
}
