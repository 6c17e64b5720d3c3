//! `template.toml`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::detect::Language;

/// What a template is, and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What people read in a list.
    pub description: String,
    /// What kind of thing it makes.
    pub category: Category,
    /// The language of its code; none where it has no code of its own.
    pub language: Option<Language>,
    /// What may be chosen.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// The secrets that a project of it gets, with random values.
    #[serde(default)]
    pub secrets: Vec<GeneratedSecret>,
    /// The services that the world reaches, and the parameter that says at which port.
    #[serde(default)]
    pub ports: Vec<Published>,
    /// The volumes that outlive its containers.
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// What kind of thing a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// One application.
    Application,
    /// Several services that belong together.
    Stack,
    /// Pages.
    Site,
}

/// A value that whoever makes a project may choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it may be.
    pub kind: Kind,
    /// What it is when nobody says.
    pub default: String,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A port of the host, 1 to 65535.
    Port,
    /// A name: lower-case letters, digits and underscores, beginning with a letter.
    Name,
    /// A few words: letters, digits, blanks and `.,!?-`.
    Words,
}

/// A secret that a project of the template gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneratedSecret {
    /// The name of the variable.
    pub name: String,
    /// What it is for.
    pub description: String,
}

/// A service that the world reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The service of the compose file.
    pub service: String,
    /// The parameter that is its port on the host.
    pub parameter: String,
}
