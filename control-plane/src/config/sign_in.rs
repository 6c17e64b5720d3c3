//! At whom people may sign in, beside their passwords: providers of identities.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{ConfigError, SignUp};
use crate::domain::identity::ProviderId;

/// The most providers: each is a button on a page.
const MAX_PROVIDERS: usize = 16;
const MAX_NAME: usize = 60;
const MAX_TEXT: usize = 1024;
/// The beginning of the variables that hold the secrets themselves; the provider's id follows.
const SECRET_VARIABLES: &str = "TOWLINE_SIGN_IN_SECRET_";
const GITHUB: &str = "https://github.com";
const GOOGLE: &str = "https://accounts.google.com";

/// At whom people may sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignIn {
    /// The providers, in the order in which they are shown.
    pub providers: Vec<IdentityProvider>,
}

/// Somebody who knows who people are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IdentityProvider {
    /// What it is called in addresses and rows. It stays: another id is another provider.
    pub id: ProviderId,
    /// What people read.
    pub name: String,
    /// How it is spoken to.
    pub kind: ProviderKind,
    /// Where it is: the issuer, or GitHub's address.
    pub issuer: String,
    /// What this installation is called there.
    pub client_id: String,
    /// Where the secret is by which it shows that it is this installation.
    #[serde(flatten)]
    pub client_secret: ClientSecret,
    /// Whether somebody whom it shows, and who has no account, is given one, if the installation is open.
    pub sign_up: SignUp,
    /// The domains in one of which people's verified addresses must lie; any, when there are none.
    pub email_domains: Vec<String>,
}

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// GitHub, which speaks OAuth and has an API of its own.
    Github,
    /// Google, which speaks OpenID Connect.
    Google,
    /// Whoever else speaks OpenID Connect.
    Oidc,
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub enum ClientSecret {
    /// A file.
    #[serde(rename = "client-secret-file")]
    File(PathBuf),
    /// The environment.
    #[serde(rename = "client-secret", serialize_with = "hidden")]
    Environment(Zeroizing<String>),
}

/// What one source says about signing in. The list is the file's alone.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SignInSettings {
    /// The providers.
    pub providers: Vec<ProviderSettings>,
    /// The secrets themselves, by the end of their variables' names; in the environment only.
    #[serde(skip)]
    pub secrets: BTreeMap<String, Zeroizing<String>>,
}

/// What the file says about a provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProviderSettings {
    id: ProviderId,
    name: Option<String>,
    kind: ProviderKind,
    issuer: Option<String>,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    #[serde(default)]
    sign_up: SignUp,
    #[serde(default)]
    email_domains: Vec<String>,
}

/// What is wrong with a provider, and what to do.
struct Wrong(String, &'static str);

fn hidden<S: Serializer>(_: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("***")
}

/// All secrets that stand in the environment.
pub(super) fn secrets_of_the_environment() -> BTreeMap<String, Zeroizing<String>> {
    let read = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let end = name.to_str()?.strip_prefix(SECRET_VARIABLES)?.to_owned();
        let value = Zeroizing::new(value.into_string().ok()?);
        (!value.is_empty()).then_some((end, value))
    };
    std::env::vars_os().filter_map(read).collect()
}

/// The variable that may hold a provider's secret.
pub(super) fn secret_variable(id: &ProviderId) -> String {
    format!("{SECRET_VARIABLES}{}", variable_end(id))
}

fn variable_end(id: &ProviderId) -> String {
    id.as_str().to_ascii_uppercase().replace('-', "_")
}

impl SignIn {
    /// Whether passwords are the only way.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }
}

impl SignInSettings {
    pub(super) fn over(self, below: Self) -> Self {
        let (providers, secrets) = (self.providers, self.secrets);
        Self {
            providers: if providers.is_empty() {
                below.providers
            } else {
                providers
            },
            secrets: if secrets.is_empty() {
                below.secrets
            } else {
                secrets
            },
        }
    }

    pub(super) fn resolve(mut self) -> Result<SignIn, ConfigError> {
        if self.providers.len() > MAX_PROVIDERS {
            let problem = format!("there are more than {MAX_PROVIDERS} providers");
            return Err(wrong(problem, "leave some out"));
        }
        let (mut seen, mut providers) = (BTreeSet::new(), Vec::new());
        for settings in self.providers {
            let id = settings.id.clone();
            // Two ids could share a variable, too.
            if !seen.insert(variable_end(&id)) {
                let problem = format!("{id}: two providers have this id");
                return Err(wrong(problem, "give each an id of its own"));
            }
            let secret = self.secrets.remove(&variable_end(&id));
            let provider = settings.resolve(secret);
            let named = |Wrong(problem, remedy)| wrong(format!("{id}: {problem}"), remedy);
            providers.push(provider.map_err(named)?);
        }
        Ok(SignIn { providers })
    }
}

impl ProviderSettings {
    fn resolve(self, secret: Option<Zeroizing<String>>) -> Result<IdentityProvider, Wrong> {
        let name = self.name.unwrap_or_else(|| self.id.to_string());
        let is_plain = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !is_plain(&name) || name.chars().count() > MAX_NAME {
            let remedy = "give name 1 to 60 characters; people read it on a button";
            return Err(Wrong("its name cannot be shown".to_owned(), remedy));
        }
        if !is_plain(&self.client_id) || self.client_id.len() > MAX_TEXT {
            let remedy = "set client-id to what the provider calls this installation";
            return Err(Wrong("client-id is empty or too long".to_owned(), remedy));
        }
        Ok(IdentityProvider {
            client_secret: one_secret(&self.id, self.client_secret_file, secret)?,
            issuer: issuer(self.kind, self.issuer)?,
            email_domains: domains(self.email_domains)?,
            id: self.id,
            name,
            kind: self.kind,
            client_id: self.client_id,
            sign_up: self.sign_up,
        })
    }
}

fn one_secret(
    id: &ProviderId,
    file: Option<PathBuf>,
    value: Option<Zeroizing<String>>,
) -> Result<ClientSecret, Wrong> {
    match (file, value) {
        (Some(file), None) => Ok(ClientSecret::File(file)),
        (None, Some(value)) => Ok(ClientSecret::Environment(value)),
        (Some(_), Some(_)) => Err(Wrong(
            "its secret is given in two ways at once".to_owned(),
            "keep one of client-secret-file and the environment's variable",
        )),
        (None, None) => Err(Wrong(
            format!(
                "there is no secret, neither by client-secret-file nor by {}",
                secret_variable(id)
            ),
            "give the secret that the provider has made for this installation",
        )),
    }
}

fn issuer(kind: ProviderKind, given: Option<String>) -> Result<String, Wrong> {
    let remedy = "write issuer = \"https://id.example.org\" as the provider's documentation has it";
    match (kind, given) {
        (ProviderKind::Github, None) => Ok(GITHUB.to_owned()),
        (ProviderKind::Google, None) => Ok(GOOGLE.to_owned()),
        (ProviderKind::Google, Some(given)) if given != GOOGLE => Err(Wrong(
            format!("Google's issuer is {GOOGLE}"),
            "leave issuer out, or set kind = \"oidc\"",
        )),
        (ProviderKind::Oidc, None) => Err(Wrong("there is no issuer".to_owned(), remedy)),
        (_, Some(given)) => {
            let is_url = given.starts_with("https://") || given.starts_with("http://");
            let fits = is_url && given.len() <= MAX_TEXT && !given.contains(['?', '#', '@', ' ']);
            match given.parse::<http::Uri>() {
                Ok(uri) if fits && uri.host().is_some_and(|host| !host.is_empty()) => Ok(given),
                _ => Err(Wrong(
                    format!("{given:?} is no address of an issuer"),
                    remedy,
                )),
            }
        }
    }
}

fn domains(given: Vec<String>) -> Result<Vec<String>, Wrong> {
    let is_domain = |text: &String| {
        let fits = |c: char| c.is_alphanumeric() || c == '.' || c == '-';
        !text.is_empty() && text.len() <= 253 && text.chars().all(fits)
    };
    match given.iter().find(|text| !is_domain(text)) {
        None => Ok(given),
        Some(other) => Err(Wrong(
            format!("{other:?} is no domain of e-mail addresses"),
            "write email-domains = [\"example.org\"]",
        )),
    }
}

fn wrong(problem: String, remedy: &'static str) -> ConfigError {
    ConfigError::Setting {
        setting: "sign-in.providers",
        problem,
        remedy,
    }
}

impl fmt::Debug for SignInSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInSettings")
            .field("providers", &self.providers)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(_) => f.write_str("Environment(***)"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ACME: &str = "[[providers]]\nid = 'acme-corp'\nkind = 'oidc'\nissuer = 'https://id.acme.example'\nclient-id = 'towline'\n";

    fn resolve(toml: &str, secret: Option<&str>) -> Result<SignIn, String> {
        let mut settings: SignInSettings =
            toml::from_str(toml).map_err(|error| error.to_string())?;
        let secret = secret.map(|secret| ("ACME_CORP".to_owned(), secret.to_owned().into()));
        settings.secrets = secret.into_iter().collect();
        settings.resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn kinds_know_where_they_are_and_secrets_come_from_a_file_or_the_environment() {
        let toml = format!(
            "{ACME}[[providers]]\nid = 'hub'\nname = 'GitHub'\nkind = 'github'\nclient-id = 'x'\nclient-secret-file = '/s'\nsign-up = 'open'\nemail-domains = ['a.example']\n\
             [[providers]]\nid = 'google'\nkind = 'google'\nclient-id = 'y'\nclient-secret-file = '/t'\n"
        );
        let all = resolve(&toml, Some("hunter2")).unwrap().providers;
        let issuers: Vec<_> = all.iter().map(|one| one.issuer.as_str()).collect();
        assert_eq!(issuers, ["https://id.acme.example", GITHUB, GOOGLE]);
        let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["acme-corp", "GitHub", "google"]);
        let secret = ClientSecret::Environment("hunter2".to_owned().into());
        assert_eq!(all[0].client_secret, secret);
        assert_eq!(
            (all[0].sign_up, all[1].sign_up),
            (SignUp::Closed, SignUp::Open)
        );
        assert!(!format!("{all:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_with_a_provider_is_named() {
        let of = |line: &str| format!("{ACME}{line}\n");
        let table = [
            (of(""), None, "TOWLINE_SIGN_IN_SECRET_ACME_CORP"),
            (of("client-secret-file = 's'"), Some("x"), "two ways"),
            (of("client-secret = 's'"), Some("x"), "client-secret"),
            (of("name = ''"), Some("x"), "name"),
            (of("email-domains = ['@a']"), Some("x"), "email-domains"),
            (of("sign-up = 'yes'"), Some("x"), "closed"),
            (of(ACME), Some("x"), "two providers"),
            (ACME.replace("acme-corp", "Acme"), None, "small letters"),
            (ACME.replace("'oidc'", "'saml'"), None, "github"),
            (
                ACME.replace("'oidc'", "'google'"),
                Some("x"),
                "accounts.google.com",
            ),
            (
                ACME.replace("issuer = 'https://id.acme.example'\n", ""),
                Some("x"),
                "no issuer",
            ),
            (
                ACME.replace("https://id", "ftp://id"),
                Some("x"),
                "ftp://id",
            ),
            (
                ACME.replace("https://id", "https://u@id"),
                Some("x"),
                "no address",
            ),
            (ACME.replace("'towline'", "''"), Some("x"), "client-id"),
            (
                ACME.replace("client-id = 'towline'", ""),
                Some("x"),
                "client-id",
            ),
        ];
        for (toml, secret, named) in table {
            let refused = resolve(&toml, secret).unwrap_err();
            assert!(refused.contains(named), "{toml}: {refused}");
        }
    }
}
