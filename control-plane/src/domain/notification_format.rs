//! What a notice looks like in each service, as the service's own documents say.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::notification::{Notice, NotificationEvent, cut};
use super::notification_channel::ChannelSettings;
use super::webhook::signed_headers;
use super::webhook_signature::{SignatureError, SigningKey};

/// Slack takes 3,000 characters in a block's text, and an escaped one counts as five.
const SLACK_DETAIL: usize = 350;
/// Discord takes 2,000 characters, and each may have a backslash.
const DISCORD_CONTENT: usize = 2000;
/// ntfy takes 4,096 bytes.
const NTFY_DETAIL: usize = 800;

/// A call that tells it.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// Where it goes. It may be a secret.
    pub url: String,
    /// Headers beside `Content-Type: application/json`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// A mail that tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// What it says.
    pub text: String,
}

/// The call to a channel. `id` stays the same when a message is sent again.
pub fn call(
    settings: &ChannelSettings,
    notice: &Notice,
    id: Uuid,
    happened_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Call, SignatureError> {
    let plain = |url: &str, body: Value| Call {
        url: url.to_owned(),
        headers: Vec::new(),
        body: body.to_string(),
    };
    Ok(match settings {
        ChannelSettings::Slack { url } => plain(url, slack(notice)),
        ChannelSettings::Discord { url } => plain(url, discord(notice)),
        ChannelSettings::Telegram {
            server,
            bot_token,
            chat_id,
        } => {
            let url = format!("{server}/bot{bot_token}/sendMessage");
            plain(&url, telegram(notice, chat_id))
        }
        ChannelSettings::Ntfy {
            server,
            topic,
            token,
        } => {
            let mut call = plain(server, ntfy(notice, topic));
            if let Some(token) = token {
                call.headers
                    .push(("authorization", format!("Bearer {token}")));
            }
            call
        }
        ChannelSettings::Webhook { url, secret } => {
            let mut call = plain(url, webhook(notice, happened_at));
            let key = SigningKey::parse(secret)?;
            let (id, body) = (id.to_string(), call.body.as_bytes());
            call.headers = signed_headers(&key, &id, now.timestamp(), body);
            call
        }
    })
}

/// The mail to a person.
pub fn mail(notice: &Notice, url: Option<&str>) -> Letter {
    let mut text = paragraphs(notice, str::to_owned).join("\n\n");
    text.push_str("\n\n-- \nYou are told of this by ");
    text.push_str(url.unwrap_or("Towline"));
    text.push_str(".\n`towline notifications rules` shows what you are told of, and where.\n");
    Letter {
        subject: format!("[Towline] {}", notice.message),
        text,
    }
}

/// Incoming webhooks: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>; `&`, `<` and `>`
/// steer text: <https://docs.slack.dev/messaging/formatting-message-text>.
fn slack(notice: &Notice) -> Value {
    let escape = |text: &str| {
        let text = text.replace('&', "&amp;");
        text.replace('<', "&lt;").replace('>', "&gt;")
    };
    let text = paragraphs(&shortened(notice, SLACK_DETAIL), escape).join("\n\n");
    json!({
        "text": escape(&notice.message),
        "blocks": [{
            "type": "section",
            "text": { "type": "mrkdwn", "text": text, "verbatim": true },
        }],
    })
}

/// Webhooks: <https://discord.com/developers/docs/resources/webhook#execute-webhook>. A backslash takes its meaning from
/// the sign behind it; nobody is called by a mention.
fn discord(notice: &Notice) -> Value {
    let escape = |text: &str| {
        let mut escaped = String::new();
        for c in text.chars() {
            if "\\*_~`|<>[]()#@:".contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    };
    let content = paragraphs(notice, escape).join("\n\n");
    json!({
        "content": cut(&content, DISCORD_CONTENT),
        "allowed_mentions": { "parse": [] },
    })
}

/// The Bot API: <https://core.telegram.org/bots/api#sendmessage>. Without a parse mode no sign steers the text, which
/// may have 4,096 characters and has about 1,400 at most.
fn telegram(notice: &Notice, chat_id: &str) -> Value {
    let chat_id = chat_id
        .parse::<i64>()
        .map_or_else(|_| Value::from(chat_id), Value::from);
    json!({
        "chat_id": chat_id,
        "text": paragraphs(notice, str::to_owned).join("\n\n"),
        "link_preview_options": { "is_disabled": true },
    })
}

/// Publishing as JSON: <https://docs.ntfy.sh/publish/#publish-as-json>; a priority is 1 to 5, and 3 if not given.
fn ntfy(notice: &Notice, topic: &str) -> Value {
    let (priority, tag) = urgency(&notice.event);
    let body = paragraphs(&shortened(notice, NTFY_DETAIL), str::to_owned);
    let body = match body.as_slice() {
        [only] => only.clone(),
        [_, rest @ ..] => rest.join("\n\n"),
        [] => String::new(),
    };
    json!({
        "topic": topic,
        "title": notice.message,
        "message": body,
        "priority": priority,
        "tags": [tag],
    })
}

/// As the webhooks of projects: <https://www.standardwebhooks.com>.
fn webhook(notice: &Notice, happened_at: DateTime<Utc>) -> Value {
    json!({ "type": notice.event, "timestamp": happened_at, "data": notice })
}

/// How loud ntfy is, and with which sign.
fn urgency(event: &str) -> (u8, &'static str) {
    use NotificationEvent as Event;
    match event.parse() {
        Ok(Event::DeploymentSucceeded | Event::AgentOnline) => (3, "white_check_mark"),
        Ok(
            Event::DeploymentFailed
            | Event::AgentOffline
            | Event::TargetCertificateExpiring
            | Event::QuotaNearlyReached
            | Event::PlanEnded
            | Event::PaymentFailed,
        ) => (4, "warning"),
        Ok(
            Event::AccountSignedIn
            | Event::AccountPasswordChanged
            | Event::AccountSecondFactorOn
            | Event::AccountSecondFactorOff
            | Event::ChannelBroken,
        ) => (4, "lock"),
        Ok(Event::DeploymentCancelled | Event::AgentEnrolled | Event::MemberJoined) | Err(_) => {
            (3, "information_source")
        }
    }
}

fn shortened(notice: &Notice, most: usize) -> Notice {
    let detail = notice.detail.as_deref();
    Notice {
        detail: detail.map(|detail| cut(detail, most)),
        ..notice.clone()
    }
}

/// What happened, what else there is to say, and where to look.
fn paragraphs(notice: &Notice, escape: impl Fn(&str) -> String) -> Vec<String> {
    let mut all = vec![escape(&notice.message)];
    all.extend(notice.detail.as_deref().map(&escape));
    let team = notice.team.as_ref().map(|team| format!("Team: {team}"));
    let look = notice
        .subject
        .as_ref()
        .filter(|subject| subject.kind == "deployment")
        .map(|subject| format!("Log: towline logs {}", subject.id));
    let last: Vec<_> = team.into_iter().chain(look).collect();
    if !last.is_empty() {
        all.push(escape(&last.join("\n")));
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::webhook_signature::{Signed, verify};

    const DEPLOYMENT: &str = "01980000-0000-7000-8000-00000000000d";
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn failed() -> Notice {
        let detail = "<!channel> [x](https://evil.example) & *it*";
        let mut notice = Notice::new(
            "deployment.failed",
            "shop to web-1 has failed",
            Some(detail),
        )
        .about("deployment", DEPLOYMENT.parse().unwrap());
        notice.team = Some("Anna".to_owned());
        notice
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn called(settings: &ChannelSettings) -> (Call, Value) {
        let made = call(settings, &failed(), Uuid::nil(), at(5), at(7)).unwrap();
        let body = serde_json::from_str(&made.body).unwrap();
        (made, body)
    }

    #[test]
    fn slack_gets_text_and_a_block_whose_signs_are_escaped() {
        let url = "https://hooks.slack.com/services/T/B/x".to_owned();
        let (call, body) = called(&ChannelSettings::Slack { url: url.clone() });
        assert_eq!((call.url, call.headers), (url, Vec::new()));
        let text = format!(
            "shop to web-1 has failed\n\n&lt;!channel&gt; [x](https://evil.example) &amp; *it*\n\n\
             Team: Anna\nLog: towline logs {DEPLOYMENT}"
        );
        let expected = json!({
            "text": "shop to web-1 has failed",
            "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}}],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn discord_gets_content_that_calls_nobody() {
        let url = "https://discord.com/api/webhooks/1/x".to_owned();
        let (_, body) = called(&ChannelSettings::Discord { url });
        let content = format!(
            "shop to web-1 has failed\n\n\\<!channel\\> \\[x\\]\\(https\\://evil.example\\) & \\*it\\*\n\n\
             Team\\: Anna\nLog\\: towline logs {DEPLOYMENT}"
        );
        let expected = json!({ "content": content, "allowed_mentions": {"parse": []} });
        assert_eq!(body, expected);
    }

    #[test]
    fn telegram_gets_plain_text_under_its_token() {
        let settings = |chat: &str| ChannelSettings::Telegram {
            server: "https://api.telegram.org".to_owned(),
            bot_token: "1:x".to_owned(),
            chat_id: chat.to_owned(),
        };
        let (call, body) = called(&settings("-100"));
        assert_eq!(call.url, "https://api.telegram.org/bot1:x/sendMessage");
        let text = format!(
            "shop to web-1 has failed\n\n<!channel> [x](https://evil.example) & *it*\n\n\
             Team: Anna\nLog: towline logs {DEPLOYMENT}"
        );
        let expected =
            json!({ "chat_id": -100, "text": text, "link_preview_options": {"is_disabled": true} });
        assert_eq!(body, expected);
        assert_eq!(called(&settings("@news")).1["chat_id"], "@news");
    }

    #[test]
    fn ntfy_gets_a_topic_and_a_token_in_a_header() {
        let (call, body) = called(&ChannelSettings::Ntfy {
            server: "https://ntfy.sh".to_owned(),
            topic: "deploys".to_owned(),
            token: Some("tk_x".to_owned()),
        });
        assert_eq!(call.url, "https://ntfy.sh");
        assert_eq!(call.headers, [("authorization", "Bearer tk_x".to_owned())]);
        let message = format!(
            "<!channel> [x](https://evil.example) & *it*\n\nTeam: Anna\nLog: towline logs {DEPLOYMENT}"
        );
        let expected = json!({
            "topic": "deploys", "title": "shop to web-1 has failed", "message": message, "priority": 4,
            "tags": ["warning"],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_receiver_gets_a_signed_message() {
        let (call, body) = called(&ChannelSettings::Webhook {
            url: "https://example.org/hook".to_owned(),
            secret: SECRET.to_owned(),
        });
        assert_eq!(body["type"], "deployment.failed");
        assert_eq!(body["timestamp"], "1970-01-01T00:00:05Z");
        assert_eq!(body["data"]["subject"]["id"], DEPLOYMENT);
        let header = |name| {
            let found = call.headers.iter().find(|(header, _)| *header == name);
            found.unwrap().1.clone()
        };
        let (id, timestamp, signature) = (
            header("webhook-id"),
            header("webhook-timestamp"),
            header("webhook-signature"),
        );
        let signed = Signed {
            id: &id,
            timestamp: &timestamp,
            signature: &signature,
        };
        let key = SigningKey::parse(SECRET).unwrap();
        assert_eq!(verify(&[key], signed, call.body.as_bytes(), at(7)), Ok(()));
        assert_eq!(id, Uuid::nil().to_string());
    }

    #[test]
    fn a_mail_has_one_line_of_subject_and_says_why_it_came() {
        let letter = mail(&failed(), Some("https://plane.example"));
        assert_eq!(letter.subject, "[Towline] shop to web-1 has failed");
        let expected = format!(
            "shop to web-1 has failed\n\n<!channel> [x](https://evil.example) & *it*\n\nTeam: Anna\n\
             Log: towline logs {DEPLOYMENT}\n\n-- \nYou are told of this by https://plane.example.\n\
             `towline notifications rules` shows what you are told of, and where.\n"
        );
        assert_eq!(letter.text, expected);
    }

    #[test]
    fn the_longest_notice_fits_every_service() {
        let mut notice = Notice::new(
            "account.signed_in",
            &"<".repeat(5000),
            Some(&"&".repeat(5000)),
        );
        notice.team = Some("*".repeat(100));
        let slack = slack(&notice);
        let text = slack["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(text.chars().count() <= 3000, "{}", text.chars().count());
        let content = discord(&notice)["content"].as_str().unwrap().to_owned();
        assert!(content.chars().count() <= 2000);
        let telegram = telegram(&notice, "1")["text"].as_str().unwrap().to_owned();
        assert!(telegram.encode_utf16().count() <= 4096);
        let ntfy = ntfy(&notice, "t")["message"].as_str().unwrap().to_owned();
        assert!(ntfy.len() <= 4096);
        let wide = Notice::new("x", "m", Some(&"🦀".repeat(5000)));
        let ntfy = super::ntfy(&wide, "t")["message"].as_str().unwrap().len();
        assert!(ntfy <= 4096, "{ntfy} bytes");
    }
}
