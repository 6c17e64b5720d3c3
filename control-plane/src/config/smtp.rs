//! The mail server that takes what is sent to people.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::ConfigError;
use super::agents::HostPort;

/// The mail server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Smtp {
    /// Where it is, and as whom to sign in there.
    pub url: SmtpUrl,
    /// Whom mail is from: an address, or `Name <address>`.
    pub from: String,
    /// Where the user's password is.
    #[serde(flatten)]
    pub password: Option<SmtpPassword>,
}

/// Where the password of the mail server's user comes from.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub enum SmtpPassword {
    /// A file.
    #[serde(rename = "password-file")]
    File(PathBuf),
    /// The environment (`TOWLINE_SMTP_PASSWORD`).
    #[serde(rename = "password", serialize_with = "hidden")]
    Environment(Zeroizing<String>),
}

/// What one source says about the mail server.
#[derive(Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SmtpSettings {
    /// Mail server, smtps://user@host, or smtp://user@host for STARTTLS [default: no mail is sent]
    #[arg(
        id = "smtp_url",
        long = "smtp-url",
        env = "TOWLINE_SMTP_URL",
        value_name = "URL"
    )]
    pub url: Option<SmtpUrl>,
    /// Whom mail is from, an address or 'Name <address>'
    #[arg(
        id = "smtp_from",
        long = "smtp-from",
        env = "TOWLINE_SMTP_FROM",
        value_name = "ADDRESS"
    )]
    pub from: Option<String>,
    /// File with the password of the mail server's user
    #[arg(
        id = "smtp_password_file",
        long = "smtp-password-file",
        env = "TOWLINE_SMTP_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,
    /// The password itself; in the environment only, because files and argument lists are read by others.
    #[arg(skip)]
    #[serde(skip)]
    pub password: Option<Zeroizing<String>>,
}

fn hidden<S: Serializer>(_: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("***")
}

impl SmtpSettings {
    pub(super) fn over(self, below: Self) -> Self {
        let (password, password_file) = if self.password.is_some() || self.password_file.is_some() {
            (self.password, self.password_file)
        } else {
            (below.password, below.password_file)
        };
        Self {
            url: self.url.or(below.url),
            from: self.from.or(below.from),
            password_file,
            password,
        }
    }

    pub(super) fn resolve(self) -> Result<Option<Smtp>, ConfigError> {
        let password = match (self.password, self.password_file) {
            (Some(_), Some(_)) => {
                let problem = "the password is given in two ways at once";
                let remedy = "keep one of TOWLINE_SMTP_PASSWORD and --smtp-password-file";
                return Err(wrong("--smtp-password-file", problem, remedy));
            }
            (Some(password), None) => Some(SmtpPassword::Environment(password)),
            (None, Some(file)) => Some(SmtpPassword::File(file)),
            (None, None) => None,
        };
        let (url, from) = match (self.url, self.from) {
            (Some(url), Some(from)) => (url, from),
            (None, None) if password.is_none() => return Ok(None),
            (None, _) => {
                let problem = "mail is to be sent by no server";
                return Err(wrong("--smtp-url", problem, "name the mail server"));
            }
            (Some(_), None) => {
                let problem = "mail would be from nobody";
                return Err(wrong(
                    "--smtp-from",
                    problem,
                    "give the address that mail is from",
                ));
            }
        };
        match (&url.user, &password) {
            (Some(_), None) => Err(wrong(
                "--smtp-url",
                "it names a user, and there is no password",
                "give it by TOWLINE_SMTP_PASSWORD or --smtp-password-file",
            )),
            (None, Some(_)) => Err(wrong(
                "--smtp-url",
                "there is a password, and it names no user",
                "write smtps://user@host",
            )),
            _ => Ok(Some(Smtp {
                url,
                from,
                password,
            })),
        }
    }
}

fn wrong(setting: &'static str, problem: &str, remedy: &'static str) -> ConfigError {
    ConfigError::Setting {
        setting,
        problem: problem.into(),
        remedy,
    }
}

impl fmt::Debug for SmtpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpSettings")
            .field("url", &self.url)
            .field("from", &self.from)
            .field("password_file", &self.password_file)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SmtpPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(_) => f.write_str("Environment(***)"),
        }
    }
}

/// How the connection to a mail server is kept from others' eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// By TLS from the first byte.
    Tls,
    /// By TLS after a few words; without it nothing is sent.
    StartTls,
    /// Not at all, which is for a server on the same machine.
    Plain,
}

/// `smtps://user@host:465`, `smtp://user@host:587`, or `smtp://host:25?tls=none`.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SmtpUrl {
    /// How it is spoken to.
    pub security: SmtpSecurity,
    /// As whom.
    pub user: Option<String>,
    /// Where.
    pub server: HostPort,
}

/// Text that is no address of a mail server. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmtpUrlError {
    /// Not an address of a mail server.
    #[error("it is not of the form smtps://user@host:port or smtp://user@host:port")]
    Form,
    /// It has a password.
    #[error("it holds a password; give that by TOWLINE_SMTP_PASSWORD or --smtp-password-file")]
    Password,
    /// A user's password would be sent in clear.
    #[error("with tls=none a password would travel in clear; leave the user or tls=none out")]
    InClear,
}

impl FromStr for SmtpUrl {
    type Err = SmtpUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(SmtpUrlError::Form)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (security, port) = match (scheme, query) {
            ("smtps", "") => (SmtpSecurity::Tls, 465),
            ("smtp", "") => (SmtpSecurity::StartTls, 587),
            ("smtp", "tls=none") => (SmtpSecurity::Plain, 25),
            _ => return Err(SmtpUrlError::Form),
        };
        // A user's name may well be an e-mail address.
        let (user, server) = match rest.rsplit_once('@') {
            Some((user, server)) => (Some(user.to_owned()), server),
            None => (None, rest),
        };
        if user.as_ref().is_some_and(|user| user.contains(':')) {
            return Err(SmtpUrlError::Password);
        }
        if user.is_some() && security == SmtpSecurity::Plain {
            return Err(SmtpUrlError::InClear);
        }
        let server = server.trim_end_matches('/');
        let server = server
            .parse()
            .or_else(|_| format!("{server}:{port}").parse())
            .map_err(|_| SmtpUrlError::Form)?;
        if user.as_deref() == Some("") {
            return Err(SmtpUrlError::Form);
        }
        Ok(Self {
            security,
            user,
            server,
        })
    }
}

impl TryFrom<String> for SmtpUrl {
    type Error = SmtpUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SmtpUrl> for String {
    fn from(url: SmtpUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, query) = match self.security {
            SmtpSecurity::Tls => ("smtps", ""),
            SmtpSecurity::StartTls => ("smtp", ""),
            SmtpSecurity::Plain => ("smtp", "?tls=none"),
        };
        write!(f, "{scheme}://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        write!(f, "{}{query}", self.server)
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_of_mail_servers() {
        for (text, written) in [
            ("smtps://mail.example", "smtps://mail.example:465"),
            (
                "smtps://bot@mail.example:1465/",
                "smtps://bot@mail.example:1465",
            ),
            (
                "smtp://bot@example.org@mail.example",
                "smtp://bot@example.org@mail.example:587",
            ),
            (
                "smtp://127.0.0.1:25?tls=none",
                "smtp://127.0.0.1:25?tls=none",
            ),
            ("smtp://[::1]:25?tls=none", "smtp://[::1]:25?tls=none"),
        ] {
            assert_eq!(text.parse::<SmtpUrl>().unwrap().to_string(), written);
        }
        for (text, why) in [
            ("mail.example", SmtpUrlError::Form),
            ("https://mail.example", SmtpUrlError::Form),
            ("smtps://", SmtpUrlError::Form),
            ("smtps://@mail.example", SmtpUrlError::Form),
            ("smtps://mail.example?tls=none", SmtpUrlError::Form),
            ("smtps://a b", SmtpUrlError::Form),
            ("smtps://bot:hunter2@mail.example", SmtpUrlError::Password),
            ("smtp://bot@mail.example?tls=none", SmtpUrlError::InClear),
        ] {
            assert_eq!(text.parse::<SmtpUrl>().unwrap_err(), why, "{text}");
            assert!(!why.to_string().contains("hunter2"));
        }
    }
}
