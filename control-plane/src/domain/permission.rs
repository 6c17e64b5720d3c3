//! The one table of what a role may do in a team. `docs/permissions.md` is written from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::scope::Area;

/// What a person may do in a team: each role may do what those below it may, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To look.
    Viewer,
    /// Projects and deployments.
    Developer,
    /// Everything but to make owners and to give the team away.
    Admin,
    /// Everything.
    Owner,
}

/// Something that not everybody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To see what the team has.
    Look,
    /// To deploy, have pushes deployed, roll back, remove, cancel and retry, to run commands in containers, and to restart,
    /// scale and delete pods in clusters.
    Deploy,
    /// To make and delete projects, their files and secrets.
    ChangeProjects,
    /// To enrol, label and revoke hosts, and to let people use their engines.
    ManageHosts,
    /// To make and end API keys.
    ManageKeys,
    /// To make, change and delete plugins.
    ManagePlugins,
    /// To invite people, to change their roles and to let them go.
    ManageMembers,
    /// To read the audit log.
    ReadAudit,
    /// To make owners, to take that from them, and to give the team away.
    ManageOwners,
}

/// A word that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role of a team")]
pub struct UnknownRole(String);

impl Role {
    /// All, the one who may most first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Developer, Self::Viewer];

    /// Whether the role may do it.
    pub fn may(self, permission: Permission) -> bool {
        self >= permission.least()
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

impl Permission {
    /// All, in the order of the docs.
    pub const ALL: [Self; 9] = [
        Self::Look,
        Self::Deploy,
        Self::ChangeProjects,
        Self::ManageHosts,
        Self::ManageKeys,
        Self::ManagePlugins,
        Self::ManageMembers,
        Self::ReadAudit,
        Self::ManageOwners,
    ];

    /// The role that may do it and may least besides.
    pub const fn least(self) -> Role {
        match self {
            Self::Look => Role::Viewer,
            Self::Deploy | Self::ChangeProjects => Role::Developer,
            Self::ManageHosts
            | Self::ManageKeys
            | Self::ManagePlugins
            | Self::ManageMembers
            | Self::ReadAudit => Role::Admin,
            Self::ManageOwners => Role::Owner,
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Look => {
                "see projects, deployments, logs, measurements, hosts, members and the names of secrets and keys"
            }
            Self::Deploy => {
                "deploy, have pushes deployed, roll back, remove, cancel and retry; run commands in containers; restart, scale and delete pods in clusters"
            }
            Self::ChangeProjects => {
                "make and delete projects, change their files and secrets, connect forges and registries and use what they reach"
            }
            Self::ManageHosts => {
                "make enrolment tokens, label targets, revoke agents, let people use the Docker engines of hosts"
            }
            Self::ManageKeys => "make and end API keys",
            Self::ManagePlugins => "make, change and delete plugins, which may veto deployments",
            Self::ManageMembers => "invite people, change their roles, let them go",
            Self::ReadAudit => "read the audit log, with the addresses that people came from",
            Self::ManageOwners => {
                "make somebody an owner or no owner any more, rename, give away and delete the team"
            }
        }
    }
}

/// The table as a page of the docs.
pub fn page() -> String {
    let row = |first: &str, cell: &dyn Fn(Role) -> String| {
        let cells = Role::ALL.map(cell).join(" | ");
        format!("| {first} | {cells} |")
    };
    let mut table = vec![
        row("to …", &|role| role.to_string()),
        "|---".repeat(1 + Role::ALL.len()) + "|",
    ];
    table.extend(Permission::ALL.map(|permission| {
        let granted = |role: Role| if role.may(permission) { "yes" } else { "–" }.to_owned();
        row(permission.words(), &granted)
    }));
    format!(
        "# Who may do what\n\n\
         Everybody is in a team by a role. This table is the code's own; a test keeps the page equal to it.\n\n\
         {}\n\n\
         Everybody may leave a team but the person it belongs to, who gives it away first: so no team is without an owner. \
         A foreign thing and one that does not exist give the same answer.\n\n\
         ## Roles on single projects\n\n\
         Somebody may have the role admin, developer or viewer on one project. For a member of the team the higher of the two \
         roles counts there. Others see that project, the targets, and nothing else of the team. An admin of a project gives \
         roles on it.\n\n\
         ## What an API key may be used for\n\n\
         A key acts as the person who made it, with their role, and within its scopes: `all`, or those of this table, \
         such as `projects:read`. Who may write may read. With scopes, or for one project, a key never touches the person's own account \
         (password, sessions, second factor). A key for one project sees that project alone, the targets, and nothing else \
         of the team.\n\n\
         {}\n",
        table.join("\n"),
        scopes()
    )
}

fn scopes() -> String {
    let mut table = vec!["| scope | covers |".to_owned(), "|---|---|".to_owned()];
    table.extend(Area::ALL.map(|area| {
        let (name, words) = (area.as_str(), area.words());
        format!("| `{name}:read`, `{name}:write` | {words} |")
    }));
    table.join("\n")
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_docs_is_this_table() {
        let written = include_str!("../../../docs/permissions.md");
        assert_eq!(written, page(), "write this page to docs/permissions.md");
    }

    #[test]
    fn each_role_may_more_than_the_next() {
        let counts = Role::ALL.map(|role| {
            let granted = Permission::ALL.into_iter();
            granted.filter(|permission| role.may(*permission)).count()
        });
        assert_eq!(counts, [9, 8, 3, 1]);
    }
}
