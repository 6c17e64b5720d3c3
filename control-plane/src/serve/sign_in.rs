//! The providers of identities that the configuration names.

use zeroize::Zeroizing;

use crate::config::{ClientSecret, Config, ConfigError, PublicUrl};
use crate::egress::Egress;
use crate::error::StartError;
use crate::sso::Providers;

/// As the configuration says, with their secrets.
pub fn providers(
    config: &Config,
    egress: &Egress,
    url: &PublicUrl,
) -> Result<Providers, StartError> {
    let mut configured = Vec::new();
    for provider in &config.sign_in.providers {
        let secret = secret(&provider.client_secret)?;
        configured.push((provider.clone(), secret));
    }
    let made = Providers::new(configured, egress, url);
    Ok(made.map_err(|error| ConfigError::Setting {
        setting: "sign-in.providers",
        problem: error.to_string(),
        remedy: "correct its issuer, or allow its network and http:// by [egress]",
    })?)
}

fn secret(from: &ClientSecret) -> Result<Zeroizing<String>, StartError> {
    match from {
        ClientSecret::Environment(secret) => Ok(secret.clone()),
        ClientSecret::File(path) => super::secret_file(
            path,
            "name the file of the provider's secret with client-secret-file",
        ),
    }
}
