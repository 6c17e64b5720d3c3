//! Why the control plane does not start or does not do what an operator asked of it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use towline_pki::PkiError;

use crate::backup::BackupError;
use crate::config::ConfigError;
use crate::mail::MailError;
use crate::store::{OpenError, StoreError};
use crate::telemetry::FilterError;
use crate::vault::VaultError;

/// A failure that ends the process. Its text says what failed and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log's filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A file or folder of the installation cannot be read or written.
    #[error("{path} cannot be {done}: {cause}; {remedy}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried: `read` or `written`.
        done: &'static str,
        /// What the system said.
        cause: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A listener's port is taken.
    #[error(
        "{address} for the {listener} is in use by another program; stop that program, or choose another port with {flag}"
    )]
    AddressInUse {
        /// Which listener.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// The flag that chooses it.
        flag: &'static str,
    },
    /// A listener cannot be opened.
    #[error(
        "the {listener} cannot listen on {address}: {cause}; choose another address with {flag}"
    )]
    Listen {
        /// Which listener.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
        /// The flag that chooses it.
        flag: &'static str,
    },
    /// The certificate files cannot be used.
    #[error("the certificate of --tls-cert and --tls-key cannot be used: {0}")]
    Certificate(PkiError),
    /// The program that gives the master key failed.
    #[error("the program {program:?} of master-key.command gave no key: {cause}")]
    KeyCommand {
        /// The program.
        program: String,
        /// What happened.
        cause: String,
    },
    /// Mail cannot be sent.
    #[error("mail cannot be sent as --smtp-url and --smtp-from say: {0}")]
    Mail(#[from] MailError),
    /// The master key cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The state of things does not allow it.
    #[error("{message}; {remedy}")]
    Refused {
        /// What stands in the way.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// A backup cannot be made, read or restored.
    #[error(transparent)]
    Backup(BackupError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate authority failed.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The API's description, or the configuration as it shows it, cannot be written.
    #[error("the API cannot be put together: {0}")]
    Description(#[from] serde_json::Error),
    /// The process cannot do what every process can.
    #[error("the process cannot be set up: {0}")]
    Process(#[from] io::Error),
    /// The audit log was changed.
    #[error(
        "the audit log was changed: {0} of its entries do not follow from those before; restore it from a backup and look who could write the database"
    )]
    Audit(usize),
}
