//! How plans are paid for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::ConfigError;

/// The variables of the secrets themselves.
const SECRET_KEY: &str = "TOWLINE_STRIPE_SECRET_KEY";
const WEBHOOK_SECRET: &str = "TOWLINE_STRIPE_WEBHOOK_SECRET";
const API: &str = "https://api.stripe.com";
const MAX_PRICES: usize = 100;
const MAX_TEXT: usize = 255;

/// How plans are paid for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Billing {
    /// By Stripe; not at all when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stripe: Option<StripeBilling>,
}

/// How plans are paid for by Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StripeBilling {
    /// Where the key of its API is.
    #[serde(
        rename = "secret-key-file",
        skip_serializing_if = "StripeSecret::is_hidden"
    )]
    pub secret_key: StripeSecret,
    /// Where the secret is that it signs events with.
    #[serde(
        rename = "webhook-secret-file",
        skip_serializing_if = "StripeSecret::is_hidden"
    )]
    pub webhook_secret: StripeSecret,
    /// Where its API is: elsewhere in tests alone.
    pub api_url: String,
    /// Which plans its prices are, by their names.
    pub prices: BTreeMap<String, String>,
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum StripeSecret {
    /// A file.
    File(PathBuf),
    /// The environment.
    Environment(Zeroizing<String>),
}

/// What one source says about payments. All but the secrets is the file's alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct BillingSettings {
    /// Stripe.
    pub stripe: Option<StripeSettings>,
    /// The secrets themselves; in the environment only.
    #[serde(skip)]
    pub secrets: StripeSecrets,
}

/// What the file says about Stripe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StripeSettings {
    secret_key_file: Option<PathBuf>,
    webhook_secret_file: Option<PathBuf>,
    api_url: Option<String>,
    #[serde(default)]
    prices: BTreeMap<String, String>,
}

/// Stripe's secrets of the environment.
#[derive(Clone, Default)]
pub struct StripeSecrets {
    /// The key of the API.
    pub secret_key: Option<Zeroizing<String>>,
    /// What events are signed with.
    pub webhook_secret: Option<Zeroizing<String>>,
}

impl StripeSecrets {
    pub(super) fn of_the_environment() -> Self {
        let read = |name| {
            let value = std::env::var(name).ok().map(Zeroizing::new);
            value.filter(|value| !value.is_empty())
        };
        Self {
            secret_key: read(SECRET_KEY),
            webhook_secret: read(WEBHOOK_SECRET),
        }
    }
}

impl Billing {
    /// Whether nothing is paid for.
    pub fn is_off(&self) -> bool {
        self.stripe.is_none()
    }
}

impl BillingSettings {
    pub(super) fn over(self, below: Self) -> Self {
        let (above, under) = (self.secrets, below.secrets);
        Self {
            stripe: self.stripe.or(below.stripe),
            secrets: StripeSecrets {
                secret_key: above.secret_key.or(under.secret_key),
                webhook_secret: above.webhook_secret.or(under.webhook_secret),
            },
        }
    }

    pub(super) fn resolve(self) -> Result<Billing, ConfigError> {
        let Some(stripe) = self.stripe else {
            return Ok(Billing::default());
        };
        let secrets = self.secrets;
        let names = ("secret-key-file", SECRET_KEY);
        let secret_key = one_secret(names, stripe.secret_key_file, secrets.secret_key)?;
        let (file, value) = (stripe.webhook_secret_file, secrets.webhook_secret);
        let webhook_secret = one_secret(("webhook-secret-file", WEBHOOK_SECRET), file, value)?;
        check_prices(&stripe.prices)?;
        Ok(Billing {
            stripe: Some(StripeBilling {
                secret_key,
                webhook_secret,
                api_url: stripe.api_url.unwrap_or_else(|| API.to_owned()),
                prices: stripe.prices,
            }),
        })
    }
}

fn check_prices(prices: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let remedy = "write [billing.stripe.prices] with lines such as price_1AbC = \"Pro\"";
    if prices.is_empty() || prices.len() > MAX_PRICES {
        let problem = format!("prices has none, or more than {MAX_PRICES}");
        return Err(wrong(problem, remedy));
    }
    let is_id = |text: &String| {
        (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match prices.keys().find(|price| !is_id(price)) {
        Some(price) => Err(wrong(
            format!("prices: {price:?} is no id of a price"),
            remedy,
        )),
        None => Ok(()),
    }
}

fn one_secret(
    (setting, variable): (&str, &str),
    file: Option<PathBuf>,
    value: Option<Zeroizing<String>>,
) -> Result<StripeSecret, ConfigError> {
    match (file, value) {
        (Some(file), None) => Ok(StripeSecret::File(file)),
        (None, Some(value)) => Ok(StripeSecret::Environment(value)),
        (Some(_), Some(_)) => Err(wrong(
            format!("a secret is given in two ways at once, by {setting} and by {variable}"),
            "keep one of them",
        )),
        (None, None) => Err(wrong(
            format!("there is no secret, neither by {setting} nor by {variable}"),
            "give what Stripe's dashboard shows",
        )),
    }
}

fn wrong(problem: String, remedy: &'static str) -> ConfigError {
    ConfigError::Setting {
        setting: "billing.stripe",
        problem,
        remedy,
    }
}

impl StripeSecret {
    const fn is_hidden(&self) -> bool {
        matches!(self, Self::Environment(_))
    }
}

impl Serialize for StripeSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File(path) => path.serialize(serializer),
            Self::Environment(_) => serializer.serialize_str("***"),
        }
    }
}

impl fmt::Debug for StripeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(_) => f.write_str("Environment(***)"),
        }
    }
}

impl fmt::Debug for StripeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StripeSecrets(***)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILES: &str = "secret-key-file = '/k'\nwebhook-secret-file = '/w'\n";
    const PRICES: &str = "[stripe.prices]\nprice_1 = 'Pro'\n";

    fn resolve(stripe: &str, key: Option<&str>) -> Result<Billing, String> {
        let mut settings: BillingSettings =
            toml::from_str(stripe).map_err(|error| error.to_string())?;
        settings.secrets.secret_key = key.map(|key| key.to_owned().into());
        settings.resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn billing_is_off_until_all_of_it_is_there() {
        assert!(resolve("", None).unwrap().is_off());
        let whole = resolve(&format!("[stripe]\n{FILES}{PRICES}"), None).unwrap();
        let stripe = whole.stripe.clone().unwrap();
        assert_eq!(stripe.api_url, API);
        assert_eq!(stripe.prices["price_1"], "Pro");
        let printed = toml::to_string(&whole).unwrap();
        assert_eq!(resolve(&printed, None).unwrap(), whole, "{printed}");
        let only = format!("[stripe]\nwebhook-secret-file = '/w'\n{PRICES}");
        let hidden = resolve(&only, Some("hunter2")).unwrap();
        for shown in [format!("{hidden:?}"), toml::to_string(&hidden).unwrap()] {
            assert!(
                !shown.contains("hunter2") && shown.contains("/w"),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            (format!("[stripe]\n{PRICES}"), None, SECRET_KEY),
            (
                format!("[stripe]\nsecret-key-file = '/k'\n{PRICES}"),
                None,
                WEBHOOK_SECRET,
            ),
            (format!("[stripe]\n{FILES}{PRICES}"), Some("x"), "two ways"),
            (format!("[stripe]\n{FILES}"), None, "prices"),
            (
                format!("[stripe]\n{FILES}[stripe.prices]\n'a b' = 'Pro'\n"),
                None,
                "a b",
            ),
            (
                format!("[stripe]\nsecret-key = 'x'\n{FILES}{PRICES}"),
                None,
                "secret-key",
            ),
            (
                format!("[stripe]\n{FILES}[stripe.prices]\nprice_1 = 1\n"),
                None,
                "string",
            ),
        ];
        for (toml, key, named) in table {
            let refused = resolve(&toml, key).unwrap_err();
            assert!(refused.contains(named), "{toml}: {refused}");
        }
    }
}
