//! Addresses that agents dial.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use towline_pki::ServerName;

const HTTPS_PORT: u16 = 443;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address; one looks like towline.example.com:8443 or [2001:db8::1]:8443")]
pub struct AddressError(pub String);

impl Address {
    /// Reads `https://host` or `https://host:port`, as enrolment tokens carry it.
    pub fn from_url(url: &str) -> Result<Self, AddressError> {
        let refusal = || AddressError(url.to_owned());
        let rest = url.strip_prefix("https://").ok_or_else(refusal)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        Self::read(authority, Some(HTTPS_PORT)).ok_or_else(refusal)
    }

    /// Reads `host:port`; the port may be left out where there is a usual one.
    pub fn read(text: &str, usual_port: Option<u16>) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().ok().filter(|port| *port > 0)?,
            None if port.is_empty() => usual_port?,
            None => return None,
        };
        ServerName::try_from(host).ok()?;
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The name that the server's certificate must bear.
    pub fn server_name(&self) -> Result<ServerName<'static>, AddressError> {
        ServerName::try_from(self.host.clone()).map_err(|_| AddressError(self.to_string()))
    }

    /// The host, if it is an IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text, None).ok_or_else(|| AddressError(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, expected) in [
            ("towline.example.com:8443", Some("towline.example.com:8443")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("[::1]:9000", Some("[::1]:9000")),
            ("towline.example.com", None),
            ("host:0", None),
            ("host:65536", None),
            ("ho st:1", None),
            ("::1:9000", None),
            ("[::1]9000", None),
            ("", None),
        ] {
            let read = text
                .parse::<Address>()
                .ok()
                .map(|address| address.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        for (url, expected) in [
            ("https://a.example", Some("a.example:443")),
            ("https://a.example:8443/", Some("a.example:8443")),
            ("http://a.example", None),
            ("https://a.example/path", None),
        ] {
            let read = Address::from_url(url)
                .ok()
                .map(|address| address.to_string());
            assert_eq!(read.as_deref(), expected, "{url}");
        }
    }
}
