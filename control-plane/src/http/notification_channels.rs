//! A person's channels: mail, and services that they choose.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use towline_shared::ids::NotificationChannelId;
use utoipa::ToSchema;

use super::auth::may_test;
use super::input::{Body, Id, Query};
use super::page::{PageQuery, whole};
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::names::InvalidName;
use crate::domain::notification_channel::{
    ChannelKind, ChannelSettings, NTFY, TELEGRAM, check_bot_token, check_chat_id, check_host,
    check_token, check_topic,
};
use crate::store::{
    Channel, ChannelAddress, ChannelChange, Listed, NotificationDelivery, Person, signing_secret,
};

/// A channel to make: its kind, and what that kind needs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateChannel {
    /// `slack`, `discord`, `telegram`, `ntfy` or `webhook`. Mail to the account's address is there already.
    kind: ChannelKind,
    /// What you call it: 1 to 100 characters, unlike your other channels.
    name: String,
    /// What its kind needs.
    settings: GivenSettings,
}

/// What shall change of a channel; what is left out stays. Where it leads changes as a whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeChannel {
    /// What you call it.
    name: Option<String>,
    /// Whether it is used. What waits is given up when it is switched off.
    enabled: Option<bool>,
    /// Where it leads.
    settings: Option<GivenSettings>,
}

/// Where a channel leads: the fields that its kind needs, and no others. They are kept sealed, and never shown.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GivenSettings {
    /// Of `slack`, `discord` and `webhook`: the address that takes messages.
    #[schema(write_only)]
    url: Option<String>,
    /// Of `telegram`: the bot's token.
    #[schema(write_only)]
    bot_token: Option<String>,
    /// Of `telegram`: the chat's number, or @channelname.
    chat_id: Option<String>,
    /// Of `ntfy`: the topic.
    topic: Option<String>,
    /// Of `ntfy`: an access token, if the topic needs one.
    #[schema(write_only)]
    token: Option<String>,
    /// Of `ntfy` (`https://ntfy.sh`) and `telegram` (`https://api.telegram.org`): another server.
    server: Option<String>,
}

/// A channel, and what was made for it.
#[derive(Serialize, ToSchema)]
pub struct MadeChannel {
    #[serde(flatten)]
    channel: Channel,
    /// Of a `webhook` that was made, or leads elsewhere: what its messages are signed with, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Your channels.
#[utoipa::path(get, path = "/notification-channels", tag = "notifications", operation_id = "list_notification_channels",
    responses((status = OK, body = Listed<Channel>)))]
pub async fn list(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<Listed<Channel>>, Problem> {
    Ok(Json(whole(api.store.list_channels(&person).await?)))
}

/// Makes a channel. It tells nothing until a rule names it.
#[utoipa::path(post, path = "/notification-channels", tag = "notifications", operation_id = "create_notification_channel",
    request_body = CreateChannel, responses((status = CREATED, body = MadeChannel)))]
pub async fn create(
    State(api): State<Api>,
    person: Person,
    Body(new): Body<CreateChannel>,
) -> Result<(StatusCode, Json<MadeChannel>), Problem> {
    let address = read(&api, new.kind, new.settings)?;
    let channel = api
        .store
        .create_channel(&person, &new.name, &address)
        .await?;
    let made = MadeChannel {
        channel,
        secret: secret(&address),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Changes a channel, or switches it on or off.
#[utoipa::path(patch, path = "/notification-channels/{id}", tag = "notifications",
    operation_id = "change_notification_channel", params(("id" = Uuid, Path, description = "The channel")),
    request_body = ChangeChannel, responses((status = OK, body = MadeChannel)))]
pub async fn change(
    State(api): State<Api>,
    person: Person,
    Id(channel): Id<NotificationChannelId>,
    Body(change): Body<ChangeChannel>,
) -> Result<Json<MadeChannel>, Problem> {
    let kind = api.store.channel(&person, channel).await?.kind;
    let address = change.settings.map(|given| read(&api, kind, given));
    let change = ChannelChange {
        name: change.name,
        address: address.transpose()?,
        enabled: change.enabled,
    };
    let secret = change.address.as_ref().and_then(secret);
    let channel = api.store.change_channel(&person, channel, change).await?;
    Ok(Json(MadeChannel { channel, secret }))
}

/// Deletes a channel with all that was sent over it.
#[utoipa::path(delete, path = "/notification-channels/{id}", tag = "notifications",
    operation_id = "delete_notification_channel", params(("id" = Uuid, Path, description = "The channel")),
    responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    person: Person,
    Id(channel): Id<NotificationChannelId>,
) -> Result<StatusCode, Problem> {
    api.store.delete_channel(&person, channel).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a message now that says nothing but that it works, and answers what came of it. It is tried this once.
#[utoipa::path(post, path = "/notification-channels/{id}/test", tag = "notifications",
    operation_id = "test_notification_channel", params(("id" = Uuid, Path, description = "The channel")),
    responses((status = OK, body = NotificationDelivery)))]
pub async fn test(
    State(api): State<Api>,
    person: Person,
    Id(channel): Id<NotificationChannelId>,
) -> Result<Json<NotificationDelivery>, Problem> {
    let kind = api.store.channel(&person, channel).await?.kind;
    if kind == ChannelKind::Email && api.mailer.is_none() {
        return Err(
            Problem::new(Kind::Conflict, "this installation sends no mail")
                .remedy("ask its operator to set a mail server ([smtp]), or use another channel"),
        );
    }
    may_test(&api, person.user(), "channels")?;
    Ok(Json(api.notifications().test(&person, channel).await?))
}

/// What was and is to be sent over a channel in the last 30 days.
#[utoipa::path(get, path = "/notification-channels/{id}/deliveries", tag = "notifications",
    operation_id = "list_notification_deliveries", params(("id" = Uuid, Path, description = "The channel"), PageQuery),
    responses((status = OK, body = Listed<NotificationDelivery>)))]
pub async fn deliveries(
    State(api): State<Api>,
    person: Person,
    Id(channel): Id<NotificationChannelId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<NotificationDelivery>>, Problem> {
    let page = query.page()?;
    let listed = api
        .store
        .list_notification_deliveries(&person, channel, page)
        .await?;
    Ok(Json(listed))
}

fn secret(address: &ChannelAddress) -> Option<String> {
    match &address.settings {
        ChannelSettings::Webhook { secret, .. } => Some(secret.clone()),
        _ => None,
    }
}

/// Reads what a kind of channel needs, and refuses what it does not.
fn read(api: &Api, kind: ChannelKind, given: GivenSettings) -> Result<ChannelAddress, Problem> {
    given.refuse_foreign(kind)?;
    match kind {
        ChannelKind::Email => Err(Problem::invalid(
            "kind",
            "your account's address is a channel already, and leads nowhere else",
        )
        .remedy("name it in a rule; choose another kind for a new channel")),
        ChannelKind::Slack => {
            let (url, host) = address(api, kind, "url", &required("url", given.url)?)?;
            let settings = ChannelSettings::Slack { url };
            Ok(ChannelAddress { settings, host })
        }
        ChannelKind::Discord => {
            let (url, host) = address(api, kind, "url", &required("url", given.url)?)?;
            let settings = ChannelSettings::Discord { url };
            Ok(ChannelAddress { settings, host })
        }
        ChannelKind::Webhook => {
            let (url, host) = address(api, kind, "url", &required("url", given.url)?)?;
            let secret = signing_secret()?.as_str().to_owned();
            let settings = ChannelSettings::Webhook { url, secret };
            Ok(ChannelAddress { settings, host })
        }
        ChannelKind::Telegram => telegram(api, given),
        ChannelKind::Ntfy => ntfy(api, given),
    }
}

fn telegram(api: &Api, given: GivenSettings) -> Result<ChannelAddress, Problem> {
    let bot_token = required("bot_token", given.bot_token)?;
    check_bot_token(&bot_token).map_err(in_settings)?;
    let chat_id = required("chat_id", given.chat_id)?;
    check_chat_id(&chat_id).map_err(in_settings)?;
    let server = given.server.as_deref().unwrap_or(TELEGRAM);
    let (server, host) = server_of(api, ChannelKind::Telegram, server)?;
    let settings = ChannelSettings::Telegram {
        server,
        bot_token,
        chat_id,
    };
    Ok(ChannelAddress { settings, host })
}

fn ntfy(api: &Api, given: GivenSettings) -> Result<ChannelAddress, Problem> {
    let topic = required("topic", given.topic)?;
    check_topic(&topic).map_err(in_settings)?;
    if let Some(token) = &given.token {
        check_token(token).map_err(in_settings)?;
    }
    let server = given.server.as_deref().unwrap_or(NTFY);
    let (server, host) = server_of(api, ChannelKind::Ntfy, server)?;
    let settings = ChannelSettings::Ntfy {
        server,
        topic,
        token: given.token,
    };
    Ok(ChannelAddress { settings, host })
}

impl GivenSettings {
    /// A field that a kind does not have is a mistake, and may be a secret in the wrong place.
    fn refuse_foreign(&self, kind: ChannelKind) -> Result<(), Problem> {
        use ChannelKind::{Discord, Ntfy, Slack, Telegram, Webhook};
        let fields: [(&str, bool, &[ChannelKind]); 6] = [
            ("url", self.url.is_some(), &[Slack, Discord, Webhook]),
            ("bot_token", self.bot_token.is_some(), &[Telegram]),
            ("chat_id", self.chat_id.is_some(), &[Telegram]),
            ("topic", self.topic.is_some(), &[Ntfy]),
            ("token", self.token.is_some(), &[Ntfy]),
            ("server", self.server.is_some(), &[Ntfy, Telegram]),
        ];
        let foreign = fields
            .into_iter()
            .find(|(_, given, kinds)| *given && !kinds.contains(&kind));
        match foreign {
            None => Ok(()),
            Some((field, ..)) => Err(Problem::invalid(
                format!("settings.{field}"),
                format!("a channel of the kind {kind} has no such setting"),
            )
            .remedy("leave it out")),
        }
    }
}

fn required(field: &str, given: Option<String>) -> Result<String, Problem> {
    given.ok_or_else(|| {
        Problem::invalid(format!("settings.{field}"), "it is missing")
            .remedy("docs/notifications.md says where each service shows it")
    })
}

fn in_settings(error: InvalidName) -> Problem {
    Problem::invalid(format!("settings.{}", error.field), error.message).remedy(error.remedy)
}

/// An address that may be called, and its host.
fn address(
    api: &Api,
    kind: ChannelKind,
    field: &'static str,
    text: &str,
) -> Result<(String, String), Problem> {
    let url = api.egress.check(text).map_err(|error| {
        Problem::invalid(format!("settings.{field}"), error.to_string()).remedy(
            "give an https:// address on the internet; private networks are allowed in the server's [egress] settings",
        )
    })?;
    let host = url.host_str().unwrap_or_default().to_owned();
    check_host(kind, field, &host, &api.chat_hosts).map_err(in_settings)?;
    Ok((url.into(), host))
}

/// The same of a server: nothing stands behind its host and port.
fn server_of(api: &Api, kind: ChannelKind, text: &str) -> Result<(String, String), Problem> {
    let (url, host) = address(api, kind, "server", text)?;
    let bare = url.strip_suffix('/').unwrap_or(&url).to_owned();
    let behind = bare.split_once("://").map_or("", |(_, rest)| rest);
    if behind.contains(['/', '?']) {
        return Err(Problem::invalid(
            "settings.server",
            "a server's address ends behind its host and port",
        )
        .remedy("give it as https://ntfy.example.org"));
    }
    Ok((bare, host))
}
