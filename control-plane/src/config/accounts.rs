//! How people come in.

use serde::{Deserialize, Serialize};

/// How people come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Accounts {
    /// Whether people may make accounts for themselves.
    pub sign_up: SignUp,
}

/// Whether people may make accounts for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignUp {
    /// By invitation alone.
    #[default]
    Closed,
    /// Everybody who reaches the public listener.
    Open,
}

/// What one source says about how people come in.
#[derive(Clone, Copy, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AccountSettings {
    /// Whether people may make accounts for themselves [default: closed]
    #[arg(long = "sign-up", env = "TOWLINE_SIGN_UP", value_name = "WHETHER")]
    pub sign_up: Option<SignUp>,
}

impl AccountSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            sign_up: self.sign_up.or(below.sign_up),
        }
    }

    pub(super) fn resolve(self) -> Accounts {
        Accounts {
            sign_up: self.sign_up.unwrap_or_default(),
        }
    }
}
