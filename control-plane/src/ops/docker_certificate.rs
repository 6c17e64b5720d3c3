//! A certificate by which a person uses the engine of one host for some hours.

use chrono::{DateTime, TimeDelta, Utc};
use towline_pki::{AgentCsr, DOCKER_CLIENT_LIFETIME};
use towline_shared::ids::{CertificateId, TargetId};

use super::OpsError;
use crate::store::{Store, Target, Tenant, docker_access};

/// The shortest that one is issued for.
const SHORTEST: TimeDelta = TimeDelta::minutes(5);

/// A certificate for a host's engine.
#[derive(Clone, Debug)]
pub struct IssuedDockerCertificate {
    /// Its id.
    pub id: CertificateId,
    /// The host.
    pub target: Target,
    /// The certificate, PEM.
    pub certificate: String,
    /// The roots that the listener's own certificate hangs on, PEM.
    pub roots: String,
    /// When it ends.
    pub not_after: DateTime<Utc>,
}

/// Issues a certificate by a request that brings the key. Whoever asks must have been granted the host.
pub async fn issue_docker_certificate(
    store: &Store,
    tenant: &Tenant,
    target: TargetId,
    csr: &str,
    lifetime: Option<TimeDelta>,
) -> Result<IssuedDockerCertificate, OpsError> {
    let lifetime = lifetime.unwrap_or(DOCKER_CLIENT_LIFETIME);
    if lifetime < SHORTEST || lifetime > DOCKER_CLIENT_LIFETIME {
        return Err(OpsError::Refused {
            message: format!("a certificate for {} s", lifetime.num_seconds()),
            remedy: format!(
                "ask for {} to {} s",
                SHORTEST.num_seconds(),
                DOCKER_CLIENT_LIFETIME.num_seconds()
            ),
            field: Some("valid_s"),
        });
    }
    let target = store.target(tenant, target).await?;
    let csr = AgentCsr::parse(csr.as_bytes())?;
    let authority = store.agent_authority().await?;
    let roots = store.trust_roots().await?.to_pem();
    let id = CertificateId::new();
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    let leaf = authority.issue_docker_client(&csr, id.uuid(), now, lifetime)?;
    docker_access::insert(&mut tx, tenant, &target, (id, &leaf), now).await?;
    tx.commit().await?;
    Ok(IssuedDockerCertificate {
        id,
        target,
        certificate: leaf.pem,
        roots,
        not_after: leaf.not_after,
    })
}
