//! Accounts at forges: where a forge is, what a token must be allowed, and what repositories and statuses are called there. Pure.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use towline_shared::git::GitAddress;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::forge::Forge;
use super::hex::hex;
use super::named::named;
use super::names::InvalidName;

/// The most integrations of a team.
pub const MAX_INTEGRATIONS: usize = 50;
/// The most pages of a list that are asked for.
pub const MAX_PAGE: u32 = 200;

/// The longest token.
const MAX_TOKEN: usize = 4096;
/// The longest name of who says a token.
const MAX_USER: usize = 255;
/// The longest path of a repository; GitLab's groups lie in one another.
const MAX_PATH: usize = 255;
/// The most characters that GitHub takes of a description.
const MAX_DESCRIPTION: usize = 140;
/// The most characters that Bitbucket takes of a key.
const MAX_KEY: usize = 40;

/// Where a forge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeSite {
    forge: Forge,
    /// Without a `/` at its end.
    root: String,
}

/// What a forge calls a repository: `owner/name`, at GitLab with as many groups as it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RepositoryPath(String);

/// What it takes to call a forge.
#[derive(Clone)]
pub struct ForgeAccess {
    /// Where it is.
    pub site: ForgeSite,
    /// Who says the token, where that is asked for.
    pub user: Option<String>,
    /// What shows who we are.
    pub token: Zeroizing<String>,
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitState {
    /// It is on its way.
    Pending,
    /// It has come up.
    Success,
    /// It has not.
    Failure,
    /// Somebody has stopped it.
    Cancelled,
}

named!(CommitState {
    Pending: "pending",
    Success: "success",
    Failure: "failure",
    Cancelled: "cancelled",
});

/// Who may see a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Those whom its owner lets in.
    Private,
}

/// A field that cannot be taken.
pub fn invalid(field: &'static str, message: impl Into<String>) -> InvalidName {
    InvalidName {
        field,
        message: message.into(),
        remedy: "see docs/integrations.md for what is taken".to_owned(),
    }
}

impl ForgeSite {
    /// A forge at an address that has been checked, or at its own.
    pub fn new(forge: Forge, root: Option<&str>) -> Result<Self, InvalidName> {
        let own = match forge {
            Forge::GitHub => "https://github.com",
            Forge::GitLab => "https://gitlab.com",
            Forge::Bitbucket => "https://bitbucket.org",
            Forge::Generic => {
                return Err(invalid(
                    "forge",
                    "an integration is with github, gitlab or bitbucket",
                ));
            }
        };
        let root = root.unwrap_or(own);
        if root.contains('?') {
            let message = "the address of a forge has no part behind ?";
            return Err(invalid("url", message));
        }
        Ok(Self {
            forge,
            root: root.trim_end_matches('/').to_owned(),
        })
    }

    /// Which forge it is.
    pub const fn forge(&self) -> Forge {
        self.forge
    }

    /// Where people and git find it.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Where programs call it.
    pub fn api(&self) -> String {
        let root = &self.root;
        match (self.forge, root.as_str()) {
            (Forge::GitHub, "https://github.com") => "https://api.github.com".to_owned(),
            (Forge::GitHub, _) => format!("{root}/api/v3"),
            (Forge::Bitbucket, "https://bitbucket.org") => {
                "https://api.bitbucket.org/2.0".to_owned()
            }
            (Forge::Bitbucket, _) => format!("{root}/2.0"),
            (Forge::GitLab | Forge::Generic, _) => format!("{root}/api/v4"),
        }
    }

    /// Where git reads a repository. It is made here and not taken from an answer: nobody else is given the token.
    pub fn clone_url(&self, repository: &RepositoryPath) -> String {
        format!("{}/{}.git", self.root, repository.as_str())
    }

    /// Where people see a pull request. It is made here, too.
    pub fn pull_page(&self, repository: &RepositoryPath, number: u64) -> String {
        let part = match self.forge {
            Forge::GitHub => "pull",
            Forge::Bitbucket => "pull-requests",
            Forge::GitLab | Forge::Generic => "-/merge_requests",
        };
        format!("{}/{}/{part}/{number}", self.root, repository.as_str())
    }

    /// What it calls the repository of an address of git, which may have another host.
    pub fn repository_named(&self, address: &GitAddress) -> Option<RepositoryPath> {
        let path = address.path().trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        RepositoryPath::parse(self.forge, path).ok()
    }

    /// What it calls the repository of an address of git, if that is where the forge is.
    pub fn repository_at(&self, address: &GitAddress) -> Option<RepositoryPath> {
        let path = self.repository_named(address)?;
        let own = self.clone_url(&path).parse::<GitAddress>().ok()?;
        (own.host() == address.host()).then_some(path)
    }

    /// As whom git says a token.
    pub const fn git_user(&self, token_user: Option<&str>) -> &'static str {
        match (self.forge, token_user) {
            (Forge::GitLab, _) => "oauth2",
            (Forge::Bitbucket, Some(_)) => "x-bitbucket-api-token-auth",
            (Forge::Bitbucket, None) => "x-token-auth",
            (Forge::GitHub | Forge::Generic, _) => "x-access-token",
        }
    }

    /// The scope that a token lacks, as far as the forge has told its scopes.
    pub fn missing_scope(&self, scopes: &[String]) -> Option<&'static str> {
        let has = |wanted: &str| scopes.iter().any(|scope| scope == wanted);
        let (found, name) = match self.forge {
            Forge::GitHub => (has("repo"), "repo"),
            Forge::GitLab => (has("api"), "api"),
            Forge::Bitbucket => (
                scopes.iter().any(|scope| scope.contains("repository")),
                "repository",
            ),
            Forge::Generic => (true, ""),
        };
        (!found).then_some(name)
    }
}

impl ForgeAccess {
    /// By what git reads a repository.
    pub fn login(self) -> (String, Zeroizing<String>) {
        let user = self.site.git_user(self.user.as_deref());
        (user.to_owned(), self.token)
    }
}

impl std::fmt::Debug for ForgeAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ForgeAccess({}, [redacted])", self.site.root())
    }
}

impl RepositoryPath {
    /// What people write.
    pub fn parse(forge: Forge, text: &str) -> Result<Self, InvalidName> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_part = |part: &str| {
            !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(is_plain)
        };
        let parts = text.split('/').count();
        let depth = if forge == Forge::GitLab {
            2..=20
        } else {
            2..=2
        };
        if text.len() <= MAX_PATH && depth.contains(&parts) && text.split('/').all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        Err(invalid(
            "repository",
            "a repository is named as owner/name, without its host and without .git at its end",
        ))
    }

    /// What is stored, or told by the forge, of which nothing else could be made.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// As the forge has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose it is, and its name.
    pub fn halves(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((&self.0, ""))
    }
}

/// Checks a token, and who says it.
pub fn check_token(user: Option<&str>, token: &str) -> Result<(), InvalidName> {
    let is_plain = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic())
    };
    if !is_plain(token, MAX_TOKEN) {
        let message = format!("a token has 1 to {MAX_TOKEN} visible characters");
        return Err(invalid("token", message));
    }
    match user {
        Some(user) if !is_plain(user, MAX_USER) || user.contains(':') => Err(invalid(
            "token_user",
            format!("it has 1 to {MAX_USER} visible characters, without a colon"),
        )),
        _ => Ok(()),
    }
}

/// By what a forge tells a status from others of the same commit.
pub fn context(project: &str, environment: Option<&str>, target: &str) -> String {
    format!("towline/{project}/{}", environment.unwrap_or(target))
}

/// A context as Bitbucket takes it.
pub fn key(context: &str) -> String {
    if context.len() <= MAX_KEY {
        return context.to_owned();
    }
    let digest = hex(&Sha256::digest(context.as_bytes()));
    format!("towline/{}", &digest[..MAX_KEY - 8])
}

/// As much of a description as forges take.
pub fn description(text: &str) -> String {
    super::push::kept(text, MAX_DESCRIPTION)
}

/// A part of a path in which other characters than plain ones are written by their numbers.
pub fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(written, "%{byte:02X}");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_forge_is_called_where_it_is() {
        let own = "https://git.example.org:8443/forge/";
        let table = [
            (Forge::GitHub, None, "https://api.github.com"),
            (Forge::GitLab, None, "https://gitlab.com/api/v4"),
            (Forge::Bitbucket, None, "https://api.bitbucket.org/2.0"),
            (
                Forge::GitHub,
                Some("https://github.com/"),
                "https://api.github.com",
            ),
            (
                Forge::GitHub,
                Some(own),
                "https://git.example.org:8443/forge/api/v3",
            ),
            (
                Forge::GitLab,
                Some(own),
                "https://git.example.org:8443/forge/api/v4",
            ),
            (
                Forge::Bitbucket,
                Some(own),
                "https://git.example.org:8443/forge/2.0",
            ),
        ];
        for (forge, root, api) in table {
            let site = ForgeSite::new(forge, root).unwrap();
            assert_eq!(site.api(), api);
            let path = RepositoryPath::parse(forge, "ada/shop").unwrap();
            let clone = format!("{}/ada/shop.git", site.root());
            assert_eq!(site.clone_url(&path), clone);
        }
        for (forge, root) in [
            (Forge::Generic, None),
            (Forge::GitLab, Some("https://git.example.org/?a=b")),
        ] {
            assert!(ForgeSite::new(forge, root).is_err(), "{forge} {root:?}");
        }
    }

    #[test]
    fn a_repository_is_a_plain_path() {
        let long = format!("a/{}", "b".repeat(MAX_PATH));
        let table = [
            (Forge::GitHub, "ada/shop.js", true),
            (Forge::GitHub, "ada/shop/more", false),
            (Forge::GitLab, "group/sub/shop", true),
            (Forge::GitLab, "shop", false),
            (Forge::Bitbucket, "ada/shop", true),
            (Forge::GitHub, "", false),
            (Forge::GitHub, "ada/", false),
            (Forge::GitHub, "/shop", false),
            (Forge::GitHub, "ada/..", false),
            (Forge::GitLab, "a/../b", false),
            (Forge::GitHub, "ada/shop?x=1", false),
            (Forge::GitHub, "ada/sh op", false),
            (Forge::GitHub, "ada/shöp", false),
            (Forge::GitHub, "ada/a%2Fb", false),
            (Forge::GitHub, long.as_str(), false),
        ];
        for (forge, text, fits) in table {
            assert_eq!(RepositoryPath::parse(forge, text).is_ok(), fits, "{text}");
        }
        assert_eq!(segment("group/sub/shöp"), "group%2Fsub%2Fsh%C3%B6p");
        assert_eq!(segment("{a-1}"), "%7Ba-1%7D");
    }

    #[test]
    fn a_repository_is_known_by_its_address() {
        let table = [
            (
                Forge::GitHub,
                None,
                "git@github.com:ada/shop.git",
                Some("ada/shop"),
            ),
            (
                Forge::GitHub,
                None,
                "https://github.com/ada/shop",
                Some("ada/shop"),
            ),
            (Forge::GitHub, None, "git@gitlab.com:ada/shop.git", None),
            (
                Forge::GitHub,
                None,
                "git@github.com:ada/more/shop.git",
                None,
            ),
            (
                Forge::GitLab,
                Some("https://git.example.org:8443"),
                "ssh://git@git.example.org:2222/group/sub/shop.git",
                Some("group/sub/shop"),
            ),
        ];
        for (forge, root, address, path) in table {
            let site = ForgeSite::new(forge, root).unwrap();
            let found = site.repository_at(&address.parse().unwrap());
            assert_eq!(
                found.as_ref().map(RepositoryPath::as_str),
                path,
                "{address}"
            );
        }
        let path = RepositoryPath::stored("ada/shop".to_owned());
        let pages = [
            (Forge::GitHub, "https://github.com/ada/shop/pull/7"),
            (
                Forge::GitLab,
                "https://gitlab.com/ada/shop/-/merge_requests/7",
            ),
            (
                Forge::Bitbucket,
                "https://bitbucket.org/ada/shop/pull-requests/7",
            ),
        ];
        for (forge, page) in pages {
            assert_eq!(
                ForgeSite::new(forge, None).unwrap().pull_page(&path, 7),
                page
            );
        }
    }

    #[test]
    fn a_token_is_plain_and_its_scopes_are_looked_at() {
        assert!(check_token(None, "ghp_1").is_ok());
        assert!(check_token(Some("ada@example.org"), "ATATT").is_ok());
        let long = "a".repeat(MAX_TOKEN + 1);
        for (user, token) in [
            (None, ""),
            (None, "a b"),
            (None, "a\nb"),
            (None, long.as_str()),
            (Some("a:b"), "t"),
            (Some(""), "t"),
        ] {
            assert!(check_token(user, token).is_err(), "{user:?} {token}");
        }
        let scopes = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let table: [(_, &[&str], _); 6] = [
            (Forge::GitHub, &["gist", "repo"], None),
            (Forge::GitHub, &["public_repo"], Some("repo")),
            (Forge::GitLab, &["api"], None),
            (Forge::GitLab, &["read_api"], Some("api")),
            (Forge::Bitbucket, &["read:repository:bitbucket"], None),
            (Forge::Bitbucket, &["account"], Some("repository")),
        ];
        for (forge, names, missing) in table {
            let site = ForgeSite::new(forge, None).unwrap();
            assert_eq!(site.missing_scope(&scopes(names)), missing, "{names:?}");
        }
    }

    #[test]
    fn a_status_fits_into_each_forge() {
        let short = context("shop", Some("production"), "web-1");
        assert_eq!(
            (short.as_str(), key(&short)),
            ("towline/shop/production", short.clone())
        );
        let long = context(&"s".repeat(63), None, &"t".repeat(63));
        let other = context(&"s".repeat(63), None, &"u".repeat(63));
        assert_eq!(key(&long).len(), MAX_KEY);
        assert_ne!(key(&long), key(&other));
        assert_eq!(description(&"d".repeat(200)).len(), MAX_DESCRIPTION);
    }
}
