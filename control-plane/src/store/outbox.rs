//! Messages that are sent at least once: who takes which, and what became of it. Webhooks and channels of notifications
//! have tables of their own, of one shape.
//!
//! A message is taken by counting its attempt and moving the time at which it is due behind the sender's lease: a
//! sender that dies leaves a message that is due again. What became of an attempt is written under its number, so that
//! a sender that was taken for dead changes nothing any more.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::db::{Tx, execute, local_now, optional};
use super::text::storable;
use super::{Result, Store};
use crate::domain::retry::{Pace, Verdict};

/// How long a sender has until it is taken for dead; more than a call may take.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How much of an answer is kept.
pub const KEPT_BYTES: usize = 4096;
/// How far a replica's clock may lie behind the database's before it looks in vain.
const APART: TimeDelta = TimeDelta::seconds(60);

/// What became of an attempt.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// What it came to.
    pub verdict: Verdict,
    /// The answer's status and the beginning of its body.
    pub answer: Option<(u16, Vec<u8>)>,
    /// Why there was none, or why it does not count.
    pub error: Option<String>,
    /// How long it took.
    pub took: TimeDelta,
    /// By what the next attempt is moved.
    pub pace: Pace,
}

impl Attempted {
    /// An attempt without an answer.
    pub fn unanswered(verdict: Verdict, error: String) -> Self {
        Self {
            verdict,
            answer: None,
            error: Some(error),
            took: TimeDelta::zero(),
            pace: Pace::after(None),
        }
    }
}

/// An attempt that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Underway {
    /// The message.
    pub(super) id: Uuid,
    /// Which attempt this is.
    pub(super) attempt: i64,
    /// When it was taken.
    pub(super) taken_at: DateTime<Utc>,
    /// Until when it is tried.
    pub(super) give_up_at: DateTime<Utc>,
}

/// Where a message is after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Somebody else's by then: nothing was written.
    Superseded,
    /// It is tried again.
    Waiting,
    /// It was delivered.
    Delivered,
    /// It was given up.
    Failed,
}

/// The two statements, by [`super::db::Conn::pick`], that take the message that has been due for longest ($1: now, $2:
/// the lease's end), but for hosts that are called enough already ($3), and for those that a condition holds up.
macro_rules! claim {
    ($deliveries:literal for $targets:literal by $key:literal gives $columns:literal) => {
        claim!($deliveries for $targets by $key gives $columns where "1 = 1")
    };
    ($deliveries:literal for $targets:literal by $key:literal gives $columns:literal where $condition:literal) => {
        [
            concat!(
                "UPDATE ", $deliveries, " SET state = 'sending', attempts = attempts + 1, next_attempt_at = $2, updated_at = $1
                 WHERE id = (
                    SELECT d.id FROM ", $deliveries, " d CROSS JOIN ", $targets, " t ON t.id = d.", $key, "
                    WHERE d.next_attempt_at <= $1 AND t.host NOT IN (SELECT value FROM json_each($3)) AND ", $condition, "
                    ORDER BY d.next_attempt_at LIMIT 1)
                 RETURNING ", $columns
            ),
            concat!(
                "UPDATE ", $deliveries, " SET state = 'sending', attempts = attempts + 1, next_attempt_at = $2, updated_at = $1
                 WHERE id = (
                    SELECT d.id FROM ", $deliveries, " d JOIN ", $targets, " t ON t.id = d.", $key, "
                    WHERE d.next_attempt_at <= $1 AND t.host NOT IN (SELECT jsonb_array_elements_text($3::jsonb)) AND ", $condition, "
                    ORDER BY d.next_attempt_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
                 RETURNING ", $columns
            ),
        ]
    };
}

/// When the next message is due.
macro_rules! next_due {
    ($deliveries:literal) => {
        concat!(
            "SELECT next_attempt_at FROM ",
            $deliveries,
            " WHERE next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT 1"
        )
    };
}

/// What became of an attempt, for [`note`].
macro_rules! note_attempt {
    ($deliveries:literal) => {
        concat!(
            "UPDATE ",
            $deliveries,
            " SET state = $3, next_attempt_at = $4, attempted_at = $5, response_status = $6, response_body = $7,
                duration_ms = $8, error = $9, finished_at = $10, updated_at = $11
             WHERE id = $1 AND attempts = $2 AND state = 'sending'"
        )
    };
}

/// Ends all that waits for a target ($1), with a reason ($2), now ($3).
macro_rules! give_up {
    ($deliveries:literal by $key:literal) => {
        concat!(
            "UPDATE ",
            $deliveries,
            " SET state = 'failed', next_attempt_at = NULL, error = $2, finished_at = $3, updated_at = $3 WHERE ",
            $key,
            " = $1 AND next_attempt_at IS NOT NULL"
        )
    };
}
pub(super) use {claim, give_up, next_due, note_attempt};

impl Store {
    /// When the next message of a table is due, by [`next_due`].
    pub(super) async fn next_due(&self, sql: &'static str) -> Result<Option<DateTime<Utc>>> {
        let mut reader = self.main().read().await?;
        let due = optional!(reader.conn(), (DateTime<Utc>,), sql)?;
        Ok(due.map(|(due,)| due))
    }

    /// Whether something may be due. Who only looks does not wait for SQLite's writer.
    pub(super) async fn may_be_due(&self, sql: &'static str) -> Result<bool> {
        let next = self.next_due(sql).await?;
        Ok(next.is_some_and(|due| due <= local_now() + APART))
    }
}

/// Writes down what became of an attempt, by [`note_attempt`].
pub(super) async fn note(
    tx: &mut Tx,
    sql: &'static str,
    underway: &Underway,
    attempted: &Attempted,
    now: DateTime<Utc>,
) -> Result<After> {
    let attempts = u32::try_from(underway.attempt).unwrap_or(u32::MAX);
    let verdict = attempted.verdict;
    let next = verdict.next_attempt(attempts, now, underway.give_up_at, attempted.pace);
    let (state, after) = match next {
        Some(_) => ("waiting", After::Waiting),
        None if verdict == Verdict::Delivered => ("delivered", After::Delivered),
        None => ("failed", After::Failed),
    };
    let answer = attempted.answer.as_ref();
    let written = execute!(
        tx.conn(),
        sql,
        underway.id,
        underway.attempt,
        state,
        next,
        underway.taken_at,
        answer.map(|(status, _)| i64::from(*status)),
        answer.map(|(_, body)| kept(body)),
        attempted.took.num_milliseconds(),
        attempted.error.as_deref().map(storable),
        next.is_none().then_some(now),
        now
    )?;
    Ok(if written == 1 {
        after
    } else {
        After::Superseded
    })
}

/// The beginning of an answer, as text that both databases take.
pub(super) fn kept(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(KEPT_BYTES)]);
    storable(&text).into_owned()
}
