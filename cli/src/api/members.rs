//! The people of a team, and those who are invited.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Client, More, Named,
    reference::{self, Nameable},
    setup::Installed,
};
use crate::exit::Failure;

/// Somebody in the team.
#[derive(Debug, Deserialize, Serialize)]
pub struct Member {
    /// The person's id.
    pub id: Uuid,
    /// The person's name.
    pub name: String,
    /// The person's address.
    pub email: String,
    /// What the person may do.
    pub role: String,
    /// Whether the team is this person's.
    #[serde(default)]
    pub holds_the_team: bool,
    /// When the person joined.
    #[serde(default)]
    pub joined_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// An invitation that nobody has accepted.
#[derive(Debug, Deserialize, Serialize)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// Who is invited.
    pub email: String,
    /// The role they will have.
    pub role: String,
    /// The one project that it is for.
    #[serde(default)]
    pub project: Option<Named>,
    /// The link, told only when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

impl Nameable for Member {
    const PATH: &'static str = "members";
    const WORD: &'static str = "member";
    const LIST: &'static str = "towline members ls";
    const MAKE: &'static str = "towline members invite EMAIL";

    fn id(&self) -> Uuid {
        self.id
    }

    #[expect(
        clippy::misnamed_getters,
        reason = "a person is meant by the address, which is unique"
    )]
    fn name(&self) -> &str {
        &self.email
    }
}

impl Nameable for Invitation {
    const PATH: &'static str = "invitations";
    const WORD: &'static str = "open invitation";
    const LIST: &'static str = "towline members invitations";
    const MAKE: &'static str = "towline members invite EMAIL";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.email
    }
}

/// The one that is meant, by address or id. The API shows no single one.
pub async fn find<T: Nameable + serde::de::DeserializeOwned>(
    client: &Client,
    who: &str,
) -> Result<T, Failure> {
    let all = reference::list(client).await?;
    match reference::id_of(who) {
        Some(id) => reference::by_id(id, all),
        None => reference::pick(who, all),
    }
}

/// Gives a member another role.
pub async fn change_role(client: &Client, id: Uuid, role: &str) -> Result<Member, Failure> {
    let path = ["members", &id.to_string()];
    client.put(&path, &json!({ "role": role })).await
}

/// Takes a member out.
pub async fn remove(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["members", &id.to_string()]).await
}

/// Gives the team to a member.
pub async fn give_team(client: &Client, id: Uuid) -> Result<Member, Failure> {
    let path = ["members", &id.to_string(), "ownership"];
    client.post(&path, &json!({})).await
}

/// Invites somebody.
pub async fn invite(
    client: &Client,
    email: &str,
    role: &str,
    project: Option<&str>,
) -> Result<Invitation, Failure> {
    let mut body = json!({ "email": email, "role": role });
    if let Some(project) = project {
        body["project"] = project.into();
    }
    client.post(&["invitations"], &body).await
}

/// Takes an invitation back.
pub async fn uninvite(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["invitations", &id.to_string()]).await
}

/// Accepts an invitation as somebody new.
pub async fn accept(
    client: &Client,
    token: &str,
    name: &str,
    password: Option<&str>,
) -> Result<Installed, Failure> {
    let mut body = json!({ "token": token, "name": name });
    if let Some(password) = password {
        body["password"] = password.into();
    }
    client.post(&["invitations", "accept"], &body).await
}

/// Joins another team with the account of the client's key.
pub async fn join(client: &Client, token: &str) -> Result<Installed, Failure> {
    let body = json!({ "token": token });
    client.post(&["invitations", "join"], &body).await
}
