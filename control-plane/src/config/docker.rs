//! The Docker API's listener: mutual TLS, for people who were granted a host's engine. There is none unless it is asked for.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::agents::HostPort;

/// Where clients of Docker connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DockerListener {
    /// The address it takes connections on; none when there is no listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Its address as clients write it; made of the public address's host when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<HostPort>,
}

/// What one source says about the Docker API's listener.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DockerSettings {
    /// Address and port of the Docker API's listener, such as [::]:2376 [default: none]
    #[arg(
        id = "docker_listen",
        long = "docker-listen",
        env = "TOWLINE_DOCKER_LISTEN",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: Option<SocketAddr>,
    /// The Docker API listener's address as its clients reach it [default: the public URL's host and the port]
    #[arg(
        id = "docker_address",
        long = "docker-address",
        env = "TOWLINE_DOCKER_ADDRESS",
        value_name = "HOST:PORT"
    )]
    pub address: Option<HostPort>,
}

impl DockerSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            address: self.address.or(below.address),
        }
    }

    pub(super) fn resolve(self) -> DockerListener {
        DockerListener {
            listen: self.listen,
            address: self.address,
        }
    }
}

impl DockerListener {
    /// Whether there is none.
    pub const fn is_off(&self) -> bool {
        self.listen.is_none()
    }
}
