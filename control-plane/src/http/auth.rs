//! The one place that decides who asks.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Uri, header};
use towline_shared::ids::{TeamId, UserId};

use super::cookie;
use super::input::From;
use super::problem::{Kind, Problem};
use super::rates::Counted;
use super::state::Api;
use super::throttle::{Guessed, Network, Throttle};
use crate::domain::permission::Permission;
use crate::store::{Asker, Person, Resource, Tenant, UserRole};

/// The longest API key that is looked at; ours have about 50 characters.
const MAX_KEY: usize = 200;

/// Names the team that a session acts for.
const TEAM: HeaderName = HeaderName::from_static("towline-team");

/// Checks the API key or the session of a request before anything else of it is read, and notes whose it
/// is.
pub async fn authorize(
    State(api): State<Api>,
    From(address): From,
    mut request: Request,
    next: Next,
) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    match asker(&api, address, method, uri, headers).await {
        Ok(Asker::Member(tenant)) => {
            let tenant = tenant.from_address(address);
            let counted = Counted::request(&api, &tenant);
            if counted.is_refused() {
                return counted.refusal();
            }
            request.extensions_mut().insert(tenant.person().clone());
            request.extensions_mut().insert(tenant);
            return counted.note_on(next.run(request).await);
        }
        Ok(Asker::Alone(person)) => {
            request
                .extensions_mut()
                .insert(person.from_address(address));
        }
        Err(problem) => return problem.into_response(),
    }
    next.run(request).await
}

/// Whether who has asked by this request's credential may still do something in the team.
pub async fn still_may(api: &Api, address: IpAddr, parts: &Parts, permission: Permission) -> bool {
    let asker = asker(api, address, &parts.method, &parts.uri, &parts.headers).await;
    match asker {
        Ok(Asker::Member(tenant)) => {
            let role = tenant.access().in_team();
            role.is_some_and(|role| role.may(permission))
        }
        Ok(Asker::Alone(_)) => false,
        // A server that cannot tell now has taken nothing away.
        Err(problem) => problem.status().is_server_error(),
    }
}

/// By a key or by a session, never by both: which of them counts must not be a guess.
async fn asker(
    api: &Api,
    address: IpAddr,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Asker, Problem> {
    match (
        headers.contains_key(header::AUTHORIZATION),
        cookie::token(headers)?,
    ) {
        (true, Some(_)) => Err(Problem::new(
            Kind::Malformed,
            "the request carries both an API key and a session",
        )
        .remedy("send one of the two")),
        (false, Some(token)) => {
            cookie::refuse_foreign(method, uri, headers, &api.url)?;
            by_session(api, address, token, team(headers)?).await
        }
        (_, None) => by_key(api, address, bearer(headers)?, team(headers)?).await,
    }
}

async fn by_key(
    api: &Api,
    address: IpAddr,
    key: &str,
    team: Option<TeamId>,
) -> Result<Asker, Problem> {
    may_try(&api.sign_in, address)?;
    match api.store.authenticate(key).await? {
        Some(tenant) if team.is_none_or(|team| team == tenant.team()) => Ok(Asker::Member(tenant)),
        Some(_) => {
            Err(Problem::not_found("team")
                .remedy("an API key is for one team; leave Towline-Team out"))
        }
        None => {
            api.sign_in.failed(address, Instant::now());
            let remedy =
                "make another with `towline keys create`, or ask somebody of the team for one";
            let detail = "the API key is not valid, or not any more";
            Err(Problem::new(Kind::Unauthorized, detail).remedy(remedy))
        }
    }
}

async fn by_session(
    api: &Api,
    address: IpAddr,
    token: &str,
    team: Option<TeamId>,
) -> Result<Asker, Problem> {
    may_try(&api.sign_in, address)?;
    if let Some(asker) = api.store.authenticate_session(token, team).await? {
        return Ok(asker);
    }
    api.sign_in.failed(address, Instant::now());
    Err(Problem::new(Kind::Unauthorized, "the session has ended").remedy("sign in again"))
}

/// One that is no id names no team.
fn team(headers: &HeaderMap) -> Result<Option<TeamId>, Problem> {
    let Some(value) = headers.get(TEAM) else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some)
        .ok_or_else(|| Problem::not_found(Resource::Team))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && key.len() <= MAX_KEY)
        .map(|(_, key)| key.trim())
        .filter(|key| !key.is_empty())
        .ok_or_else(no_credential)
}

fn no_credential() -> Problem {
    Problem::new(
        Kind::Unauthorized,
        "the request carries no API key and no session",
    )
    .remedy("send the header Authorization: Bearer <API key>, or sign in")
}

/// Refuses an address that has failed too often.
pub fn may_try(throttle: &Throttle<Network>, address: IpAddr) -> Result<(), Problem> {
    throttle
        .check(address, Instant::now())
        .map_err(|wait| too_many("from this address", wait))
}

/// Refuses for a while who has too often had messages sent only to try something.
pub fn may_test(api: &Api, user: UserId, what: &str) -> Result<(), Problem> {
    let who = Guessed::account(&user.to_string());
    api.tests.attempt(who, Instant::now()).map_err(|wait| {
        Problem::new(Kind::TooManyRequests, format!("too many tests of {what}"))
            .remedy("wait as long as Retry-After says")
            .retry_after(wait)
    })
}

/// Refuses for a while who has tried too often.
pub fn too_many(whose: &str, wait: Duration) -> Problem {
    let detail = format!("too many failed attempts {whose}");
    Problem::new(Kind::TooManyRequests, detail)
        .remedy("wait as long as Retry-After says")
        .retry_after(wait)
}

/// An attempt at a password or a code. It is paid for by the account and the network, whether or not
/// there is such an account.
#[must_use]
pub struct Attempt<'a> {
    api: &'a Api,
    account: Guessed,
    address: IpAddr,
}

impl<'a> Attempt<'a> {
    /// Pays for an attempt at the account of this e-mail address.
    pub fn at(api: &'a Api, email: &str, address: IpAddr) -> Result<Self, Problem> {
        let (account, now) = (Guessed::account(email), Instant::now());
        api.accounts
            .attempt(account, now)
            .map_err(|wait| too_many("at this account", wait))?;
        if let Err(wait) = api.sign_in.attempt(address, now) {
            api.accounts.succeeded(account);
            return Err(too_many("from this address", wait));
        }
        Ok(Self {
            api,
            account,
            address,
        })
    }

    /// It was right, or nothing was tried after all.
    pub fn give_back(self) {
        self.api.accounts.succeeded(self.account);
        self.api.sign_in.succeeded(self.address);
    }
}

/// Refuses changes of what holds for all teams to those who do not administer the installation.
pub async fn installation_admins_change(tenant: Tenant, request: Request, next: Next) -> Response {
    if request.method().is_safe() || tenant.user_role() == UserRole::Admin {
        return next.run(request).await;
    }
    not_an_administrator("change this").into_response()
}

/// Refuses those who do not administer the installation.
pub async fn installation_admins(person: Person, request: Request, next: Next) -> Response {
    if person.role() == UserRole::Admin {
        return next.run(request).await;
    }
    not_an_administrator("see and change this").into_response()
}

fn not_an_administrator(what: &str) -> Problem {
    let detail = format!("only administrators of the installation may {what}");
    Problem::new(Kind::Forbidden, detail).remedy("ask an administrator of the installation")
}

/// The tenant that [`authorize`] has noted. Without it there is none: a route that forgot its check
/// refuses everybody.
impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let noted = &parts.extensions;
        noted.get::<Self>().cloned().ok_or_else(|| {
            if noted.get::<Person>().is_some() {
                Problem::new(Kind::NotFound, "you are in no team").remedy("ask for an invitation")
            } else {
                no_credential()
            }
        })
    }
}

/// The person that [`authorize`] has noted, be it in a team or not.
impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(no_credential)
    }
}
