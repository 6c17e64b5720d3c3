//! `towline setup`: the first user of a new installation.

use clap::Args;
use reqwest::Url;
use towline_pki::Fingerprint;

use super::{Session, login};
use crate::{
    api::{
        Client, address,
        setup::{self, Installed, NewSetup},
    },
    connection::{Connection, parse_url},
    exit::{Exit, Failure},
    output::table::facts,
    trust::Trust,
};

/// Make the first user of a new installation, and log in
#[derive(Debug, Args)]
pub struct Setup {
    /// The link that the control plane printed at its first start
    link: String,
    /// Your e-mail address
    #[arg(long)]
    email: String,
    /// Your name
    #[arg(long)]
    name: String,
    /// Trust the CA in this PEM file, when the link carries no fingerprint
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
}

impl Setup {
    /// Completes the set-up and stores the login.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let link = Link::parse(&self.link)?;
        let file = session.config_file()?;
        // The key is told once: first make sure that it can be kept.
        file.check_writable()?;
        let connection = Connection {
            url: link.url,
            trust: match link.authority {
                Some(fingerprint) => Trust::Fingerprint(fingerprint),
                None => session.trust(self.ca.as_deref())?,
            },
            key: None,
        };
        let client = Client::new(&connection)?;
        let setup = NewSetup {
            token: &link.token,
            email: &self.email,
            name: &self.name,
        };
        let installed = setup::complete(&client, &setup).await?;
        let context = connection
            .trust
            .context(&connection.url, installed.api_key.key.clone());
        login::store(session, &file, context).inspect_err(|_| {
            session.output.note(&format!(
                "The set-up is done, but the login cannot be stored. Keep this key: {}",
                installed.api_key.key.reveal()
            ));
        })?;
        session.output.result(&installed, |surface| {
            said(&installed, &connection.url, surface)
        })?;
        Ok(Exit::Success)
    }
}

fn said(installed: &Installed, url: &Url, surface: crate::output::Surface) -> String {
    let list = [
        ("installation", address(url).to_owned()),
        (
            "user",
            format!("{} <{}>", installed.user.name, installed.user.email),
        ),
        ("team", installed.team.name.clone()),
        ("API key", format!("{} (stored)", installed.api_key.name)),
    ];
    format!(
        "You are logged in.\n{}\nNext: enrol a host with `towline agents token NAME`.",
        facts(surface, &list)
    )
}

/// The parts of a set-up link: `https://HOST:PORT/setup#TOKEN.FINGERPRINT`.
struct Link {
    url: Url,
    token: String,
    /// Absent when the operator's own certificate is in use.
    authority: Option<Fingerprint>,
}

impl Link {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage("That is no set-up link").detail(why).remedy(
                "copy the whole link that the control plane printed, in quotes: 'https://…/setup#…'",
            )
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
            .strip_suffix("/setup")
            .ok_or_else(|| wrong("its path is not /setup"))?;
        url.set_fragment(None);
        url.set_path(base);
        Ok(Self {
            url: parse_url(url.as_str())?,
            token: token.to_owned(),
            authority,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_link_brings_address_token_and_trust() {
        let print = "0f".repeat(32);
        let link = Link::parse(&format!("https://plane:8443/setup#twls_a-b_c.{print}\n")).unwrap();
        assert_eq!(link.url.as_str(), "https://plane:8443/");
        assert_eq!(link.token, "twls_a-b_c");
        assert_eq!(link.authority, Some(print.parse().unwrap()));
        let link = Link::parse("https://plane/base/setup#token").unwrap();
        assert_eq!(
            (link.url.as_str(), link.authority),
            ("https://plane/base", None)
        );
        let whole = format!("https://plane/setup#token.{print}");
        for text in [
            "https://plane/setup",
            "https://plane/setup#",
            "https://plane/#token",
            "http://plane/setup#token",
            "setup#token",
            &whole[..whole.len() - 1],
        ] {
            assert!(Link::parse(text).is_err(), "{text}");
        }
    }
}
