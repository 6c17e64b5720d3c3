//! The server's own authority and certificate, made at each start.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::Utc;
use rustls::ServerConfig;
use towline_pki::{
    ServerCertificate,
    docker::{DockerAuthority, HostNames},
    tls::{install_provider, public_server_config},
};

/// The configuration of the listener, and the authority's certificate as PEM.
pub(crate) fn make() -> anyhow::Result<(Arc<ServerConfig>, String)> {
    install_provider();
    let host = "localhost".parse().context("a name of the server")?;
    let authority = DockerAuthority::generate(&host, Utc::now())?;
    let names = HostNames::read(&["localhost"], &["127.0.0.1"])?;
    let issued = authority.issue_server(&names, Utc::now())?;
    let certificate = ServerCertificate::from_pem(&issued.certificate, &issued.key)?;
    Ok((public_server_config(&certificate)?, authority.certificate()))
}
