//! What happens to deployments, queued for the webhooks that are told of it, in the transaction in which it happens.

use chrono::{DateTime, Utc};
use serde_json::json;
use towline_shared::ids::DeploymentId;
use uuid::Uuid;

use super::db::{Tx, all};
use super::webhook_deliveries::{self, NewDelivery};
use super::webhooks::has_event;
use super::{Result, deployments};
use crate::domain::webhook::WebhookEvent;
use crate::job::JobState;

/// The event of a job that has ended so.
pub(super) const fn of_end(state: JobState) -> Option<WebhookEvent> {
    match state {
        JobState::Succeeded => Some(WebhookEvent::DeploymentSucceeded),
        JobState::Failed => Some(WebhookEvent::DeploymentFailed),
        JobState::Cancelled => Some(WebhookEvent::DeploymentCancelled),
        _ => None,
    }
}

/// Queues a message for each webhook of the deployment's project that is told of the event. Previews are no events.
pub(crate) async fn emit(
    tx: &mut Tx,
    deployment: DeploymentId,
    event: WebhookEvent,
    now: DateTime<Utc>,
) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id, event_type FROM webhooks
         WHERE project_id = (SELECT project_id FROM deployments WHERE id = $1 AND kind <> 'preview') AND state = 'enabled' ORDER BY id",
        "SELECT id, event_type FROM webhooks
         WHERE project_id = (SELECT project_id FROM deployments WHERE id = $1 AND kind <> 'preview') AND state = 'enabled' ORDER BY id
         FOR SHARE",
    );
    let mut told = all!(conn, (Uuid, String), sql, deployment.uuid())?;
    told.retain(|(_, events)| has_event(events, event));
    if told.is_empty() {
        return Ok(());
    }
    let shown = deployments::in_transaction(tx, deployment).await?;
    let event_id = Uuid::now_v7();
    let body = json!({
        "type": event.as_str(),
        "timestamp": now,
        "data": shown,
    })
    .to_string();
    for (webhook, _) in told {
        let new = NewDelivery {
            webhook: webhook.into(),
            event_id,
            event_type: event.as_str(),
            replay_of: None,
            body: &body,
        };
        webhook_deliveries::insert(tx, &new, now).await?;
    }
    Ok(())
}
