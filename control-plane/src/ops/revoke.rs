//! Revoking an agent: its certificates, its connection and its jobs end.

use serde_json::json;
use towline_shared::ids::AgentId;

use super::OpsError;
use crate::job::Event;
use crate::store::audit;
use crate::store::jobs::{self, Detail};
use crate::store::{Agent, Store, Tenant, agents};

/// Revokes an agent; one that is revoked already stays so.
pub async fn revoke(store: &Store, tenant: &Tenant, agent: AgentId) -> Result<Agent, OpsError> {
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    if agents::revoke(&mut tx, tenant, agent, now).await? {
        let mut moves = Vec::new();
        for job in jobs::unfinished(&mut tx, agent).await? {
            if let Some(row) = jobs::lock(&mut tx, job).await? {
                moves.push(
                    jobs::apply(
                        &mut tx,
                        &row,
                        Event::AgentRevoked,
                        tenant.actor(),
                        Detail::None,
                        now,
                    )
                    .await?,
                );
            }
        }
        let detail = json!({ "failed_jobs": moves.len() });
        let subject = ("agent", agent.uuid());
        audit::append_of(&mut tx, tenant, "agent.revoke", subject, detail, now).await?;
        tx.commit().await?;
        // First of all the connection is cut.
        store.wake().agent(agent);
        for moved in &moves {
            store.announce(moved);
            store.try_end_log(moved.job).await;
        }
    }
    store.wake().agent(agent);
    Ok(store.agent(tenant, agent).await?)
}
