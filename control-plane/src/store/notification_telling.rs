//! Who is told of something, and where, written in the transaction in which it happens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;
use towline_shared::ids::{ProjectId, TeamId, UserId};
use uuid::Uuid;

use super::db::{Tx, all, execute, one};
use super::notification_rules::{Row, effective};
use super::text::storable;
use super::{Result, StoreError};
use crate::domain::notification::{Notice, NotificationEvent, Whose};
use crate::domain::retry::GIVE_UP_AFTER;

/// Who is told, and over which channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Audience {
    product: Vec<Uuid>,
    channels: Vec<Uuid>,
}

impl Audience {
    pub(super) const fn is_empty(&self) -> bool {
        self.product.is_empty() && self.channels.is_empty()
    }

    fn add(
        &mut self,
        event: NotificationEvent,
        user: Uuid,
        whose: Whose,
        rows: Vec<Row>,
    ) -> Result<()> {
        let choice = effective(event, user, rows)?;
        if choice.in_product.covers(whose) {
            self.product.push(user);
        }
        let told = choice.channels.into_iter();
        let told = told.filter(|channel| channel.tell.covers(whose));
        self.channels
            .extend(told.map(|channel| channel.channel_id.uuid()));
        Ok(())
    }
}

/// Who of a team, and of those who are there for the project alone, is told of an event, which is `owner`'s own.
pub(super) async fn of_team(
    tx: &mut Tx,
    event: NotificationEvent,
    team: TeamId,
    project: Option<ProjectId>,
    owner: Option<UserId>,
) -> Result<Audience> {
    let rows = all!(
        tx.conn(),
        (Uuid, Option<Uuid>, Option<String>),
        "SELECT m.user_id, r.channel_id, r.tell FROM team_members m
         LEFT JOIN notification_rules r ON r.user_id = m.user_id AND r.event_type = $2 WHERE m.team_id = $1
         UNION SELECT o.user_id, r.channel_id, r.tell FROM project_members o
         LEFT JOIN notification_rules r ON r.user_id = o.user_id AND r.event_type = $2 WHERE o.project_id = $3",
        team.uuid(),
        event.as_str(),
        project.map(ProjectId::uuid)
    )?;
    let mut members: BTreeMap<Uuid, Vec<Row>> = BTreeMap::new();
    for (user, channel, tell) in rows {
        let chosen = members.entry(user).or_default();
        chosen.extend(tell.map(|tell| (channel, tell)));
    }
    let mut audience = Audience::default();
    for (user, chosen) in members {
        let whose = if owner.map(UserId::uuid) == Some(user) {
            Whose::Own
        } else {
            Whose::Others
        };
        audience.add(event, user, whose, chosen)?;
    }
    Ok(audience)
}

/// Where a person is told of what concerns their account.
pub(super) async fn of_account(
    tx: &mut Tx,
    event: NotificationEvent,
    user: UserId,
) -> Result<Audience> {
    let rows = all!(
        tx.conn(),
        Row,
        "SELECT channel_id, tell FROM notification_rules WHERE user_id = $1 AND event_type = $2",
        user.uuid(),
        event.as_str()
    )?;
    let mut audience = Audience::default();
    audience.add(event, user.uuid(), Whose::Own, rows)?;
    Ok(audience)
}

/// Tells an audience: in the product now, over channels by messages that are queued.
pub(super) async fn tell(
    tx: &mut Tx,
    audience: &Audience,
    notice: &mut Notice,
    now: DateTime<Utc>,
) -> Result<()> {
    // PostgreSQL takes no NUL; a notice has no controls but line feeds and tabs.
    debug_assert_eq!(storable(&notice.message), notice.message);
    if let Some(team) = notice.team_id {
        let sql = "SELECT name FROM teams WHERE id = $1";
        let (name,) = one!(tx.conn(), (String,), sql, team.uuid())?;
        notice.team = Some(name);
    }
    if !audience.product.is_empty() {
        tell_in_product(tx, &audience.product, notice, now).await?;
    }
    if !audience.channels.is_empty() {
        queue(tx, &audience.channels, notice, now).await?;
    }
    Ok(())
}

/// Each with a new identifier in front.
fn with_ids(of: &[Uuid]) -> String {
    let pairs = of.iter().map(|one| json!([Uuid::now_v7(), one]));
    pairs.collect::<serde_json::Value>().to_string()
}

async fn tell_in_product(
    tx: &mut Tx,
    users: &[Uuid],
    notice: &Notice,
    now: DateTime<Utc>,
) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "INSERT INTO notifications (id, user_id, team_id, project_id, type, message, detail, subject_type, subject_id,
            is_read, created_at)
         SELECT unhex(json_extract(value, '$[0]'), '-'), unhex(json_extract(value, '$[1]'), '-'), $2, $3, $4, $5, $6,
            $7, $8, 0, $9 FROM json_each($1)",
        "INSERT INTO notifications (id, user_id, team_id, project_id, type, message, detail, subject_type, subject_id,
            is_read, created_at)
         SELECT (value ->> 0)::uuid, (value ->> 1)::uuid, $2, $3, $4, $5, $6, $7, $8, 0, $9
         FROM json_array_elements($1::json)",
    );
    let subject = notice.subject.as_ref();
    execute!(
        conn,
        sql,
        with_ids(users),
        notice.team_id.map(TeamId::uuid),
        notice.project_id.map(ProjectId::uuid),
        notice.event.as_str(),
        notice.message.as_str(),
        notice.detail.as_deref(),
        subject.map(|subject| subject.kind.as_str()),
        subject.map(|subject| subject.id),
        now
    )?;
    Ok(())
}

/// Over channels that are switched on. One that is deleted in this moment is left out.
async fn queue(tx: &mut Tx, channels: &[Uuid], notice: &Notice, now: DateTime<Utc>) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "INSERT INTO notification_deliveries (id, channel_id, team_id, event_id, event_type, notice, state, attempts,
            next_attempt_at, give_up_at, created_at, updated_at)
         SELECT unhex(json_extract(p.value, '$[0]'), '-'), c.id, $2, $3, $4, $5, 'waiting', 0, $6, $7, $6, $6
         FROM json_each($1) p CROSS JOIN notification_channels c ON c.id = unhex(json_extract(p.value, '$[1]'), '-')
         WHERE c.state = 'enabled'",
        "INSERT INTO notification_deliveries (id, channel_id, team_id, event_id, event_type, notice, state, attempts,
            next_attempt_at, give_up_at, created_at, updated_at)
         SELECT (p.value ->> 0)::uuid, c.id, $2, $3, $4, $5, 'waiting', 0, $6, $7, $6, $6
         FROM json_array_elements($1::json) p JOIN notification_channels c ON c.id = (p.value ->> 1)::uuid
         WHERE c.state = 'enabled' FOR KEY SHARE OF c",
    );
    execute!(
        conn,
        sql,
        with_ids(channels),
        notice.team_id.map(TeamId::uuid),
        Uuid::now_v7(),
        notice.event.as_str(),
        as_json(notice)?,
        now,
        now + GIVE_UP_AFTER
    )?;
    Ok(())
}

/// A notice as it is stored.
pub(super) fn as_json(notice: &Notice) -> Result<String> {
    serde_json::to_string(notice)
        .map_err(|error| StoreError::Damaged(format!("a notice cannot be stored: {error}")))
}

/// A stored notice.
pub(super) fn from_json(text: &str) -> Result<Notice> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(format!("a notice: {error}")))
}
