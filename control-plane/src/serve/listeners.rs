//! The listeners: where they are, and how others write that.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use towline_pki::ServerName;

use crate::agents;
use crate::config::{Config, HostPort, PublicUrl};
use crate::error::StartError;

/// All listeners, open.
#[derive(Debug)]
pub struct Listeners {
    /// The public one.
    pub public: TcpListener,
    /// Where it came to be.
    pub public_bound: SocketAddr,
    /// Its address as others write it.
    pub url: PublicUrl,
    /// The one for agents.
    pub agents: TcpListener,
    /// Where it came to be.
    pub agents_bound: SocketAddr,
    /// Its address as agents write it.
    pub agent_address: HostPort,
    /// The one for clients of Docker, where there is one.
    pub docker: Option<Docker>,
    hostname: String,
}

/// The listener for clients of Docker.
#[derive(Debug)]
pub struct Docker {
    /// It.
    pub listener: TcpListener,
    /// Where it came to be.
    pub bound: SocketAddr,
    /// Its address as clients write it.
    pub address: HostPort,
}

impl Listeners {
    /// Opens all.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let hostname = hostname();
        let (public, public_bound) = listen("public listener", config.public.listen, "--listen")?;
        let (agents, agents_bound) =
            listen("agent listener", config.agents.listen, "--agent-listen")?;
        let url = config.public.url_at(public_bound, &hostname);
        let docker = match config.docker.listen {
            Some(at) => Some(docker(config, at, url.host())?),
            None => None,
        };
        Ok(Self {
            docker,
            agent_address: config.agents.address_at(agents_bound, url.host()),
            public,
            public_bound,
            url,
            agents,
            agents_bound,
            hostname,
        })
    }

    /// All names by which somebody may call the listeners.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![
            self.url.host().to_owned(),
            self.agent_address.host().to_owned(),
            self.hostname.clone(),
            "localhost".to_owned(),
            Ipv4Addr::LOCALHOST.to_string(),
            Ipv6Addr::LOCALHOST.to_string(),
        ];
        let docker = self.docker.as_ref();
        names.extend(docker.map(|docker| docker.address.host().to_owned()));
        let bound = [self.public_bound.ip(), self.agents_bound.ip()];
        names.extend(
            bound
                .iter()
                .chain(docker.map(|docker| docker.bound.ip()).as_ref())
                .filter(|ip| !ip.is_unspecified())
                .map(IpAddr::to_string),
        );
        // A hostname may have characters that DNS has not.
        names.retain(|name| ServerName::try_from(name.as_str()).is_ok());
        names.sort();
        names.dedup();
        names
    }
}

fn docker(config: &Config, at: SocketAddr, public_host: &str) -> Result<Docker, StartError> {
    let (listener, bound) = listen("Docker API's listener", at, "--docker-listen")?;
    let given = config.docker.address.as_ref();
    Ok(Docker {
        listener,
        bound,
        address: HostPort::given_or_at(given, bound, public_host),
    })
}

fn listen(
    listener: &'static str,
    address: SocketAddr,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = match agents::bind(address) {
        Err(cause) if is_everywhere(address) && cause.kind() != io::ErrorKind::AddrInUse => {
            // A machine without IPv6.
            agents::bind(SocketAddr::new(
                Ipv4Addr::UNSPECIFIED.into(),
                address.port(),
            ))
        }
        other => other,
    };
    let bound = bound.and_then(|bound| bound.local_addr().map(|at| (bound, at)));
    bound.map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse {
            listener,
            address,
            flag,
        },
        _ => StartError::Listen {
            listener,
            address,
            cause,
            flag,
        },
    })
}

fn is_everywhere(address: SocketAddr) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

/// This machine's name.
pub fn hostname() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if ServerName::try_from(name.as_str()).is_ok() {
        name
    } else {
        "localhost".to_owned()
    }
}

/// Each agent is a connection and each connection a descriptor; the usual soft limit is 1024.
pub fn allow_many_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        tracing::warn!(%error, "the limit on open files could not be raised; it bounds the number of agents");
    }
}
