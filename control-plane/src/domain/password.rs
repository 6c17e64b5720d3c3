//! Passwords: what may be one.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::names::InvalidName;

/// The fewest characters of a new password.
pub const MIN_CHARACTERS: usize = 12;
/// The most bytes of one.
pub const MAX_BYTES: usize = 1024;
/// A password of fewer different characters is a pattern.
const MIN_DIFFERENT: usize = 4;

/// A password as somebody typed it. It never prints.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// What is stored of a password: a PHC string. It never prints, either.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl Password {
    /// The bytes, to be hashed.
    pub fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Checks a password that somebody chooses, who has this e-mail address. Long ones are asked for
    /// rather than odd ones: what is easy to remember may be hard to guess.
    pub fn check_new(&self, field: &'static str, email: &str) -> Result<(), InvalidName> {
        let refuse = |message: String, remedy: &str| {
            Err(InvalidName {
                field,
                message,
                remedy: remedy.to_owned(),
            })
        };
        let text = self.0.as_str();
        if text.chars().count() < MIN_CHARACTERS {
            let message = format!("a password has at least {MIN_CHARACTERS} characters");
            return refuse(
                message,
                "take a few words, or let a password manager choose",
            );
        }
        if text.len() > MAX_BYTES {
            let message = format!("a password has at most {MAX_BYTES} bytes");
            return refuse(message, "choose a shorter one");
        }
        if text.chars().any(char::is_control) {
            let message = "a password has no control characters".to_owned();
            return refuse(message, "leave out line ends and tabs");
        }
        let mut different: Vec<char> = text.chars().collect();
        different.sort_unstable();
        different.dedup();
        if different.len() < MIN_DIFFERENT || text.eq_ignore_ascii_case(email) {
            let message = "this is guessed at once".to_owned();
            return refuse(message, "take a few words that have nothing to do with you");
        }
        Ok(())
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(given: D) -> Result<Self, D::Error> {
        String::deserialize(given).map(Self::from)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

impl PasswordHash {
    /// What the database or the hashing has given.
    pub const fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string, for the database.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), InvalidName> {
        Password::from(text.to_owned()).check_new("password", "ada@example.org")
    }

    #[test]
    fn length_counts_and_patterns_do_not() {
        for good in [
            "correct horse battery",
            "äöüäöü-äöüß9",
            "aB3$aB3$aB3$",
            &"long enough ".repeat(85),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "short",
            "elevenchars",
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "ADA@example.org",
            "a password\nof lines",
            &"long enough ".repeat(86),
        ] {
            let refused = check(bad).map_err(|refused| refused.field);
            assert_eq!(refused, Err("password"), "{bad}");
        }
    }

    #[test]
    fn nothing_prints() {
        let password = Password::from("correct horse battery".to_owned());
        let hash = PasswordHash::new("correct".to_owned());
        assert!(!format!("{password:?} {hash:?}").contains("correct"));
    }
}
