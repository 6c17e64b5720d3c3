//! `towline members`: the people of the team.

use chrono::Utc;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::Session;
use crate::{
    api::{
        self, Client, me,
        members::{self, Invitation, Member},
        project_members::{self, ProjectMember},
        projects::Project,
        reference,
    },
    exit::{Exit, Failure},
    output::{
        Output, Surface,
        table::{Rows, optional, whole},
        units::age,
    },
    prompt::confirm,
};

/// The people of the team
#[derive(Debug, Subcommand)]
pub enum Members {
    /// List them
    Ls {
        /// Those who have a role on this project by itself, by name or id
        #[arg(long)]
        project: Option<String>,
    },
    /// Invite somebody: gives a link that works once, for a week
    Invite {
        /// The person's e-mail address
        email: String,
        /// To this project alone, by name or id; they see nothing else of the team
        #[arg(long)]
        project: Option<String>,
        /// What they may do
        #[arg(long, value_enum, default_value_t = Role::Developer)]
        role: Role,
    },
    /// List the open invitations
    Invitations,
    /// Take an invitation back
    Uninvite {
        /// The address or the invitation's id
        invitation: String,
    },
    /// Give a member another role
    Role {
        /// The member's address or id
        member: String,
        /// What they may do from now on
        #[arg(value_enum)]
        role: Role,
        /// On this project alone, by name or id
        #[arg(long)]
        project: Option<String>,
    },
    /// Give the team to a member, whose plan counts from then on
    Give {
        /// The member's address or id
        member: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Take a member out; their API keys for the team end at once
    Rm {
        /// The member's address or id
        member: String,
        /// Take only the role on this project, by name or id
        #[arg(long)]
        project: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Leave the team
    Leave {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// What a member may do; see docs/permissions.md.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Role {
    /// Everything
    Owner,
    /// Everything but to make owners and to give the team away
    Admin,
    /// Projects and deployments
    Developer,
    /// To look
    Viewer,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
        }
    }
}

impl Members {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Ls { project: None } => {
                let all = api::list::<Member>(&client).await?;
                out.result(&all, |surface| table(surface, &all))?;
            }
            Self::Ls {
                project: Some(project),
            } => list_on_project(&client, out, &project).await?,
            Self::Invite {
                email,
                project,
                role,
            } => {
                let made =
                    members::invite(&client, &email, role.word(), project.as_deref()).await?;
                out.note("This link is shown once. Whoever has it can join as that address.");
                out.result(&made, |_| made.link.clone().unwrap_or_default())?;
            }
            Self::Invitations => {
                let all = api::list::<Invitation>(&client).await?;
                out.result(&all, |surface| invitations(surface, &all))?;
            }
            Self::Uninvite { invitation } => {
                let invitation = members::find::<Invitation>(&client, &invitation).await?;
                members::uninvite(&client, invitation.id).await?;
                let done = json!({ "id": invitation.id, "revoked": true });
                out.result(&done, |_| {
                    format!("Took the invitation of {} back.", invitation.email)
                })?;
            }
            Self::Role {
                member,
                role,
                project: Some(project),
            } => set_on_project(&client, out, &member, role, &project).await?,
            Self::Role {
                member,
                role,
                project: None,
            } => {
                let member = members::find::<Member>(&client, &member).await?;
                let changed = members::change_role(&client, member.id, role.word()).await?;
                out.result(&changed, |_| {
                    format!("{} is {} now.", changed.email, changed.role)
                })?;
            }
            Self::Give { member, yes } => {
                let member = members::find::<Member>(&client, &member).await?;
                let question = format!(
                    "Give the team to {}? Only they can give it back.",
                    member.email
                );
                confirm(yes.into(), &question)?;
                let given = members::give_team(&client, member.id).await?;
                out.result(&given, |_| format!("The team is {}'s now.", given.email))?;
            }
            Self::Rm {
                member,
                project: Some(project),
                yes,
            } => remove_on_project(&client, out, &member, &project, yes).await?,
            Self::Rm {
                member,
                project: None,
                yes,
            } => {
                let member = members::find::<Member>(&client, &member).await?;
                let question = format!(
                    "Take {} out of the team? They are locked out at once.",
                    member.email
                );
                confirm(yes.into(), &question)?;
                members::remove(&client, member.id).await?;
                let done = json!({ "id": member.id, "removed": true });
                out.result(&done, |_| {
                    format!("{} is not in the team any more.", member.email)
                })?;
            }
            Self::Leave { yes } => {
                let me = me::get(&client).await?;
                let question = format!("Leave the team {}? This login ends at once.", me.team.name);
                confirm(yes.into(), &question)?;
                members::remove(&client, me.user.id).await?;
                let done = json!({ "team": me.team.id, "left": true });
                out.result(&done, |_| {
                    format!("You have left the team {}.", me.team.name)
                })?;
            }
        }
        Ok(Exit::Success)
    }
}

async fn list_on_project(client: &Client, out: &Output, project: &str) -> Result<(), Failure> {
    let of = reference::find::<Project>(client, project).await?;
    let all = project_members::list(client, of.id).await?;
    out.result(&all, |surface| of_project(surface, &all))
}

async fn set_on_project(
    client: &Client,
    out: &Output,
    member: &str,
    role: Role,
    project: &str,
) -> Result<(), Failure> {
    let of = reference::find::<Project>(client, project).await?;
    let who = project_members::find(client, of.id, member).await?;
    let set = project_members::set_role(client, of.id, who, role.word()).await?;
    out.result(&set, |_| {
        format!("{} is {} of {} now.", set.email, set.role, of.name)
    })
}

async fn remove_on_project(
    client: &Client,
    out: &Output,
    member: &str,
    project: &str,
    yes: bool,
) -> Result<(), Failure> {
    let of = reference::find::<Project>(client, project).await?;
    let who = project_members::find(client, of.id, member).await?;
    let question = format!("Take the role of {member} on {}?", of.name);
    confirm(yes.into(), &question)?;
    project_members::remove(client, of.id, who).await?;
    let done = json!({ "id": who, "project": of.id, "removed": true });
    out.result(&done, |_| {
        format!("{member} has no role on {} any more.", of.name)
    })
}

fn table(surface: Surface, members: &[Member]) -> String {
    let now = Utc::now();
    let columns = [
        whole("email"),
        whole("role"),
        optional("name"),
        whole("joined"),
    ];
    let mut rows = Rows::new(surface, columns);
    for member in members {
        let holds = if member.holds_the_team {
            " (the team's)"
        } else {
            ""
        };
        rows.row([
            member.email.as_str().into(),
            format!("{}{holds}", member.role).into(),
            member.name.as_str().into(),
            age(member.joined_at, now).into(),
        ]);
    }
    rows.finish("Nobody is in the team.")
}

fn of_project(surface: Surface, members: &[ProjectMember]) -> String {
    let now = Utc::now();
    let columns = [
        whole("email"),
        whole("role"),
        whole("in the team"),
        optional("name"),
        whole("since"),
    ];
    let mut rows = Rows::new(surface, columns);
    for member in members {
        rows.row([
            member.email.as_str().into(),
            member.role.as_str().into(),
            member.team_role.as_deref().unwrap_or("-").into(),
            member.name.as_str().into(),
            age(member.added_at, now).into(),
        ]);
    }
    rows.finish("Nobody has a role on this project alone. `towline members role` gives one.")
}

fn invitations(surface: Surface, invitations: &[Invitation]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("email"),
            whole("role"),
            optional("project"),
            whole("expires"),
        ],
    );
    for invitation in invitations {
        rows.row([
            invitation.email.as_str().into(),
            invitation.role.as_str().into(),
            invitation
                .project
                .as_ref()
                .map_or("", |project| &project.name)
                .into(),
            age(invitation.expires_at, now).into(),
        ]);
    }
    rows.finish("There are no open invitations. `towline members invite EMAIL` makes one.")
}
