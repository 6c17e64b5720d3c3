//! What projects are made from.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Client, More};
use crate::exit::Failure;

/// A template in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What it makes.
    pub description: String,
    /// What kind of thing that is.
    #[serde(default)]
    pub category: Option<String>,
    /// The language of its code.
    #[serde(default)]
    pub language: Option<String>,
    /// Whether it comes with Towline.
    #[serde(default)]
    pub is_official: bool,
    #[serde(flatten)]
    more: More,
}

/// A template with what it has.
#[derive(Debug, Deserialize, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What it makes.
    pub description: String,
    /// What may be chosen.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// The secrets that its projects need.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// What it is for people.
    #[serde(default)]
    pub readme: String,
    /// Its files.
    pub files: Vec<File>,
    #[serde(flatten)]
    more: More,
}

/// A value that may be chosen.
#[derive(Debug, Deserialize, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it is when nobody says.
    pub default: String,
    #[serde(flatten)]
    more: More,
}

/// A secret that a project needs.
#[derive(Debug, Deserialize, Serialize)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Whether a new project has a random value of its own.
    #[serde(default)]
    pub is_generated: bool,
    #[serde(flatten)]
    more: More,
}

/// A file of a template.
#[derive(Debug, Deserialize, Serialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its text.
    pub content: String,
    #[serde(flatten)]
    more: More,
}

#[derive(Debug, Deserialize)]
struct Items {
    items: Vec<Template>,
}

/// All that a project can be made from.
pub async fn list(client: &Client) -> Result<Vec<Template>, Failure> {
    let listed: Items = client.get(&["templates"], &[]).await?;
    Ok(listed.items)
}

/// One with its files.
pub async fn show(client: &Client, name: &str) -> Result<Shown, Failure> {
    client.get(&["templates", name], &[]).await
}

/// Makes one of a project.
pub async fn create(
    client: &Client,
    name: &str,
    description: &str,
    project: &str,
) -> Result<Value, Failure> {
    let body = json!({ "name": name, "description": description, "project": project });
    client.post(&["templates"], &body).await
}

/// Deletes one of the team's own.
pub async fn delete(client: &Client, name: &str) -> Result<(), Failure> {
    client.delete(&["templates", name]).await
}
