//! Sending's side of what people are told over channels, and what was sent.

use chrono::{DateTime, Utc};
use serde::Serialize;
use towline_shared::ids::{NotificationChannelId, NotificationDeliveryId, ProjectId, TeamId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, one, optional};
use super::notification_channels::{
    Failures, is_hopeless, lock_row, note_broken, note_outcome, parse_kind, place,
};
use super::notification_telling::{as_json, from_json};
use super::outbox::{self, After, Attempted, LEASE, Underway, claim, next_due, note_attempt};
use super::page::{Listed, Page};
use super::text::storable;
use super::{Person, Result, Store, StoreError, counted};
use crate::domain::notification::{Notice, TEST};
use crate::domain::notification_channel::{ChannelKind, ChannelSettings};
use crate::domain::retry::Verdict;

const CLAIM: [&str; 2] = claim!("notification_deliveries" for "notification_channels" by "channel_id"
    gives "id, channel_id, event_id, attempts, notice, give_up_at, created_at");
const NEXT: &str = next_due!("notification_deliveries");

/// A message over a channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NotificationDelivery {
    /// The delivery's id.
    #[schema(value_type = Uuid)]
    pub id: NotificationDeliveryId,
    /// The channel.
    #[schema(value_type = Uuid)]
    pub channel_id: NotificationChannelId,
    /// What happened (`deployment.failed`), or `channel.test`.
    pub event_type: String,
    /// The same in one line.
    pub message: String,
    /// `waiting`, `sending`, `delivered` or `failed`.
    pub state: String,
    /// How many attempts were begun.
    pub attempts: u64,
    /// When the next one is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last answer; absent for mail.
    pub response_status: Option<i64>,
    /// The first 4 KiB of it.
    pub response_body: Option<String>,
    /// How long the last attempt took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Why the last attempt was none.
    pub error: Option<String>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A message to send now.
#[derive(Debug)]
pub struct DueNotice {
    /// The delivery.
    pub id: NotificationDeliveryId,
    /// Its channel.
    pub channel: NotificationChannelId,
    /// What that is.
    pub kind: ChannelKind,
    /// The host there; empty for mail.
    pub host: String,
    /// The address of the person's account.
    pub email: String,
    /// The same however often it is sent.
    pub event_id: Uuid,
    /// What is told.
    pub notice: Notice,
    /// When it happened.
    pub happened_at: DateTime<Utc>,
    attempt: i64,
    taken_at: DateTime<Utc>,
    give_up_at: DateTime<Utc>,
    sealed: Option<(Vec<u8>, i64)>,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    id: Uuid,
    channel_id: Uuid,
    event_id: Uuid,
    attempts: i64,
    notice: String,
    give_up_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

/// Where a message goes, and whether it still may.
#[derive(sqlx::FromRow)]
struct Receiver {
    kind: String,
    host: String,
    state: String,
    settings_encrypted: Option<Vec<u8>>,
    key_version: Option<i64>,
    email: String,
    is_member: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    channel_id: Uuid,
    event_type: String,
    notice: String,
    state: String,
    attempts: i64,
    next_attempt_at: Option<DateTime<Utc>>,
    response_status: Option<i64>,
    response_body: Option<String>,
    duration_ms: Option<i64>,
    error: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

/// The columns of [`Row`], of deliveries over channels of a person.
macro_rules! select_deliveries {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.channel_id, d.event_type, d.notice, d.state, d.attempts, d.next_attempt_at,
                d.response_status, d.response_body, d.duration_ms, d.error, d.created_at, d.finished_at
             FROM notification_deliveries d JOIN notification_channels c ON c.id = d.channel_id WHERE ",
            $rest
        )
    };
}

impl TryFrom<Row> for NotificationDelivery {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            channel_id: row.channel_id.into(),
            event_type: row.event_type,
            message: from_json(&row.notice)?.message,
            state: row.state,
            attempts: counted(row.attempts),
            next_attempt_at: row.next_attempt_at,
            response_status: row.response_status,
            response_body: row.response_body,
            duration_ms: row.duration_ms,
            error: row.error,
            created_at: row.created_at,
            finished_at: row.finished_at,
        })
    }
}

impl Receiver {
    /// Why it is not told any more.
    fn refusal(&self) -> Option<&'static str> {
        if self.is_member == 0 {
            Some("the person is not in the team any more")
        } else if self.state != "enabled" {
            Some("the channel was switched off")
        } else {
            None
        }
    }
}

impl Store {
    /// Takes the message that has been due for longest, but for hosts that are called enough already. Messages that
    /// nobody is to be told any more end here.
    pub async fn claim_notice(&self, busy: &[String]) -> Result<Option<DueNotice>> {
        if !self.may_be_due(NEXT).await? {
            return Ok(None);
        }
        let busy = serde_json::Value::from(busy).to_string();
        loop {
            let mut tx = self.main().begin().await?;
            let now = tx.now().await?;
            let conn = tx.conn();
            let sql = conn.pick(CLAIM[0], CLAIM[1]);
            let taken = optional!(conn, DueRow, sql, now, now + LEASE, busy.as_str())?;
            let Some(row) = taken else {
                tx.roll_back().await?;
                return Ok(None);
            };
            let receiver = receiver(&mut tx, row.channel_id, &from_json(&row.notice)?).await?;
            if let Some(why) = receiver.refusal() {
                end(&mut tx, row.id, why, now).await?;
                tx.commit().await?;
                continue;
            }
            tx.commit().await?;
            return due(&row, receiver, now).map(Some);
        }
    }

    /// When the next message is due.
    pub async fn next_notice(&self) -> Result<Option<DateTime<Utc>>> {
        self.next_due(NEXT).await
    }

    /// Where a message goes; nothing for mail.
    pub async fn channel_settings(&self, due: &DueNotice) -> Result<Option<ChannelSettings>> {
        let Some((sealed, key_version)) = &due.sealed else {
            return Ok(None);
        };
        let place = place(due.channel.uuid());
        let json = self.unseal(place, *key_version, sealed).await?;
        let settings = serde_json::from_slice(&json);
        settings
            .map(Some)
            // The cause may have a piece of the settings in it.
            .map_err(|_| StoreError::Damaged(format!("the settings of channel {}", due.channel)))
    }

    /// Writes down what became of an attempt. Gives false when it was another sender's by then.
    pub async fn notice_attempted(&self, due: &DueNotice, attempted: &Attempted) -> Result<bool> {
        let mut tx = self.main().begin().await?;
        if !lock_row(&mut tx, due.channel).await? {
            tx.roll_back().await?;
            return Ok(false);
        }
        let now = tx.now().await?;
        let underway = Underway {
            id: due.id.uuid(),
            attempt: due.attempt,
            taken_at: due.taken_at,
            give_up_at: due.give_up_at,
        };
        let sql = note_attempt!("notification_deliveries");
        let after = outbox::note(&mut tx, sql, &underway, attempted, now).await?;
        if after == After::Superseded {
            tx.roll_back().await?;
            return Ok(false);
        }
        // Who tries a channel sees what comes of it, and may try as often as they like.
        let is_test = due.notice.event == TEST;
        let failures = match after {
            After::Delivered => Failures::None,
            After::Failed if !is_test => Failures::OneMore,
            _ => Failures::AsBefore,
        };
        let error = attempted.error.as_deref().map(storable);
        let failed = note_outcome(&mut tx, due.channel, failures, error.as_deref(), now).await?;
        let is_over = attempted.verdict == Verdict::Gone || is_hopeless(failed);
        if failures == Failures::OneMore && is_over {
            let why = error.as_deref().unwrap_or("messages failed");
            note_broken(&mut tx, due.channel, why, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Begins to send a message that says nothing but that it works. It is tried this once.
    pub async fn begin_test(
        &self,
        person: &Person,
        channel: NotificationChannelId,
    ) -> Result<DueNotice> {
        let shown = self.channel(person, channel).await?;
        let message = format!("This is a test of your channel {}", shown.name);
        let notice = Notice::new(TEST, &message, Some("It works."));
        let (id, event_id) = (NotificationDeliveryId::new(), Uuid::now_v7());
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let made = execute!(
            tx.conn(),
            "INSERT INTO notification_deliveries (id, channel_id, event_id, event_type, notice, state, attempts,
                next_attempt_at, give_up_at, created_at, updated_at)
             SELECT $1, c.id, $3, $4, $5, 'sending', 1, $6, $7, $7, $7 FROM notification_channels c WHERE c.id = $2",
            id.uuid(),
            channel.uuid(),
            event_id,
            TEST,
            as_json(&notice)?,
            now + LEASE,
            now
        )?;
        if made == 0 {
            return Err(StoreError::NotFound(super::Resource::NotificationChannel));
        }
        let receiver = receiver(&mut tx, channel.uuid(), &notice).await?;
        tx.commit().await?;
        let row = DueRow {
            id: id.uuid(),
            channel_id: channel.uuid(),
            event_id,
            attempts: 1,
            notice: as_json(&notice)?,
            give_up_at: now,
            created_at: now,
        };
        due(&row, receiver, now)
    }

    /// One message over a channel of the person.
    pub async fn notification_delivery(
        &self,
        person: &Person,
        id: NotificationDeliveryId,
    ) -> Result<NotificationDelivery> {
        let mut reader = self.main().read().await?;
        let sql = select_deliveries!("d.id = $1 AND c.user_id = $2");
        let user = person.user().uuid();
        one!(reader.conn(), Row, sql, id.uuid(), user)?.try_into()
    }

    /// What was and is to be sent over a channel.
    pub async fn list_notification_deliveries(
        &self,
        person: &Person,
        channel: NotificationChannelId,
        page: Page,
    ) -> Result<Listed<NotificationDelivery>> {
        self.channel(person, channel).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_deliveries!(
                "d.channel_id = $1 AND c.user_id = $2 AND d.id < $3 ORDER BY d.id DESC LIMIT $4"
            ),
            channel.uuid(),
            person.user().uuid(),
            page.before(),
            page.fetch()
        )?;
        let deliveries = rows.into_iter().map(NotificationDelivery::try_from);
        let deliveries = deliveries.collect::<Result<Vec<_>>>()?;
        Ok(page.cut(deliveries, |one| one.id.uuid()))
    }
}

fn due(row: &DueRow, receiver: Receiver, now: DateTime<Utc>) -> Result<DueNotice> {
    Ok(DueNotice {
        id: row.id.into(),
        channel: row.channel_id.into(),
        kind: parse_kind(&receiver.kind)?,
        host: receiver.host,
        email: receiver.email,
        event_id: row.event_id,
        notice: from_json(&row.notice)?,
        happened_at: row.created_at,
        attempt: row.attempts,
        taken_at: now,
        give_up_at: row.give_up_at,
        sealed: receiver.settings_encrypted.zip(receiver.key_version),
    })
}

/// Who is in the team, or has a role on the project, is read again: somebody who has left is told nothing.
async fn receiver(tx: &mut Tx, channel: Uuid, notice: &Notice) -> Result<Receiver> {
    Ok(one!(
        tx.conn(),
        Receiver,
        "SELECT c.kind, c.host, c.state, c.settings_encrypted, c.key_version, u.email,
            CAST(CASE WHEN $2 IS NULL
                OR EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = $2 AND m.user_id = c.user_id)
                OR EXISTS (SELECT 1 FROM project_members o WHERE o.project_id = $3 AND o.user_id = c.user_id)
                THEN 1 ELSE 0 END AS BIGINT) AS is_member
         FROM notification_channels c JOIN users u ON u.id = c.user_id WHERE c.id = $1",
        channel,
        notice.team_id.map(TeamId::uuid),
        notice.project_id.map(ProjectId::uuid)
    )?)
}

async fn end(tx: &mut Tx, id: Uuid, why: &str, now: DateTime<Utc>) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE notification_deliveries SET state = 'failed', next_attempt_at = NULL, error = $2, finished_at = $3,
            updated_at = $3 WHERE id = $1",
        id,
        why,
        now
    )?;
    Ok(())
}
