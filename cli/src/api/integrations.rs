//! Accounts at forges, and what they reach.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::reference::Nameable;
use super::{Client, More};
use crate::exit::Failure;

/// An account at a forge.
#[derive(Debug, Deserialize, Serialize)]
pub struct Integration {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Which forge.
    #[serde(default)]
    pub forge: String,
    /// Where the forge is.
    #[serde(default)]
    pub url: String,
    /// The account there.
    #[serde(default)]
    pub login: String,
    /// What the token may do, if the forge tells that.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// How many projects come from it.
    #[serde(default)]
    pub projects: u64,
    /// Why the last status was not set.
    #[serde(default)]
    pub last_error: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// An account to connect.
#[derive(Serialize)]
pub struct NewIntegration<'a> {
    /// What you call it.
    pub name: &'a str,
    /// Which forge.
    pub forge: &'a str,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<&'a str>,
    /// By what it is called.
    #[serde(flatten)]
    pub token: Token<'a>,
}

/// A token, and who says it.
#[derive(Serialize)]
pub struct Token<'a> {
    /// The token.
    pub token: &'a str,
    /// Who says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_user: Option<&'a str>,
}

/// A repository.
#[derive(Debug, Deserialize, Serialize)]
pub struct Repository {
    /// What the forge calls it.
    pub name: String,
    /// Who may see it.
    #[serde(default)]
    pub visibility: String,
    /// The branch that it shows first.
    #[serde(default)]
    pub default_branch: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// A branch.
#[derive(Debug, Deserialize, Serialize)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// Its last commit.
    #[serde(default)]
    pub commit_sha: String,
    #[serde(flatten)]
    more: More,
}

/// What a forge is told of a commit.
#[derive(Debug, Deserialize, Serialize)]
pub struct Status {
    /// Its id.
    pub id: Uuid,
    /// The repository.
    #[serde(default)]
    pub repository: String,
    /// The commit.
    #[serde(default)]
    pub commit_sha: String,
    /// By what it is told from others.
    #[serde(default)]
    pub context: String,
    /// What becomes of the commit.
    #[serde(default)]
    pub commit_state: String,
    /// Whether the forge was told.
    #[serde(default)]
    pub state: String,
    /// Why it was not.
    #[serde(default)]
    pub error: Option<String>,
    /// When it happened.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

#[derive(Deserialize)]
struct Part<T> {
    items: Vec<T>,
    #[serde(default)]
    next_page: Option<u32>,
}

impl Nameable for Integration {
    const PATH: &'static str = "integrations";
    const WORD: &'static str = "integration";
    const LIST: &'static str = "towline integrations ls";
    const MAKE: &'static str = "towline integrations connect NAME";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Connects an account.
pub async fn connect(client: &Client, new: &NewIntegration<'_>) -> Result<Integration, Failure> {
    client.post(&["integrations"], new).await
}

/// Gives it another token.
pub async fn replace_token(
    client: &Client,
    id: Uuid,
    token: &Token<'_>,
) -> Result<Integration, Failure> {
    client
        .put(&["integrations", &id.to_string(), "token"], token)
        .await
}

/// Forgets it.
pub async fn delete(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["integrations", &id.to_string()]).await
}

/// The repositories that it reaches.
pub async fn repositories(
    client: &Client,
    id: Uuid,
    workspace: Option<&str>,
    limit: usize,
) -> Result<Vec<Repository>, Failure> {
    let query = workspace.map(|name| ("workspace", name.to_owned()));
    parts(client, id, "repositories", query, limit).await
}

/// The branches of one of them.
pub async fn branches(
    client: &Client,
    id: Uuid,
    repository: &str,
    limit: usize,
) -> Result<Vec<Branch>, Failure> {
    let query = Some(("repository", repository.to_owned()));
    parts(client, id, "branches", query, limit).await
}

/// What its forge was told of commits.
pub async fn statuses(client: &Client, id: Uuid, limit: usize) -> Result<Vec<Status>, Failure> {
    let path = ["integrations", &id.to_string(), "statuses"];
    client.list(&path, &[], Some(limit)).await
}

async fn parts<T: DeserializeOwned>(
    client: &Client,
    id: Uuid,
    what: &str,
    query: Option<(&str, String)>,
    limit: usize,
) -> Result<Vec<T>, Failure> {
    let (id, mut items, mut page) = (id.to_string(), Vec::new(), 1);
    loop {
        let mut query: Vec<_> = query.clone().into_iter().collect();
        query.push(("page", page.to_string()));
        let part: Part<T> = client.get(&["integrations", &id, what], &query).await?;
        items.extend(part.items);
        match part.next_page {
            Some(next) if items.len() < limit && next > page => page = next,
            _ => break,
        }
    }
    items.truncate(limit);
    Ok(items)
}
