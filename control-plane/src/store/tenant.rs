//! Who asks, and for which team: the argument of every query on a team's data.

use std::net::IpAddr;

use towline_shared::ids::{ApiKeyId, SessionId, TeamId, UserId};

use super::audit::Actor;
use super::people::UserRole;
use crate::domain::permission::Role;

/// What a person came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A key of the API, which is for one team.
    Key(ApiKeyId),
    /// A session, which is the person's for all of their teams.
    Session(SessionId),
}

/// A person's verified right to act for themselves. Its fields are private and only the store makes
/// it.
#[derive(Clone, Debug)]
pub struct Person {
    user: UserId,
    role: UserRole,
    credential: Credential,
    address: Option<IpAddr>,
}

/// A person's verified right to act for a team. Its fields are private and only the store makes
/// it, so that a query without authorization does not compile.
#[derive(Clone, Debug)]
pub struct Tenant {
    person: Person,
    team: TeamId,
    role: Role,
}

/// Whom a credential shows.
#[derive(Clone, Debug)]
pub enum Asker {
    /// Somebody in a team.
    Member(Tenant),
    /// Somebody who is in no team.
    Alone(Person),
}

impl Person {
    pub(super) const fn new(user: UserId, role: UserRole, credential: Credential) -> Self {
        Self {
            user,
            role,
            credential,
            address: None,
        }
    }

    /// The same, with the address the request came from, for the audit log.
    #[must_use]
    pub fn from_address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// The person.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// What the person may do in the installation, beside any team.
    pub const fn role(&self) -> UserRole {
        self.role
    }

    /// What the person came with.
    pub const fn credential(&self) -> Credential {
        self.credential
    }

    /// The session the person came with, if it was one.
    pub const fn session(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(session) => Some(session),
            Credential::Key(_) => None,
        }
    }

    pub(crate) const fn actor(&self) -> Actor {
        Actor::User {
            user: self.user,
            address: self.address,
        }
    }
}

impl Tenant {
    pub(super) const fn new(person: Person, team: TeamId, role: Role) -> Self {
        Self { person, team, role }
    }

    /// The same, with the address the request came from, for the audit log.
    #[must_use]
    pub fn from_address(mut self, address: IpAddr) -> Self {
        self.person = self.person.from_address(address);
        self
    }

    /// The person for themselves.
    pub const fn person(&self) -> &Person {
        &self.person
    }

    /// The team.
    pub const fn team(&self) -> TeamId {
        self.team
    }

    /// The person.
    pub const fn user(&self) -> UserId {
        self.person.user
    }

    /// What the person came with.
    pub const fn credential(&self) -> Credential {
        self.person.credential
    }

    /// What the person may do.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What the person may do in the installation, beside any team.
    pub const fn user_role(&self) -> UserRole {
        self.person.role
    }

    pub(crate) const fn actor(&self) -> Actor {
        self.person.actor()
    }
}
