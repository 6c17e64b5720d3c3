//! What an API key may be used for: parts of the API, to read or to write. `docs/permissions.md` has the
//! table.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The word for every part, to read and to write.
const ALL: &str = "all";
/// What joins the names where a key's scopes are one text.
const SEPARATOR: char = ' ';

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// What was done.
    Activity,
    /// Agents and their enrolment.
    Agents,
    /// The keys themselves.
    ApiKeys,
    /// The audit log.
    Audit,
    /// Deployments and their logs.
    Deployments,
    /// The engines of hosts.
    Docker,
    /// What holds for all teams.
    Installation,
    /// Accounts at forges.
    Integrations,
    /// The people of the team.
    Members,
    /// What agents measure.
    Metrics,
    /// Plugins of the team.
    Plugins,
    /// Projects and their files.
    Projects,
    /// Secrets of projects.
    Secrets,
    /// Targets, and the containers that run there.
    Targets,
    /// Plans, and what was used of them.
    Usage,
    /// Webhooks of projects.
    Webhooks,
}

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// To look.
    Read,
    /// To look and to change.
    Write,
}

/// A part of the API, to read or to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// The part.
    pub area: Area,
    /// What is done with it.
    pub verb: Verb,
}

/// All that a key may be used for; its person's role bounds it further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// Everything.
    All,
    /// These alone.
    These(BTreeSet<Scope>),
}

/// Names that make no scopes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitScopes {
    /// No scope has this name.
    #[error("{0:?} is no scope")]
    Unknown(String),
    /// There is none.
    #[error("a key without a scope could be used for nothing")]
    None,
    /// `all`, and others.
    #[error("{ALL} has every other scope in it")]
    AllAndMore,
}

impl Area {
    /// All, by name.
    pub const ALL: [Self; 16] = [
        Self::Activity,
        Self::Agents,
        Self::ApiKeys,
        Self::Audit,
        Self::Deployments,
        Self::Docker,
        Self::Installation,
        Self::Integrations,
        Self::Members,
        Self::Metrics,
        Self::Plugins,
        Self::Projects,
        Self::Secrets,
        Self::Targets,
        Self::Usage,
        Self::Webhooks,
    ];

    /// The name in a scope.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Agents => "agents",
            Self::ApiKeys => "api-keys",
            Self::Audit => "audit",
            Self::Deployments => "deployments",
            Self::Docker => "docker",
            Self::Installation => "installation",
            Self::Integrations => "integrations",
            Self::Members => "members",
            Self::Metrics => "metrics",
            Self::Plugins => "plugins",
            Self::Projects => "projects",
            Self::Secrets => "secrets",
            Self::Targets => "targets",
            Self::Usage => "usage",
            Self::Webhooks => "webhooks",
        }
    }

    /// What it is, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Activity => "what was done in the team",
            Self::Agents => "agents and enrolment tokens",
            Self::ApiKeys => "API keys; a key makes none that may do more than itself",
            Self::Audit => "the audit log",
            Self::Deployments => {
                "deployments, removals and their logs, and what is deployed of pushes"
            }
            Self::Docker => {
                "who may use the Docker engines of hosts, and certificates for that, which are root on a host"
            }
            Self::Installation => "people, plans and what else holds for all teams",
            Self::Integrations => {
                "accounts at forges, the repositories that they reach, and what their forges are told; registries; tokens and passwords are never read"
            }
            Self::Members => "members, invitations, roles on projects, and the team itself",
            Self::Metrics => "measurements, also for Prometheus",
            Self::Plugins => "plugins of the team and their runs",
            Self::Projects => "projects and their files",
            Self::Secrets => "secrets of projects; their values are never read",
            Self::Targets => "targets, their containers and what these print",
            Self::Usage => "the plans, and what was used of them",
            Self::Webhooks => "webhooks of projects and their deliveries",
        }
    }
}

impl Scopes {
    /// The scopes of these names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnfitScopes> {
        let (mut these, mut all) = (BTreeSet::new(), false);
        for name in names {
            if name == ALL {
                all = true;
            } else {
                these.insert(name.parse()?);
            }
        }
        match (all, these.is_empty()) {
            (true, true) => Ok(Self::All),
            (true, false) => Err(UnfitScopes::AllAndMore),
            (false, true) => Err(UnfitScopes::None),
            (false, false) => Ok(Self::These(these)),
        }
    }

    /// Whether one is among them. Who may write may read.
    pub fn has(&self, scope: Scope) -> bool {
        let Self::These(these) = self else {
            return true;
        };
        these.contains(&scope)
            || these.contains(&Scope {
                verb: Verb::Write,
                ..scope
            })
    }

    /// Whether all of others are among them.
    pub fn have(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::All, _) => true,
            (Self::These(_), Self::All) => false,
            (Self::These(_), Self::These(others)) => others.iter().all(|scope| self.has(*scope)),
        }
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::All => vec![ALL.to_owned()],
            Self::These(these) => these.iter().map(Scope::to_string).collect(),
        }
    }
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.area.as_str(), self.verb.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnfitScopes;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let split = name.split_once(':').and_then(|(area, verb)| {
            let area = Area::ALL.into_iter().find(|known| known.as_str() == area)?;
            let verbs = [Verb::Read, Verb::Write];
            let verb = verbs.into_iter().find(|known| known.as_str() == verb)?;
            Some(Self { area, verb })
        });
        split.ok_or_else(|| UnfitScopes::Unknown(name.to_owned()))
    }
}

/// As one text, for the database.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(&SEPARATOR.to_string()))
    }
}

/// From the one text.
impl FromStr for Scopes {
    type Err = UnfitScopes;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::of(text.split(SEPARATOR))
    }
}

impl TryFrom<String> for Scopes {
    type Error = UnfitScopes;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scopes(text: &str) -> Scopes {
        text.parse().unwrap()
    }

    #[test]
    fn every_scope_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for area in Area::ALL {
            for verb in [Verb::Read, Verb::Write] {
                let scope = Scope { area, verb };
                assert_eq!(scope.to_string().parse(), Ok(scope));
                names.insert(scope.to_string());
            }
        }
        assert_eq!(names.len(), 2 * Area::ALL.len());
        assert_eq!(scopes("all"), Scopes::All);
        let text = "deployments:write projects:read";
        assert_eq!(scopes(text).to_string(), text);
    }

    #[test]
    fn nothing_else_is_a_scope() {
        let unknown = |name: &str| UnfitScopes::Unknown(name.to_owned());
        for name in [
            "",
            "projects",
            "projects:",
            ":read",
            "Projects:read",
            "projects:read:x",
            "all:read",
        ] {
            assert_eq!(Scopes::of([name]), Err(unknown(name)));
        }
        assert_eq!(Scopes::of([]), Err(UnfitScopes::None));
        assert_eq!(
            Scopes::of(["all", "usage:read"]),
            Err(UnfitScopes::AllAndMore)
        );
    }

    #[test]
    fn who_may_write_may_read_and_nobody_gives_more_than_they_have() {
        let table = [
            ("all", "all", true),
            ("all", "projects:write", true),
            ("projects:write", "projects:read", true),
            ("projects:read", "projects:write", false),
            ("projects:write", "secrets:read", false),
            (
                "projects:write secrets:read",
                "projects:read secrets:read",
                true,
            ),
            ("projects:write", "all", false),
        ];
        for (ours, theirs, have) in table {
            assert_eq!(
                scopes(ours).have(&scopes(theirs)),
                have,
                "{ours} > {theirs}"
            );
        }
    }
}
