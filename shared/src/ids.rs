//! Typed identifiers: `UUIDv7`, so that they sort by the time of their making.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier of this moment.
            #[expect(clippy::new_without_default, reason = "each call gives another identifier")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The bare UUID, for the database and certificates.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}

ids! {
    /// A process on a host that dials out and does jobs.
    AgentId,
    /// A key of the public API.
    ApiKeyId,
    /// A certificate issued by the installation's authority.
    CertificateId,
    /// One attempt to bring a project to a state on a target.
    DeploymentId,
    /// A single-use right to become an agent.
    EnrolmentTokenId,
    /// What a person is at a provider of identities.
    IdentityId,
    /// An account at a forge, by its token.
    IntegrationId,
    /// A right to join a team, used once.
    InvitationId,
    /// The unit an agent pulls.
    JobId,
    /// A way by which a person is told of something.
    NotificationChannelId,
    /// One message over a channel, however often it is tried.
    NotificationDeliveryId,
    /// Something that a person was told in the product.
    NotificationId,
    /// The way of one commit to a target.
    PipelineId,
    /// What a person's teams may use.
    PlanId,
    /// What a team asks before it does something, and tells afterwards.
    PluginId,
    /// One call of a plugin, however often it is tried.
    PluginRunId,
    /// What a team deploys.
    ProjectId,
    /// One message of a forge about a push, however often it is sent.
    PushId,
    /// Where a forge tells of pushes to a project's repository.
    PushHookId,
    /// A registry that a team has a login of.
    RegistryId,
    /// The immutable snapshot a deployment applies.
    ReleaseId,
    /// A write-only value of a project.
    SecretId,
    /// A person's sign-in by password.
    SessionId,
    /// What a person pays for, or was granted.
    SubscriptionId,
    /// Where a deploy goes.
    TargetId,
    /// The tenant.
    TeamId,
    /// A person.
    UserId,
    /// Something that is told what happens to a project.
    WebhookId,
    /// One message to a webhook, however often it is tried.
    WebhookDeliveryId,
}
