//! Engines that are reached over TLS: how they are named, and when people are told that a certificate ends.

use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::named::named;
use super::names::InvalidName;

/// Docker's port for its API over TLS.
const DEFAULT_PORT: u16 = 2376;
/// The longest name that a host may have.
const MAX_HOST: usize = 253;
/// So many days before a certificate ends people are told, each time once.
pub const NOTICES: [i64; 4] = [1, 7, 14, 30];
/// What they are told at its end.
pub const ENDED: i64 = 0;

/// Where an engine is: `tcp://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineAddress {
    host: String,
    port: u16,
}

impl EngineAddress {
    /// Reads `tcp://HOST:PORT`, `HOST:PORT` or `HOST`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let rest = text.trim().trim_end_matches('/');
        let rest = rest.strip_prefix("tcp://").unwrap_or(rest);
        let (host, port) = split(rest).ok_or_else(|| unfit(text))?;
        let is_name = |host: &str| {
            host.len() <= MAX_HOST
                && host.split('.').all(|label| {
                    !label.is_empty()
                        && label.len() <= 63
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                        && label
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                })
        };
        if host.parse::<IpAddr>().is_err() && !is_name(host) {
            return Err(unfit(text));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "tcp://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "tcp://{}:{}", self.host, self.port)
        }
    }
}

fn split(text: &str) -> Option<(&str, u16)> {
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(text) => Some((host, port(text)?)),
            None if rest.is_empty() => Some((host, DEFAULT_PORT)),
            None => None,
        };
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => Some((text, DEFAULT_PORT)),
        Some((host, text)) => Some((host, port(text)?)),
        None => Some((text, DEFAULT_PORT)),
    }
}

fn unfit(text: &str) -> InvalidName {
    InvalidName {
        field: "host",
        message: format!("{text:?} is no engine's address over TLS"),
        remedy: "give it as tcp://HOST:2376, with the name or address that its certificate bears"
            .to_owned(),
    }
}

/// Whether an engine refuses who has no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// It does.
    Closed,
    /// It lets anybody in who reaches its port: who does is root on the host.
    Open,
}

named!(Guard {
    Closed: "closed",
    Open: "open",
});

/// What is to be done about the end of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing now.
    Nothing,
    /// People are to be told, and it is to be noted that they were told so many days before.
    Tell(i64),
    /// It was renewed: what people were told counts no more.
    Forget,
}

/// Judges by the end of a certificate and when people were last told, in days before it.
pub fn due(not_after: DateTime<Utc>, told: Option<i64>, now: DateTime<Utc>) -> Due {
    let left = not_after - now;
    let stage = if left <= TimeDelta::zero() {
        Some(ENDED)
    } else {
        NOTICES
            .into_iter()
            .find(|days| left <= TimeDelta::days(*days))
    };
    match (stage, told) {
        (None, None) => Due::Nothing,
        (None, Some(_)) => Due::Forget,
        (Some(stage), Some(told)) if told <= stage => Due::Nothing,
        (Some(stage), _) => Due::Tell(stage),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_writes_them() {
        let table = [
            ("tcp://10.0.0.5:2376", Some("tcp://10.0.0.5:2376")),
            (
                "tcp://Build-1.example.org/",
                Some("tcp://build-1.example.org:2376"),
            ),
            ("build-1:1234", Some("tcp://build-1:1234")),
            ("tcp://[fd00::1]:2376", Some("tcp://[fd00::1]:2376")),
            ("[fd00::1]", Some("tcp://[fd00::1]:2376")),
            ("fd00::1", Some("tcp://[fd00::1]:2376")),
            ("", None),
            ("tcp://", None),
            ("tcp://host:0", None),
            ("tcp://host:70000", None),
            ("https://host:2376", None),
            ("unix:///var/run/docker.sock", None),
            ("tcp://a b:2376", None),
            ("tcp://user@host", None),
            ("tcp://host:2376/v1.41", None),
            ("tcp://-a", None),
        ];
        for (text, expected) in table {
            let read = EngineAddress::parse(text).map(|address| address.to_string());
            assert_eq!(read.ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn people_are_told_once_at_each_step() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let table = [
            (31 * 24, None, Due::Nothing),
            (30 * 24, None, Due::Tell(30)),
            (29 * 24, Some(30), Due::Nothing),
            (14 * 24, Some(30), Due::Tell(14)),
            // A server that was off for a week.
            (5 * 24, Some(30), Due::Tell(7)),
            (20, Some(7), Due::Tell(1)),
            (1, Some(1), Due::Nothing),
            (0, Some(1), Due::Tell(0)),
            (-100, Some(0), Due::Nothing),
            (-100, None, Due::Tell(0)),
            // Renewed, for long or not for long.
            (90 * 24, Some(1), Due::Forget),
            (90 * 24, None, Due::Nothing),
            (10 * 24, Some(7), Due::Nothing),
        ];
        for (hours, told, expected) in table {
            let found = due(now + TimeDelta::hours(hours), told, now);
            assert_eq!(found, expected, "{hours} h, told at {told:?}");
        }
    }
}
