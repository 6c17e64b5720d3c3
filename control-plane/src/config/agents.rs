//! The agent listener: mutual TLS, one connection per enrolled agent.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use towline_pki::ServerName;

/// Where packages put what programs of every architecture may want.
const DEFAULT_BINARIES: &str = "/usr/local/share/towline";
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8444);

/// Where agents connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AgentListener {
    /// The address it takes connections on.
    pub listen: SocketAddr,
    /// Its address as agents write it; made of the public address's host when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<HostPort>,
    /// The folder of the agents that hosts fetch, each as `towline-agent-` and its architecture.
    pub binaries: PathBuf,
    /// The agent that runs beside the server for targets over TLS; the one beside its own program when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
}

/// What one source says about the agent listener.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AgentSettings {
    /// Address and port of the agent listener [default: [::]:8444]
    #[arg(
        id = "agent_listen",
        long = "agent-listen",
        env = "TOWLINE_AGENT_LISTEN",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: Option<SocketAddr>,
    /// The agent listener's address as agents reach it [default: the public URL's host and the port]
    #[arg(
        id = "agent_address",
        long = "agent-address",
        env = "TOWLINE_AGENT_ADDRESS",
        value_name = "HOST:PORT"
    )]
    pub address: Option<HostPort>,
    /// Folder of the agents that hosts fetch, as towline-agent-x86_64 [default: /usr/local/share/towline]
    #[arg(
        id = "agent_binaries",
        long = "agent-binaries",
        env = "TOWLINE_AGENT_BINARIES",
        value_name = "DIR"
    )]
    pub binaries: Option<PathBuf>,
    /// The agent that works for targets reached over TLS [default: towline-agent beside towline-server]
    #[arg(
        id = "agent_program",
        long = "agent-program",
        env = "TOWLINE_AGENT_PROGRAM",
        value_name = "FILE"
    )]
    pub program: Option<PathBuf>,
}

impl AgentSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            address: self.address.or(below.address),
            binaries: self.binaries.or(below.binaries),
            program: self.program.or(below.program),
        }
    }

    pub(super) fn resolve(self) -> AgentListener {
        AgentListener {
            listen: self.listen.unwrap_or(DEFAULT_LISTEN),
            address: self.address,
            binaries: self.binaries.unwrap_or_else(|| DEFAULT_BINARIES.into()),
            program: self.program,
        }
    }
}

impl AgentListener {
    /// The agent's program for targets that are reached over TLS.
    pub fn program(&self) -> PathBuf {
        let beside = || {
            let own = std::env::current_exe().unwrap_or_default();
            own.with_file_name("towline-agent")
        };
        self.program.clone().unwrap_or_else(beside)
    }

    /// The address as agents write it, once it is known where the listener came to be.
    pub fn address_at(&self, bound: SocketAddr, public_host: &str) -> HostPort {
        HostPort::given_or_at(self.address.as_ref(), bound, public_host)
    }
}

/// `host:port`, or `[ipv6]:port`.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Text that is no host and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form host:port")]
pub struct HostPortError(String);

impl HostPort {
    /// What was given, or the port that a listener came to have at the public address's host.
    pub fn given_or_at(given: Option<&Self>, bound: SocketAddr, public_host: &str) -> Self {
        given.cloned().unwrap_or_else(|| Self {
            host: public_host.to_owned(),
            port: bound.port(),
        })
    }

    /// The host's name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || HostPortError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let bare = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.ok_or_else(refuse)?,
            None if host.contains(':') => return Err(refuse()),
            None => host,
        };
        let port = port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(refuse)?;
        ServerName::try_from(bare).map_err(|_| refuse())?;
        Ok(Self {
            host: bare.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for HostPort {
    type Error = HostPortError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        write!(f, ":{}", self.port)
    }
}

impl fmt::Debug for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host as addresses spell it: an IPv6 address needs brackets.
pub(super) fn write_host(f: &mut fmt::Formatter<'_>, host: &str) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{host}]")
    } else {
        f.write_str(host)
    }
}
