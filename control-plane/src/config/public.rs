//! The public listener: API, set-up page, enrolment.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Serialize};
use towline_pki::ServerName;

use super::ConfigError;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8443);

/// Where people and programs reach the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PublicListener {
    /// The address it takes connections on.
    pub listen: SocketAddr,
    /// Its address as others write it; made of the host's name and the port when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<PublicUrl>,
    /// The operator's own certificate, in place of one of the built-in authority.
    #[serde(flatten)]
    pub certificate: Option<CertificateFiles>,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub tls_cert: PathBuf,
    /// The leaf's key.
    pub tls_key: PathBuf,
}

/// What one source says about the public listener.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PublicSettings {
    /// Address and port of the public HTTPS listener [default: [::]:8443]
    #[arg(long = "listen", env = "TOWLINE_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The public listener's address as users and agents reach it [default: https://HOSTNAME:PORT]
    #[arg(long = "public-url", env = "TOWLINE_PUBLIC_URL", value_name = "URL")]
    pub url: Option<PublicUrl>,
    /// Certificate chain (PEM) for the public listener [default: issued by the built-in authority]
    #[arg(long, env = "TOWLINE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of --tls-cert
    #[arg(long, env = "TOWLINE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl PublicSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            url: self.url.or(below.url),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
        }
    }

    pub(super) fn resolve(self) -> Result<PublicListener, ConfigError> {
        let certificate = match (self.tls_cert, self.tls_key) {
            (Some(tls_cert), Some(tls_key)) => Some(CertificateFiles { tls_cert, tls_key }),
            (None, None) => None,
            (Some(_), None) => return Err(lone("--tls-cert", "give --tls-key, its key, too")),
            (None, Some(_)) => return Err(lone("--tls-key", "give --tls-cert, its chain, too")),
        };
        Ok(PublicListener {
            listen: self.listen.unwrap_or(DEFAULT_LISTEN),
            url: self.url,
            certificate,
        })
    }
}

fn lone(setting: &'static str, remedy: &'static str) -> ConfigError {
    ConfigError::Setting {
        setting,
        problem: "given without its other half".into(),
        remedy,
    }
}

impl PublicListener {
    /// The address as others write it, once it is known where the listener came to be.
    pub fn url_at(&self, bound: SocketAddr, hostname: &str) -> PublicUrl {
        self.url.clone().unwrap_or_else(|| {
            let host = match bound.ip() {
                ip if ip.is_unspecified() => hostname.to_owned(),
                ip => ip.to_string(),
            };
            PublicUrl::new(host, bound.port())
        })
    }
}

/// `https://host` or `https://host:port`, nothing behind it.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl {
    host: String,
    port: Option<u16>,
}

/// Text that is no address of a public listener.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form https://host or https://host:port")]
pub struct PublicUrlError(String);

impl PublicUrl {
    fn new(host: String, port: u16) -> Self {
        Self {
            host,
            port: (port != 443).then_some(port),
        }
    }

    /// The host's name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || PublicUrlError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| refuse())?;
        let authority = uri.authority().ok_or_else(refuse)?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let plain = uri.scheme_str() == Some("https")
            && uri.path().trim_end_matches('/').is_empty()
            && uri.query().is_none()
            && !authority.as_str().contains('@')
            && authority.port_u16() != Some(0)
            && (authority.port_u16().is_some() || authority.as_str() == authority.host());
        if plain && ServerName::try_from(host).is_ok() {
            Ok(Self {
                host: host.to_owned(),
                port: authority.port_u16(),
            })
        } else {
            Err(refuse())
        }
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = PublicUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("https://")?;
        super::agents::write_host(f, &self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
