//! Where the control plane may call.

use serde::{Deserialize, Serialize};

use crate::egress::Network;

/// What webhooks and sign-ins may reach beside the internet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EgressRules {
    /// Networks that may be called although they are private.
    pub allow: Vec<Network>,
    /// Whether addresses may be http:// as well.
    pub allow_http: bool,
    /// Hosts beside Slack's, Discord's and Telegram's own that speak their protocols.
    pub chat_hosts: Vec<String>,
}

/// What one source says about calls out.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct EgressSettings {
    /// Private networks that webhooks and sign-ins may call after all, as 10.0.0.0/8,fd00::/8 [default: none]
    #[arg(
        id = "egress_allow",
        long = "egress-allow",
        env = "TOWLINE_EGRESS_ALLOW",
        value_name = "NETWORKS",
        value_delimiter = ','
    )]
    pub allow: Option<Vec<Network>>,
    /// Whether webhooks and sign-ins may go without TLS [default: false]
    #[arg(
        id = "egress_allow_http",
        long = "egress-allow-http",
        env = "TOWLINE_EGRESS_ALLOW_HTTP",
        value_name = "BOOLEAN",
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub allow_http: Option<bool>,
    /// Hosts of one's own that speak Slack's, Discord's or Telegram's protocol [default: none]
    #[arg(
        long = "chat-hosts",
        env = "TOWLINE_CHAT_HOSTS",
        value_name = "HOSTS",
        value_delimiter = ','
    )]
    pub chat_hosts: Option<Vec<String>>,
}

impl EgressSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            allow: self.allow.or(below.allow),
            allow_http: self.allow_http.or(below.allow_http),
            chat_hosts: self.chat_hosts.or(below.chat_hosts),
        }
    }

    pub(super) fn resolve(self) -> EgressRules {
        EgressRules {
            allow: self.allow.unwrap_or_default(),
            allow_http: self.allow_http.unwrap_or_default(),
            chat_hosts: self.chat_hosts.unwrap_or_default(),
        }
    }
}
