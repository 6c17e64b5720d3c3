//! `towline retry`: the same once more.

use clap::Args;

use super::{
    Session,
    deploy::detached,
    watch::{OnInterrupt, watch},
};
use crate::{
    api::deployments,
    exit::{Exit, Failure},
};

/// Do a deployment once more, with the same files
#[derive(Debug, Args)]
pub struct Retry {
    /// The deployment's id, or a project's name for its newest one
    deployment: String,
    /// Do not watch: end as soon as it is queued
    #[arg(long, short)]
    detach: bool,
}

impl Retry {
    /// Asks for it and watches.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let before = deployments::find(&client, &self.deployment).await?;
        let deployment = deployments::retry(&client, before.id).await?;
        session
            .output
            .note(&format!("Deployment {}", deployment.id));
        if self.detach {
            return detached(session, &deployment);
        }
        watch(session, &client, deployment, OnInterrupt::Leave).await
    }
}
