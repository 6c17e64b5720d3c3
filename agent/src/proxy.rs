//! HTTP CONNECT proxies, chosen by the environment as curl does: `https_proxy` or `HTTPS_PROXY`,
//! and `no_proxy` or `NO_PROXY` for the hosts that are dialled directly.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::address::Address;

/// The most bytes of a proxy's answer.
const MAX_ANSWER: usize = 8 * 1024;
const PROXY_PORT: u16 = 3128;

/// The proxies of this host.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    proxy: Option<Proxy>,
    direct: Vec<Direct>,
}

/// One proxy.
#[derive(Clone)]
pub struct Proxy {
    /// Where it listens.
    pub address: Address,
    /// What the `Proxy-Authorization` header says.
    authorization: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({})", self.address)
    }
}

/// Hosts that are dialled directly.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    All,
    /// The name itself and all names below it.
    Domain(String),
    /// The first bits of an IP address.
    Network(IpAddr, u8),
}

/// Why a proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The environment's value is none.
    #[error("{variable} is not of the form http://host:port or http://user:password@host:port")]
    Url {
        /// The variable's name; its value may carry a password.
        variable: &'static str,
    },
    /// TLS to the proxy itself.
    #[error(
        "{variable} asks for TLS to the proxy itself, which is not supported; give its http:// address"
    )]
    Tls {
        /// The variable's name.
        variable: &'static str,
    },
    /// It answered otherwise than with success.
    #[error("the proxy refused to connect to {target}: {answer}{}", hint(.answer))]
    Refused {
        /// The address that was asked for.
        target: Address,
        /// The first line of its answer.
        answer: String,
    },
    /// It answered no HTTP, or too much.
    #[error("the proxy's answer is no HTTP answer; check HTTPS_PROXY")]
    Answer,
    /// The connection to it broke.
    #[error("the connection to the proxy broke: {0}")]
    Io(#[from] std::io::Error),
}

fn hint(answer: &str) -> &'static str {
    if answer.contains(" 407") {
        "; put user and password into HTTPS_PROXY"
    } else {
        "; let the proxy allow this host and port, or put the host into NO_PROXY"
    }
}

impl Proxies {
    /// What the process's environment says.
    pub fn from_env() -> Result<Self, ProxyError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// What an environment says.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let set = |name: &'static str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(|value| (name, value))
        };
        let proxy = match set("https_proxy").or_else(|| set("HTTPS_PROXY")) {
            Some((name, url)) => Some(Proxy::read(name, &url)?),
            None => None,
        };
        let direct = set("no_proxy").or_else(|| set("NO_PROXY"));
        let direct = direct.map(|(_, list)| list.split(',').filter_map(Direct::read).collect());
        Ok(Self {
            proxy,
            direct: direct.unwrap_or_default(),
        })
    }

    /// The proxy by which an address is reached, if it is not dialled directly.
    pub fn to(&self, address: &Address) -> Option<&Proxy> {
        let direct = self.direct.iter().any(|direct| direct.covers(address));
        self.proxy.as_ref().filter(|_| !direct)
    }
}

impl Proxy {
    fn read(variable: &'static str, url: &str) -> Result<Self, ProxyError> {
        if url.starts_with("https://") {
            return Err(ProxyError::Tls { variable });
        }
        let refusal = || ProxyError::Url { variable };
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(refusal()),
            None => url,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let authorization = match user {
            Some(user) => Some(basic(user).ok_or_else(refusal)?),
            None => None,
        };
        Ok(Self {
            address: Address::read(host, Some(PROXY_PORT)).ok_or_else(refusal)?,
            authorization,
        })
    }

    /// Asks the proxy, over a fresh connection to it, for a tunnel to `target`.
    pub async fn tunnel(&self, stream: &mut TcpStream, target: &Address) -> Result<(), ProxyError> {
        let mut request =
            Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(authorization) = &self.authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let head = read_head(stream).await?;
        let line = head.lines().next().unwrap_or_default();
        match line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse::<u16>().ok())
        {
            Some(200..=299) => Ok(()),
            Some(_) if line.starts_with("HTTP/1.") => Err(ProxyError::Refused {
                target: target.clone(),
                answer: line.chars().take(200).collect(),
            }),
            _ => Err(ProxyError::Answer),
        }
    }
}

/// Reads up to the blank line and not a byte further: what follows is the tunnel's.
async fn read_head(stream: &mut TcpStream) -> Result<String, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_ANSWER {
            return Err(ProxyError::Answer);
        }
        head.push(stream.read_u8().await?);
    }
    String::from_utf8(head).map_err(|_| ProxyError::Answer)
}

fn basic(user: &str) -> Option<Zeroizing<String>> {
    let decoded = Zeroizing::new(percent_decoded(user)?);
    let encoded = Zeroizing::new(STANDARD.encode(decoded.as_slice()));
    Some(Zeroizing::new(format!("Basic {}", *encoded)))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

impl Direct {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((ip, bits)) = text.split_once('/') {
            return Some(Self::Network(ip.parse().ok()?, bits.parse().ok()?));
        }
        let host = text.trim_matches(['[', ']']);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self::Network(ip, 128));
        }
        let domain = host.trim_start_matches("*.").trim_start_matches('.');
        (!domain.is_empty()).then(|| Self::Domain(domain.to_ascii_lowercase()))
    }

    fn covers(&self, address: &Address) -> bool {
        match self {
            Self::All => true,
            Self::Domain(domain) => {
                let host = address.host.to_ascii_lowercase();
                host.strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Network(network, bits) => {
                address.ip().is_some_and(|ip| within(ip, *network, *bits))
            }
        }
    }
}

fn within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let ignored = 32 - u32::from(bits.min(32));
            let mask = u32::MAX.checked_shl(ignored).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let ignored = 128 - u32::from(bits.min(128));
            let mask = u128::MAX.checked_shl(ignored).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn proxies(https: &str, none: &str) -> Result<Proxies, ProxyError> {
        Proxies::read(|name| match name {
            "HTTPS_PROXY" => Some(https.to_owned()),
            "no_proxy" => Some(none.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn the_environment_says_which_hosts_go_by_which_proxy() {
        let none = "*.corp.example, 10.0.0.0/8,192.168.1.7, internal ,[fd00::1]";
        let proxies = proxies("http://proxy.example:8080/", none).unwrap();
        for (host, by_proxy) in [
            ("towline.example.com:443", true),
            ("a.corp.example:443", false),
            ("corp.example:443", false),
            ("notcorp.example:443", true),
            ("10.200.3.4:443", false),
            ("11.0.0.1:443", true),
            ("192.168.1.7:1", false),
            ("192.168.1.8:1", true),
            ("internal:1", false),
            ("[fd00::1]:1", false),
            ("[fd00::2]:1", true),
        ] {
            let proxy = proxies.to(&host.parse().unwrap());
            assert_eq!(proxy.is_some(), by_proxy, "{host}");
            assert!(proxy.is_none_or(|proxy| proxy.address.to_string() == "proxy.example:8080"));
        }
        assert!(
            Proxies::read(|_| None)
                .unwrap()
                .to(&"a:1".parse().unwrap())
                .is_none()
        );
        let all = self::proxies("proxy.example", "*").unwrap();
        assert!(all.to(&"a:1".parse().unwrap()).is_none());
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let proxies = proxies("http://me:p%40ss@proxy.example", "").unwrap();
        let proxy = proxies.proxy.as_ref().unwrap();
        // From `printf 'me:p@ss' | base64`.
        assert_eq!(
            proxy.authorization.as_ref().unwrap().as_str(),
            "Basic bWU6cEBzcw=="
        );
        assert_eq!(
            format!("{proxies:?}"),
            "Proxies { proxy: Some(Proxy(proxy.example:3128)), direct: [] }"
        );
        for (url, expected) in [
            ("socks5://me:secret@p:1", "not of the form"),
            ("https://me:secret@p:1", "TLS to the proxy"),
        ] {
            let error = self::proxies(url, "").unwrap_err().to_string();
            assert!(
                error.contains(expected) && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
