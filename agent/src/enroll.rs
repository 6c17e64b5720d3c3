//! Becoming an agent, and coming back after the certificate has expired.

use std::io;

use chrono::{DateTime, Utc};
use http::StatusCode;
use towline_pki::renew::EXPIRED_RENEWAL_WINDOW;
use towline_pki::{AgentKey, EnrollToken, EnrollTokenError, PkiError, TrustRoots, tls};
use towline_shared::enrolment::{
    ENROL_PATH, EnrolRequest, Enrolled, RENEW_PATH, RenewRequest, Renewed,
};
use towline_shared::failpoint::reach;

use crate::address::{Address, AddressError};
use crate::dial::Dialer;
use crate::https::{self, Answer, RequestError};
use crate::identity::{Identity, IdentityError, Parts, Unfit};
use crate::state_dir::{StateDir, StateError, failed, write_durably};

/// Clocks that differ by more than this many seconds are worth a word: certificates are dated back
/// by five minutes.
const CLOCK_TOLERANCE_S: i64 = 300;
/// As much as an identity has, and some more.
const PROBE_BYTES: usize = 16 * 1024;

/// What `enroll` was asked to do.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The token, as it was given.
    pub token: String,
    /// What the host calls itself.
    pub name: String,
    /// Whether an identity that is still good may be replaced.
    pub existing: Existing,
}

/// What becomes of an identity that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays; enrolment is refused.
    Keep,
    /// It is replaced.
    Replace,
}

/// Why a host was not enrolled: what failed and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token is no good.
    #[error(transparent)]
    Token(#[from] EnrollTokenError),
    /// Its address is no good.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The host is an agent already.
    #[error(
        "this host is agent {agent} of {address} already, with a certificate until {until}; use --force to replace it (then revoke the old agent), or another --state-dir for a second agent"
    )]
    Enrolled {
        /// Which agent.
        agent: String,
        /// Of which control plane.
        address: String,
        /// Until when.
        until: DateTime<Utc>,
    },
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The existing identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Keys could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// There was no answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The control plane refused.
    #[error("{0}")]
    Refused(String),
    /// The answer is no good.
    #[error("the control plane's answer is not usable: {0}")]
    Unfit(#[from] Unfit),
    /// Something else answered.
    #[error(
        "{address} answered {status} and is no Towline control plane, or one of another version; check the address in the token"
    )]
    Foreign {
        /// Who answered.
        address: Address,
        /// How.
        status: StatusCode,
    },
}

/// A new agent.
#[derive(Debug)]
pub struct NewAgent {
    /// Who it is.
    pub identity: Identity,
    /// What is wrong with the host's clock, if something is.
    pub clock: Option<String>,
}

/// Makes a key, has it certified, and stores both.
pub async fn enrol(
    dir: &StateDir,
    dialer: &Dialer,
    enrolment: &Enrolment,
) -> Result<NewAgent, EnrolError> {
    let token: EnrollToken = enrolment.token.parse()?;
    let address = Address::from_url(&token.address)?;
    refuse_live_identity(dir, enrolment.existing)?;
    // The token works once, so what can fail here fails before it is spent.
    probe(dir)?;
    reach("agent: proved its folder");
    let key = AgentKey::generate()?;
    let request = EnrolRequest {
        secret: token.secret.reveal().to_string(),
        csr: key.csr_pem()?,
        hostname: enrolment.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let answer = https::post(
        dialer,
        tls::pinned_client_config(token.ca)?,
        &address,
        ENROL_PATH,
        &request,
    )
    .await?;
    let clock = answer.clock_ahead_s.and_then(clock_warning);
    let enrolled: Enrolled =
        accepted(&answer, &address).map_err(|error| error.or_clock(clock.as_deref()))?;
    reach("agent: was enrolled");
    // What proves the answer is the connection it came by. An operator's own certificate has another
    // authority than the agents' listener.
    let is_ours = TrustRoots::from_pem(&enrolled.roots)?.contains(token.ca);
    let identity = Identity::new(Parts {
        agent: enrolled.agent,
        public_address: token.address,
        agent_address: enrolled.agent_address,
        certificate: enrolled.certificate,
        roots: enrolled.roots,
        operator_authority: (!is_ours).then_some(token.ca),
        key: key.key_pem(),
    })?;
    identity.save(dir)?;
    reach("agent: stored its identity");
    Ok(NewAgent { identity, clock })
}

/// Renews a certificate that has expired, by proof of its key, and stores the new one.
pub async fn renew_expired(
    dir: &StateDir,
    dialer: &Dialer,
    identity: &Identity,
) -> Result<Identity, EnrolError> {
    let address = identity.public_address()?;
    let key = identity.key()?;
    let request = RenewRequest {
        certificate: identity.parts().certificate.clone(),
        csr: key.csr_pem()?,
    };
    let answer = https::post(
        dialer,
        identity.public_tls()?,
        &address,
        RENEW_PATH,
        &request,
    )
    .await?;
    let renewed: Renewed = accepted(&answer, &address)?;
    reach("agent: was renewed after its end");
    let identity = identity.renewed(&key, renewed.certificate, renewed.roots)?;
    identity.save(dir)?;
    reach("agent: stored what was renewed after its end");
    Ok(identity)
}

fn refuse_live_identity(dir: &StateDir, existing: Existing) -> Result<(), EnrolError> {
    if existing == Existing::Replace {
        return Ok(());
    }
    match Identity::load(dir) {
        Err(IdentityError::NotEnrolled { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(identity) if identity.not_after() + EXPIRED_RENEWAL_WINDOW < Utc::now() => Ok(()),
        Ok(identity) => Err(EnrolError::Enrolled {
            agent: identity.agent().to_string(),
            address: identity.parts().public_address.clone(),
            until: identity.not_after(),
        }),
    }
}

fn probe(dir: &StateDir) -> Result<(), StateError> {
    let path = dir.root().join("probe");
    let written = write_durably(&path, &[0; PROBE_BYTES]);
    written
        .and_then(|()| std::fs::remove_file(&path))
        .map_err(|cause: io::Error| failed("cannot write the state folder", dir.root(), cause))
}

fn accepted<'a, T: serde::Deserialize<'a>>(
    answer: &'a Answer,
    address: &Address,
) -> Result<T, EnrolError> {
    let foreign = || EnrolError::Foreign {
        address: address.clone(),
        status: answer.status,
    };
    if answer.status.is_success() {
        return answer.json().ok_or_else(foreign);
    }
    let problem = answer.problem();
    let Some(what) = problem.detail.or(problem.title) else {
        return Err(foreign());
    };
    let remedy = problem
        .remedy
        .unwrap_or_else(|| remedy(answer.status).to_owned());
    Err(EnrolError::Refused(format!(
        "the control plane refused: {what}; {remedy}"
    )))
}

fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "try again in a minute",
        status if status.is_server_error() => "look at the control plane's log",
        _ => "make a new token with `towline agents token`",
    }
}

/// What to say about a clock that differs from the server's.
pub fn clock_warning(ahead_s: i64) -> Option<String> {
    let minutes = ahead_s.abs() / 60;
    let word = if ahead_s > 0 { "behind" } else { "ahead of" };
    (ahead_s.abs() > CLOCK_TOLERANCE_S).then(|| {
        format!("this host's clock is {minutes} min {word} the control plane's; set it (timedatectl set-ntp true)")
    })
}

impl EnrolError {
    /// A refusal by a server whose clock is another may be the clock's fault.
    fn or_clock(self, clock: Option<&str>) -> Self {
        match (self, clock) {
            (Self::Refused(what), Some(clock)) => {
                Self::Refused(format!("{what}. Note that {clock}"))
            }
            (error, _) => error,
        }
    }
}
