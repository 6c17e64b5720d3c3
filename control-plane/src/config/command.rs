//! The command line.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use zeroize::Zeroizing;

use super::{Config, ConfigError, Settings};

/// Holds the master key itself. It is no flag, because argument lists are read by others.
const MASTER_KEY_VARIABLE: &str = "TOWLINE_MASTER_KEY";
/// While it is exchanged, the key before that one.
const PREVIOUS_KEY_VARIABLE: &str = "TOWLINE_MASTER_KEY_PREVIOUS";
/// Holds the password of the mail server's user, for the same reason.
const SMTP_PASSWORD_VARIABLE: &str = "TOWLINE_SMTP_PASSWORD";

/// Towline's control plane: API, agent endpoint, scheduler and certificate authority.
#[derive(Debug, Parser)]
#[command(name = "towline-server", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the control plane until it is told to stop.
    Serve(ServeArgs),
    /// Work on an installation that is not running.
    Admin {
        /// The work.
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Print the version.
    Version,
}

/// What an operator does to an installation from its own machine.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Write everything in the database into an encrypted file, while the servers run
    Backup(BackupArgs),
    /// Read a backup to its end and open what is sealed in it, without restoring it
    VerifyBackup(BackupArgs),
    /// Put a backup into an empty data directory or database; no server may be running on it
    Restore(RestoreArgs),
    /// After restoring a backup by other means: outdate every deploy order given out since it was taken.
    RaiseIncarnation(ConfigArgs),
    /// Check that no entry of the audit log was changed or removed.
    VerifyAudit(ConfigArgs),
    /// Write the audit log to stdout, oldest entry first, as JSON, one a line.
    ExportAudit(ExportArgs),
    /// Exchange the master key while the servers run, or go on with an exchange that broke off.
    RotateMasterKey(RotateMasterKeyArgs),
    /// Print a link by which somebody chooses a new password; it works once, for an hour
    ResetLink(ResetLinkArgs),
    /// Exchange the certificate authority without losing an agent.
    RotateCa {
        /// How far.
        #[command(subcommand)]
        step: RotationStep,
    },
}

/// The steps of exchanging the authority.
#[derive(Debug, Subcommand)]
pub enum RotationStep {
    /// Make a new authority, trusted beside the old one; agents get certificates of it as they renew
    Start(ConfigArgs),
    /// Show which agents still live by the old authority
    Status(ConfigArgs),
    /// Trust the old authority no more, once no agent lives by it
    Finish(FinishArgs),
}

/// What `backup` and `verify-backup` take.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub from: ConfigArgs,
    /// The backup's file
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `restore` takes.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Which backup.
    #[command(flatten)]
    pub backup: BackupArgs,
    /// Delete the installation that is there, and put the backup in its place
    #[arg(long)]
    pub replace: bool,
}

/// What `rotate-master-key` takes.
#[derive(Debug, Args)]
pub struct RotateMasterKeyArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub from: ConfigArgs,
    /// Show what is encrypted under which version of the key, and change nothing
    #[arg(long, conflicts_with = "prepare")]
    pub dry_run: bool,
    /// Only put the new key into the key's file, to be copied to the other servers before it is used
    #[arg(long)]
    pub prepare: bool,
}

/// What `reset-link` takes.
#[derive(Debug, Args)]
pub struct ResetLinkArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub from: ConfigArgs,
    /// The person's e-mail address
    pub email: String,
}

/// What `rotate-ca finish` takes.
#[derive(Debug, Args)]
pub struct FinishArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub from: ConfigArgs,
    /// Do it now, for the old authority's key is known to others; agents that live by it must be enrolled again
    #[arg(long)]
    pub force: bool,
}

/// What `export-audit` takes.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub from: ConfigArgs,
    /// Entries from then on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<DateTime<Utc>>,
    /// Entries before then (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub until: Option<DateTime<Utc>>,
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// TOML file with settings [default: towline.toml in the data directory, if it exists]
    #[arg(long, env = "TOWLINE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings of the command line and the environment.
    #[command(flatten)]
    pub settings: Settings,
}

/// What `serve` takes.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub from: ConfigArgs,
    /// Print the resulting configuration as TOML, with secrets hidden, and end
    #[arg(long)]
    pub print_config: bool,
}

impl ConfigArgs {
    /// Reads the configuration.
    pub fn load(mut self) -> Result<Config, ConfigError> {
        self.settings.master_key.value = keys_of_the_environment()?;
        self.settings.smtp.password = std::env::var(SMTP_PASSWORD_VARIABLE).ok().map(Into::into);
        self.settings.sign_in.secrets = super::sign_in::secrets_of_the_environment();
        self.settings.billing.secrets = super::StripeSecrets::of_the_environment();
        Config::load(self.settings, self.config.as_deref())
    }
}

fn keys_of_the_environment() -> Result<Option<Zeroizing<String>>, ConfigError> {
    let read = |name| std::env::var(name).ok().map(Zeroizing::new);
    let previous = read(PREVIOUS_KEY_VARIABLE).filter(|key| !key.is_empty());
    match (read(MASTER_KEY_VARIABLE), previous) {
        (key, None) => Ok(key),
        (Some(key), Some(previous)) => {
            let both = [key.as_str(), previous.as_str()].join("\n");
            Ok(Some(Zeroizing::new(both)))
        }
        (None, Some(_)) => Err(ConfigError::Setting {
            setting: PREVIOUS_KEY_VARIABLE,
            problem: "it is set without TOWLINE_MASTER_KEY".into(),
            remedy: "set TOWLINE_MASTER_KEY to the new key, too",
        }),
    }
}
