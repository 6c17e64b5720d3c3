//! Who asks, and for which team: the argument of every query on a team's data.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;
use towline_shared::ids::{ApiKeyId, TeamId, UserId};
use utoipa::ToSchema;

use super::audit::Actor;
use super::error::StoreError;
use super::people::UserRole;

/// A person's verified right to act for a team. Its fields are private and only the store makes
/// it, so that a query without authorization does not compile.
#[derive(Clone, Debug)]
pub struct Tenant {
    team: TeamId,
    user: UserId,
    key: ApiKeyId,
    role: Role,
    user_role: UserRole,
    address: Option<IpAddr>,
}

/// What a person may do in a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but to give the team away.
    Admin,
    /// Projects and deployments.
    Developer,
    /// To look.
    Viewer,
}

impl Tenant {
    pub(super) const fn new(
        team: TeamId,
        user: UserId,
        key: ApiKeyId,
        role: Role,
        user_role: UserRole,
    ) -> Self {
        Self {
            team,
            user,
            key,
            role,
            user_role,
            address: None,
        }
    }

    /// The same, with the address the request came from, for the audit log.
    #[must_use]
    pub fn from_address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// The team.
    pub const fn team(&self) -> TeamId {
        self.team
    }

    /// The person.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The API key the person came with.
    pub const fn key(&self) -> ApiKeyId {
        self.key
    }

    /// What the person may do.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What the person may do in the installation, beside any team.
    pub const fn user_role(&self) -> UserRole {
        self.user_role
    }

    pub(crate) const fn actor(&self) -> Actor {
        Actor::User {
            user: self.user,
            address: self.address,
        }
    }
}

impl Role {
    /// Whether the role may change projects and deployments.
    pub const fn may_deploy(self) -> bool {
        matches!(self, Self::Owner | Self::Admin | Self::Developer)
    }

    /// Whether the role may change agents, tokens and keys.
    pub const fn may_administer(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Owner, Self::Admin, Self::Developer, Self::Viewer]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| StoreError::Damaged(format!("{text:?} is no role of a team")))
    }
}
