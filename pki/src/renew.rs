//! Renewal: when a living agent asks for its next certificate, and how one comes back that slept
//! past its last.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustls::{
    CertificateError, Error,
    pki_types::{CertificateDer, UnixTime},
};

use crate::{
    csr::AgentCsr,
    error::PkiError,
    peer::{PeerIdentity, PeerRefusal},
    roots::TrustRoots,
    tls::client_verifier,
};

/// How long after its expiry a certificate still lets its key renew.
pub const EXPIRED_RENEWAL_WINDOW: TimeDelta = TimeDelta::days(30);

/// When to renew: at half of the lifetime, 10 % earlier (`jitter` 0) to 10 % later (`jitter` 1), so
/// that a fleet that was enrolled at once does not renew at once.
pub fn renew_at(not_before: DateTime<Utc>, not_after: DateTime<Utc>, jitter: f64) -> DateTime<Utc> {
    let jitter = if jitter.is_nan() {
        0.5
    } else {
        jitter.clamp(0.0, 1.0)
    };
    // A lifetime that is negative counts as none: renew at once.
    let lifetime: Duration = (not_after - not_before).to_std().unwrap_or_default();
    not_before + lifetime.mul_f64(0.5 * (0.9 + 0.2 * jitter))
}

/// Why an expired certificate does not renew.
#[derive(Debug, thiserror::Error)]
pub enum RenewRefusal {
    /// It is no agent's.
    #[error(transparent)]
    NotAnAgent(#[from] PeerRefusal),
    /// The trusted roots cannot be used.
    #[error(transparent)]
    Roots(#[from] PkiError),
    /// None of our roots signed it.
    #[error(
        "the certificate was not issued by this installation's authority; enrol the agent again"
    )]
    ForeignIssuer,
    /// Its extended key usage is another.
    #[error("the certificate is not for client authentication; enrol the agent again")]
    NotForClients,
    /// Verification failed otherwise.
    #[error("the certificate does not verify: {0}")]
    Invalid(Error),
    /// It has not expired, so there is a better way.
    #[error("the certificate is valid until {not_after}; renew over the agent's connection")]
    StillValid {
        /// The end of its validity.
        not_after: DateTime<Utc>,
    },
    /// It expired before the window.
    #[error(
        "the certificate expired at {not_after}, more than {} days ago; enrol the agent again",
        EXPIRED_RENEWAL_WINDOW.num_days()
    )]
    TooLate {
        /// The end of its validity.
        not_after: DateTime<Utc>,
    },
    /// The request is for another key than the certificate's.
    #[error("the signing request is not made with the expired certificate's key")]
    OtherKey,
}

/// Judges an agent that cannot open a connection any more, because its certificate expired while it
/// slept.
///
/// It proves itself by its key: the request, whose signature [`AgentCsr::parse`] has verified, must
/// be made with the one in the certificate that we once issued. A replayed request gains nothing,
/// as the answer fits that same key only. The caller still has to ask the store whether the agent
/// is revoked.
pub fn expired_renewal(
    leaf: &CertificateDer<'_>,
    csr: &AgentCsr,
    roots: &TrustRoots,
    now: DateTime<Utc>,
) -> Result<PeerIdentity, RenewRefusal> {
    let peer = PeerIdentity::from_leaf(leaf)?;
    verify_as_of(leaf, peer.not_after, roots)?;
    let not_after = peer.not_after;
    if now <= not_after {
        return Err(RenewRefusal::StillValid { not_after });
    }
    if now - not_after > EXPIRED_RENEWAL_WINDOW {
        return Err(RenewRefusal::TooLate { not_after });
    }
    if csr.spki() != peer.spki {
        return Err(RenewRefusal::OtherKey);
    }
    Ok(peer)
}

/// Verifies the chain as TLS would have in the certificate's last second.
fn verify_as_of(
    leaf: &CertificateDer<'_>,
    moment: DateTime<Utc>,
    roots: &TrustRoots,
) -> Result<(), RenewRefusal> {
    let since_epoch = Duration::from_secs(moment.timestamp().try_into().unwrap_or_default());
    let verifier = client_verifier(roots)?;
    match verifier.verify_client_cert(leaf, &[], UnixTime::since_unix_epoch(since_epoch)) {
        Ok(_) => Ok(()),
        Err(Error::InvalidCertificate(error)) => Err(refusal(error)),
        Err(error) => Err(RenewRefusal::Invalid(error)),
    }
}

fn refusal(error: CertificateError) -> RenewRefusal {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            RenewRefusal::ForeignIssuer
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            RenewRefusal::NotForClients
        }
        other => RenewRefusal::Invalid(other.into()),
    }
}
