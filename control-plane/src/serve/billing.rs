//! The way to Stripe that the configuration describes.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::config::{Config, ConfigError, PublicUrl, StripeBilling, StripeSecret};
use crate::egress::Egress;
use crate::error::StartError;
use crate::store::Store;
use crate::stripe::{Stripe, StripeKeys};

/// As the configuration says, with its secrets; nothing when nothing is paid for.
pub async fn stripe(
    config: &Config,
    store: &Store,
    egress: &Egress,
    url: &PublicUrl,
) -> Result<Option<Stripe>, StartError> {
    let Some(stripe) = &config.billing.stripe else {
        return Ok(None);
    };
    let keys = StripeKeys {
        secret_key: secret(&stripe.secret_key)?,
        webhook_secret: secret(&stripe.webhook_secret)?,
    };
    if keys.secret_key.is_empty() || keys.webhook_secret.is_empty() {
        let remedy = "put Stripe's secrets into the files that it names";
        return Err(wrong("a secret of Stripe is empty".to_owned(), remedy).into());
    }
    let prices = prices(stripe, store).await?;
    let made = Stripe::new(egress.clone(), &stripe.api_url, keys, prices, url);
    let made = made.map_err(|error| {
        let remedy = "leave api-url out, or allow its network and http:// by [egress]";
        wrong(format!("{}: {error}", stripe.api_url), remedy)
    })?;
    Ok(Some(made))
}

async fn prices(
    stripe: &StripeBilling,
    store: &Store,
) -> Result<BTreeMap<String, towline_shared::ids::PlanId>, StartError> {
    let plans = store.list_plans().await?;
    let mut prices = BTreeMap::new();
    for (price, name) in &stripe.prices {
        let found = plans.iter().find(|plan| plan.name == *name);
        let plan = found.ok_or_else(|| {
            let remedy = "name one of `towline plans ls`";
            wrong(format!("{price}: there is no plan {name:?}"), remedy)
        })?;
        prices.insert(price.clone(), plan.id);
    }
    Ok(prices)
}

fn secret(from: &StripeSecret) -> Result<Zeroizing<String>, StartError> {
    match from {
        StripeSecret::Environment(secret) => Ok(secret.clone()),
        StripeSecret::File(path) => super::secret_file(
            path,
            "name the files of Stripe's secrets in [billing.stripe]",
        ),
    }
}

fn wrong(problem: String, remedy: &'static str) -> ConfigError {
    ConfigError::Setting {
        setting: "billing.stripe",
        problem,
        remedy,
    }
}
