//! Addresses of Git repositories.

use std::fmt;
use std::str::FromStr;

/// The longest address.
const MAX: usize = 2048;

/// The address of a repository, as git takes it and nothing else could be: without a credential, an option, another
/// program (`ext::`), or a path of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitAddress {
    scheme: Scheme,
    host: String,
    port: Option<u16>,
    path: String,
}

/// How a repository is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Over TLS.
    Https,
    /// In clear: only where the installation allows it.
    Http,
}

/// Why this is no address of a repository. Each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is too long.
    #[error("an address has at most {MAX} bytes")]
    TooLong,
    /// Another way of reaching one.
    #[error("a repository is read over https://; give its address as https://host/path.git")]
    Scheme,
    /// It carries a user or a password.
    #[error("an address carries no user or password; give the credential by itself")]
    Credential,
    /// It has a query or a fragment.
    #[error("an address of a repository has no part behind ? or #")]
    Tail,
    /// The rest of it.
    #[error("this is no address of a repository, such as https://git.example.org/team/shop.git")]
    Malformed,
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Https => "https",
            Self::Http => "http",
        })
    }
}

impl GitAddress {
    /// How it is spoken to.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a name, or an IP address, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own when none is written.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.scheme.default_port())
    }

    /// The path, with its first `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The server: `https://host[:port]/`.
    pub fn origin(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}/", self.scheme, self.host)
    }

    /// What the repository is called, by the end of its path.
    pub fn name(&self) -> &str {
        let path = self.path.trim_end_matches('/');
        let last = path.rsplit('/').next().unwrap_or(path);
        last.strip_suffix(".git").unwrap_or(last)
    }
}

impl fmt::Display for GitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())?;
        f.write_str(&self.path[1..])
    }
}

impl FromStr for GitAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX {
            return Err(AddressError::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) || text.contains('\\') {
            return Err(AddressError::Malformed);
        }
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(AddressError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(AddressError::Tail);
        }
        let (authority, path) = rest.split_once('/').ok_or(AddressError::Malformed)?;
        if authority.contains('@') {
            return Err(AddressError::Credential);
        }
        let (host, port) = host_and_port(authority).ok_or(AddressError::Malformed)?;
        if path.trim_matches('/').is_empty() || path.split('/').any(|part| part == "..") {
            return Err(AddressError::Malformed);
        }
        Ok(Self {
            scheme,
            host,
            port: port.filter(|port| *port != scheme.default_port()),
            path: format!("/{path}"),
        })
    }
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let end = authority.find(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[end..].split_once(':') {
        Some((before, port)) => (
            &authority[..end + before.len()],
            Some(port.parse().ok().filter(|port| *port != 0)?),
        ),
        None => (authority, None),
    };
    is_host(host).then(|| (host.to_ascii_lowercase(), port))
}

fn is_host(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(v6) = bare {
        return v6.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_put_together() {
        let table = [
            (
                "https://Git.Example.org/a/shop.git",
                "https://git.example.org/a/shop.git",
                443,
                "shop",
            ),
            ("https://h:443/shop", "https://h/shop", 443, "shop"),
            ("https://h:8443/a/b/", "https://h:8443/a/b/", 8443, "b"),
            (
                "http://127.0.0.1:3000/x.git",
                "http://127.0.0.1:3000/x.git",
                3000,
                "x",
            ),
            (
                "https://[2001:db8::1]:1/x",
                "https://[2001:db8::1]:1/x",
                1,
                "x",
            ),
        ];
        for (text, whole, port, name) in table {
            let address: GitAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), whole);
            assert_eq!((address.port(), address.name()), (port, name), "{text}");
            assert_eq!(whole.parse::<GitAddress>().unwrap(), address);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        use AddressError::{Credential, Malformed, Scheme, Tail, TooLong};
        let long = format!("https://h/{}", "a".repeat(MAX));
        let table = [
            ("", Scheme),
            ("/etc", Scheme),
            ("file:///etc", Scheme),
            ("git://h/x", Scheme),
            ("ssh://git@h/x", Scheme),
            ("git@h:x", Scheme),
            ("ext::sh -c id", Malformed),
            ("ext::id", Scheme),
            ("--upload-pack=id", Scheme),
            ("https://u:p@h/x", Credential),
            ("https://u@h/x", Credential),
            ("https://h/x?y", Tail),
            ("https://h/x#y", Tail),
            ("https://h", Malformed),
            ("https://h/", Malformed),
            ("https:///x", Malformed),
            ("https://-h/x", Malformed),
            ("https://h:0/x", Malformed),
            ("https://h:99999/x", Malformed),
            ("https://h:/x", Malformed),
            ("https://h/a/../b", Malformed),
            ("https://h/a b", Malformed),
            ("https://h/a\nb", Malformed),
            ("https://[::1/x", Malformed),
            (long.as_str(), TooLong),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<GitAddress>(), Err(error), "{text}");
        }
    }
}
