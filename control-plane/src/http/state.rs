//! What handlers work with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use towline_pki::Fingerprint;

use super::throttle::Throttle;
use crate::agents::Registry;
use crate::config::{HostPort, PublicUrl};
use crate::store::Store;
use crate::telemetry::ProcessMetrics;

/// Wrong API keys and set-up tokens from one address: a minute's worth at once, then one a second.
const SIGN_IN_BURST: u32 = 60;
/// Wrong enrolment tokens: a fleet behind one address may enrol by a script that repeats itself.
const ENROLMENT_BURST: u32 = 256;
const REFILL: Duration = Duration::from_secs(1);

/// What handlers work with; cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

/// What the API is made of.
#[derive(Debug)]
pub struct ApiParts {
    /// The rows.
    pub store: Store,
    /// The connected agents.
    pub agents: Registry,
    /// Counters of this process.
    pub metrics: ProcessMetrics,
    /// Cancelled when the process has been told to stop.
    pub stopping: CancellationToken,
    /// The public listener's address, as others write it.
    pub url: PublicUrl,
    /// The agent listener's address, as agents write it.
    pub agent_address: HostPort,
    /// What enrolling hosts find at the end of the public listener's chain, when that is not the
    /// built-in authority.
    pub pin: Option<Fingerprint>,
}

/// All of it.
#[derive(Debug)]
pub struct Inner {
    parts: ApiParts,
    /// Failed API keys and set-up tokens.
    pub(super) sign_in: Throttle,
    /// Failed enrolments and renewals.
    pub(super) enrolment: Throttle,
}

impl Api {
    /// An API over these parts.
    pub fn new(parts: ApiParts) -> Self {
        Self(Arc::new(Inner {
            parts,
            sign_in: Throttle::new(SIGN_IN_BURST, REFILL),
            enrolment: Throttle::new(ENROLMENT_BURST, REFILL),
        }))
    }
}

impl Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Deref for Inner {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.parts
    }
}
