//! Revoking an agent: its certificates, its connection and its jobs end.

use chrono::{DateTime, Utc};
use serde_json::json;
use towline_shared::ids::AgentId;

use super::OpsError;
use crate::job::Event;
use crate::store::audit::{self, Actor};
use crate::store::db::Tx;
use crate::store::jobs::{self, Detail, Moved};
use crate::store::{Agent, Store, Tenant, agents, docker_tls};

/// Revokes an agent; one that is revoked already stays so.
pub async fn revoke(store: &Store, tenant: &Tenant, agent: AgentId) -> Result<Agent, OpsError> {
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    if agents::revoke(&mut tx, tenant, agent, now).await? {
        let moves = end_jobs(&mut tx, agent, tenant.actor(), now).await?;
        docker_tls::forget(&mut tx, agent, now).await?;
        let detail = json!({ "failed_jobs": moves.len() });
        let subject = ("agent", agent.uuid());
        audit::append_of(&mut tx, tenant, "agent.revoke", subject, detail, now).await?;
        tx.commit().await?;
        // First of all the connection is cut.
        store.wake().agent(agent);
        store.wake().docker_tls();
        for moved in &moves {
            store.announce(moved);
            store.try_end_log(moved.job).await;
        }
    }
    store.wake().agent(agent);
    Ok(store.agent(tenant, agent).await?)
}

/// Ends the jobs of an agent that was revoked.
pub(super) async fn end_jobs(
    tx: &mut Tx,
    agent: AgentId,
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<Vec<Moved>, OpsError> {
    let mut moves = Vec::new();
    for job in jobs::unfinished(tx, agent).await? {
        if let Some(row) = jobs::lock(tx, job).await? {
            let event = Event::AgentRevoked;
            moves.push(jobs::apply(tx, &row, event, actor, Detail::None, now).await?);
        }
    }
    Ok(moves)
}
