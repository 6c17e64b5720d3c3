//! Who the agent is: its key, its certificate, what it trusts, and where it connects.
//!
//! All of it is one file, so that a renewed certificate and its new key can never be parted.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use towline_pki::tls::{self, AgentPurpose};
use towline_pki::{
    AgentIdentity, AgentKey, Fingerprint, PeerIdentity, PeerRefusal, PkiError, TrustRoots,
};
use towline_shared::ids::AgentId;
use zeroize::Zeroizing;

use crate::address::{Address, AddressError};
use crate::state_dir::{StateDir, StateError, failed, write_durably};

/// An agent's identity; it was checked when it was made.
#[derive(Clone)]
pub struct Identity {
    parts: Parts,
    peer: PeerIdentity,
    pair: AgentIdentity,
    roots: TrustRoots,
}

/// What is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// Who it is.
    pub agent: AgentId,
    /// Where the API listens: `https://host:port`.
    pub public_address: String,
    /// Where agents connect: `host:port`.
    pub agent_address: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The roots it trusts, PEM.
    pub roots: String,
    /// The authority of the API's certificate, when its operator brought that certificate: then the
    /// roots say nothing of it.
    #[serde(default)]
    pub operator_authority: Option<Fingerprint>,
    /// Its key, PEM.
    #[serde(with = "key_text")]
    pub key: Zeroizing<String>,
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error(
        "this host is not enrolled: {path} is missing; make a token with `towline agents token` and run `towline-agent enroll --token …`"
    )]
    NotEnrolled {
        /// Where it would be.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// It is not what this agent wrote.
    #[error("{path} is damaged: {cause}; restore it, or enrol again with --force")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        cause: String,
    },
    /// Its parts do not fit together.
    #[error("the control plane's answer is not usable: {0}")]
    Unfit(#[from] Unfit),
}

/// Why parts do not make an identity.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Certificate, key or roots cannot be read, or do not belong together.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The certificate is no agent's.
    #[error(transparent)]
    Peer(#[from] PeerRefusal),
    /// The certificate is another agent's.
    #[error("the certificate is for agent {got}, not for {expected}")]
    Agent {
        /// Whose it is.
        got: AgentId,
        /// Whose it should be.
        expected: AgentId,
    },
    /// An address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl Identity {
    /// Checks that the parts fit together.
    pub fn new(parts: Parts) -> Result<Self, Unfit> {
        let pair = AgentIdentity::from_pem(&parts.certificate, &parts.key)?;
        let roots = TrustRoots::from_pem(&parts.roots)?;
        let peer = pair.peer()?;
        Address::from_url(&parts.public_address)?;
        parts.agent_address.parse::<Address>()?;
        let got = AgentId::from(peer.agent);
        if got != parts.agent {
            let expected = parts.agent;
            return Err(Unfit::Agent { got, expected });
        }
        Ok(Self {
            parts,
            peer,
            pair,
            roots,
        })
    }

    /// Reads the identity of a state folder.
    pub fn load(dir: &StateDir) -> Result<Self, IdentityError> {
        let path = dir.identity();
        let content = match fs::read(&path) {
            Ok(content) => Zeroizing::new(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IdentityError::NotEnrolled { path });
            }
            Err(error) => return Err(failed("cannot read the identity", &path, error).into()),
        };
        let damaged = |cause: String| IdentityError::Damaged {
            path: path.clone(),
            cause,
        };
        let parts = serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        Self::new(parts).map_err(|error| damaged(error.to_string()))
    }

    /// Stores it in place of the one before.
    pub fn save(&self, dir: &StateDir) -> Result<(), StateError> {
        let path = dir.identity();
        let written = serde_json::to_vec_pretty(&self.parts)
            .map(Zeroizing::new)
            .map_err(io::Error::other)
            .and_then(|content| write_durably(&path, &content));
        written.map_err(|cause| failed("cannot write the identity", &path, cause))
    }

    /// The same agent with a renewed certificate, which must be by `key`.
    pub fn renewed(
        &self,
        key: &AgentKey,
        certificate: String,
        roots: String,
    ) -> Result<Self, Unfit> {
        Self::new(Parts {
            certificate,
            roots,
            key: key.key_pem(),
            ..self.parts.clone()
        })
    }

    /// Its key, to renew with.
    pub fn key(&self) -> Result<AgentKey, PkiError> {
        AgentKey::from_pem(&self.parts.key)
    }

    /// What is stored.
    pub const fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Who it says it is.
    pub const fn agent(&self) -> AgentId {
        self.parts.agent
    }

    /// Since when its certificate is valid.
    pub const fn not_before(&self) -> DateTime<Utc> {
        self.peer.not_before
    }

    /// Until when its certificate is valid.
    pub const fn not_after(&self) -> DateTime<Utc> {
        self.peer.not_after
    }

    /// Where it connects.
    pub fn agent_address(&self) -> Result<Address, AddressError> {
        self.parts.agent_address.parse()
    }

    /// Where it renews when its certificate has expired.
    pub fn public_address(&self) -> Result<Address, AddressError> {
        Address::from_url(&self.parts.public_address)
    }

    /// How it connects to the agent listener.
    pub fn agent_tls(&self, purpose: AgentPurpose) -> Result<Arc<ClientConfig>, PkiError> {
        tls::agent_client_config(&self.roots, &self.pair, purpose)
    }

    /// How it asks the public listener, without a certificate.
    pub fn public_tls(&self) -> Result<Arc<ClientConfig>, PkiError> {
        match self.parts.operator_authority {
            Some(authority) => tls::pinned_client_config(authority),
            None => tls::ca_client_config(&self.roots),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Identity({}, until {})",
            self.parts.agent,
            self.not_after()
        )
    }
}

mod key_text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        key: &Zeroizing<String>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(key)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}
