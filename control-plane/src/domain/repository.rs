//! What people say about a repository, and its limits.

use serde::Deserialize;
use towline_shared::spec;
use utoipa::ToSchema;

use super::named::named;
use super::names::InvalidName;

/// The longest folder.
const MAX_FOLDER: usize = 255;
/// The longest user.
const MAX_USER: usize = 255;
/// The longest password or token.
const MAX_PASSWORD: usize = 4096;

/// What becomes of a repository's submodules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Submodules {
    /// Their folders stay empty.
    #[default]
    Leave,
    /// They are taken.
    Take,
}

named!(Submodules {
    Leave: "leave",
    Take: "take",
});

impl From<Submodules> for spec::Submodules {
    fn from(submodules: Submodules) -> Self {
        match submodules {
            Submodules::Leave => Self::Leave,
            Submodules::Take => Self::Take,
        }
    }
}

/// A field that cannot be taken.
pub fn invalid(field: &'static str, message: String) -> InvalidName {
    InvalidName {
        field,
        message,
        remedy: "see docs/sources.md for what is taken".to_owned(),
    }
}

/// Checks the folder of a project in its repository: empty, or a plain path below the root.
pub fn check_folder(folder: &str) -> Result<(), InvalidName> {
    let is_part = |part: &str| !part.is_empty() && !matches!(part, "." | ".." | ".git");
    let is_plain = folder.len() <= MAX_FOLDER
        && !folder.contains(|c: char| c.is_control() || "\\:".contains(c))
        && folder.split('/').all(is_part);
    if folder.is_empty() || is_plain {
        Ok(())
    } else {
        let message = "a folder is a path below the root of the repository, as apps/web";
        Err(invalid("folder", message.to_owned()))
    }
}

/// Checks by what a repository is read.
pub fn check_login(user: &str, password: &str) -> Result<(), InvalidName> {
    let is_plain = |text: &str, most: usize| {
        !text.is_empty() && text.len() <= most && !text.contains(char::is_control)
    };
    if !is_plain(user, MAX_USER) || user.contains(':') {
        let message = format!("a user has 1 to {MAX_USER} characters, without a colon");
        return Err(invalid("login.user", message));
    }
    if !is_plain(password, MAX_PASSWORD) {
        let message = format!("a password or token has 1 to {MAX_PASSWORD} characters of text");
        return Err(invalid("login.password", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stays_in_its_repository() {
        for folder in ["", "web", "apps/web", "a b", ".github"] {
            assert!(check_folder(folder).is_ok(), "{folder}");
        }
        let long = "a".repeat(256);
        for folder in [
            "/",
            "/web",
            "web/",
            "..",
            "a/../b",
            "./a",
            "a//b",
            ".git",
            "a/.git",
            "a\\b",
            "a:b",
            "a\nb",
            long.as_str(),
        ] {
            assert!(check_folder(folder).is_err(), "{folder}");
        }
    }

    #[test]
    fn a_login_is_text_that_a_header_can_carry() {
        assert!(check_login("x-access-token", "ghp_1").is_ok());
        let long = "a".repeat(MAX_PASSWORD + 1);
        for (user, password) in [
            ("", "p"),
            ("a:b", "p"),
            ("u", ""),
            ("u", "a\nb"),
            ("u", &long),
        ] {
            assert!(check_login(user, password).is_err(), "{user} {password}");
        }
    }
}
