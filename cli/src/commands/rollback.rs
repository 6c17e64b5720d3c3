//! `towline rollback`: back to an earlier release.

use clap::Args;
use uuid::Uuid;

use super::{
    Session,
    deploy::detached,
    forces::ForceOptions,
    watch::{OnInterrupt, watch},
};
use crate::{
    api::{
        self,
        deployments::{self, Deployment, NewRollback},
        projects::Project,
        targets::Target,
    },
    exit::{Exit, Failure},
    output::plain,
};

/// Bring back the release that ran before, with the very images that it ran
///
/// Secrets take the values of today, and named volumes keep what is in them; what is not as it was
/// is said.
#[derive(Debug, Args)]
pub struct Rollback {
    /// The project's name or id
    project: String,
    /// The target's name or id [default: the only one that the project was deployed to]
    #[arg(long, short)]
    target: Option<String>,
    /// The deployment, or the release, to go back to [default: the release before the present one]
    #[arg(long, value_name = "ID")]
    to: Option<Uuid>,
    #[command(flatten)]
    forces: ForceOptions,
    /// Do not watch: end as soon as it is queued
    #[arg(long, short)]
    detach: bool,
    /// Under the same key the same rollback is made only once, ever [default: a new key]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Rollback {
    /// Asks for it and watches.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let project = api::find::<Project>(&client, &self.project).await?;
        let target = match &self.target {
            Some(target) => Some(api::find::<Target>(&client, target).await?.id),
            None => None,
        };
        let new = NewRollback {
            target,
            to: self.to,
            forces: self.forces.asked(),
        };
        let key = self
            .idempotency_key
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        let deployment = deployments::roll_back(&client, project.id, &new, &key).await?;
        announce(session, &deployment);
        if self.detach {
            return detached(session, &deployment);
        }
        watch(session, &client, deployment, OnInterrupt::Leave).await
    }
}

/// Says which deployment brings something back, and what it does not bring back.
pub(super) fn announce(session: &Session, deployment: &Deployment) {
    let note = |text: &str| {
        let reader = session.output.stderr.reader;
        session.output.note(&plain::for_reader(text, reader));
    };
    note(&format!(
        "Deployment {} to {}",
        deployment.id, deployment.target.name
    ));
    for warning in &deployment.warnings {
        note(&format!("warning: {warning}"));
    }
}
