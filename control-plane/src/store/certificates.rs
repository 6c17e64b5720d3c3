//! Certificates that were issued to agents.

use chrono::{DateTime, Utc};
use towline_pki::{IssuedLeaf, Serial};
use towline_shared::ids::{AgentId, CertificateId};
use uuid::Uuid;

use super::Result;
use super::db::{Tx, execute, optional};

/// Records an issued certificate.
pub(crate) async fn insert(
    tx: &mut Tx,
    agent: AgentId,
    leaf: &IssuedLeaf,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO certificates (id, agent_id, serial, spki, issuer, not_before, not_after, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        CertificateId::new().uuid(),
        agent.uuid(),
        leaf.serial.as_str(),
        leaf.spki.to_string(),
        leaf.issuer.to_string(),
        leaf.not_before,
        leaf.not_after,
        now
    )?;
    Ok(())
}

/// The team of the agent that this certificate may renew for; nothing if either is revoked or was
/// never issued.
pub(crate) async fn renewable(
    tx: &mut Tx,
    agent: AgentId,
    serial: &Serial,
) -> Result<Option<Uuid>> {
    let row = optional!(
        tx.conn(),
        (Uuid,),
        "SELECT a.team_id FROM certificates c JOIN agents a ON a.id = c.agent_id
         WHERE c.serial = $1 AND c.agent_id = $2 AND c.revoked_at IS NULL AND a.revoked_at IS NULL",
        serial.as_str(),
        agent.uuid()
    )?;
    Ok(row.map(|(team,)| team))
}
