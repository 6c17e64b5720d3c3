//! Who asks, and for which team: the argument of every query on a team's data.

use std::net::IpAddr;

use towline_shared::ids::{ApiKeyId, TeamId, UserId};

use super::audit::Actor;
use super::people::UserRole;
use crate::domain::permission::Role;

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
