//! When keys and sessions were last used, to the minute.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::db::execute;
use super::{Result, Store};

/// A use is noted once in this time.
const EVERY: TimeDelta = TimeDelta::minutes(1);

const OF_KEY: &str = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)";
const OF_SESSION: &str =
    "UPDATE sessions SET last_used_at = $2 WHERE id = $1 AND last_used_at <= $3";

/// What was used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Used {
    Key(Uuid),
    Session(Uuid),
}

impl Store {
    /// Notes a use, if the last one noted is old enough. Not worth that anybody waits for it or fails by
    /// it.
    pub(super) fn note_use(&self, used: Used, last: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        if last.is_some_and(|at| now - at < EVERY) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.write_use(used, now).await {
                tracing::debug!(%error, ?used, "a last use was not noted");
            }
        });
    }

    async fn write_use(&self, used: Used, now: DateTime<Utc>) -> Result<()> {
        let (sql, id) = match used {
            Used::Key(id) => (OF_KEY, id),
            Used::Session(id) => (OF_SESSION, id),
        };
        let mut tx = self.main().begin().await?;
        if execute!(tx.conn(), sql, id, now, now - EVERY)? == 1 {
            tx.commit().await
        } else {
            Ok(())
        }
    }
}
