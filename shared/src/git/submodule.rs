//! Which repositories a commit's submodules are, as `.gitmodules` says, and which of that is believed.
//!
//! Nothing of it is run or configured: git reads the file as it reads any of its own, from the commit and not from a
//! folder, and of what it says a path and an address are taken. Both are judged before anything is made of them.

use super::{AddressError, FETCHED, GitAddress, Scheme};

/// The file that names them.
pub const FILE: &str = ".gitmodules";
/// The most bytes of it.
pub const MAX_FILE: u64 = 64 * 1024;
/// How deep they may lie in one another.
pub const MAX_DEPTH: usize = 5;
/// The most of all of them together.
pub const MAX_COUNT: usize = 50;
/// The longest path.
const MAX_PATH: usize = 1024;

/// A submodule that a commit names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodule {
    /// Where it lies, from the root of the repository.
    pub path: String,
    /// Where it comes from, in its author's words.
    pub url: String,
}

/// Where a submodule comes from, and whether it is read by what the source is read by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its address.
    pub address: GitAddress,
    /// By what it is read.
    pub access: Access,
}

/// By what a submodule is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By what the source is read by: it is at the same server.
    Source,
    /// By nothing: nobody else is given that.
    Public,
}

/// Why a submodule is not taken. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmoduleError {
    /// Its name leads elsewhere.
    #[error(
        "{FILE} has a submodule of the name {0:?}, which leads out of git's own folder; rename it"
    )]
    Name(String),
    /// Its path leads elsewhere.
    #[error("{FILE} has a submodule at {0:?}, which is no plain path; move it")]
    Path(String),
    /// Nothing says where it comes from.
    #[error("{0} is a submodule that {FILE} does not name; add it there, or take it away")]
    Unnamed(String),
    /// Its address is none.
    #[error("the submodule {path} comes from {url:?}: {error}")]
    Address {
        /// Where it lies.
        path: String,
        /// What is said of it.
        url: String,
        /// Why that is none.
        error: AddressError,
    },
    /// It is at another server, which is reached otherwise than over https.
    #[error(
        "the submodule {path} comes from {url:?}: from another server than the source's own a submodule is taken over https alone, by the server's name"
    )]
    Elsewhere {
        /// Where it lies.
        path: String,
        /// What is said of it.
        url: String,
    },
}

/// What of a commit's `.gitmodules` counts, for [`declared`] to read. Git does not follow what the file includes.
pub fn declarations() -> Vec<String> {
    let blob = format!("--blob={FETCHED}:{FILE}");
    let wanted = r"^submodule\..*\.(path|url)$";
    super::owned(&["config", "-z", &blob, "--get-regexp", wanted])
}

/// The entry of the file itself, for [`super::listed`] to read.
pub fn file() -> Vec<String> {
    super::owned(&["ls-tree", "-z", "-l", "--full-tree", FETCHED, FILE])
}

/// Reads what [`declarations`] prints. Of a key that is there twice the last one counts, as for git.
pub fn declared(printed: &[u8]) -> Result<Vec<Submodule>, SubmoduleError> {
    let mut all: Vec<(String, Submodule)> = Vec::new();
    for line in printed.split(|&byte| byte == 0) {
        let Ok(line) = std::str::from_utf8(line) else {
            continue;
        };
        let Some((key, value)) = line.split_once('\n') else {
            continue;
        };
        let key = key.strip_prefix("submodule.");
        let Some((name, field)) = key.and_then(|key| key.rsplit_once('.')) else {
            continue;
        };
        if !is_name(name) {
            return Err(SubmoduleError::Name(name.to_owned()));
        }
        let at = all.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| {
            let none = Submodule {
                path: String::new(),
                url: String::new(),
            };
            all.push((name.to_owned(), none));
            all.len() - 1
        });
        let (_, submodule) = &mut all[at];
        match field {
            "path" => value.clone_into(&mut submodule.path),
            _ => value.clone_into(&mut submodule.url),
        }
    }
    let all: Vec<_> = all.into_iter().map(|(_, submodule)| submodule).collect();
    match all.iter().find(|one| !is_path(&one.path)) {
        Some(wrong) => Err(SubmoduleError::Path(wrong.path.clone())),
        None => Ok(all),
    }
}

/// Git makes a folder of a name (CVE-2018-11235); we do not, and take none that is made for that.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| part != "..";
    !name.is_empty()
        && name.len() <= MAX_PATH
        && !name.starts_with('-')
        && !name.contains(char::is_control)
        && name.split(['/', '\\']).all(is_part)
}

fn is_path(path: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && !matches!(part, "." | "..") && !part.eq_ignore_ascii_case(".git")
    };
    path.len() <= MAX_PATH
        && !path.starts_with('-')
        && !path.contains(|c: char| c.is_control() || "\\:".contains(c))
        && path.split('/').all(is_part)
}

/// Where the submodule at a path of a commit comes from: an address, or one that begins at its parent's.
pub fn origin(
    all: &[Submodule],
    path: &str,
    parent: &GitAddress,
    source: &GitAddress,
) -> Result<Origin, SubmoduleError> {
    let found = all.iter().find(|one| one.path == path);
    let url = match found {
        Some(one) if !one.url.is_empty() => one.url.as_str(),
        _ => return Err(SubmoduleError::Unnamed(path.to_owned())),
    };
    let address = resolved(url, parent).map_err(|error| SubmoduleError::Address {
        path: path.to_owned(),
        url: url.to_owned(),
        error,
    })?;
    let address = over_https(address, source);
    if is_beside(&address, source) {
        return Ok(Origin {
            address,
            access: Access::Source,
        });
    }
    let is_named = address.host().contains('.') && !is_ip(address.bare_host());
    if address.scheme() == Scheme::Https && is_named {
        return Ok(Origin {
            address,
            access: Access::Public,
        });
    }
    Err(SubmoduleError::Elsewhere {
        path: path.to_owned(),
        url: url.to_owned(),
    })
}

fn is_ip(host: &str) -> bool {
    // Programs read `127.1`, `0x7f.1` and the like as addresses, too.
    let last = host.rsplit('.').next().unwrap_or(host);
    host.parse::<std::net::IpAddr>().is_ok() || last.starts_with(|c: char| c.is_ascii_digit())
}

/// At the same server, as the same user: whatever reads the source may be said there.
fn is_beside(address: &GitAddress, source: &GitAddress) -> bool {
    address.origin() == source.origin()
}

/// What forges offer for copying is an address over ssh; where the source is read over https, so is that.
fn over_https(address: GitAddress, source: &GitAddress) -> GitAddress {
    let is_same = source.scheme() == Scheme::Https && address.scheme() == Scheme::Ssh;
    if !is_same || address.host() != source.host() || address.port() != 22 {
        return address;
    }
    let path = &address.path()[1..];
    let other = format!("{}{path}", source.origin()).parse();
    other.unwrap_or(address)
}

/// `./x` and `../x` begin at the parent's own address, as git has it.
fn resolved(url: &str, parent: &GitAddress) -> Result<GitAddress, AddressError> {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.parse();
    }
    let mut parts: Vec<&str> = parent.path().trim_matches('/').split('/').collect();
    let mut rest = url;
    loop {
        if let Some(behind) = rest.strip_prefix("../") {
            if parts.pop().is_none() {
                return Err(AddressError::Malformed);
            }
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("./") {
            rest = behind;
        } else {
            break;
        }
    }
    parts.push(rest);
    format!("{}{}", parent.origin(), parts.join("/")).parse()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_file_declares_is_read_and_judged() {
        let printed = b"submodule.lib.path\nvendor/lib\0submodule.lib.url\n../lib.git\0\
            submodule.a.b.url\nhttps://h.org/x\0submodule.a.b.path\nx y\0submodule.lib.path\nlib\0rubbish\0\xff\0";
        let all = declared(printed).unwrap();
        let one = |path: &str, url: &str| Submodule {
            path: path.to_owned(),
            url: url.to_owned(),
        };
        assert_eq!(
            all,
            [one("lib", "../lib.git"), one("x y", "https://h.org/x")]
        );
        for name in ["..", "../x", "a/../b", "a\\..\\b", "-x"] {
            let printed = format!("submodule.{name}.path\nx\0");
            let refused = declared(printed.as_bytes());
            assert_eq!(refused, Err(SubmoduleError::Name(name.to_owned())));
        }
        for path in [
            "",
            "/",
            "../x",
            "a/../b",
            "a/./b",
            ".git",
            "a/.GIT/hooks",
            "-x",
            "a\\b",
            "C:x",
            "a\tb",
        ] {
            let printed = format!("submodule.x.path\n{path}\0");
            let refused = declared(printed.as_bytes());
            assert_eq!(refused, Err(SubmoduleError::Path(path.to_owned())));
        }
    }

    fn found(url: &str, parent: &str) -> Result<(String, Access), SubmoduleError> {
        let all = [Submodule {
            path: "x".to_owned(),
            url: url.to_owned(),
        }];
        let parent = parent.parse().unwrap();
        let origin = origin(&all, "x", &parent, &parent)?;
        Ok((origin.address.to_string(), origin.access))
    }

    #[test]
    fn a_submodule_comes_from_beside_its_parent_or_from_elsewhere_without_a_credential() {
        use Access::{Public, Source};
        let (https, ssh) = (
            "https://git.example.org/team/shop.git",
            "git@h.org:team/shop.git",
        );
        let table = [
            (
                "../lib.git",
                https,
                "https://git.example.org/team/lib.git",
                Source,
            ),
            (
                "./lib",
                https,
                "https://git.example.org/team/shop.git/lib",
                Source,
            ),
            (
                "../../other/lib",
                https,
                "https://git.example.org/other/lib",
                Source,
            ),
            ("../lib", ssh, "ssh://git@h.org/team/lib", Source),
            (
                "https://git.example.org/x",
                https,
                "https://git.example.org/x",
                Source,
            ),
            (
                "git@git.example.org:a/x.git",
                https,
                "https://git.example.org/a/x.git",
                Source,
            ),
            ("git@h.org:a/x.git", ssh, "ssh://git@h.org/a/x.git", Source),
            (
                "https://github.com/a/x",
                https,
                "https://github.com/a/x",
                Public,
            ),
            ("https://h.org/a/x", ssh, "https://h.org/a/x", Public),
            (
                "https://git.example.org:8443/x",
                https,
                "https://git.example.org:8443/x",
                Public,
            ),
        ];
        for (url, parent, address, access) in table {
            let expected = (address.to_owned(), access);
            assert_eq!(found(url, parent), Ok(expected), "{url} {parent}");
        }
        for url in [
            "http://git.example.org/x",
            "http://h.org/x",
            "git@github.com:a/x",
            "ada@git.example.org.evil.org:x",
            "ssh://git@git.example.org:2222/x",
            "https://127.0.0.1/x",
            "https://127.1/x",
            "https://[::1]/x",
            "https://localhost/x",
        ] {
            let refused = found(url, https);
            assert!(
                matches!(refused, Err(SubmoduleError::Elsewhere { .. })),
                "{url}: {refused:?}"
            );
        }
        for url in [
            "file:///etc",
            "/etc",
            "ext::sh -c id",
            "-u./x",
            "--upload-pack=id",
            "https://u:p@h.org/x",
            "../../../../x",
            "../..",
            "../a/../b",
            "git://h.org/x",
            "ssh://-oProxyCommand=id/x",
            "../\nx",
        ] {
            let refused = found(url, https);
            assert!(
                matches!(refused, Err(SubmoduleError::Address { .. })),
                "{url}: {refused:?}"
            );
        }
        assert!(matches!(found("", https), Err(SubmoduleError::Unnamed(_))));
        let parent = https.parse().unwrap();
        let none = origin(&[], "x", &parent, &parent);
        assert_eq!(none, Err(SubmoduleError::Unnamed("x".to_owned())));
    }
}
