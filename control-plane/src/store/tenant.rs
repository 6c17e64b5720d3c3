//! Who asks, and for which team: the argument of every query on a team's data.

use std::net::IpAddr;

use towline_shared::ids::{ApiKeyId, PushId, SessionId, TeamId, UserId};

use super::audit::Actor;
use super::people::UserRole;
use crate::domain::access::Access;
use crate::domain::permission::Role;
use crate::domain::scope::Scopes;

/// What a person came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A key of the API, which is for one team.
    Key(ApiKeyId),
    /// A session, which is the person's for all of their teams.
    Session(SessionId),
    /// A push, which is deployed by the right of who has set its hook, and not by their hand.
    Push(PushId),
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
    grant: Grant,
}

/// What a credential lets its bearer do in a team.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) access: Access,
    pub(super) scopes: Scopes,
    pub(super) rates: RateLimits,
}

/// How many requests in a minute are answered; without a number all are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Of this key.
    pub key: Option<u32>,
    /// Of all of the team together.
    pub team: Option<u32>,
}

impl RateLimits {
    /// From the database, where none is less than nothing.
    pub(super) fn stored(key: Option<i64>, team: Option<i64>) -> Self {
        let limit = |stored: i64| u32::try_from(stored).unwrap_or(u32::MAX);
        Self {
            key: key.map(limit),
            team: team.map(limit),
        }
    }
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
            Credential::Key(_) | Credential::Push(_) => None,
        }
    }

    pub(crate) const fn actor(&self) -> Actor {
        match self.credential {
            Credential::Push(_) => Actor::System,
            Credential::Key(_) | Credential::Session(_) => Actor::User {
                user: self.user,
                address: self.address,
            },
        }
    }
}

impl Tenant {
    pub(super) const fn new(person: Person, team: TeamId, grant: Grant) -> Self {
        Self {
            person,
            team,
            grant,
        }
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

    /// The push that is deployed by the person's right.
    pub const fn push(&self) -> Option<PushId> {
        match self.person.credential {
            Credential::Push(push) => Some(push),
            Credential::Key(_) | Credential::Session(_) => None,
        }
    }

    /// Who asks by their own hand.
    pub fn hand(&self) -> Option<UserId> {
        self.push().is_none().then_some(self.person.user)
    }

    /// How far the person's right reaches.
    pub const fn access(&self) -> &Access {
        &self.grant.access
    }

    /// The person's role in what is the whole team's.
    pub const fn role(&self) -> Option<Role> {
        self.grant.access.in_team()
    }

    /// What the credential may be used for.
    pub const fn scopes(&self) -> &Scopes {
        &self.grant.scopes
    }

    /// How often may be asked.
    pub const fn rates(&self) -> RateLimits {
        self.grant.rates
    }

    /// What the person may do in the installation, beside any team.
    pub const fn user_role(&self) -> UserRole {
        self.person.role
    }

    pub(crate) const fn actor(&self) -> Actor {
        self.person.actor()
    }
}
