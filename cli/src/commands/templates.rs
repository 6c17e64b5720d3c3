//! `towline templates`: what projects are made from.

use clap::Subcommand;
use serde_json::json;

use super::Session;
use crate::{
    api::templates::{self, Shown, Template},
    exit::{Exit, Failure},
    output::{
        Surface, plain,
        table::{Rows, whole},
        units::bytes,
    },
    prompt::confirm,
};

/// What projects are made from
#[derive(Debug, Subcommand)]
pub enum Templates {
    /// List the official ones and the team's own
    Ls,
    /// Show what one asks for, and its files
    Show {
        /// Its name
        template: String,
        /// Print the text of each file
        #[arg(long)]
        show: bool,
    },
    /// Make one of a project: its files, and the names of its secrets
    Create {
        /// Its name: lower-case letters, digits and hyphens
        name: String,
        /// The project's name or id
        #[arg(long)]
        project: String,
        /// What people read in the list
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Delete one of the team's own; projects that were made from it stay
    Rm {
        /// Its name
        template: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Templates {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls => {
                let all = templates::list(&client).await?;
                session
                    .output
                    .result(&all, |surface| table(surface, &all))?;
            }
            Self::Show { template, show } => {
                let shown = templates::show(&client, &template).await?;
                session
                    .output
                    .result(&shown, |surface| details(surface, &shown, show))?;
            }
            Self::Create {
                name,
                project,
                description,
            } => {
                let made = templates::create(&client, &name, &description, &project).await?;
                session.output.result(&made, |_| {
                    format!("Made the template {name}. `towline projects create NAME --template {name}` makes a project of it.")
                })?;
            }
            Self::Rm { template, yes } => {
                let question =
                    format!("Delete the template {template:?}? Projects made from it stay.");
                confirm(yes.into(), &question)?;
                templates::delete(&client, &template).await?;
                let done = json!({ "name": template, "deleted": true });
                session
                    .output
                    .result(&done, |_| format!("Deleted the template {template:?}."))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(surface: Surface, templates: &[Template]) -> String {
    let columns = ["name", "of", "language", "makes"].map(whole);
    let mut rows = Rows::new(surface, columns);
    for template in templates {
        let whose = if template.is_official {
            "Towline"
        } else {
            "the team"
        };
        rows.row([
            template.name.as_str().into(),
            whose.into(),
            template.language.as_deref().unwrap_or_default().into(),
            template.description.as_str().into(),
        ]);
    }
    rows.finish("There are no templates.")
}

fn details(surface: Surface, shown: &Shown, all: bool) -> String {
    let mut text = plain::for_reader(&shown.readme, surface.reader).into_owned();
    let mut rows = Rows::new(surface, ["parameter", "default", "is"].map(whole));
    for parameter in &shown.parameters {
        rows.row([
            parameter.name.as_str().into(),
            parameter.default.as_str().into(),
            parameter.description.as_str().into(),
        ]);
    }
    text.push('\n');
    text.push_str(&rows.finish("It has no parameters."));
    for secret in &shown.secrets {
        let how = if secret.is_generated {
            "is made at random for each project"
        } else {
            "must be set for each project"
        };
        let line = format!("\nThe secret {} {how}.", secret.name);
        text.push_str(&plain::for_reader(&line, surface.reader));
    }
    let mut rows = Rows::new(surface, ["file", "size"].map(whole));
    for file in &shown.files {
        rows.row([
            file.path.as_str().into(),
            bytes(file.content.len() as u64).into(),
        ]);
    }
    text.push_str("\n\n");
    text.push_str(&rows.finish("It has no files."));
    if all {
        for file in &shown.files {
            let head = plain::for_reader(&file.path, surface.reader);
            let body = plain::for_reader(&file.content, surface.reader);
            text.extend(["\n\n--- ", &*head, " ---\n", &*body]);
        }
    }
    text
}
