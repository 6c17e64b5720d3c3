//! What can go wrong in the store, by what the caller can do about it.

use std::fmt;

use towline_pki::PkiError;
use towline_shared::log::ChunkError;
use towline_shared::spec::SpecError;

use super::quota::QuotaExceeded;
use crate::domain::names::InvalidName;
use crate::domain::permission::UnknownRole;
use crate::domain::scope::UnfitScopes;
use crate::domain::secrets::UnknownScope;
use crate::vault::VaultError;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not exist, or belongs to another team: the two are one answer.
    #[error("no such {0}")]
    NotFound(Resource),
    /// A value that cannot be taken.
    #[error("{field}: {message}")]
    Invalid {
        /// The field in the request.
        field: &'static str,
        /// What is wrong with it.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The state of things does not allow it.
    #[error("{message}")]
    Conflict {
        /// What stands in the way.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The plan allows no more of it.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// Who asks may not do it.
    #[error("{message}")]
    Forbidden {
        /// What may not be done.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The disk is full: nothing was stored.
    #[error("the database's disk is full; nothing was stored: {0}")]
    DiskFull(DatabaseError),
    /// The database does not answer now.
    #[error("the database does not answer: {0}")]
    Unavailable(DatabaseError),
    /// What is stored is not what was stored.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// A sealed value cannot be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The certificate authority failed.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A job's specification cannot be sealed.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A log chunk cannot be taken.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The database refused a statement.
    #[error("the database failed: {0}")]
    Database(DatabaseError),
}

/// What was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A file of a project.
    File,
    /// An agent.
    Agent,
    /// An API key.
    ApiKey,
    /// A key by which a repository is read.
    DeployKey,
    /// A deployment.
    Deployment,
    /// A certificate for a host's Docker engine.
    DockerCertificate,
    /// A right to use a host's Docker engine.
    DockerGrant,
    /// An enrolment token.
    EnrolmentToken,
    /// Something that a person was told.
    Notification,
    /// A way by which a person is told of something.
    NotificationChannel,
    /// What a person is at a provider of identities.
    Identity,
    /// A way of a commit to a target.
    Pipeline,
    /// A plan.
    Plan,
    /// An account at a forge.
    Integration,
    /// An invitation into a team.
    Invitation,
    /// A member of a team.
    Member,
    /// A link to a new password that works.
    PasswordReset,
    /// A plugin.
    Plugin,
    /// A call of a plugin.
    PluginRun,
    /// A project.
    Project,
    /// What a forge tells of pushes to.
    PushHook,
    /// A registry that the team logs in to.
    Registry,
    /// A release of a project.
    Release,
    /// A secret of a project.
    Secret,
    /// A former value of a secret.
    SecretVersion,
    /// A sign-in of a person.
    Session,
    /// A subscription to a plan.
    Subscription,
    /// A target.
    Target,
    /// A team of the person.
    Team,
    /// A template.
    Template,
    /// A person.
    User,
    /// A sign-in at a provider, of which a code is missing.
    WaitingSignIn,
    /// A webhook.
    Webhook,
    /// A message to a webhook.
    WebhookDelivery,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Agent => "agent",
            Self::ApiKey => "API key",
            Self::DeployKey => "deploy key",
            Self::Deployment => "deployment",
            Self::DockerCertificate => "certificate for the Docker API that counts",
            Self::DockerGrant => "grant of the Docker API to this person",
            Self::EnrolmentToken => "enrolment token",
            Self::Notification => "notification",
            Self::NotificationChannel => "channel",
            Self::Identity => "linked identity",
            Self::Pipeline => "pipeline",
            Self::Plan => "plan",
            Self::Integration => "integration",
            Self::Invitation => "open invitation",
            Self::Member => "member",
            Self::PasswordReset => "link to a new password",
            Self::Plugin => "plugin",
            Self::PluginRun => "run of a plugin",
            Self::Project => "project",
            Self::PushHook => "push hook",
            Self::Registry => "registry",
            Self::Release => "release",
            Self::Secret => "secret",
            Self::SecretVersion => "kept version of this secret",
            Self::Session => "session",
            Self::Subscription => "subscription",
            Self::Target => "target",
            Self::Team => "team",
            Self::Template => "template",
            Self::User => "user",
            Self::WaitingSignIn => "sign-in that waits for a code",
            Self::Webhook => "webhook",
            Self::WebhookDelivery => "webhook delivery",
        })
    }
}

/// A failure of the database itself. It can be told to all who shared a commit.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct DatabaseError {
    kind: DatabaseErrorKind,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DatabaseErrorKind {
    Full,
    Unavailable,
    Other,
}

impl DatabaseError {
    /// The database was closed.
    pub(crate) fn closed() -> Self {
        Self {
            kind: DatabaseErrorKind::Unavailable,
            detail: "the database is closed".to_owned(),
        }
    }
}

impl From<UnknownScope> for StoreError {
    fn from(error: UnknownScope) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// What the database holds, we wrote.
impl From<UnfitScopes> for StoreError {
    fn from(error: UnfitScopes) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<UnknownRole> for StoreError {
    fn from(error: UnknownRole) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        Self {
            kind: kind(&error),
            detail: error.to_string(),
        }
    }
}

/// SQLite gives primary codes in the low byte: 13 full, 5 busy, 6 locked; PostgreSQL gives classes:
/// 53100 disk full, 53xxx short of resources, 57P0x shutting down, 40xxx rolled back by the server,
/// 25P03 given up by it because nothing came for too long.
fn kind(error: &sqlx::Error) -> DatabaseErrorKind {
    use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
    match error {
        Io(_) | PoolClosed | PoolTimedOut | Protocol(_) | Tls(_) | WorkerCrashed => {
            DatabaseErrorKind::Unavailable
        }
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if code == "53100" {
                return DatabaseErrorKind::Full;
            }
            match code.parse::<u32>().map(|code| code & 0xff) {
                Ok(13) if code.len() < 5 => DatabaseErrorKind::Full,
                Ok(5 | 6) if code.len() < 5 => DatabaseErrorKind::Unavailable,
                _ if ["53", "57", "40", "08", "25P03"]
                    .iter()
                    .any(|class| code.len() == 5 && code.starts_with(class)) =>
                {
                    DatabaseErrorKind::Unavailable
                }
                _ => DatabaseErrorKind::Other,
            }
        }
        _ => DatabaseErrorKind::Other,
    }
}

impl StoreError {
    /// Whether trying again cannot help: what is stored cannot be read.
    pub(crate) const fn is_for_good(&self) -> bool {
        matches!(
            self,
            Self::Damaged(_) | Self::Vault(VaultError::Sealed { .. }) | Self::Spec(_)
        )
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error.kind {
            DatabaseErrorKind::Full => Self::DiskFull(error),
            DatabaseErrorKind::Unavailable => Self::Unavailable(error),
            DatabaseErrorKind::Other => Self::Database(error),
        }
    }
}

impl From<InvalidName> for StoreError {
    fn from(error: InvalidName) -> Self {
        Self::Invalid {
            field: error.field,
            message: error.message,
            remedy: error.remedy,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        DatabaseError::from(error).into()
    }
}
