//! Towline's certificate authority and everything X.509.
//!
//! The control plane holds an [`Authority`]; a host makes an [`AgentKey`] and sends a signing
//! request; the authority answers with an [`IssuedLeaf`] whose one name is the agent's. From then
//! on the two speak by the TLS configurations of [`tls`], and who an agent is comes from its
//! verified certificate alone ([`PeerIdentity`]). People who reach a host's engine through the control plane have
//! certificates of the same kind for a few hours ([`DockerClient`]).
//!
//! All keys of certificates are ECDSA P-256, those of releases ([`release`]) Ed25519, and all cryptography is ring's, but for
//! the hash that releases are signed by. Nothing here reads a clock, a file or a
//! database: time comes in as an argument, and keys come and go as PEM.

mod agent_identity;
mod authority;
mod certificate;
mod csr;
pub mod docker;
mod docker_client;
mod enroll_token;
mod error;
mod fingerprint;
mod key;
mod leaf;
mod pair;
mod peer;
mod pem;
mod pinned;
pub mod release;
pub mod renew;
mod roots;
mod rotation;
mod secret;
mod serial;
mod server_certificate;
pub mod tls;

pub use agent_identity::AgentIdentity;
pub use authority::{
    AGENT_LEAF_LIFETIME, AUTHORITY_LIFETIME, Authority, CLOCK_SKEW, SERVER_LEAF_LIFETIME,
};
pub use csr::{AgentCsr, AgentKey, CSR_LIMIT, CsrRefusal};
pub use docker_client::{DOCKER_CLIENT_LIFETIME, DockerClient};
pub use enroll_token::{EnrollToken, EnrollTokenError};
pub use error::PkiError;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use leaf::IssuedLeaf;
pub use peer::{PeerIdentity, PeerRefusal};
pub use pinned::PinMismatch;
pub use roots::{Root, TrustRoots};
pub use rotation::{Rotation, RotationEvent, RotationRefusal};
pub use secret::{EnrollSecret, EnrollSecretError, hash_token, random_token};
pub use serial::{Serial, SerialError};
pub use server_certificate::ServerCertificate;

/// The DER types of the signatures above, so that callers need no rustls of their own.
pub use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
