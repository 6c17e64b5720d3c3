//! Ways by which people are told: what each kind needs, and what may stand there.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::named::named;
use super::names::InvalidName;
use super::retry::Verdict;

/// Where Telegram's bots are.
pub const TELEGRAM: &str = "https://api.telegram.org";
/// Where topics are, unless somebody runs a server of their own.
pub const NTFY: &str = "https://ntfy.sh";

const SLACK_HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];
const DISCORD_HOSTS: [&str; 4] = [
    "discord.com",
    "ptb.discord.com",
    "canary.discord.com",
    "discordapp.com",
];
const TELEGRAM_HOSTS: [&str; 1] = ["api.telegram.org"];
/// The most characters of a token.
const MAX_TOKEN: usize = 200;

/// The kinds of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// The account's own address.
    Email,
    /// A channel in Slack, or in what speaks its protocol.
    Slack,
    /// A channel in Discord.
    Discord,
    /// A chat with a bot in Telegram.
    Telegram,
    /// A topic of an ntfy server.
    Ntfy,
    /// A receiver of one's own.
    Webhook,
}

named!(ChannelKind {
    Email: "email",
    Slack: "slack",
    Discord: "discord",
    Telegram: "telegram",
    Ntfy: "ntfy",
    Webhook: "webhook",
});

/// What a channel needs to be used. All of it is kept sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChannelSettings {
    /// An incoming webhook.
    Slack {
        /// The address, which is a secret.
        url: String,
    },
    /// A webhook.
    Discord {
        /// The address, which is a secret.
        url: String,
    },
    /// A bot.
    Telegram {
        /// `https://api.telegram.org`, or a Bot API server of one's own.
        server: String,
        /// What the bot is known by.
        bot_token: String,
        /// Where it writes to.
        chat_id: String,
    },
    /// A topic.
    Ntfy {
        /// The server.
        server: String,
        /// The topic.
        topic: String,
        /// An access token, if the topic needs one.
        token: Option<String>,
    },
    /// A receiver of Standard Webhooks.
    Webhook {
        /// The address.
        url: String,
        /// What messages are signed with.
        secret: String,
    },
}

impl fmt::Debug for ChannelSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelSettings({}, [redacted])", self.kind())
    }
}

impl ChannelSettings {
    /// The kind of channel.
    pub const fn kind(&self) -> ChannelKind {
        match self {
            Self::Slack { .. } => ChannelKind::Slack,
            Self::Discord { .. } => ChannelKind::Discord,
            Self::Telegram { .. } => ChannelKind::Telegram,
            Self::Ntfy { .. } => ChannelKind::Ntfy,
            Self::Webhook { .. } => ChannelKind::Webhook,
        }
    }

    /// An answer without what nobody shall read there: some servers give back what they were sent.
    pub fn without_secrets(&self, text: &str) -> String {
        let secrets = match self {
            Self::Slack { url } | Self::Discord { url } => vec![url.as_str(), path_of(url)],
            Self::Telegram { bot_token, .. } => vec![bot_token.as_str()],
            Self::Ntfy { token, .. } => token.as_deref().into_iter().collect(),
            Self::Webhook { url, secret } => {
                vec![url.as_str(), path_of(url), secret.as_str()]
            }
        };
        let mut text = text.to_owned();
        for secret in secrets.into_iter().filter(|secret| secret.len() > 3) {
            text = text.replace(secret, "***");
        }
        text
    }
}

/// What stands behind the host.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// What an answer of a kind of channel says of the message.
pub const fn judge(kind: ChannelKind, status: u16) -> Verdict {
    match (kind, status) {
        (_, 200..=299) => Verdict::Delivered,
        (_, 410) => Verdict::Gone,
        // A receiver of one's own is mended; so it is with the webhooks of projects.
        (_, 408 | 425 | 429 | 500..) | (ChannelKind::Webhook, _) => Verdict::Again,
        // The address or the token is not known there any more.
        (_, 401 | 403 | 404) => Verdict::Gone,
        _ => Verdict::Refused,
    }
}

/// Whether a kind of channel is at this host, or one that the operator allows.
pub fn check_host(
    kind: ChannelKind,
    field: &'static str,
    host: &str,
    further: &[String],
) -> Result<(), InvalidName> {
    let known: &[&str] = match kind {
        ChannelKind::Slack => &SLACK_HOSTS,
        ChannelKind::Discord => &DISCORD_HOSTS,
        ChannelKind::Telegram => &TELEGRAM_HOSTS,
        ChannelKind::Email | ChannelKind::Ntfy | ChannelKind::Webhook => return Ok(()),
    };
    if known.contains(&host) || further.iter().any(|allowed| allowed == host) {
        return Ok(());
    }
    Err(InvalidName {
        field,
        message: format!("{host} is not a host of {kind}"),
        remedy: format!(
            "give an address at {}; the operator allows others in the server's [egress] settings (chat-hosts)",
            known[0]
        ),
    })
}

/// Checks the token of a Telegram bot: `<digits>:<letters>`.
pub fn check_bot_token(token: &str) -> Result<(), InvalidName> {
    let fits = token.split_once(':').is_some_and(|(bot, secret)| {
        (1..=20).contains(&bot.len())
            && bot.bytes().all(|byte| byte.is_ascii_digit())
            && (20..=100).contains(&secret.len())
            && secret.bytes().all(is_of_name)
    });
    refuse_unless(
        fits,
        "bot_token",
        "this is no token of a Telegram bot",
        || "give what @BotFather shows, such as 123456789:AAE…".to_owned(),
    )
}

/// Checks where a Telegram bot writes to: a number, or the name of a public channel.
pub fn check_chat_id(chat: &str) -> Result<(), InvalidName> {
    let number = chat.strip_prefix('-').unwrap_or(chat);
    let is_number = (1..=19).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let is_name = chat.strip_prefix('@').is_some_and(|name| {
        (4..=32).contains(&name.len())
            && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
    });
    refuse_unless(is_number || is_name, "chat_id", "this is no chat", || {
        "give its number, such as -1001234567890, or @channelname".to_owned()
    })
}

/// Checks the name of an ntfy topic.
pub fn check_topic(topic: &str) -> Result<(), InvalidName> {
    let fits = (1..=64).contains(&topic.len()) && topic.bytes().all(is_of_name);
    refuse_unless(fits, "topic", "this is no name of a topic", || {
        "use 1 to 64 letters, digits, hyphens and underscores".to_owned()
    })
}

/// Checks an access token: what a header can carry.
pub fn check_token(token: &str) -> Result<(), InvalidName> {
    let fits =
        (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    refuse_unless(fits, "token", "this is no access token", || {
        format!("use 1 to {MAX_TOKEN} visible characters, such as tk_…")
    })
}

const fn is_of_name(byte: u8) -> bool {
    byte == b'-' || byte == b'_' || byte.is_ascii_alphanumeric()
}

fn refuse_unless(
    fits: bool,
    field: &'static str,
    message: &str,
    remedy: impl FnOnce() -> String,
) -> Result<(), InvalidName> {
    if fits {
        return Ok(());
    }
    Err(InvalidName {
        field,
        message: message.to_owned(),
        remedy: remedy(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_keeps_to_its_hosts_and_those_that_are_allowed() {
        use ChannelKind::{Discord, Ntfy, Slack, Telegram, Webhook};
        let further = ["chat.example.org".to_owned()];
        let table = [
            (Slack, "hooks.slack.com", true),
            (Slack, "hooks.slack.com.evil.example", false),
            (Slack, "slack.com", false),
            (Slack, "chat.example.org", true),
            (Discord, "discord.com", true),
            (Discord, "hooks.slack.com", false),
            (Telegram, "api.telegram.org", true),
            (Telegram, "telegram.org", false),
            (Ntfy, "anything.example", true),
            (Webhook, "anything.example", true),
        ];
        for (kind, host, fits) in table {
            let checked = check_host(kind, "url", host, &further);
            assert_eq!(checked.is_ok(), fits, "{kind} {host}");
        }
    }

    #[test]
    fn tokens_chats_and_topics_are_checked() {
        let secret = "AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc";
        let bot = format!("110201543:{secret}");
        let long = "9".repeat(20);
        let table: [(bool, bool); 17] = [
            (check_bot_token(&bot).is_ok(), true),
            (check_bot_token(secret).is_ok(), false),
            (check_bot_token(&format!("1/2:{secret}")).is_ok(), false),
            (check_bot_token(&format!("{bot}/../x")).is_ok(), false),
            (check_chat_id("42").is_ok(), true),
            (check_chat_id("-1001234567890").is_ok(), true),
            (check_chat_id("@towline_news").is_ok(), true),
            (check_chat_id("@abc").is_ok(), false),
            (check_chat_id("towline").is_ok(), false),
            (check_chat_id(&long).is_ok(), false),
            (check_chat_id("").is_ok(), false),
            (check_topic("deploys-7_x").is_ok(), true),
            (check_topic("a/b").is_ok(), false),
            (check_topic("").is_ok(), false),
            (
                check_token("tk_7eevizlsiwf9yi4uxsrs83r4352o0").is_ok(),
                true,
            ),
            (check_token("a b").is_ok(), false),
            (check_token("a\r\nX: y").is_ok(), false),
        ];
        for (line, (found, expected)) in table.into_iter().enumerate() {
            assert_eq!(found, expected, "line {line}");
        }
    }

    #[test]
    fn an_answer_ends_what_cannot_get_better() {
        use ChannelKind::{Discord, Ntfy, Slack, Telegram, Webhook};
        use Verdict::{Again, Delivered, Gone, Refused};
        for (kind, status, verdict) in [
            (Slack, 200, Delivered),
            (Discord, 204, Delivered),
            (Slack, 404, Gone),
            (Discord, 404, Gone),
            (Telegram, 401, Gone),
            (Telegram, 403, Gone),
            (Telegram, 400, Refused),
            (Ntfy, 413, Refused),
            (Slack, 302, Refused),
            (Discord, 429, Again),
            (Telegram, 500, Again),
            (Ntfy, 503, Again),
            (Webhook, 404, Again),
            (Webhook, 401, Again),
            (Webhook, 410, Gone),
            (Slack, 410, Gone),
        ] {
            assert_eq!(judge(kind, status), verdict, "{kind} {status}");
        }
    }

    #[test]
    fn settings_print_nothing_and_are_taken_out_of_answers() {
        let slack = ChannelSettings::Slack {
            url: "https://hooks.slack.com/services/T0/B0/hunter2".to_owned(),
        };
        assert_eq!(format!("{slack:?}"), "ChannelSettings(slack, [redacted])");
        let echoed = "POST /services/T0/B0/hunter2 is unknown, see https://hooks.slack.com/services/T0/B0/hunter2";
        let clean = slack.without_secrets(echoed);
        assert_eq!(clean, "POST *** is unknown, see ***");
        let telegram = ChannelSettings::Telegram {
            server: TELEGRAM.to_owned(),
            bot_token: "1:hunter2".to_owned(),
            chat_id: "1".to_owned(),
        };
        assert_eq!(telegram.without_secrets("/bot1:hunter2/x 1"), "/bot***/x 1");
    }
}
