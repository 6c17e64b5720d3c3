//! Telling an agent to become another version of itself: what is written down of it.

use serde_json::json;
use towline_shared::ids::AgentId;

use super::OpsError;
use crate::store::audit;
use crate::store::{Store, Tenant};

/// Writes down who asks an agent to become which program; it is asked afterwards.
pub async fn note_upgrade(
    store: &Store,
    tenant: &Tenant,
    agent: AgentId,
    version: &str,
    sha256: &str,
) -> Result<(), OpsError> {
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    let detail = json!({ "version": version, "sha256": sha256 });
    let subject = ("agent", agent.uuid());
    audit::append_of(&mut tx, tenant, "agent.upgrade", subject, detail, now).await?;
    tx.commit().await?;
    Ok(())
}
