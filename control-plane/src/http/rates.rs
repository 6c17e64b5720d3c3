//! How often keys and teams may ask, and the headers that say so (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! Each process counts what it answers itself: behind a balancer over two, twice as many are answered.

use std::fmt::Write as _;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use towline_shared::ids::{ApiKeyId, TeamId};

use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::rate::{Standing, WINDOW};
use crate::store::{Credential, Tenant};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metered {
    /// One key.
    Key(ApiKeyId),
    /// All of a team together.
    Team(TeamId),
}

/// A request that was counted.
pub struct Counted {
    /// What each limit is called.
    names: Vec<&'static str>,
    standings: Vec<Standing>,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Answered,
    Refused,
}

impl Metered {
    const fn name(self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Team(_) => "team",
        }
    }
}

impl Counted {
    /// Counts a request against the limits of its key and its team.
    pub fn request(api: &Api, tenant: &Tenant) -> Self {
        let limits = limits(tenant);
        let taken = match limits.as_slice() {
            [] => Ok(Vec::new()),
            limits => {
                let mut rates = api.rates.lock().unwrap_or_else(PoisonError::into_inner);
                rates.take(limits, Instant::now())
            }
        };
        let names = limits.iter().map(|(who, _)| who.name()).collect();
        let (standings, verdict) = match taken {
            Ok(standings) => (standings, Verdict::Answered),
            Err(standings) => (standings, Verdict::Refused),
        };
        Self {
            names,
            standings,
            verdict,
        }
    }

    /// Whether it is one too many.
    pub fn is_refused(&self) -> bool {
        self.verdict == Verdict::Refused
    }

    /// The answer to one too many.
    pub fn refusal(&self) -> Response {
        let used_up = self.named().filter(|(_, standing)| standing.left == 0);
        let (name, standing) = used_up
            .max_by_key(|(_, standing)| standing.resets_in)
            .unwrap_or((
                "key",
                Standing {
                    limit: 0,
                    left: 0,
                    resets_in: WINDOW,
                },
            ));
        let whose = match name {
            "team" => "the team's plan allows",
            _ => "this API key allows",
        };
        let detail = format!("{whose} {} requests in a minute", standing.limit);
        let problem = Problem::new(Kind::TooManyRequests, detail)
            .remedy("wait as long as Retry-After says; RateLimit tells how many are left")
            .retry_after(Duration::from_secs(seconds(standing.resets_in)));
        self.note_on(problem.into_response())
    }

    /// The answer, with where the asker stands.
    pub fn note_on(&self, mut response: Response) -> Response {
        if self.standings.is_empty() {
            return response;
        }
        let (mut policy, mut standing) = (String::new(), String::new());
        for (name, one) in self.named() {
            let comma = if policy.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(
                policy,
                "{comma}\"{name}\";q={};w={}",
                one.limit,
                WINDOW.as_secs()
            );
            let _ = write!(
                standing,
                "{comma}\"{name}\";r={};t={}",
                one.left,
                seconds(one.resets_in)
            );
        }
        for (header, value) in [(POLICY, policy), (STANDING, standing)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(header, value);
            }
        }
        response
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, Standing)> {
        self.names
            .iter()
            .copied()
            .zip(self.standings.iter().copied())
    }
}

fn limits(tenant: &Tenant) -> Vec<(Metered, u32)> {
    let rates = tenant.rates();
    let key = match tenant.credential() {
        Credential::Key(key) => rates.key.map(|limit| (Metered::Key(key), limit)),
        Credential::Session(_) | Credential::Push(_) => None,
    };
    let team = rates
        .team
        .map(|limit| (Metered::Team(tenant.team()), limit));
    key.into_iter().chain(team).collect()
}

/// Whole seconds, and no fewer than it takes.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
