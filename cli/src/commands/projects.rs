//! `towline projects`: what is deployed.

use chrono::Utc;
use clap::Subcommand;
use serde_json::json;

use super::{Session, registries::OfProject};
use crate::{
    api::{
        self,
        projects::{self, Change, Project, Upload},
    },
    exit::{Exit, Failure},
    output::{
        Surface, plain,
        table::{Rows, facts, whole},
        units::{age, bytes, moment},
    },
    prompt::confirm,
};

/// What is deployed
#[derive(Debug, Subcommand)]
pub enum Projects {
    /// List them
    Ls,
    /// Make one, empty or from a template
    Create {
        /// Its name: lower-case letters, digits and hyphens
        name: String,
        /// The template that it is made from; `towline templates ls` lists them
        #[arg(long)]
        template: Option<String>,
        /// A parameter of the template
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair, requires = "template")]
        parameters: Vec<(String, String)>,
    },
    /// Show one and its files
    Show {
        /// Its name or id
        project: String,
    },
    /// Change what is decided of one beside its files
    Set {
        /// Its name or id
        project: String,
        /// For how many of its last releases hosts keep images, from their next deployment on
        #[arg(long, value_name = "1-50", value_parser = clap::value_parser!(u16).range(1..=50), required_unless_present = "namespace")]
        keep_releases: Option<u16>,
        /// In which namespace of clusters its objects are that name none, from their next deployment on; empty for the agent's
        /// own choice
        #[arg(long)]
        namespace: Option<String>,
    },
    /// Show or say where the images go that are built of one
    Registry(OfProject),
    /// Forget one; what runs on targets stays, take it away before with `towline remove`
    Rm {
        /// Its name or id
        project: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Projects {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls => {
                let projects = api::list::<Project>(&client).await?;
                session
                    .output
                    .result(&projects, |surface| table(surface, &projects))?;
            }
            Self::Create {
                name,
                template,
                parameters,
            } => {
                let parameters = parameters.into_iter().collect();
                let project =
                    projects::create_from(&client, &name, template.as_deref(), &parameters).await?;
                let folder = if template.is_some() { "" } else { " FOLDER" };
                session.output.result(&project, |_| {
                    format!("Made the project {0}. `towline deploy{folder} --project {0} --target TARGET` deploys it.", project.name)
                })?;
            }
            Self::Show { project } => {
                let project = api::find::<Project>(&client, &project).await?;
                let files = match projects::files(&client, project.id).await {
                    Ok(files) => Some(files),
                    Err(failure) if failure.http_status() == Some(404) => None,
                    Err(failure) => return Err(failure),
                };
                let shown = json!({ "project": project, "files": files });
                session
                    .output
                    .result(&shown, |surface| details(surface, &project, files.as_ref()))?;
            }
            Self::Set {
                project,
                keep_releases,
                namespace,
            } => {
                let project = api::find::<Project>(&client, &project).await?;
                let change = Change {
                    keep_releases,
                    namespace,
                };
                let project = projects::change(&client, project.id, &change).await?;
                session
                    .output
                    .result(&project, |_| changed(&project.name, &change))?;
            }
            Self::Registry(wish) => wish.run(session, &client).await?,
            Self::Rm { project, yes } => {
                let project = api::find::<Project>(&client, &project).await?;
                let question = format!(
                    "Forget the project {:?} with its files, secrets and deployments? What it runs on targets stays.",
                    project.name
                );
                confirm(yes.into(), &question)?;
                projects::delete(&client, project.id).await?;
                let done = json!({ "id": project.id, "deleted": true });
                session
                    .output
                    .result(&done, |_| format!("Forgot the project {:?}.", project.name))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn changed(project: &str, change: &Change) -> String {
    let mut told = Vec::new();
    if let Some(kept) = change.keep_releases {
        told.push(format!(
            "Hosts keep the images of the last {kept} releases of {project}, from their next deployment on."
        ));
    }
    match change.namespace.as_deref() {
        Some("") => told.push(format!(
            "In clusters the objects of {project} go where their agents choose, from the next deployment on."
        )),
        Some(namespace) => told.push(format!(
            "In clusters the objects of {project} go to the namespace {namespace}, from the next deployment on."
        )),
        None => {}
    }
    told.join("\n")
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "say NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

fn table(surface: Surface, projects: &[Project]) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(surface, [whole("name"), whole("id"), whole("created")]);
    for project in projects {
        rows.row([
            project.name.as_str().into(),
            project.id.to_string().into(),
            age(project.created_at, now).into(),
        ]);
    }
    rows.finish("There are no projects. `towline deploy FOLDER --target TARGET` makes one.")
}

fn details(surface: Surface, project: &Project, files: Option<&Upload>) -> String {
    let compose_file = files.and_then(|files| files.compose_file.clone());
    let manifests = files.and_then(|files| files.manifests.clone());
    let mut text = facts(
        surface,
        &[
            ("name", project.name.clone()),
            ("id", project.id.to_string()),
            ("created", moment(project.created_at)),
            ("compose file", compose_file.unwrap_or_default()),
            ("manifests", manifests.unwrap_or_default()),
            ("namespace", project.namespace.clone().unwrap_or_default()),
            (
                "kept releases",
                project
                    .keep_releases
                    .map(|kept| kept.to_string())
                    .unwrap_or_default(),
            ),
        ],
    );
    let Some(files) = files else { return text };
    let mut rows = Rows::new(surface, [whole("file"), whole("size")]);
    for file in &files.files {
        rows.row([file.path.as_str().into(), bytes(file.bytes).into()]);
    }
    text.push('\n');
    text.push_str(&rows.finish("It has no files yet."));
    for finding in &files.findings {
        let line = format!("{}: {}", finding.severity, finding.sentence());
        text.push('\n');
        text.push_str(&plain::for_reader(&line, surface.reader));
    }
    text
}
