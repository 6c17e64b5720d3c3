//! `towline deployments`: what was deployed where.

use clap::Subcommand;

use super::Session;
use crate::{
    api::{
        self,
        deployments::{self, Filter},
        projects::Project,
        targets::Target,
    },
    exit::{Exit, Failure},
    output::outcome,
};

/// Deployments of the past and of now
#[derive(Debug, Subcommand)]
pub enum Deployments {
    /// List them, the newest first
    Ls {
        /// Of this project only
        #[arg(long, short)]
        project: Option<String>,
        /// On this target only
        #[arg(long, short)]
        target: Option<String>,
        /// With this status only
        #[arg(long)]
        status: Option<String>,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
    /// Show one
    Show {
        /// Its id, or a project's name for its newest one
        deployment: String,
    },
}

impl Deployments {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        match self {
            Self::Ls {
                project,
                target,
                status,
                limit,
            } => {
                let mut filter = Filter {
                    status,
                    ..Filter::default()
                };
                if let Some(project) = project {
                    filter.project = Some(api::find::<Project>(&client, &project).await?.id);
                }
                if let Some(target) = target {
                    filter.target = Some(api::find::<Target>(&client, &target).await?.id);
                }
                let listed = deployments::list(&client, &filter, limit).await?;
                session
                    .output
                    .result(&listed, |surface| outcome::table(&listed, surface))?;
            }
            Self::Show { deployment } => {
                let deployment = deployments::find(&client, &deployment).await?;
                session.output.result(&deployment, |surface| {
                    outcome::details(&deployment, surface)
                })?;
            }
        }
        Ok(Exit::Success)
    }
}
