//! Printing the configuration.

use super::{ClientSecret, Config, MasterKeySource, SmtpPassword};

/// As a file that gives this configuration when it is read. What is secret is hidden, so a database
/// password, a key, a mail server's password a provider's secret and Stripe's from the environment must be put back by hand.
pub(super) fn to_toml(config: &Config) -> Result<String, toml::ser::Error> {
    let mut body = toml::to_string(config)?;
    if matches!(config.master_key, MasterKeySource::Environment(_)) {
        body = body.replace(
            "environment = \"***\"",
            "# the key itself comes from TOWLINE_MASTER_KEY (hidden)",
        );
    }
    if let Some(SmtpPassword::Environment(_)) =
        config.smtp.as_ref().and_then(|smtp| smtp.password.as_ref())
    {
        body = body.replace(
            "password = \"***\"",
            "# the password itself comes from TOWLINE_SMTP_PASSWORD (hidden)",
        );
    }
    for provider in &config.sign_in.providers {
        if let ClientSecret::Environment(_) = provider.client_secret {
            let note = format!(
                "# the secret itself comes from {} (hidden)",
                super::sign_in::secret_variable(&provider.id)
            );
            body = body.replacen("client-secret = \"***\"", &note, 1);
        }
    }
    Ok(body)
}
