//! `towline remove`: a project off a target.

use clap::Args;
use uuid::Uuid;

use super::{
    Session,
    deploy::detached,
    watch::{OnInterrupt, watch},
};
use crate::{
    api::{
        self,
        deployments::{self, NewRemoval},
        projects::Project,
        targets::Target,
    },
    exit::{Exit, Failure},
    prompt::confirm,
};

/// Take a deployed project off a target
///
/// Containers and networks go; named volumes stay unless --volumes is given. The project itself
/// stays known.
#[derive(Debug, Args)]
pub struct Remove {
    /// The project's name or id
    project: String,
    /// The target's name or id
    #[arg(long, short)]
    target: String,
    /// Delete the named volumes too, with their data
    #[arg(long)]
    volumes: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Do not watch: end as soon as it is queued
    #[arg(long, short)]
    detach: bool,
    /// Under the same key the same removal is made only once, ever [default: a new key]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Remove {
    /// Asks, removes and watches.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let project = api::find::<Project>(&client, &self.project).await?;
        let target = api::find::<Target>(&client, &self.target).await?;
        let (volumes, data) = if self.volumes {
            ("delete", " and DELETE the data in its named volumes")
        } else {
            ("keep", "")
        };
        let question = format!("Take {} off {}{data}?", project.name, target.name);
        confirm(self.yes.into(), &question)?;
        let removal = NewRemoval {
            target: target.id,
            volumes,
        };
        let key = self
            .idempotency_key
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        let deployment = deployments::remove(&client, project.id, &removal, &key).await?;
        if self.detach {
            return detached(session, &deployment);
        }
        watch(session, &client, deployment, OnInterrupt::Leave).await
    }
}
