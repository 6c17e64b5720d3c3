//! Who may come in: the peer's certificate and what the store knows of it.

use towline_pki::{CertificateDer, PeerIdentity, PeerRefusal};
use towline_shared::ids::{AgentId, TeamId};

use crate::store::{self, Before, Store, StoreError};

/// What the store says to a peer with a certificate of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is this agent.
    Admitted {
        /// The agent.
        agent: AgentId,
        /// Its team.
        team: TeamId,
        /// Its last connection before this one.
        before: Before,
    },
    /// It was an agent.
    Revoked,
    /// It was issued for an agent that is not, or no longer, in this database.
    Unknown,
}

/// A peer whose certificate TLS has verified.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) identity: PeerIdentity,
    pub(super) admission: Admission,
}

/// Why a peer cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmissionError {
    #[error(transparent)]
    Certificate(#[from] PeerRefusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Judges a peer by its leaf certificate. The identity comes from there and nowhere else.
pub(super) async fn admit(
    store: &Store,
    leaf: Option<&CertificateDer<'_>>,
) -> Result<Peer, AdmissionError> {
    let identity = PeerIdentity::from_leaf(leaf.ok_or(PeerRefusal::NoCertificate)?)?;
    let admission = match store.handshake(&identity).await? {
        store::Admission::Admitted {
            agent,
            team,
            before,
            ..
        } => Admission::Admitted {
            agent,
            team,
            before,
        },
        store::Admission::Revoked => Admission::Revoked,
        store::Admission::Unknown => Admission::Unknown,
    };
    Ok(Peer {
        identity,
        admission,
    })
}
