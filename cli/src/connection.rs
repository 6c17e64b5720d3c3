//! Which installation a command talks to, and why it trusts it.

use reqwest::Url;

use crate::{
    config::{ApiKey, Config, ConfigFile, Context},
    exit::Failure,
    trust::Trust,
};

/// An installation and a key to it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `https://host:port`.
    pub url: Url,
    /// Why it is trusted.
    pub trust: Trust,
    /// The key, absent only while there is none yet.
    pub key: Option<ApiKey>,
}

/// Reads an installation's address.
pub fn parse_url(text: &str) -> Result<Url, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("{text:?} is no address of a control plane"))
            .detail(why)
            .remedy("give it as https://HOST:PORT, as the control plane prints it at its start")
    };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if url.scheme() != "https" {
        return Err(wrong("it does not begin with https://".into()));
    }
    if !url.has_host() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "it must have a host and no user name or password".into(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must not have a ? or # part".into()));
    }
    Ok(url)
}

/// What the command line and the environment say about the installation.
#[derive(Debug, Default)]
pub struct Choice {
    /// The context by name.
    pub context: Option<String>,
    /// `TOWLINE_URL`.
    pub url: Option<String>,
    /// `TOWLINE_API_KEY`.
    pub key: Option<String>,
    /// `TOWLINE_CA`.
    pub ca: Option<String>,
}

impl Choice {
    /// The choice of this process.
    pub fn of_process(context: Option<String>) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            context,
            url: set("TOWLINE_URL"),
            key: set("TOWLINE_API_KEY"),
            ca: set("TOWLINE_CA"),
        }
    }

    /// The connection: the environment wins over the file, and an address from the environment
    /// never gets a key or a trust from the file that were made for another.
    pub fn resolve(&self, file: &ConfigFile) -> Result<Connection, Failure> {
        if let Some(url) = &self.url {
            return self.environments(url);
        }
        let config = file.read()?;
        let context = self.context_of(&config)?;
        let trust = match &self.ca {
            Some(ca) => Trust::parse(ca)?,
            None => Trust::of(context)?,
        };
        let key = match &self.key {
            Some(key) => ApiKey::new(key)?,
            None => context.key.clone(),
        };
        Ok(Connection {
            url: parse_url(&context.url)?,
            trust,
            key: Some(key),
        })
    }

    fn environments(&self, url: &str) -> Result<Connection, Failure> {
        let key = self.key.as_deref().ok_or_else(|| {
            Failure::usage("TOWLINE_URL is set, but TOWLINE_API_KEY is not")
                .remedy("set both, or unset TOWLINE_URL to use the stored login")
        })?;
        Ok(Connection {
            url: parse_url(url)?,
            trust: self
                .ca
                .as_deref()
                .map_or(Ok(Trust::Machine), Trust::parse)?,
            key: Some(ApiKey::new(key)?),
        })
    }

    fn context_of<'c>(&self, config: &'c Config) -> Result<&'c Context, Failure> {
        let Some(name) = self.context.as_ref().or(config.current.as_ref()) else {
            return Err(Failure::usage("You are not logged in").remedy(
                "run `towline login URL --ca-fingerprint FINGERPRINT`, or `towline setup LINK` on a new installation",
            ));
        };
        config.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = config.contexts.keys().map(String::as_str).collect();
            let failure = Failure::usage(format!("There is no context {name:?}"));
            if known.is_empty() {
                failure.remedy(format!("run `towline login URL --context {name}`"))
            } else {
                failure.remedy(format!("use one of: {}", known.join(", ")))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    fn stored(folder: &Path) -> ConfigFile {
        let home = folder.to_str().unwrap().to_owned();
        let file = ConfigFile::locate(|name| (name == "HOME").then(|| home.clone())).unwrap();
        let mut config = Config {
            current: Some("default".into()),
            ..Config::default()
        };
        for name in ["default", "other"] {
            let context = Context {
                url: format!("https://{name}.example"),
                key: ApiKey::new(&format!("key-{name}")).unwrap(),
                ca_fingerprint: None,
                ca: None,
            };
            config.contexts.insert(name.into(), context);
        }
        file.write(&config).unwrap();
        file
    }

    #[test]
    fn the_environment_wins_and_never_mixes_with_another_installation() {
        let folder = tempfile::tempdir().unwrap();
        let file = stored(folder.path());
        let text = |value: Option<&str>| value.map(str::to_owned);
        let table = [
            (
                None,
                None,
                None,
                Ok(("https://default.example/", "key-default")),
            ),
            (
                Some("other"),
                None,
                None,
                Ok(("https://other.example/", "key-other")),
            ),
            (
                None,
                None,
                Some("mine"),
                Ok(("https://default.example/", "mine")),
            ),
            (
                None,
                Some("https://env.example"),
                Some("mine"),
                Ok(("https://env.example/", "mine")),
            ),
            (
                None,
                Some("https://env.example"),
                None,
                Err("TOWLINE_API_KEY"),
            ),
            (Some("third"), None, None, Err("third")),
        ];
        for (context, url, key, expected) in table {
            let choice = Choice {
                context: text(context),
                url: text(url),
                key: text(key),
                ca: None,
            };
            match (choice.resolve(&file), expected) {
                (Ok(connection), Ok((url, key))) => {
                    assert_eq!(connection.url.as_str(), url);
                    assert_eq!(connection.key.unwrap().reveal(), key);
                }
                (Err(failure), Err(part)) => assert!(failure.sentence().contains(part)),
                (got, expected) => panic!("{got:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn addresses_are_https_and_nothing_more() {
        for text in [
            "https://plane.example",
            "https://127.0.0.1:8443/",
            "https://[::1]:1/base",
        ] {
            assert!(parse_url(text).is_ok(), "{text}");
        }
        for text in [
            "plane.example",
            "http://a",
            "https://a?x",
            "https://u:p@a",
            "https://a#f",
            "",
        ] {
            assert!(parse_url(text).is_err(), "{text}");
        }
    }
}
