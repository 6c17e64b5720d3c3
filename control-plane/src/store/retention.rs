//! What is deleted because it is old, once an hour.

use chrono::TimeDelta;

use super::db::{execute, local_now};
use super::{Result, Store, notifications, password_resets, sessions, sign_in_attempts, usage};

/// A client that repeats a request after this long means a new one.
const KEYS_FOR: TimeDelta = TimeDelta::days(7);
/// Tokens and their fate are of interest for a while after their quarter of an hour.
const TOKENS_FOR: TimeDelta = TimeDelta::days(30);
/// Certificates may renew for 30 days after their end, and are kept for as long again.
const CERTIFICATES_FOR: TimeDelta = TimeDelta::days(60);
/// Messages to webhooks and over channels, calls of plugins and statuses of commits can be looked at, and sent once more, for so long.
const DELIVERIES_FOR: TimeDelta = TimeDelta::days(30);

impl Store {
    /// Deletes what is old and of no more use.
    pub async fn prune(&self) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        execute!(
            tx.conn(),
            "DELETE FROM idempotency_keys WHERE created_at < $1",
            now - KEYS_FOR
        )?;
        execute!(
            tx.conn(),
            "DELETE FROM enrolment_tokens WHERE expires_at < $1",
            now - TOKENS_FOR
        )?;
        execute!(
            tx.conn(),
            "DELETE FROM certificates WHERE not_after < $1",
            now - CERTIFICATES_FOR
        )?;
        sessions::prune(&mut tx, now).await?;
        password_resets::prune(&mut tx, now).await?;
        sign_in_attempts::prune(&mut tx, now).await?;
        execute!(
            tx.conn(),
            "DELETE FROM webhook_deliveries WHERE created_at < $1",
            now - DELIVERIES_FOR
        )?;
        execute!(
            tx.conn(),
            "DELETE FROM notification_deliveries WHERE created_at < $1",
            now - DELIVERIES_FOR
        )?;
        execute!(
            tx.conn(),
            "DELETE FROM plugin_runs WHERE created_at < $1",
            now - DELIVERIES_FOR
        )?;
        execute!(
            tx.conn(),
            "DELETE FROM commit_statuses WHERE created_at < $1",
            now - DELIVERIES_FOR
        )?;
        notifications::prune(&mut tx, now).await?;
        execute!(tx.conn(), usage::FORGET, now - usage::KEPT_FOR)?;
        tx.commit().await?;
        self.prune_logs().await?;
        Ok(())
    }
}
