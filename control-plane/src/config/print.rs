//! Printing the configuration.

use super::{Config, MasterKeySource};

/// As a file that gives this configuration when it is read. What is secret is hidden, so a database
/// password and a key from the environment must be put back by hand.
pub(super) fn to_toml(config: &Config) -> Result<String, toml::ser::Error> {
    let body = toml::to_string(config)?;
    Ok(match config.master_key {
        MasterKeySource::Environment(_) => body.replace(
            "environment = \"***\"",
            "# the key itself comes from TOWLINE_MASTER_KEY (hidden)",
        ),
        MasterKeySource::DataDirectory | MasterKeySource::File(_) | MasterKeySource::Command(_) => {
            body
        }
    })
}
