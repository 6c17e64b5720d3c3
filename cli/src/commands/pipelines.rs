//! `towline pipelines`: the ways of commits to targets.

use chrono::Utc;
use clap::Subcommand;
use uuid::Uuid;

use super::{Session, source::short};
use crate::{
    api::{
        self,
        projects::Project,
        sources::{self, Pipeline},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, whole, wraps},
        units::age,
    },
};

/// The ways of commits to targets
#[derive(Debug, Subcommand)]
pub enum Pipelines {
    /// List those of a project, the newest first
    #[command(visible_alias = "list")]
    Ls {
        /// The project's name or id
        project: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
    /// Show one with its steps; its log is that of its deployment: `towline logs DEPLOYMENT`
    Show {
        /// The project's name or id
        project: String,
        /// The pipeline's id
        pipeline: Uuid,
    },
}

impl Pipelines {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls { project, limit } => {
                let project = api::find::<Project>(&client, &project).await?;
                let listed = sources::pipelines(&client, project.id, limit).await?;
                session
                    .output
                    .result(&listed, |surface| table(surface, &listed))?;
            }
            Self::Show { project, pipeline } => {
                let project = api::find::<Project>(&client, &project).await?;
                let shown = sources::pipeline(&client, project.id, pipeline).await?;
                session
                    .output
                    .result(&shown, |surface| steps(surface, &shown))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn table(surface: Surface, pipelines: &[Pipeline]) -> String {
    let now = Utc::now();
    let columns = [
        whole("status"),
        whole("commit"),
        wraps("title"),
        whole("branch"),
        whole("steps"),
        whole("asked"),
        whole("id"),
    ];
    let mut rows = Rows::new(surface, columns);
    for pipeline in pipelines {
        let done = |step: &&sources::Step| step.status == "succeeded" || step.status == "skipped";
        let steps = pipeline.steps.iter();
        let steps = format!("{}/{}", steps.clone().filter(done).count(), steps.len());
        rows.row([
            pipeline.status.as_str().into(),
            short(&pipeline.commit_sha).into(),
            pipeline.title.as_str().into(),
            pipeline.branch.as_deref().unwrap_or_default().into(),
            steps.into(),
            age(pipeline.created_at, now).into(),
            pipeline.id.to_string().into(),
        ]);
    }
    rows.finish("No commit of it was deployed yet.")
}

fn steps(surface: Surface, pipeline: &Pipeline) -> String {
    let columns = [whole("step"), whole("status"), whole("took")];
    let mut rows = Rows::new(surface, columns);
    for step in &pipeline.steps {
        let took = step.started_at.zip(step.finished_at);
        let took = took.map(|(from, to)| format!("{:.1} s", seconds(to - from)));
        rows.row([
            step.name.as_str().into(),
            step.status.as_str().into(),
            took.unwrap_or_default().into(),
        ]);
    }
    let head = format!(
        "{} {} ({})",
        short(&pipeline.commit_sha),
        pipeline.title,
        pipeline.status
    );
    let head = crate::output::plain::for_reader(&head, surface.reader);
    format!("{head}\n{}", rows.finish("It has no steps."))
}

fn seconds(span: chrono::TimeDelta) -> f64 {
    span.as_seconds_f64()
}
