//! Why a forge did not do what it was asked for, and what to do about it.

use std::time::Duration;

use crate::domain::retry::Verdict;
use crate::egress::EgressError;

/// Why there is nothing to use.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// There was no answer.
    #[error("the forge cannot be reached: {0}")]
    Egress(#[from] EgressError),
    /// It was longer than answers may be, or it broke off.
    #[error("the forge's answer is too long, or it broke off")]
    Cut,
    /// It is none of the forge's.
    #[error(
        "the forge's answer cannot be read ({0}); is this the address of a forge of that kind?"
    )]
    Unreadable(String),
    /// It leads elsewhere; the token goes nowhere else.
    #[error("the forge says that it is elsewhere ({status}), and is not followed there")]
    Moved {
        /// The status.
        status: u16,
    },
    /// The token is none.
    #[error("the forge does not take the token{}", said(.words))]
    Unauthorized {
        /// Why.
        words: String,
    },
    /// The token may not do it.
    #[error("the token may not do this{}", said(.words))]
    Forbidden {
        /// Why.
        words: String,
    },
    /// The token lacks a scope.
    #[error("the token lacks the scope {0}")]
    LacksScope(String),
    /// The token may not do it, and we know what it would need.
    #[error("the token may not do this: it needs {right}{}", said(.words))]
    LacksRight {
        /// What the forge calls the right.
        right: &'static str,
        /// What it says.
        words: String,
    },
    /// There is none, or the token does not see it.
    #[error("the forge has no such thing, or the token does not see it{}", said(.words))]
    Absent {
        /// What it says.
        words: String,
    },
    /// It was asked too often.
    #[error("the forge was asked too often{}", later(.wait.as_ref()))]
    TooOften {
        /// When to come back, if it tells that.
        wait: Option<Duration>,
    },
    /// Anything else.
    #[error("the forge answers {status}{}", said(.words))]
    Refused {
        /// The status.
        status: u16,
        /// Why.
        words: String,
    },
    /// Bitbucket lists the repositories of one workspace, and there are several.
    #[error("name one of the workspaces: {0}")]
    WhichWorkspace(String),
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

fn said(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    }
}

fn later(wait: Option<&Duration>) -> String {
    let seconds = wait.map(|wait| format!("; it asks to wait for {} seconds", wait.as_secs()));
    seconds.unwrap_or_default()
}

impl ForgeError {
    /// What it is about is not there.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }

    /// Where something is refused that needs a right, what that is called. A repository that others may only read seems to be absent to those who
    /// write, at GitHub.
    #[must_use]
    pub fn for_want_of(self, right: &'static str) -> Self {
        match self {
            Self::Forbidden { words } | Self::Absent { words } => Self::LacksRight { right, words },
            other => other,
        }
    }

    /// What becomes of a message that met it: what the token or the repository must be mended for is not tried again.
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Egress(_) | Self::Cut | Self::TooOften { .. } => Verdict::Again,
            Self::Refused { status, .. } if *status >= 500 || *status == 408 => Verdict::Again,
            _ => Verdict::Refused,
        }
    }

    /// When to come back, if the forge tells that.
    pub const fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooOften { wait } => *wait,
            _ => None,
        }
    }

    /// The status of the answer, where there was one.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Moved { status } | Self::Refused { status, .. } => Some(*status),
            Self::Unauthorized { .. } => Some(401),
            Self::Forbidden { .. } | Self::LacksRight { .. } => Some(403),
            Self::Absent { .. } => Some(404),
            Self::TooOften { .. } => Some(429),
            _ => None,
        }
    }

    /// The field of a request that it is about.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Unauthorized { .. } | Self::LacksScope(_) => Some("token"),
            Self::WhichWorkspace(_) => Some("workspace"),
            Self::Egress(_) | Self::Unreadable(_) | Self::Moved { .. } => Some("url"),
            _ => None,
        }
    }

    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Egress(_) | Self::Cut => "try again when the forge answers",
            Self::Unreadable(_) | Self::Moved { .. } => {
                "check the address of the forge: without a path of its API, as https://gitlab.example.org"
            }
            Self::Unauthorized { .. } => {
                "give the integration a token that is valid (`towline integrations token`)"
            }
            Self::Forbidden { .. } | Self::LacksScope(_) | Self::LacksRight { .. } => {
                "make a token with the scopes of docs/integrations.md, and give it to the integration"
            }
            Self::Absent { .. } => {
                "check the name, and that the account of the token may see and administer it"
            }
            Self::TooOften { .. } => "try again later",
            Self::WhichWorkspace(_) => "say `--workspace`",
            Self::Refused { .. } | Self::Request(_) => "do as the forge says, and try again",
        }
    }
}
