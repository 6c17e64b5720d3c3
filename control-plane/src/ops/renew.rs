//! Renewal of agents' certificates: over the live connection, or by proof of the key after expiry.

use chrono::{DateTime, Utc};
use rustls::pki_types::pem::PemObject as _;
use towline_pki::renew::expired_renewal;
use towline_pki::{AGENT_LEAF_LIFETIME, AgentCsr, CertificateDer, PeerIdentity};
use towline_shared::enrolment::{RenewRequest, Renewed};
use towline_shared::failpoint::reach;
use towline_shared::ids::{AgentId, TeamId};
use towline_shared::protocol::v1;

use super::OpsError;
use crate::store::audit::{self, Actor, Entry};
use crate::store::{Store, certificates};

/// Renews an expired certificate by proof of its key.
pub async fn renew(store: &Store, request: &RenewRequest) -> Result<Renewed, OpsError> {
    let leaf = CertificateDer::from_pem_slice(request.certificate.as_bytes())
        .map_err(|error| refused(&format!("the certificate cannot be read: {error}")))?;
    let csr = AgentCsr::parse(request.csr.as_bytes())?;
    let roots = store.trust_roots().await?;
    let now = store.now().await?;
    let peer = expired_renewal(&leaf, &csr, &roots, now)
        .map_err(|refusal| refused(&refusal.to_string()))?;
    let (certificate, roots) = issue(store, &peer, &csr, now).await?;
    Ok(Renewed { certificate, roots })
}

/// Renews the certificate of a live connection. The request may bring another key.
pub async fn renew_live(
    store: &Store,
    peer: &PeerIdentity,
    csr_der: &[u8],
) -> Result<v1::Certificate, OpsError> {
    let csr = AgentCsr::parse(csr_der)?;
    let now = store.now().await?;
    let (certificate, roots) = issue(store, peer, &csr, now).await?;
    Ok(v1::Certificate { certificate, roots })
}

async fn issue(
    store: &Store,
    peer: &PeerIdentity,
    csr: &AgentCsr,
    now: DateTime<Utc>,
) -> Result<(String, String), OpsError> {
    let agent = AgentId::from(peer.agent);
    let authority = store.agent_authority().await?;
    let roots = store.trust_roots().await?.to_pem();
    let mut tx = store.main().begin().await?;
    let Some(team) = certificates::renewable(&mut tx, agent, &peer.serial).await? else {
        return Err(refused(
            "the agent or its certificate was revoked, or is not known here",
        ));
    };
    let leaf = authority.issue_agent(csr, peer.agent, now, AGENT_LEAF_LIFETIME)?;
    certificates::insert(&mut tx, agent, &leaf, now).await?;
    let entry = Entry {
        chain: team,
        team: Some(TeamId::from(team)),
        actor: Actor::Agent(agent),
        action: "agent.renew",
        subject: ("agent", Some(agent.uuid())),
        detail: serde_json::json!({ "serial": leaf.serial, "not_after": leaf.not_after }),
    };
    audit::append(&mut tx, &entry, now).await?;
    tx.commit().await?;
    reach("plane: committed a renewal");
    Ok((leaf.pem, roots))
}

fn refused(message: &str) -> OpsError {
    OpsError::Enrolment {
        message: message.to_owned(),
        remedy: "enrol the agent again with a new token".to_owned(),
    }
}
