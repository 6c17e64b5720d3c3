//! Addresses of Git repositories.

use std::fmt;
use std::str::FromStr;

/// The longest address.
const MAX: usize = 2048;
/// The longest user of an address over ssh.
const MAX_USER: usize = 64;
/// Who reads over ssh when nobody is named: what forges call theirs.
const SSH_USER: &str = "git";

/// The address of a repository, as git takes it and nothing else could be: without a credential, an option, another
/// program (`ext::`), or a path of this machine.
///
/// Over ssh its parts come to other programs' arguments and configuration, so that they have few characters there. What
/// is written as scp does (`git@host:team/shop.git`) is the same as `ssh://git@host/team/shop.git`, as for all forges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitAddress {
    scheme: Scheme,
    /// Over ssh alone.
    user: Option<String>,
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
    /// By a key.
    Ssh,
}

/// Why this is no address of a repository. Each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is too long.
    #[error("an address has at most {MAX} bytes")]
    TooLong,
    /// Another way of reaching one.
    #[error(
        "a repository is read over https:// or ssh://; give its address as https://host/path.git or ssh://git@host/path.git"
    )]
    Scheme,
    /// It carries a user or a password.
    #[error("an address carries no user or password; give the credential by itself")]
    Credential,
    /// It has a query or a fragment.
    #[error("an address of a repository has no part behind ? or #")]
    Tail,
    /// Characters that other programs may take for more than they are.
    #[error(
        "an address over ssh has letters of ASCII, digits and . _ - ~ + @ alone, as ssh://git@git.example.org/team/shop.git"
    )]
    Strange,
    /// The rest of it.
    #[error("this is no address of a repository, such as https://git.example.org/team/shop.git")]
    Malformed,
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Ssh => 22,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
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

    /// The host as programs take it that know no brackets.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Who reads it over ssh; nobody in particular otherwise.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The path, with its first `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The server: `https://host[:port]/`.
    pub fn origin(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let user = self.user.as_ref().map(|user| format!("{user}@"));
        let user = user.unwrap_or_default();
        format!("{}://{user}{}{port}/", self.scheme, self.host)
    }

    /// What its server is called where its keys are written down (`known_hosts`).
    pub fn known_as(&self) -> String {
        match self.port {
            None => self.bare_host().to_owned(),
            Some(port) => format!("[{}]:{port}", self.bare_host()),
        }
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
        let Some((scheme, rest)) = text.split_once("://") else {
            let (authority, path) = as_scp(text).ok_or(AddressError::Scheme)?;
            return over_ssh(authority, path.strip_prefix('/').unwrap_or(path));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            _ => return Err(AddressError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(AddressError::Tail);
        }
        let (authority, path) = rest.split_once('/').ok_or(AddressError::Malformed)?;
        if scheme == Scheme::Ssh {
            return over_ssh(authority, path);
        }
        if authority.contains('@') {
            return Err(AddressError::Credential);
        }
        GitAddress::of(scheme, None, authority, path)
    }
}

impl GitAddress {
    fn of(
        scheme: Scheme,
        user: Option<String>,
        authority: &str,
        path: &str,
    ) -> Result<Self, AddressError> {
        let (host, port) = host_and_port(authority).ok_or(AddressError::Malformed)?;
        if path.trim_matches('/').is_empty() || path.split('/').any(|part| part == "..") {
            return Err(AddressError::Malformed);
        }
        Ok(Self {
            scheme,
            user,
            host,
            port: port.filter(|port| *port != scheme.default_port()),
            path: format!("/{path}"),
        })
    }
}

/// `user@host:path`, as scp has it: the server with its user, and the path.
fn as_scp(text: &str) -> Option<(&str, &str)> {
    let at = text.find('@')?;
    let host = text[at..].find(']').map_or(at, |bracket| at + bracket);
    let colon = host + text[host..].find(':')?;
    let authority = &text[..colon];
    (at > 0 && !authority.contains('/')).then(|| (authority, &text[colon + 1..]))
}

fn over_ssh(authority: &str, path: &str) -> Result<GitAddress, AddressError> {
    let (user, server) = authority.split_once('@').unwrap_or((SSH_USER, authority));
    if user.contains(':') {
        return Err(AddressError::Credential);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_user = !user.is_empty()
        && user.len() <= MAX_USER
        && !user.starts_with('-')
        && user.chars().all(is_plain);
    let is_path = path.chars().all(|c| is_plain(c) || "/~+@".contains(c));
    if !is_user || !is_path || path.starts_with('-') {
        return Err(AddressError::Strange);
    }
    GitAddress::of(Scheme::Ssh, Some(user.to_owned()), server, path)
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
            (
                "ssh://git@Git.Example.org:2222/a/shop.git",
                "ssh://git@git.example.org:2222/a/shop.git",
                2222,
                "shop",
            ),
            ("ssh://h:22/~ada/x", "ssh://git@h/~ada/x", 22, "x"),
            (
                "git@github.com:team/shop.git",
                "ssh://git@github.com/team/shop.git",
                22,
                "shop",
            ),
            ("ada.l@h:/srv/x.git", "ssh://ada.l@h/srv/x.git", 22, "x"),
            ("git@[::1]:x", "ssh://git@[::1]/x", 22, "x"),
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
        use AddressError::{Credential, Malformed, Scheme, Strange, Tail, TooLong};
        let long = format!("https://h/{}", "a".repeat(MAX));
        let table = [
            ("", Scheme),
            ("/etc", Scheme),
            ("file:///etc", Scheme),
            ("git://h/x", Scheme),
            ("h:x", Scheme),
            ("@h:x", Scheme),
            ("a/b@h:x", Scheme),
            ("ssh://git:secret@h/x", Credential),
            ("ssh://-oProxyCommand=id/x", Malformed),
            ("ssh://git@-oProxyCommand=id/x", Malformed),
            ("git@-oProxyCommand=id:x", Malformed),
            ("ssh://-oProxyCommand@h/x", Strange),
            ("-oProxyCommand@h:x", Strange),
            ("git@h:-x", Strange),
            ("git@h:--upload-pack=id", Strange),
            ("ssh://git@h/a;id", Strange),
            ("ssh://git@h/$(id)", Strange),
            ("ssh://git@h/`id`", Strange),
            ("ssh://git@h/'x", Strange),
            ("ssh://git@h/\"x", Strange),
            ("ssh://git@h/a%0ab", Strange),
            ("ssh://g\"it@h/x", Strange),
            ("ssh://git@h%h/x", Malformed),
            ("ssh://git@h\"/x", Malformed),
            ("ssh://a@b@h/x", Malformed),
            ("ssh://git@h/x?y", Tail),
            ("ssh://git@h", Malformed),
            ("ssh://git@h/", Malformed),
            ("ssh://git@/x", Malformed),
            ("ssh://git@h/a/../b", Malformed),
            ("git@h:", Malformed),
            ("git@h:a\nProxyCommand id", Malformed),
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

    #[test]
    fn whatever_is_taken_over_ssh_is_of_few_characters() {
        let odd = [
            "-o", "\"", "'", "\n", "\t", " ", "%h", "$HOME", "`", ";", "|", "&", "\\", "{", "*",
            "?", "=", ",", "ü", "\0", "~", "+", ":", "@", "/", "[", "]",
        ];
        for shape in ["ssh://git@h/x", "git@host:x/y", "ssh://[::1]:22/x"] {
            for place in 0..=shape.len() {
                for part in odd {
                    let text = format!("{}{part}{}", &shape[..place], &shape[place..]);
                    let Ok(address) = text.parse::<GitAddress>() else {
                        continue;
                    };
                    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-~+@/:[]".contains(c);
                    assert!(address.to_string().chars().all(is_plain), "{text:?}");
                    assert!(!address.host().starts_with('-'), "{text:?}");
                    assert!(!address.user().unwrap().starts_with('-'), "{text:?}");
                    let whole = address.to_string();
                    assert_eq!(whole.parse::<GitAddress>(), Ok(address), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_server_is_known_as_ssh_knows_it() {
        for (text, known) in [
            ("git@github.com:a/b", "github.com"),
            ("ssh://git@h:2222/x", "[h]:2222"),
            ("ssh://git@[::1]/x", "::1"),
            ("ssh://git@[::1]:2222/x", "[::1]:2222"),
        ] {
            assert_eq!(text.parse::<GitAddress>().unwrap().known_as(), known);
        }
    }
}
