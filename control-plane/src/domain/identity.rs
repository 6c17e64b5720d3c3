//! Who somebody is at a provider of identities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The most characters of a provider's id.
const MAX_ID: usize = 32;
/// The most bytes of a subject, as OpenID Connect has it.
const MAX_SUBJECT: usize = 255;
/// The most bytes of an e-mail address and of a name.
const MAX_EMAIL: usize = 254;
const MAX_NAME: usize = 100;

/// What a provider is called in addresses and rows: `acme`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderId(String);

/// Text that is no id of a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no id of a provider: it has 1 to 32 small letters, digits and dashes, and begins with a letter"
)]
pub struct ProviderIdError(String);

impl ProviderId {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderId {
    type Err = ProviderIdError;

    fn from_str(text: &str) -> Result<Self, ProviderIdError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        if begins && text.len() <= MAX_ID && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ProviderIdError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ProviderId {
    type Error = ProviderIdError;

    fn try_from(text: String) -> Result<Self, ProviderIdError> {
        text.parse()
    }
}

impl From<ProviderId> for String {
    fn from(id: ProviderId) -> Self {
        id.0
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What only this server knows of an attempt that somebody makes at a provider.
pub struct AttemptSecrets {
    /// Of PKCE: shows the provider that who brings the code is who has asked for it.
    pub verifier: Zeroizing<String>,
    /// What the provider's word must repeat, so that it is a word on this attempt.
    pub nonce: Zeroizing<String>,
}

impl AttemptSecrets {
    /// As one text. Neither has a blank in it.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new([self.verifier.as_str(), self.nonce.as_str()].join(" "))
    }

    /// The other way; nothing, if it is no such text.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let (verifier, nonce) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        Some(Self {
            verifier: Zeroizing::new(verifier.to_owned()),
            nonce: Zeroizing::new(nonce.to_owned()),
        })
    }
}

impl fmt::Debug for AttemptSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttemptSecrets([redacted])")
    }
}

/// Somebody, as a provider has shown them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The provider.
    pub provider: ProviderId,
    /// By what the provider knows the person, whatever becomes of their addresses.
    pub subject: String,
    /// The person's address.
    pub email: Option<VerifiedEmail>,
    /// The person's name.
    pub name: Option<String>,
}

/// An address of which a provider says that it is the person's. There is no other: what a provider has
/// not verified, anybody may have typed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEmail(String);

/// A person that no row can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider's name for the person is empty, too long or no plain text")]
pub struct UnfitSubject;

impl Proven {
    /// Somebody by the words of a provider, which are another's words: too long ones are not taken.
    pub fn new(
        provider: ProviderId,
        subject: &str,
        email: Option<VerifiedEmail>,
        name: Option<&str>,
    ) -> Result<Self, UnfitSubject> {
        let is_plain = !subject.chars().any(char::is_control);
        if subject.is_empty() || subject.len() > MAX_SUBJECT || !is_plain {
            return Err(UnfitSubject);
        }
        let name = name.map(str::trim).filter(|name| {
            !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
        });
        Ok(Self {
            provider,
            subject: subject.to_owned(),
            email,
            name: name.map(str::to_owned),
        })
    }

    /// What to call the person.
    pub fn shown_name(&self) -> &str {
        let user = self.email.as_ref().map(|email| email.parts().0);
        self.name.as_deref().or(user).unwrap_or(&self.subject)
    }

    /// Whether the person's address lies in one of these domains; without domains every person may.
    pub fn is_of(&self, domains: &[String]) -> bool {
        let own = self.email.as_ref().map(|email| email.parts().1);
        let is_own = |domain: &String| own.is_some_and(|own| own.eq_ignore_ascii_case(domain));
        domains.is_empty() || domains.iter().any(is_own)
    }
}

impl VerifiedEmail {
    /// An address that a provider has verified; nothing, if it is none.
    pub fn vouched(email: &str) -> Option<Self> {
        let (user, domain) = email.rsplit_once('@')?;
        let is_plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
        let fits = !user.is_empty() && !domain.is_empty() && email.len() <= MAX_EMAIL;
        (fits && is_plain).then(|| Self(email.to_owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before and behind the last `@`.
    fn parts(&self) -> (&str, &str) {
        self.0.rsplit_once('@').unwrap_or((&self.0, ""))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn proven(email: &str, name: Option<&str>) -> Proven {
        let provider = "acme".parse().unwrap();
        Proven::new(provider, "7", VerifiedEmail::vouched(email), name).unwrap()
    }

    #[test]
    fn ids_stand_in_addresses() {
        for good in ["a", "github", "acme-2", &"a".repeat(32)] {
            assert_eq!(good.parse::<ProviderId>().unwrap().as_str(), good);
        }
        for bad in ["", "2a", "-a", "Acme", "a b", "a/b", "ä", &"a".repeat(33)] {
            assert!(bad.parse::<ProviderId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn domains_are_compared_whole() {
        let domains = ["acme.example".to_owned()];
        for (email, is_of) in [
            ("ada@acme.example", true),
            ("ada@ACME.example", true),
            ("\"a@b\"@acme.example", true),
            ("ada@evil-acme.example", false),
            ("ada@sub.acme.example", false),
            ("ada@acme.example.evil", false),
            ("acme.example@evil.example", false),
            ("nobody", false),
        ] {
            assert_eq!(proven(email, None).is_of(&domains), is_of, "{email}");
            assert!(proven(email, None).is_of(&[]));
        }
    }

    #[test]
    fn what_a_provider_says_is_bounded() {
        let provider: ProviderId = "acme".parse().unwrap();
        for subject in ["", "a\u{0}b", &"x".repeat(256)] {
            let refused = Proven::new(provider.clone(), subject, None, None);
            assert_eq!(refused, Err(UnfitSubject), "{subject:?}");
        }
        for email in ["", "@", "a@", "@b", "a b@c", "a@b\n", &"x@".repeat(200)] {
            assert_eq!(VerifiedEmail::vouched(email), None, "{email:?}");
        }
        let long = "x".repeat(101);
        for (name, shown) in [
            (Some(" Ada "), "Ada"),
            (Some(" "), "ada"),
            (Some("a\tb"), "ada"),
            (Some(long.as_str()), "ada"),
            (None, "ada"),
        ] {
            assert_eq!(proven("ada@acme.example", name).shown_name(), shown);
        }
        assert_eq!(proven("", None).shown_name(), "7");
    }
}
