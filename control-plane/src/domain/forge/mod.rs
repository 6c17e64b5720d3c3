//! What forges tell of pushes: whether it is theirs, and what it says. Pure: foreign bytes in, values out.
//!
//! A message counts by the secret alone that the forge shares with the hook, over its raw body, before a byte of it is
//! parsed. Whom the commits are by is what anybody can write into them, and is not read at all.

mod bitbucket;
mod generic;
mod github;
mod gitlab;

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER_PERMISSIVE;
use ring::hmac;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::hex::hex;
use super::named::named;
use super::push::{Push, kept};
use super::webhook_signature::{Signed, SigningKey, verify as verify_signed};

/// The most bytes of a message. GitHub sends none with more than 2048 commits.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// The headers that are looked at, in small letters.
pub const HEADERS: [&str; 13] = [
    "idempotency-key",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-event-key",
    "x-github-delivery",
    "x-github-event",
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-gitlab-token",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-request-uuid",
];

/// The longest id of a message that is taken as it is.
const MAX_ID: usize = 200;
/// The longest name of an event that is kept.
const MAX_EVENT: usize = 60;
/// Where nothing is, in git's words.
const NOWHERE: char = '0';

/// Who tells of pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    /// GitHub, and what speaks like it: Gitea, Forgejo.
    GitHub,
    /// GitLab.
    GitLab,
    /// Bitbucket Cloud.
    Bitbucket,
    /// A program of one's own.
    Generic,
}

named!(Forge {
    GitHub: "github",
    GitLab: "gitlab",
    Bitbucket: "bitbucket",
    Generic: "generic",
});

/// A message that came.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Those of [`HEADERS`] that it has.
    pub headers: Vec<(&'static str, String)>,
    /// Its raw body.
    pub body: &'a [u8],
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same however often it is sent.
    pub id: String,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// What the forge calls it.
    pub event: String,
    /// What it is about.
    pub told: Told,
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Pushes; most forges tell of one at once.
    Pushes(Vec<Push>),
    /// None, and why.
    Nothing(String),
}

impl Message<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Forge {
    /// Whether no two messages of different pushes have the same body. Where the id of a message is not under its
    /// signature, a message that somebody has recorded comes to nothing by this.
    pub const fn tells_in_new_words(self) -> bool {
        matches!(self, Self::GitHub)
    }

    /// Whether a message comes from who knows the secret. Takes as long whichever byte is wrong.
    pub fn verify(self, secret: &str, message: &Message<'_>, now: DateTime<Utc>) -> bool {
        match self {
            Self::GitHub => is_signed(secret, message, "x-hub-signature-256"),
            Self::Bitbucket => is_signed(secret, message, "x-hub-signature"),
            Self::GitLab => match message.header("webhook-signature") {
                Some(_) => is_signed_lately(secret, message, now),
                None => has_token(secret, message),
            },
            Self::Generic => match message.header("webhook-signature") {
                Some(_) => is_signed_lately(secret, message, now),
                None => is_signed(secret, message, "x-hub-signature-256"),
            },
        }
    }

    /// What a message says that was verified.
    pub fn read(self, message: &Message<'_>) -> Delivery {
        let (ids, event, told): (&[&str], _, _) = match self {
            Self::GitHub => (
                &["x-github-delivery"],
                "x-github-event",
                github::read(message),
            ),
            Self::GitLab => (
                &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"],
                "x-gitlab-event",
                gitlab::read(message),
            ),
            Self::Bitbucket => (&["x-request-uuid"], "x-event-key", bitbucket::read(message)),
            Self::Generic => (&["webhook-id"], "", generic::read(message)),
        };
        let digest: [u8; 32] = Sha256::digest(message.body).into();
        let id = ids.iter().find_map(|name| message.header(name));
        let id = id.filter(|id| is_id(id)).map(str::to_owned);
        let event = message.header(event).unwrap_or("push");
        Delivery {
            id: id.unwrap_or_else(|| format!("sha256-{}", hex(&digest))),
            digest,
            event: kept(event, MAX_EVENT),
            told,
        }
    }
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `sha256=` and the HMAC of the body under the very characters of the secret.
fn is_signed(secret: &str, message: &Message<'_>, header: &str) -> bool {
    let signature = message
        .header(header)
        .and_then(|text| text.strip_prefix("sha256="));
    let tag = signature.and_then(|text| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, message.body, tag.as_deref().unwrap_or_default()).is_ok()
}

/// As Standard Webhooks has it.
fn is_signed_lately(secret: &str, message: &Message<'_>, now: DateTime<Utc>) -> bool {
    let header = |name| message.header(name).unwrap_or_default();
    let signed = Signed {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let key = SigningKey::parse(secret);
    key.is_ok_and(|key| verify_signed(&[key], signed, message.body, now).is_ok())
}

/// GitLab's older way: the secret itself.
fn has_token(secret: &str, message: &Message<'_>) -> bool {
    let token = message.header("x-gitlab-token").unwrap_or_default();
    token.as_bytes().ct_eq(secret.as_bytes()).into()
}

/// The body, or why it says nothing.
fn parse<T: DeserializeOwned>(message: &Message<'_>) -> Result<T, Told> {
    serde_json::from_slice(message.body).map_err(|error| {
        Told::Nothing(format!(
            "the message cannot be read as JSON of a push ({error}); is its content type application/json?"
        ))
    })
}

/// A commit, unless it is git's way to write none.
fn commit(name: &str) -> Option<String> {
    let is_none = name.is_empty() || name.chars().all(|digit| digit == NOWHERE);
    (!is_none).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
