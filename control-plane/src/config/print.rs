//! Printing the configuration.

use super::{Config, MasterKeySource, SmtpPassword};

/// As a file that gives this configuration when it is read. What is secret is hidden, so a database
/// password, a key and a mail server's password from the environment must be put back by hand.
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
    Ok(body)
}
