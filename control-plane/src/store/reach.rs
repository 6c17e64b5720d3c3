//! Whose project a thing is.

use towline_shared::ids::ProjectId;
use uuid::Uuid;

use super::db::optional;
use super::{Resource, Result, Store, Tenant};

/// What belongs to a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// The project itself.
    Project,
    /// A deployment.
    Deployment,
    /// A webhook.
    Webhook,
    /// A message to a webhook.
    WebhookDelivery,
}

impl Thing {
    /// What it is when it is not there.
    pub const fn resource(self) -> Resource {
        match self {
            Self::Project => Resource::Project,
            Self::Deployment => Resource::Deployment,
            Self::Webhook => Resource::Webhook,
            Self::WebhookDelivery => Resource::WebhookDelivery,
        }
    }

    const fn sql(self) -> &'static str {
        match self {
            Self::Project => "SELECT id FROM projects WHERE id = $1 AND team_id = $2",
            Self::Deployment => "SELECT project_id FROM deployments WHERE id = $1 AND team_id = $2",
            Self::Webhook => {
                "SELECT w.project_id FROM webhooks w JOIN projects p ON p.id = w.project_id
                 WHERE w.id = $1 AND p.team_id = $2"
            }
            Self::WebhookDelivery => {
                "SELECT w.project_id FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
                 JOIN projects p ON p.id = w.project_id WHERE d.id = $1 AND p.team_id = $2"
            }
        }
    }
}

impl Store {
    /// The project of the team that a thing belongs to; nothing if the team has no such thing.
    pub async fn project_of(
        &self,
        tenant: &Tenant,
        thing: Thing,
        id: Uuid,
    ) -> Result<Option<ProjectId>> {
        let mut reader = self.main().read().await?;
        let team = tenant.team().uuid();
        let found = optional!(reader.conn(), (Uuid,), thing.sql(), id, team)?;
        Ok(found.map(|(project,)| project.into()))
    }
}
