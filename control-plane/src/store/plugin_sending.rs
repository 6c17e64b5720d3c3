//! Sending's side of what plugins are told.

use chrono::{DateTime, Utc};
use towline_shared::ids::PluginRunId;
use uuid::Uuid;

use super::db::{execute, optional};
use super::outbox::{self, After, Attempted, LEASE, Underway, claim, next_due, note_attempt};
use super::plugins::{Callee, callee_of};
use super::{Result, Store};

const CLAIM: [&str; 2] = claim!("plugin_runs" for "custom_plugins" by "plugin_id"
    gives "id, plugin_id, attempts, request_body, give_up_at");
const NEXT: &str = next_due!("plugin_runs");

/// A telling to send now.
#[derive(Debug)]
pub struct DueRun {
    /// The run.
    pub id: PluginRunId,
    /// Whom to call.
    pub callee: Callee,
    /// Which attempt this is.
    pub attempt: i64,
    /// What is sent.
    pub body: String,
    /// The database's time.
    pub now: DateTime<Utc>,
    give_up_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    plugin_id: Uuid,
    attempts: i64,
    request_body: String,
    give_up_at: DateTime<Utc>,
}

impl Store {
    /// Takes the telling that has been due for longest, but for hosts that are called enough already.
    pub async fn claim_plugin_run(&self, busy: &[String]) -> Result<Option<DueRun>> {
        if !self.may_be_due(NEXT).await? {
            return Ok(None);
        }
        let busy = serde_json::Value::from(busy).to_string();
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let conn = tx.conn();
        let sql = conn.pick(CLAIM[0], CLAIM[1]);
        let Some(row) = optional!(conn, Row, sql, now, now + LEASE, busy)? else {
            tx.roll_back().await?;
            return Ok(None);
        };
        let callee = callee_of(&mut tx, row.plugin_id).await?;
        tx.commit().await?;
        Ok(Some(DueRun {
            id: row.id.into(),
            callee,
            attempt: row.attempts,
            body: row.request_body,
            now,
            give_up_at: row.give_up_at,
        }))
    }

    /// When the next telling is due.
    pub async fn next_plugin_run(&self) -> Result<Option<DateTime<Utc>>> {
        self.next_due(NEXT).await
    }

    /// Writes down what became of an attempt, and what the plugin says. Gives false when it was another sender's by then.
    pub async fn plugin_attempted(
        &self,
        due: &DueRun,
        attempted: &Attempted,
        message: Option<&str>,
    ) -> Result<bool> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let underway = Underway {
            id: due.id.uuid(),
            attempt: due.attempt,
            taken_at: due.now,
            give_up_at: due.give_up_at,
        };
        let sql = note_attempt!("plugin_runs");
        if outbox::note(&mut tx, sql, &underway, attempted, now).await? == After::Superseded {
            tx.roll_back().await?;
            return Ok(false);
        }
        let sql = "UPDATE plugin_runs SET message = $2 WHERE id = $1";
        execute!(tx.conn(), sql, due.id.uuid(), message)?;
        tx.commit().await?;
        Ok(true)
    }
}
