//! Why a verb was refused, by what its caller can do about it.

use towline_pki::{CsrRefusal, PkiError};
use towline_shared::compose::Finding;

use super::NotLetIn;
use crate::forges::ForgeError;
use crate::passwords::PasswordError;
use crate::store::StoreError;

/// Why a verb was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state of things does not allow it.
    #[error("{message}")]
    Refused {
        /// What stands in the way.
        message: String,
        /// What to do.
        remedy: String,
        /// The field in the request it is about.
        field: Option<&'static str>,
    },
    /// A repository cannot be read now, and may be another time.
    #[error("{message}")]
    Unread {
        /// What stands in the way.
        message: String,
        /// The field in the request it is about.
        field: &'static str,
    },
    /// A forge does not do what it is asked for, or not now.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// The project's files cannot be deployed to that host.
    #[error("the project's files have {} errors", .0.len())]
    Findings(Vec<Finding>),
    /// The idempotency key stands for another request.
    #[error("this Idempotency-Key was used for another request; give each new request a new key")]
    KeyReused,
    /// A plugin of the team has said no.
    #[error("the plugin {plugin} has vetoed it: {reason}")]
    Vetoed {
        /// The plugin's name.
        plugin: String,
        /// What it says.
        reason: String,
    },
    /// A plugin of the team that must say yes has said nothing.
    #[error("the plugin {plugin} must allow it and gave no answer: {why}")]
    PluginUnavailable {
        /// The plugin's name.
        plugin: String,
        /// Why there is no answer.
        why: String,
    },
    /// An enrolment or a renewal was refused.
    #[error("{message}")]
    Enrolment {
        /// What stands in the way.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The certificate request was refused.
    #[error(transparent)]
    Csr(#[from] CsrRefusal),
    /// The set-up link is used, replaced or foreign.
    #[error(
        "this set-up link cannot be used: the installation is set up, or the link was replaced by a newer one; the server prints the present link at its start"
    )]
    SetUpDone,
    /// Somebody is not let in.
    #[error(transparent)]
    NotLetIn(#[from] NotLetIn),
    /// A password cannot be taken or checked.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The certificate authority failed.
    #[error(transparent)]
    Pki(#[from] PkiError),
}
