//! What an agent proves itself with.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    csr::AgentKey,
    error::PkiError,
    pair,
    peer::{PeerIdentity, PeerRefusal},
};

/// An agent's certificate and key.
#[derive(Debug)]
pub struct AgentIdentity {
    /// The leaf, alone or first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl AgentIdentity {
    /// Joins an issued certificate to the key that its request was made with.
    pub fn new(chain_pem: &str, key: &AgentKey) -> Result<Self, PkiError> {
        Self::from_pem(chain_pem, &key.key_pem())
    }

    /// Reads both; they must belong together.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, PkiError> {
        let (chain, key) = pair::from_pem(chain, key)?;
        Ok(Self { chain, key })
    }

    /// Who this identity says the agent is, and for how long.
    pub fn peer(&self) -> Result<PeerIdentity, PeerRefusal> {
        match self.chain.first() {
            Some(leaf) => PeerIdentity::from_leaf(leaf),
            None => Err(PeerRefusal::NoCertificate),
        }
    }
}

impl Clone for AgentIdentity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}
