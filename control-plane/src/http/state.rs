//! What handlers work with.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use towline_pki::Fingerprint;
use towline_shared::ids::PushHookId;

use super::rates::Metered;
use super::throttle::{Guessed, Network, Throttle};
use crate::agents::Registry;
use crate::config::{HostPort, PublicUrl, SignUp};
use crate::domain::rate::Rates;
use crate::egress::Egress;
use crate::install::Binaries;
use crate::mail::Mailer;
use crate::notifications::Notifications;
use crate::passwords::Passwords;
use crate::sso::Providers;
use crate::store::{Store, StoreError};
use crate::stripe::Stripe;
use crate::telemetry::ProcessMetrics;

/// Wrong API keys and set-up tokens from one address: a minute's worth at once, then one a second.
const SIGN_IN_BURST: u32 = 60;
/// Wrong passwords of one account, from wherever: so many at once, then one in a while. That is some
/// thousand a day for whoever has many addresses to try from.
const ACCOUNT_BURST: u32 = 10;
const ACCOUNT_REFILL: Duration = Duration::from_secs(30);
/// Accounts of one network, whether or not they came to be: a family's at once, then one in a while.
const NEWCOMER_BURST: u32 = 10;
const NEWCOMER_REFILL: Duration = Duration::from_mins(5);
/// Mails to one account.
const RESET_BURST: u32 = 3;
const RESET_REFILL: Duration = Duration::from_mins(10);
/// Messages that one person sends to try channels: so many at once, then one in a while.
const TEST_BURST: u32 = 10;
const TEST_REFILL: Duration = Duration::from_secs(6);
/// Journeys to providers of identities, each of which costs calls and a row: an office's at once, then one
/// in a while.
const JOURNEY_BURST: u32 = 30;
const JOURNEY_REFILL: Duration = Duration::from_secs(10);
/// What one hook is told: a large team's mornings at once, then one a second.
const PUSH_BURST: u32 = 120;
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
    /// The way out.
    pub egress: Egress,
    /// Counters of this process.
    pub metrics: ProcessMetrics,
    /// Cancelled when the process has been told to stop.
    pub stopping: CancellationToken,
    /// The public listener's address, as others write it.
    pub url: PublicUrl,
    /// The agent listener's address, as agents write it.
    pub agent_address: HostPort,
    /// The Docker API's listener, as its clients write it, where there is one.
    pub docker_address: Option<HostPort>,
    /// The agent's program, for targets that are reached over TLS.
    pub agent_program: PathBuf,
    /// The agents that hosts fetch.
    pub binaries: Binaries,
    /// Whether people may make accounts for themselves.
    pub sign_up: SignUp,
    /// At whom people may sign in, too.
    pub providers: Providers,
    /// Takes payments, where the installation does.
    pub stripe: Option<Stripe>,
    /// Sends mail, where the installation does.
    pub mailer: Option<Mailer>,
    /// Hosts of one's own that speak the protocols of chats.
    pub chat_hosts: Vec<String>,
    /// What the process runs with, secrets hidden, for administrators to read.
    pub configuration: serde_json::Value,
    /// What enrolling hosts find at the end of the public listener's chain, when that is not the
    /// built-in authority.
    pub pin: Option<Fingerprint>,
}

/// All of it.
#[derive(Debug)]
pub struct Inner {
    parts: ApiParts,
    pub(super) passwords: Passwords,
    /// Failed API keys, set-up tokens and passwords of a network.
    pub(super) sign_in: Throttle<Network>,
    /// Passwords and codes that were tried on an account.
    pub(super) accounts: Throttle<Guessed>,
    /// Accounts that a network has made, or asked mail for.
    pub(super) newcomers: Throttle<Network>,
    /// Mails with a link to a new password that an account was sent.
    pub(super) resets: Throttle<Guessed>,
    /// Messages that a person sends to try channels.
    pub(super) tests: Throttle<Guessed>,
    /// What the forge of a hook tells.
    pub(super) pushes: Throttle<PushHookId>,
    /// Journeys to providers that a network has begun.
    pub(super) journeys: Throttle<Network>,
    /// Failed enrolments and renewals.
    pub(super) enrolment: Throttle<Network>,
    /// Requests of keys and teams in this minute.
    pub(super) rates: Mutex<Rates<Metered>>,
}

impl Api {
    /// An API over these parts.
    pub fn new(parts: ApiParts) -> Self {
        Self(Arc::new(Inner {
            parts,
            passwords: Passwords::default(),
            sign_in: Throttle::new(SIGN_IN_BURST, REFILL),
            accounts: Throttle::new(ACCOUNT_BURST, ACCOUNT_REFILL),
            newcomers: Throttle::new(NEWCOMER_BURST, NEWCOMER_REFILL),
            resets: Throttle::new(RESET_BURST, RESET_REFILL),
            tests: Throttle::new(TEST_BURST, TEST_REFILL),
            pushes: Throttle::new(PUSH_BURST, REFILL),
            journeys: Throttle::new(JOURNEY_BURST, JOURNEY_REFILL),
            enrolment: Throttle::new(ENROLMENT_BURST, REFILL),
            rates: Mutex::default(),
        }))
    }

    /// What sends messages to people.
    pub(super) fn notifications(&self) -> Notifications {
        Notifications {
            store: self.store.clone(),
            egress: self.egress.clone(),
            mailer: self.mailer.clone(),
            url: self.url.to_string(),
        }
    }

    /// A link to a page of ours. Its secret stands behind the `#`, which browsers keep to themselves, and
    /// with it whom to trust, unless the operator's own certificate is in use.
    pub(super) async fn link(&self, page: &str, token: &str) -> Result<String, StoreError> {
        let trust = match self.pin {
            Some(_) => String::new(),
            None => format!(".{}", self.store.server_authority().await?.fingerprint()),
        };
        Ok(format!("{}{page}#{token}{trust}", self.url))
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
