//! Roles on single projects.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Client, More,
    members::{self, Member},
    reference::id_of,
};
use crate::exit::Failure;

/// Somebody with a role on a project by itself.
#[derive(Debug, Deserialize, Serialize)]
pub struct ProjectMember {
    /// The person's id.
    pub id: Uuid,
    /// The person's name.
    pub name: String,
    /// The person's address.
    pub email: String,
    /// The role on the project.
    pub role: String,
    /// The role in the team, for those who are in it.
    #[serde(default)]
    pub team_role: Option<String>,
    /// When they got it.
    #[serde(default)]
    pub added_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// Who has a role on a project.
pub async fn list(client: &Client, project: Uuid) -> Result<Vec<ProjectMember>, Failure> {
    let path = ["projects", &project.to_string(), "members"];
    client.list(&path, &[], None).await
}

/// The person who is meant, by address or id: of those with a role on the project, else of the team.
pub async fn find(client: &Client, project: Uuid, who: &str) -> Result<Uuid, Failure> {
    if let Some(id) = id_of(who) {
        return Ok(id);
    }
    let there = list(client, project).await?;
    let there = there
        .into_iter()
        .find(|one| one.email.eq_ignore_ascii_case(who));
    match there {
        Some(member) => Ok(member.id),
        None => Ok(members::find::<Member>(client, who).await?.id),
    }
}

/// Gives somebody a role on a project.
pub async fn set_role(
    client: &Client,
    project: Uuid,
    user: Uuid,
    role: &str,
) -> Result<ProjectMember, Failure> {
    let path = [
        "projects",
        &project.to_string(),
        "members",
        &user.to_string(),
    ];
    client.put(&path, &json!({ "role": role })).await
}

/// Takes somebody's role on a project.
pub async fn remove(client: &Client, project: Uuid, user: Uuid) -> Result<(), Failure> {
    let path = [
        "projects",
        &project.to_string(),
        "members",
        &user.to_string(),
    ];
    client.delete(&path).await
}
