//! The configuration: flags over environment over a TOML file over defaults, one struct per concern.
//!
//! Each concern has two structs. Its settings are what one source may give, everything optional; its
//! configuration is what results, everything decided. The same settings struct is read from flags and
//! environment (by clap) and from the file (by serde), so that the three can never know different names.

mod accounts;
mod agents;
mod billing;
mod command;
mod database;
mod docker;
mod egress;
mod file;
mod log;
mod master_key;
mod print;
mod public;
mod sign_in;
mod smtp;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use accounts::{AccountSettings, Accounts, SignUp};
pub use agents::{AgentListener, AgentSettings, HostPort};
pub use billing::{Billing, BillingSettings, StripeBilling, StripeSecret, StripeSecrets};
pub use command::{
    AdminCommand, BackupArgs, Cli, Command, ConfigArgs, ExportArgs, FinishArgs, ResetLinkArgs,
    RestoreArgs, RotateMasterKeyArgs, RotationStep, ServeArgs,
};
pub use database::{Database, DatabaseSettings, DatabaseUrl};
pub use docker::{DockerListener, DockerSettings};
pub use egress::{EgressRules, EgressSettings};
pub use file::ConfigFileError;
pub use log::{LogFormat, LogSettings, Logging};
pub use master_key::{MasterKeySettings, MasterKeySource};
pub use public::{CertificateFiles, PublicListener, PublicSettings, PublicUrl};
pub use sign_in::{ClientSecret, IdentityProvider, ProviderKind, SignIn, SignInSettings};
pub use smtp::{Smtp, SmtpPassword, SmtpSecurity, SmtpSettings, SmtpUrl};

/// The data directory when none is given.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/towline";
/// The configuration file in the data directory that is read when none is named.
pub const DEFAULT_FILE: &str = "towline.toml";

/// What the control plane runs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Where everything is kept that must survive a restart.
    pub data_dir: PathBuf,
    /// The listener for people, programs and enrolling hosts.
    pub public: PublicListener,
    /// The listener for enrolled agents.
    pub agents: AgentListener,
    /// The listener for clients of Docker, where there is one.
    #[serde(skip_serializing_if = "DockerListener::is_off")]
    pub docker: DockerListener,
    /// How people come in.
    pub accounts: Accounts,
    /// At whom people may sign in, beside their passwords.
    #[serde(skip_serializing_if = "SignIn::is_empty")]
    pub sign_in: SignIn,
    /// How plans are paid for.
    #[serde(skip_serializing_if = "Billing::is_off")]
    pub billing: Billing,
    /// The mail server; none when no mail is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    /// Where the rows are.
    pub database: Database,
    /// Where the key comes from that encrypts secrets at rest.
    pub master_key: MasterKeySource,
    /// Where the control plane may call.
    pub egress: EgressRules,
    /// What is logged, and how.
    pub log: Logging,
}

/// What one source gives. Flags and environment outdo the file, field by field.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Directory for the database, keys and certificates [default: /var/lib/towline]
    #[arg(long, env = "TOWLINE_DATA_DIR", value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub public: PublicSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub agents: AgentSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub docker: DockerSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub accounts: AccountSettings,
    #[arg(skip)]
    #[allow(missing_docs, reason = "as the others")]
    pub sign_in: SignInSettings,
    #[arg(skip)]
    #[allow(missing_docs, reason = "as the others")]
    pub billing: BillingSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub smtp: SmtpSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub database: DatabaseSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub master_key: MasterKeySettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub egress: EgressSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become help text")]
    pub log: LogSettings,
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or understood.
    #[error(transparent)]
    File(#[from] ConfigFileError),
    /// A setting has a value that cannot be used.
    #[error("{setting}: {problem}; {remedy}")]
    Setting {
        /// The setting as it is spelled on the command line.
        setting: &'static str,
        /// What is wrong with its value.
        problem: String,
        /// What to give instead.
        remedy: &'static str,
    },
    /// The configuration cannot be written as TOML.
    #[error("the configuration cannot be printed: {0}")]
    Print(#[from] toml::ser::Error),
}

impl Settings {
    /// These settings, and `below` where these are silent.
    fn over(self, below: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(below.data_dir),
            public: self.public.over(below.public),
            agents: self.agents.over(below.agents),
            docker: self.docker.over(below.docker),
            accounts: self.accounts.over(below.accounts),
            sign_in: self.sign_in.over(below.sign_in),
            billing: self.billing.over(below.billing),
            smtp: self.smtp.over(below.smtp),
            database: self.database.over(below.database),
            master_key: self.master_key.over(below.master_key),
            egress: self.egress.over(below.egress),
            log: self.log.over(below.log),
        }
    }
}

impl Config {
    /// Puts the configuration together: `given` (flags and environment), then the file named, or
    /// `towline.toml` in the data directory if there is one, then the defaults.
    pub fn load(given: Settings, file: Option<&std::path::Path>) -> Result<Self, ConfigError> {
        let below = match file {
            Some(path) => file::read(path)?,
            None => file::read_if_there(&data_dir(&given).join(DEFAULT_FILE))?,
        };
        Self::resolve(given.over(below))
    }

    fn resolve(settings: Settings) -> Result<Self, ConfigError> {
        let data_dir = data_dir(&settings);
        Ok(Self {
            public: settings.public.resolve()?,
            agents: settings.agents.resolve(),
            docker: settings.docker.resolve(),
            accounts: settings.accounts.resolve(),
            sign_in: settings.sign_in.resolve()?,
            billing: settings.billing.resolve()?,
            smtp: settings.smtp.resolve()?,
            database: settings.database.resolve(),
            master_key: settings.master_key.resolve()?,
            egress: settings.egress.resolve(),
            log: settings.log.resolve(),
            data_dir,
        })
    }

    /// The configuration as a TOML file that gives it, with secrets hidden.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(print::to_toml(self)?)
    }
}

fn data_dir(settings: &Settings) -> PathBuf {
    settings
        .data_dir
        .clone()
        .unwrap_or_else(|| DEFAULT_DATA_DIR.into())
}

#[cfg(test)]
mod tests;
