//! `towline releases`: what was deployed, as it was frozen.

use chrono::Utc;
use clap::Subcommand;
use uuid::Uuid;

use super::Session;
use crate::{
    api::{
        self,
        deployments::Image,
        projects::Project,
        releases::{self, Diff, RanImage, Release},
    },
    exit::{Exit, Failure},
    output::{
        Surface, outcome, plain,
        table::{Rows, facts, optional, whole, wraps},
        units::{age, moment},
    },
};

/// What was deployed, as it was frozen
#[derive(Debug, Subcommand)]
pub enum Releases {
    /// List those of a project, the newest first
    Ls {
        /// The project's name or id
        project: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
    /// Show one
    Show {
        /// The project's name or id
        project: String,
        /// The release's id
        release: Uuid,
    },
    /// Show what differs between two: files, images and versions of secrets
    Diff {
        /// The project's name or id
        project: String,
        /// The one, by its id or that of a deployment, which says which images are meant
        from: Uuid,
        /// The other, likewise
        to: Uuid,
    },
}

impl Releases {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls { project, limit } => {
                let project = api::find::<Project>(&client, &project).await?;
                let listed = releases::list(&client, project.id, limit).await?;
                session
                    .output
                    .result(&listed, |surface| table(&listed, surface))?;
            }
            Self::Show { project, release } => {
                let project = api::find::<Project>(&client, &project).await?;
                let shown = releases::get(&client, project.id, release).await?;
                session
                    .output
                    .result(&shown, |surface| details(&shown, surface))?;
            }
            Self::Diff { project, from, to } => {
                let project = api::find::<Project>(&client, &project).await?;
                let diff = releases::diff(&client, project.id, (from, to)).await?;
                session
                    .output
                    .result(&diff, |surface| differences(&diff, surface))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn sentences(images: &[Image]) -> String {
    let sentences: Vec<String> = images.iter().map(outcome::image_sentence).collect();
    sentences.join("\n")
}

fn table(releases: &[Release], surface: Surface) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("id"),
            optional("digest"),
            whole("last deployed"),
            optional("deployments"),
            wraps("images"),
        ],
    );
    for release in releases {
        let short: String = release.digest.chars().take(12).collect();
        rows.row([
            release.id.to_string().into(),
            short.into(),
            age(release.last_deployed_at, now).into(),
            release.deployments.to_string().into(),
            sentences(&release.images).into(),
        ]);
    }
    rows.finish("Nothing was deployed yet. `towline deploy FOLDER --target TARGET` does.")
}

fn details(release: &Release, surface: Surface) -> String {
    let list = [
        ("id", release.id.to_string()),
        ("digest", release.digest.clone()),
        ("compose file", release.compose_file.clone()),
        ("frozen", moment(release.created_at)),
        ("deployments", release.deployments.to_string()),
        ("first deployed", moment(release.first_deployed_at)),
        ("last deployed", moment(release.last_deployed_at)),
        ("images", sentences(&release.images)),
    ];
    facts(surface, &list)
}

fn differences(diff: &Diff, surface: Surface) -> String {
    let mut lines = Vec::new();
    for image in &diff.images {
        let named = |image: &Option<RanImage>| {
            image.as_ref().map_or_else(
                || "nothing".to_owned(),
                |image| format!("{} ({})", image.reference, outcome::short_id(&image.id)),
            )
        };
        lines.push(format!(
            "image of {}: {} -> {}",
            image.service,
            named(&image.from),
            named(&image.to)
        ));
    }
    for secret in &diff.secrets {
        let version = |version: Option<i64>| {
            version.map_or_else(|| "none".to_owned(), |version| format!("version {version}"))
        };
        lines.push(format!(
            "secret {}: {} -> {}",
            secret.key,
            version(secret.from),
            version(secret.to)
        ));
    }
    for file in &diff.files {
        let note = file.note.as_ref().map(|note| format!(" ({note})"));
        lines.push(format!(
            "{} {}{}",
            file.change,
            file.path,
            note.unwrap_or_default()
        ));
        let text = file.text.iter().flat_map(|text| text.lines());
        lines.extend(text.map(str::to_owned));
    }
    if lines.is_empty() {
        return "The two are the same.".to_owned();
    }
    let clean = |line: &String| plain::for_reader(line, surface.reader).into_owned();
    lines.iter().map(clean).collect::<Vec<_>>().join("\n")
}
