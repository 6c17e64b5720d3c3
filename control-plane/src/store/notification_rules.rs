//! What each person is told of, and where: their choices, and the defaults where they have chosen nothing.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;
use towline_shared::ids::NotificationChannelId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, local_now};
use super::{Person, Result, Store, StoreError, accounts, audit};
use crate::domain::notification::{NotificationEvent, Tell};

/// Where somebody is told of an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventRule {
    /// What happens (`deployment.failed`).
    pub event: &'static str,
    /// In the product.
    pub in_product: Tell,
    /// Over channels; those that are not named tell nothing of it.
    pub channels: Vec<ChannelRule>,
    /// Whether it is so because nothing else was chosen.
    pub is_default: bool,
    /// Whether `own` can be chosen: what tells of deployments that one asked for.
    pub has_own: bool,
}

/// What a channel tells of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChannelRule {
    /// The channel.
    #[schema(value_type = Uuid)]
    pub channel_id: NotificationChannelId,
    /// Which of the event's occurrences.
    pub tell: Tell,
}

/// A choice for an event.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// The event.
    pub event: NotificationEvent,
    /// What is chosen; nothing for the default.
    pub choice: Option<Choice>,
}

/// All of the places at which an event is told.
#[derive(Clone, Debug)]
pub struct Choice {
    /// In the product.
    pub in_product: Tell,
    /// Over channels.
    pub channels: Vec<ChannelRule>,
}

/// A row: the product's without a channel.
pub(super) type Row = (Option<Uuid>, String);

impl Store {
    /// What the person is told of, and where: all events, in a fixed order.
    pub async fn notification_rules(&self, person: &Person) -> Result<Vec<EventRule>> {
        let user = person.user().uuid();
        let mut reader = self.main().read().await?;
        let chosen = all!(
            reader.conn(),
            (String, Option<Uuid>, String),
            "SELECT event_type, channel_id, tell FROM notification_rules WHERE user_id = $1 ORDER BY event_type, channel_id",
            user
        )?;
        let rule = |event: NotificationEvent| {
            let rows: Vec<Row> = chosen
                .iter()
                .filter(|(name, ..)| name == event.as_str())
                .map(|(_, channel, tell)| (*channel, tell.clone()))
                .collect();
            let is_default = is_default(&rows);
            let choice = effective(event, user, rows)?;
            Ok(EventRule {
                event: event.as_str(),
                in_product: choice.in_product,
                channels: choice.channels,
                is_default,
                has_own: event.has_owner(),
            })
        };
        NotificationEvent::ALL.into_iter().map(rule).collect()
    }

    /// Puts choices in the place of those that there were for the same events; other events stay.
    pub async fn choose_notification_rules(
        &self,
        person: &Person,
        rules: Vec<NewRule>,
    ) -> Result<Vec<EventRule>> {
        let mut events = BTreeSet::new();
        for rule in &rules {
            check(rule, &mut events)?;
        }
        let mut tx = self.main().begin().await?;
        accounts::lock(&mut tx, person.user()).await?;
        let now = local_now();
        for rule in &rules {
            replace(&mut tx, person, rule).await?;
        }
        let (user, actor) = (person.user(), person.actor());
        let subject = ("user", user.uuid());
        let names: Vec<_> = rules.iter().map(|rule| rule.event.as_str()).collect();
        let detail = json!({ "events": names });
        let action = "notification_rules.change";
        audit::append_to_account(&mut tx, user, actor, action, subject, detail, now).await?;
        tx.commit().await?;
        self.notification_rules(person).await
    }
}

fn check(rule: &NewRule, events: &mut BTreeSet<NotificationEvent>) -> Result<()> {
    let refused = |message: String, remedy: &str| StoreError::Invalid {
        field: "rules",
        message,
        remedy: remedy.to_owned(),
    };
    let event = rule.event;
    if !events.insert(event) {
        return Err(refused(
            format!("{event} is there twice"),
            "give one rule for each event",
        ));
    }
    let Some(choice) = &rule.choice else {
        return Ok(());
    };
    let mut channels = BTreeSet::new();
    for channel in &choice.channels {
        if !channels.insert(channel.channel_id) {
            return Err(refused(
                format!("{event} names a channel twice"),
                "give each channel once",
            ));
        }
    }
    let tells = choice.channels.iter().map(|channel| channel.tell);
    if !event.has_owner()
        && tells
            .chain([choice.in_product])
            .any(|tell| tell == Tell::Own)
    {
        return Err(refused(
            format!("{event} has no occurrences of one's own"),
            "choose none or all",
        ));
    }
    Ok(())
}

async fn replace(tx: &mut Tx, person: &Person, rule: &NewRule) -> Result<()> {
    let (user, event, now) = (person.user().uuid(), rule.event.as_str(), local_now());
    let sql = "DELETE FROM notification_rules WHERE user_id = $1 AND event_type = $2";
    execute!(tx.conn(), sql, user, event)?;
    let Some(choice) = &rule.choice else {
        return Ok(());
    };
    execute!(
        tx.conn(),
        "INSERT INTO notification_rules (id, user_id, event_type, channel_id, tell, created_at)
         VALUES ($1, $2, $3, NULL, $4, $5)",
        Uuid::now_v7(),
        user,
        event,
        choice.in_product.as_str(),
        now
    )?;
    for channel in &choice.channels {
        let conn = tx.conn();
        let sql = conn.pick(
            "INSERT INTO notification_rules (id, user_id, event_type, channel_id, tell, created_at)
             SELECT $1, $2, $3, c.id, $5, $6 FROM notification_channels c WHERE c.id = $4 AND c.user_id = $2",
            "INSERT INTO notification_rules (id, user_id, event_type, channel_id, tell, created_at)
             SELECT $1, $2, $3, c.id, $5, $6 FROM notification_channels c WHERE c.id = $4 AND c.user_id = $2
             FOR KEY SHARE OF c",
        );
        let made = execute!(
            conn,
            sql,
            Uuid::now_v7(),
            user,
            event,
            channel.channel_id.uuid(),
            channel.tell.as_str(),
            now
        )?;
        if made == 0 {
            return Err(StoreError::Invalid {
                field: "rules",
                message: format!("{event} names a channel that is none of yours"),
                remedy: "`towline channels ls` lists yours".to_owned(),
            });
        }
    }
    Ok(())
}

/// A choice has a row for the product, always.
fn is_default(rows: &[Row]) -> bool {
    !rows.iter().any(|(channel, _)| channel.is_none())
}

/// Where a person is told of an event, by what they have chosen or the defaults.
pub(super) fn effective(event: NotificationEvent, user: Uuid, rows: Vec<Row>) -> Result<Choice> {
    if is_default(&rows) {
        let defaults = event.defaults();
        let mail = ChannelRule {
            channel_id: user.into(),
            tell: defaults.mail,
        };
        return Ok(Choice {
            in_product: defaults.in_product,
            channels: Some(mail)
                .filter(|mail| mail.tell != Tell::None)
                .into_iter()
                .collect(),
        });
    }
    let mut choice = Choice {
        in_product: Tell::None,
        channels: Vec::new(),
    };
    for (channel, tell) in rows {
        let tell = tell
            .parse()
            .map_err(|error| StoreError::Damaged(format!("a rule: {error}")))?;
        match channel {
            None => choice.in_product = tell,
            Some(channel) => choice.channels.push(ChannelRule {
                channel_id: channel.into(),
                tell,
            }),
        }
    }
    Ok(choice)
}
