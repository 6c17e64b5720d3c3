//! The ways by which a person is told: mail to the account's address, and channels of their own.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{NotificationChannelId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::audit::{self, Actor};
use super::db::{Tx, all, execute, local_now, one, optional};
use super::sealing::Sealed;
use super::{
    Person, Resource, Result, Store, StoreError, accounts, counted, notification_events, outbox,
};
use crate::domain::names::check_label;
use crate::domain::notification::{MAX_CHANNELS, MAX_FAILURES};
use crate::domain::notification_channel::{ChannelKind, ChannelSettings};
use crate::vault::Place;

/// The name of the channel that each account has.
const MAIL: &str = "email";

/// A way by which a person is told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Channel {
    /// The channel's id.
    #[schema(value_type = Uuid)]
    pub id: NotificationChannelId,
    /// What it is.
    pub kind: ChannelKind,
    /// What the person calls it.
    pub name: String,
    /// The host that is called; absent for mail, which goes to the account's address.
    pub host: Option<String>,
    /// `enabled`, `disabled` by the person, or `broken`: messages failed, and it was switched off.
    pub state: String,
    /// How many messages have failed for good since the last that was delivered.
    pub failures: u64,
    /// When something was last sent.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed; absent when it did not.
    pub last_error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed or used.
    pub updated_at: DateTime<Utc>,
}

/// Where a channel leads. What is in it has been checked.
#[derive(Clone, Debug)]
pub struct ChannelAddress {
    /// All of it.
    pub settings: ChannelSettings,
    /// The host that is called.
    pub host: String,
}

/// What shall change; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct ChannelChange {
    /// What the person calls it.
    pub name: Option<String>,
    /// Where it leads.
    pub address: Option<ChannelAddress>,
    /// Whether it is used.
    pub enabled: Option<bool>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    name: String,
    host: String,
    state: String,
    failures: i64,
    last_attempt_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The columns of [`Row`].
macro_rules! select_channels {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, name, host, state, failures, last_attempt_at, last_error, created_at, updated_at
             FROM notification_channels WHERE ",
            $rest
        )
    };
}

impl TryFrom<Row> for Channel {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            kind: parse_kind(&row.kind)?,
            name: row.name,
            host: Some(row.host).filter(|host| !host.is_empty()),
            state: row.state,
            failures: counted(row.failures),
            last_attempt_at: row.last_attempt_at,
            last_error: row.last_error,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl Store {
    /// The person's channels; they are few.
    pub async fn list_channels(&self, person: &Person) -> Result<Vec<Channel>> {
        let mut reader = self.main().read().await?;
        let sql = select_channels!("user_id = $1 ORDER BY id DESC LIMIT 100");
        let rows = all!(reader.conn(), Row, sql, person.user().uuid())?;
        rows.into_iter().map(Channel::try_from).collect()
    }

    /// One of the person's channels.
    pub async fn channel(&self, person: &Person, id: NotificationChannelId) -> Result<Channel> {
        let mut reader = self.main().read().await?;
        let sql = select_channels!("id = $1 AND user_id = $2");
        let row = optional!(reader.conn(), Row, sql, id.uuid(), person.user().uuid())?;
        row.ok_or(StoreError::NotFound(Resource::NotificationChannel))?
            .try_into()
    }

    /// Makes a channel.
    pub async fn create_channel(
        &self,
        person: &Person,
        name: &str,
        address: &ChannelAddress,
    ) -> Result<Channel> {
        check_label("name", name)?;
        let mut tx = self.main().begin().await?;
        accounts::lock(&mut tx, person.user()).await?;
        refuse_too_many(&mut tx, person).await?;
        let (id, now) = (NotificationChannelId::new(), local_now());
        let sealed = self.seal_settings(&mut tx, id, &address.settings).await?;
        let made = execute!(
            tx.conn(),
            "INSERT INTO notification_channels (id, user_id, kind, name, host, settings_encrypted, key_version, state,
                failures, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'enabled', 0, $8, $8) ON CONFLICT (user_id, name) DO NOTHING",
            id.uuid(),
            person.user().uuid(),
            address.settings.kind().as_str(),
            name,
            address.host.as_str(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        if made == 0 {
            return Err(name_taken(name));
        }
        let channel = find(&mut tx, person, id).await?;
        write_audit(
            &mut tx,
            person,
            "notification_channel.create",
            &channel,
            now,
        )
        .await?;
        tx.commit().await?;
        channel.try_into()
    }

    /// Changes a channel. What waits for one that is switched off is not sent any more.
    pub async fn change_channel(
        &self,
        person: &Person,
        id: NotificationChannelId,
        change: ChannelChange,
    ) -> Result<Channel> {
        let mut tx = self.main().begin().await?;
        let before = lock(&mut tx, person, id).await?;
        let now = local_now();
        if let Some(name) = &change.name {
            rename(&mut tx, person, &before, name, now).await?;
        }
        if let Some(address) = &change.address {
            let sealed = self.seal_settings(&mut tx, id, &address.settings).await?;
            execute!(
                tx.conn(),
                "UPDATE notification_channels SET host = $2, settings_encrypted = $3, key_version = $4, failures = 0,
                    updated_at = $5 WHERE id = $1",
                id.uuid(),
                address.host.as_str(),
                sealed.bytes.as_slice(),
                sealed.key_version,
                now
            )?;
        }
        if let Some(enabled) = change.enabled {
            switch(&mut tx, id, enabled, now).await?;
        }
        let after = find(&mut tx, person, id).await?;
        write_audit(&mut tx, person, "notification_channel.change", &after, now).await?;
        tx.commit().await?;
        after.try_into()
    }

    /// Deletes a channel with what it was to tell, and with all that was sent over it.
    pub async fn delete_channel(&self, person: &Person, id: NotificationChannelId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let channel = lock(&mut tx, person, id).await?;
        if channel.kind == ChannelKind::Email.as_str() {
            return Err(StoreError::Conflict {
                message: "each account has its mail".to_owned(),
                remedy: "switch it off instead".to_owned(),
            });
        }
        let sql = "DELETE FROM notification_channels WHERE id = $1";
        execute!(tx.conn(), sql, id.uuid())?;
        let action = "notification_channel.delete";
        write_audit(&mut tx, person, action, &channel, local_now()).await?;
        tx.commit().await
    }

    async fn seal_settings(
        &self,
        tx: &mut Tx,
        id: NotificationChannelId,
        settings: &ChannelSettings,
    ) -> Result<Sealed> {
        let json = serde_json::to_vec(settings)
            .map_err(|error| StoreError::Damaged(format!("a channel's settings: {error}")))?;
        let json = Zeroizing::new(json);
        self.seal(tx, place(id.uuid()), &json).await
    }
}

/// Makes the channel that each account has. Its id is the person's own.
pub(super) async fn insert_mail(tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO notification_channels (id, user_id, kind, name, host, state, failures, created_at, updated_at)
         VALUES ($1, $1, 'email', $2, '', 'enabled', 0, $3, $3)",
        user.uuid(),
        MAIL,
        now
    )?;
    Ok(())
}

/// Locks a channel's row before any of its deliveries.
pub(super) async fn lock_row(tx: &mut Tx, id: NotificationChannelId) -> Result<bool> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM notification_channels WHERE id = $1",
        "SELECT id FROM notification_channels WHERE id = $1 FOR NO KEY UPDATE",
    );
    Ok(optional!(conn, (Uuid,), sql, id.uuid())?.is_some())
}

/// What a message over a channel that has been locked came to, so far.
pub(super) async fn note_outcome(
    tx: &mut Tx,
    id: NotificationChannelId,
    failures: Failures,
    error: Option<&str>,
    now: DateTime<Utc>,
) -> Result<u64> {
    let (factor, more) = match failures {
        Failures::None => (0, 0),
        Failures::AsBefore => (1, 0),
        Failures::OneMore => (1, 1),
    };
    let (failed,) = one!(
        tx.conn(),
        (i64,),
        "UPDATE notification_channels SET failures = failures * $2 + $3, last_error = $4, last_attempt_at = $5,
            updated_at = $5 WHERE id = $1 RETURNING failures",
        id.uuid(),
        i64::from(factor),
        i64::from(more),
        error,
        now
    )?;
    Ok(counted(failed))
}

/// What an attempt does to the count of messages that failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failures {
    /// One was delivered.
    None,
    /// It is not over.
    AsBefore,
    /// One was given up.
    OneMore,
}

/// Switches a channel off that has been locked, because messages fail, and tells the person.
pub(super) async fn note_broken(
    tx: &mut Tx,
    id: NotificationChannelId,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let broken = optional!(
        tx.conn(),
        (Uuid, String),
        "UPDATE notification_channels SET state = 'broken', updated_at = $2 WHERE id = $1 AND state = 'enabled'
         RETURNING user_id, name",
        id.uuid(),
        now
    )?;
    let Some((user, name)) = broken else {
        return Ok(());
    };
    give_up(tx, id, "the channel was switched off", now).await?;
    let user = UserId::from(user);
    notification_events::channel_broken(tx, user, id, &name, why, now).await?;
    let (action, subject) = (
        "notification_channel.break",
        ("notification_channel", id.uuid()),
    );
    let detail = json!({ "name": name, "why": why });
    audit::append_to_account(tx, user, Actor::System, action, subject, detail, now).await
}

/// Whether so many failures are enough.
pub(super) const fn is_hopeless(failures: u64) -> bool {
    failures >= MAX_FAILURES
}

async fn rename(
    tx: &mut Tx,
    person: &Person,
    before: &Row,
    name: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    check_label("name", name)?;
    let (taken,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM notification_channels WHERE user_id = $1 AND name = $2 AND id <> $3",
        person.user().uuid(),
        name,
        before.id
    )?;
    if taken > 0 {
        return Err(name_taken(name));
    }
    let sql = "UPDATE notification_channels SET name = $2, updated_at = $3 WHERE id = $1";
    execute!(tx.conn(), sql, before.id, name, now)?;
    Ok(())
}

async fn switch(
    tx: &mut Tx,
    id: NotificationChannelId,
    enabled: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    let state = if enabled { "enabled" } else { "disabled" };
    let sql =
        "UPDATE notification_channels SET state = $2, failures = 0, updated_at = $3 WHERE id = $1";
    execute!(tx.conn(), sql, id.uuid(), state, now)?;
    if !enabled {
        give_up(tx, id, "the channel was switched off", now).await?;
    }
    Ok(())
}

async fn give_up(
    tx: &mut Tx,
    id: NotificationChannelId,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = outbox::give_up!("notification_deliveries" by "channel_id");
    execute!(tx.conn(), sql, id.uuid(), why, now)?;
    Ok(())
}

/// Two who change channels of one person take turns, so that no name is there twice.
async fn lock(tx: &mut Tx, person: &Person, id: NotificationChannelId) -> Result<Row> {
    accounts::lock(tx, person.user()).await?;
    lock_row(tx, id).await?;
    find(tx, person, id).await
}

async fn find(tx: &mut Tx, person: &Person, id: NotificationChannelId) -> Result<Row> {
    let sql = select_channels!("id = $1 AND user_id = $2");
    let row = optional!(tx.conn(), Row, sql, id.uuid(), person.user().uuid())?;
    row.ok_or(StoreError::NotFound(Resource::NotificationChannel))
}

async fn refuse_too_many(tx: &mut Tx, person: &Person) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM notification_channels WHERE user_id = $1 AND kind <> 'email'";
    let (count,) = one!(tx.conn(), (i64,), sql, person.user().uuid())?;
    if counted(count) < MAX_CHANNELS as u64 {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("a person has at most {MAX_CHANNELS} channels beside mail"),
        remedy: "delete one that is not used any more".to_owned(),
    })
}

fn name_taken(name: &str) -> StoreError {
    StoreError::Conflict {
        message: format!("a channel named {name:?} exists already"),
        remedy: "choose another name".to_owned(),
    }
}

/// The address may be a secret: what is written down is the host.
async fn write_audit(
    tx: &mut Tx,
    person: &Person,
    action: &str,
    channel: &Row,
    now: DateTime<Utc>,
) -> Result<()> {
    let (user, actor) = (person.user(), person.actor());
    let subject = ("notification_channel", channel.id);
    let detail = json!({
        "kind": channel.kind,
        "name": channel.name,
        "host": channel.host,
        "state": channel.state,
    });
    audit::append_to_account(tx, user, actor, action, subject, detail, now).await
}

pub(super) fn parse_kind(text: &str) -> Result<ChannelKind> {
    text.parse()
        .map_err(|error| StoreError::Damaged(format!("a kind of channel: {error}")))
}

/// Where a channel's settings stand.
pub(super) const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "notification_channels",
        id,
        version: 1,
    }
}
