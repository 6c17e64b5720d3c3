//! One-time links: what a person is given to become a user.

use reqwest::Url;
use towline_pki::Fingerprint;

use super::Session;
use crate::{
    api::address,
    connection::{Connection, parse_url},
    exit::Failure,
    trust::Trust,
};

/// Which page a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The first user's.
    Setup,
    /// That of an invitation.
    Join,
}

impl Page {
    const fn path(self) -> &'static str {
        match self {
            Self::Setup => "/setup",
            Self::Join => "/join",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Setup => "That is no set-up link",
            Self::Join => "That is no link of an invitation",
        }
    }
}

/// The parts of a one-time link: `https://HOST:PORT/setup#TOKEN.FINGERPRINT`.
pub struct Link {
    url: Url,
    token: String,
    /// Absent when the operator's own certificate is in use.
    authority: Option<Fingerprint>,
}

impl Link {
    /// Reads a link that leads to the page.
    pub fn parse(text: &str, page: Page) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let remedy = format!(
                "copy the whole link, in quotes: 'https://…{}#…'",
                page.path()
            );
            Failure::usage(page.what()).detail(why).remedy(remedy)
        };
        let mut url = Url::parse(text.trim()).map_err(|error| wrong(&error.to_string()))?;
        let fragment = url.fragment().unwrap_or_default().to_owned();
        let (token, authority) = match fragment.split_once('.') {
            Some((token, fingerprint)) => {
                let fingerprint: Fingerprint = fingerprint
                    .parse()
                    .map_err(|_| wrong("the fingerprint at its end is not whole"))?;
                (token, Some(fingerprint))
            }
            None => (fragment.as_str(), None),
        };
        if token.is_empty() {
            return Err(wrong("it has no token behind a #"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        let base = path
            .strip_suffix(page.path())
            .ok_or_else(|| wrong(&format!("its path is not {}", page.path())))?;
        url.set_fragment(None);
        url.set_path(base);
        Ok(Self {
            url: parse_url(url.as_str())?,
            token: token.to_owned(),
            authority,
        })
    }

    /// The way to the installation, without a key, and the link's secret.
    pub fn connection(
        self,
        session: &Session,
        ca: Option<&str>,
    ) -> Result<(Connection, String), Failure> {
        let trust = match self.authority {
            Some(fingerprint) => Trust::Fingerprint(fingerprint),
            None => session.trust(ca)?,
        };
        let connection = Connection {
            url: self.url,
            trust,
            key: None,
        };
        Ok((connection, self.token))
    }

    /// The link's secret.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Fails unless the link is of this installation: its secret goes nowhere else.
    pub fn expect_at(&self, url: &Url) -> Result<(), Failure> {
        if self.url == *url {
            return Ok(());
        }
        Err(
            Failure::usage("The link is of another installation than the stored login")
                .detail(format!(
                    "it leads to {}, and the login to {}",
                    address(&self.url),
                    address(url)
                ))
                .remedy(
                    "choose the login with --context, or give your --name if you are new there",
                ),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_link_brings_address_token_and_trust() {
        let print = "0f".repeat(32);
        let link = Link::parse(
            &format!("https://plane:8443/setup#twls_a-b_c.{print}\n"),
            Page::Setup,
        )
        .unwrap();
        assert_eq!(link.url.as_str(), "https://plane:8443/");
        assert_eq!(link.token, "twls_a-b_c");
        assert_eq!(link.authority, Some(print.parse().unwrap()));
        let link = Link::parse("https://plane/base/join#token", Page::Join).unwrap();
        assert_eq!(
            (link.url.as_str(), link.authority),
            ("https://plane/base", None)
        );
        let whole = format!("https://plane/setup#token.{print}");
        for text in [
            "https://plane/setup",
            "https://plane/setup#",
            "https://plane/#token",
            "https://plane/join#token",
            "http://plane/setup#token",
            "setup#token",
            &whole[..whole.len() - 1],
        ] {
            assert!(Link::parse(text, Page::Setup).is_err(), "{text}");
        }
    }
}
