//! Where the rows are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// The database: SQLite in the data directory, or PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Database {
    /// The PostgreSQL database; SQLite when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<DatabaseUrl>,
}

/// What one source says about the database.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DatabaseSettings {
    /// PostgreSQL database, postgres://user:password@host/name [default: SQLite in the data directory]
    #[arg(
        id = "database",
        long = "database",
        env = "TOWLINE_DATABASE",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub url: Option<DatabaseUrl>,
}

impl DatabaseSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            url: self.url.or(below.url),
        }
    }

    pub(super) fn resolve(self) -> Database {
        Database { url: self.url }
    }
}

/// The address of a PostgreSQL database. Its password is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DatabaseUrl(String);

/// Text that is no address of a database. It does not repeat the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Of another kind.
    #[error(
        "only PostgreSQL is spoken: write postgres://user:password@host:port/name, or leave it out for SQLite"
    )]
    Kind,
    /// Of the right kind, but damaged.
    #[error("not a valid address (postgres://user:password@host:port/name): {0}")]
    Damaged(String),
}

impl DatabaseUrl {
    /// The address with its password, for the driver alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(DatabaseUrlError::Kind);
        }
        match text.parse::<http::Uri>() {
            Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(Self(text.to_owned())),
            Ok(_) => Err(DatabaseUrlError::Damaged("it names no host".into())),
            Err(cause) => Err(DatabaseUrlError::Damaged(cause.to_string())),
        }
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = DatabaseUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// With the password, wherever it stands, replaced.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before_query, query) = self.0.split_once('?').unwrap_or((&self.0, ""));
        match before_query.rsplit_once('@') {
            Some((credentials, rest)) => {
                let user = credentials
                    .match_indices(':')
                    .nth(1)
                    .map_or(credentials, |(at, _)| &credentials[..at]);
                write!(f, "{user}:***@{rest}")?;
            }
            None => f.write_str(before_query)?,
        }
        for (index, parameter) in query.split('&').filter(|part| !part.is_empty()).enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            match parameter.split_once('=') {
                Some((name, _)) if name.contains("password") => write!(f, "{name}=***")?,
                _ => f.write_str(parameter)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
