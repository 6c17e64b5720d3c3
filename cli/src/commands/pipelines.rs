//! `towline pipelines`: the ways of commits to targets.

use chrono::Utc;
use clap::Subcommand;
use uuid::Uuid;

use super::{Session, source::short};
use crate::{
    api::{
        self, Client, logs,
        projects::Project,
        sources::{self, Pipeline, StepLog},
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        lines::LineWriter,
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
    /// Show one with its steps, or their logs
    ///
    /// Each line of the deployment's log (`towline logs DEPLOYMENT`) is in one step. With --json every line is one JSON object.
    Show {
        /// The project's name or id
        project: String,
        /// The pipeline's id
        pipeline: Uuid,
        /// Only this step: clone, build, relay or deploy
        #[arg(long, value_name = "NAME")]
        step: Option<String>,
        /// The lines of the steps, instead of how they went
        #[arg(long)]
        log: bool,
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
            Self::Show {
                project,
                pipeline,
                step,
                log,
            } => {
                let project = api::find::<Project>(&client, &project).await?;
                let mut shown = sources::pipeline(&client, project.id, pipeline).await?;
                if let Some(step) = step {
                    keep(&mut shown, &step)?;
                }
                if log {
                    return print_logs(session, &client, &shown).await;
                }
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

/// Leaves one step of a pipeline.
fn keep(pipeline: &mut Pipeline, step: &str) -> Result<(), Failure> {
    let names: Vec<&str> = pipeline.steps.iter().map(|one| &*one.name).collect();
    if !names.contains(&step) {
        let says = format!(
            "This pipeline has no step {step}; it has {}",
            names.join(", ")
        );
        return Err(Failure::usage(&says));
    }
    pipeline.steps.retain(|one| one.name == step);
    Ok(())
}

/// What each step has printed. Which one it is, when there are several, is said beside the log.
async fn print_logs(
    session: &Session,
    client: &Client,
    pipeline: &Pipeline,
) -> Result<Exit, Failure> {
    for step in &pipeline.steps {
        if pipeline.steps.len() > 1 {
            session
                .output
                .note(&format!("{} ({}):", step.name, step.status));
        }
        if let Some(log) = step.log {
            print_lines(session, client, log).await?;
        }
    }
    Ok(Exit::Success)
}

async fn print_lines(session: &Session, client: &Client, log: StepLog) -> Result<(), Failure> {
    let mut writer = LineWriter::new(session.output.stdout, session.output.format);
    let mut next = log.from;
    while log.to.is_none_or(|to| next < to) {
        let page = logs::page_before(client, log.deployment_id, next, log.to).await?;
        if page.next <= next {
            break;
        }
        session.output.say(&writer.render(&page.lines)?)?;
        next = page.next;
    }
    Ok(())
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
