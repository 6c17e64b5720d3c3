//! The store: everything the control plane remembers, in SQLite or PostgreSQL.
//!
//! One file per table or small group. Queries on a team's data take a [`Tenant`], which only
//! [`Store::authenticate`] and [`Store::authenticate_session`] make; queries for an agent take the [`AgentId`] of its
//! verified certificate and check that the row is that agent's. What is said to be stored is
//! durable: the main database syncs at each commit. Logs and metrics, which a flood may fill, stand
//! in a database of their own that survives a kill but syncs less often.
//!
//! [`AgentId`]: towline_shared::ids::AgentId

pub(crate) mod db;
pub(crate) mod sqlite_writer;

pub mod accounts;
pub mod activity;
pub mod agent_sessions;
pub mod agents;
mod all_teams;
pub mod api_keys;
pub(crate) mod audit;
mod audit_list;
mod audit_verify;
mod authorities;
pub mod backup;
pub mod billing;
mod billing_events;
mod builds;
mod builds_elsewhere;
pub(crate) mod certificates;
mod claim;
pub(crate) mod commit_statuses;
mod crowd;
pub mod deploy_keys;
pub mod deployments;
pub mod docker_access;
pub mod docker_tls;
mod docker_tls_expiry;
pub mod docker_visits;
pub mod enrolment_tokens;
pub mod error;
mod execs;
mod hello;
pub(crate) mod idempotency;
pub mod identities;
mod installation;
pub mod integrations;
pub mod invitations;
mod job_changes;
pub(crate) mod jobs;
mod last_use;
mod leases;
pub mod logs;
mod master_keys;
pub mod me;
pub mod members;
pub mod metrics;
mod migrations;
pub mod notification_channels;
pub(crate) mod notification_events;
pub mod notification_rules;
pub mod notification_sending;
mod notification_telling;
pub mod notifications;
pub mod open;
pub mod outbox;
pub mod page;
pub mod password_resets;
pub mod people;
pub mod pipelines;
pub mod plans;
#[cfg(feature = "failpoints")]
mod played;
pub(crate) mod plugin_events;
pub mod plugin_runs;
pub mod plugin_sending;
pub mod plugins;
mod previews;
pub mod project_file;
pub mod project_files;
pub mod project_members;
pub mod project_settings;
pub mod projects;
pub mod pull_requests;
pub mod push_hooks;
pub mod push_installations;
pub mod push_sending;
pub mod pushes;
pub mod quota;
pub mod reach;
mod refusals;
pub(crate) mod registries;
mod relay;
mod release_list;
pub(crate) mod releases;
mod reports;
mod retention;
pub(crate) mod rollbacks;
mod sealing;
pub mod second_factors;
mod secret_uses;
pub mod secrets;
pub mod sessions;
pub mod sign_in_attempts;
pub mod sources;
pub mod status_sending;
mod storage;
mod target_labels;
mod target_platforms;
pub mod targets;
pub mod teams;
pub mod templates;
pub mod tenant;
#[cfg(test)]
pub(crate) mod tests;
mod text;
pub mod usage;
pub mod users;
pub mod webhook_deliveries;
pub(crate) mod webhook_events;
pub mod webhook_sending;
pub mod webhooks;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use prometheus_client::metrics::histogram::Histogram;

pub use accounts::Account;
pub use activity::{Activity, ActivityFilter};
pub use agent_sessions::{Admission, Before, Standing};
pub use agents::{Agent, AgentOfTeam, AgentStatus};
pub use all_teams::TeamOverview;
pub use api_keys::{ApiKey, MintedApiKey, NewApiKey};
pub use audit_list::{AuditEntry, AuditExport, AuditFilter};
pub use audit_verify::AuditReport;
pub use authorities::{Dependent, Retirement};
pub use billing::{Billing, NewGrant, Payer, PayerStanding, Subscription};
pub use billing_events::Took;
pub use commit_statuses::CommitStatus;
pub use deploy_keys::{DeployKey, Former, InstalledKey, KeptKey, NewDeployKey};
pub use deployments::{
    BuiltImage, Deployment, DeploymentFilter, DeploymentKind, Image, Layer, Named,
};
pub use docker_access::{DockerCertificate, DockerGrant};
pub use docker_visits::{DockerRequest, DockerStanding, DockerVisitor};
pub use enrolment_tokens::{EnrolmentToken, EnrolmentTokenStatus, MintedToken, NewEnrolmentToken};
pub use error::{DatabaseError, Resource, StoreError};
pub use identities::{Identity, Waiting};
pub use integrations::{Integration, NewIntegration};
pub use invitations::{Invitation, MintedInvitation};
pub use logs::{Appended, LogEnd, LogPage};
pub use master_keys::{KeyChange, KeyState, MasterKeyVersion, Rewrapped, SealedCount};
pub use me::Me;
pub use members::Member;
pub use metrics::{MetricsRange, StoredSample};
pub use notification_channels::{Channel, ChannelAddress, ChannelChange};
pub use notification_rules::{ChannelRule, Choice, EventRule, NewRule};
pub use notification_sending::{DueNotice, NotificationDelivery};
pub use notifications::{Notification, Wanted};
pub use open::{DatabaseConfig, OpenError};
pub use outbox::Attempted;
pub use page::{Listed, Page, Span};
pub use people::{Team, User, UserRole};
pub use pipelines::{Pipeline, PipelineStep, StepLog};
pub use plans::{NewLimit, Plan, PlanChange};
pub use plugin_runs::{AskedRun, Effect, Ended, PluginExchange, PluginRun};
pub use plugin_sending::DueRun;
pub use plugins::{Callee, NewPlugin, Plugin, PluginChange, PluginWithSecret};
pub use project_file::{GeneratedWrite, Replaces, StoredFile, tag_of};
pub use project_files::{FileEntry, FileSet};
pub use project_members::ProjectMember;
pub use project_settings::ProjectChange;
pub use projects::{Beginning, Project};
pub use pull_requests::PullRequest;
pub use push_hooks::{NewPushHook, PushHook, PushSecret, PushState};
pub use push_installations::{InstalledHook, PushInstallation};
pub use push_sending::{DuePush, PushEnd};
pub use pushes::{Received, Reception, RecordedPush};
pub use quota::{Quota, QuotaExceeded};
pub use reach::Thing;
pub use registries::{NewRegistry, ProjectRegistry, Registry};
pub use release_list::Release;
pub use reports::Reaction;
pub use secret_uses::OutdatedUse;
pub use secrets::{SecretEntry, SecretVersion};
pub use sessions::{Device, Means, NewSession, Session};
pub use sign_in_attempts::Purpose;
pub use sources::{NewSource, ProjectSource, SourceIntegration};
pub use status_sending::DueStatus;
pub use storage::{DatabaseSize, DiskSpace, Storage};
pub use target_platforms::TargetCluster;
pub use targets::{Readiness, Target};
pub use teams::{MadeTeam, OwnTeam};
pub use templates::{NewTemplate, TeamTemplate};
pub use tenant::{Asker, Credential, Person, RateLimits, Tenant};
pub use usage::{PastDays, Usage, UsagePeriod};
pub use users::{KnownUser, UserChange, UserState};
pub use webhook_deliveries::{WebhookDelivery, WebhookExchange};
pub use webhook_sending::DueDelivery;
pub use webhooks::{
    NewWebhook, Webhook, WebhookAddress, WebhookChange, WebhookWithSecret, signing_secret,
};

use crate::vault::Vault;
use crate::wake::Wake;
use db::Db;

/// What the store's calls give.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Everything the control plane remembers. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    main: Db,
    telemetry: Db,
    data_dir: PathBuf,
    vault: Vault,
    wake: Wake,
    /// Measurements that wait to be written.
    samples: Mutex<metrics::Pending>,
    /// How many refusals of each agent and person are still written down.
    refusals: refusals::Budget,
    crowd: crowd::Crowd,
    /// Held until the store is closed: a second server on the same files is refused.
    lock: Option<File>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.inner.main {
            Db::Sqlite { .. } => "Store(SQLite)",
            Db::Postgres(_) => "Store(PostgreSQL)",
        })
    }
}

impl Store {
    /// Wakes and lets wait for what the store's commits may have changed.
    pub fn wake(&self) -> &Wake {
        &self.inner.wake
    }

    /// How long commits of the main database have taken, in seconds, for the process's metrics.
    /// Clones count together.
    pub fn commits(&self) -> Histogram {
        self.main().commits().clone()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        let (_incarnation,) = db::one!(
            self.main().read().await?.conn(),
            (i64,),
            "SELECT incarnation FROM installation"
        )?;
        Ok(())
    }

    /// The database's clock.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        db::now(self.main().read().await?.conn()).await
    }

    /// Ends all connections after their present work, and gives the data directory free, whoever
    /// still has a clone of the store. To be called last.
    pub async fn close(&self) {
        self.inner.main.close().await;
        self.inner.telemetry.close().await;
        if let Some(Err(error)) = self.inner.lock.as_ref().map(open::unlock) {
            tracing::warn!(%error, "the data directory's lock stays until this process ends");
        }
    }

    pub(crate) fn main(&self) -> &Db {
        &self.inner.main
    }

    pub(crate) fn telemetry(&self) -> &Db {
        &self.inner.telemetry
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    fn samples(&self) -> &Mutex<metrics::Pending> {
        &self.inner.samples
    }

    fn refusals(&self) -> &refusals::Budget {
        &self.inner.refusals
    }
}

/// Counts are never negative and stay far below the limit of the database's integers.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The other way: the tables' checks keep such columns from being negative.
pub(crate) fn counted(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}
