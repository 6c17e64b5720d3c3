//! `towline cancel`.

use clap::Args;

use super::Session;
use crate::{
    api::deployments::{self, Deployment, Status},
    exit::{Exit, Failure},
};

/// Cancel a deployment
///
/// Before its agent has it, that is final at once; later the agent stops at the next safe point and
/// says what it left in place.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The deployment's id, or a project's name for its newest one
    deployment: String,
}

impl Cancel {
    /// Asks for it.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let meant = deployments::find(&client, &self.deployment).await?;
        let deployment = deployments::cancel(&client, meant.id).await?;
        session.output.result(&deployment, |_| said(&deployment))?;
        Ok(Exit::Success)
    }
}

fn said(deployment: &Deployment) -> String {
    let id = deployment.id;
    match deployment.status {
        Status::Cancelled => format!("Cancelled {id}."),
        Status::Succeeded | Status::Failed => {
            format!("{id} had ended before: {}.", deployment.status.as_str())
        }
        _ => format!("Cancelling {id}. `towline logs -f {id}` shows its end."),
    }
}
