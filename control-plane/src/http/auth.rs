//! The one place that decides who asks.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, header};

use super::input::From;
use super::problem::{Kind, Problem};
use super::state::Api;
use super::throttle::Throttle;
use crate::domain::permission::Permission;
use crate::store::{Tenant, UserRole};

/// The longest API key that is looked at; ours have about 50 characters.
const MAX_KEY: usize = 200;

/// Checks the API key of a request before anything else of it is read, and notes whose it is.
pub async fn authorize(
    State(api): State<Api>,
    From(address): From,
    mut request: Request,
    next: Next,
) -> Response {
    match tenant(&api, address, request.headers()).await {
        Ok(tenant) => {
            request.extensions_mut().insert(tenant);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn tenant(api: &Api, address: IpAddr, headers: &HeaderMap) -> Result<Tenant, Problem> {
    let key = bearer(headers)?;
    may_try(&api.sign_in, address)?;
    if let Some(tenant) = api.store.authenticate(key).await? {
        return Ok(tenant.from_address(address));
    }
    api.sign_in.failed(address, Instant::now());
    let remedy = "make another with `towline keys create`, or ask somebody of the team for one";
    Err(Problem::new(
        Kind::Unauthorized,
        "the API key is not valid, or not any more",
    )
    .remedy(remedy))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && key.len() <= MAX_KEY)
        .map(|(_, key)| key.trim())
        .filter(|key| !key.is_empty())
        .ok_or_else(|| {
            Problem::new(Kind::Unauthorized, "the request carries no API key")
                .remedy("send the header Authorization: Bearer <API key>")
        })
}

/// Refuses an address that has failed too often.
pub fn may_try(throttle: &Throttle, address: IpAddr) -> Result<(), Problem> {
    throttle.check(address, Instant::now()).map_err(|wait| {
        Problem::new(
            Kind::TooManyRequests,
            "too many failed attempts from this address",
        )
        .remedy("wait as long as Retry-After says")
        .retry_after(wait)
    })
}

/// Refuses changes to those whose role does not allow them; all may look.
pub async fn require(
    State((api, permission)): State<(Api, Permission)>,
    tenant: Tenant,
    request: Request,
    next: Next,
) -> Response {
    if request.method().is_safe() || tenant.role().may(permission) {
        next.run(request).await
    } else {
        not_allowed(&api, &tenant, permission, Tried::of(&request)).await
    }
}

/// Refuses those whose role does not allow it, also where nothing changes.
pub async fn require_even_to_look(
    State((api, permission)): State<(Api, Permission)>,
    tenant: Tenant,
    request: Request,
    next: Next,
) -> Response {
    if tenant.role().may(permission) {
        next.run(request).await
    } else {
        not_allowed(&api, &tenant, permission, Tried::of(&request)).await
    }
}

/// Refuses changes of what holds for all teams to those who do not administer the installation.
pub async fn installation_admins_change(tenant: Tenant, request: Request, next: Next) -> Response {
    if request.method().is_safe() || tenant.user_role() == UserRole::Admin {
        return next.run(request).await;
    }
    Problem::new(
        Kind::Forbidden,
        "only administrators of the installation may change this",
    )
    .remedy("ask an administrator of the installation")
    .into_response()
}

/// What somebody asked for.
struct Tried {
    method: Method,
    /// With the names of its variables, not their values.
    route: String,
}

impl Tried {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        Self {
            method: request.method().clone(),
            route: route.map_or_else(String::new, |route| route.as_str().to_owned()),
        }
    }
}

/// What was tried is written down.
async fn not_allowed(api: &Api, tenant: &Tenant, permission: Permission, tried: Tried) -> Response {
    let noted = api
        .store
        .note_refused_access(tenant, tried.method.as_str(), &tried.route);
    match noted.await {
        Ok(()) => role_does_not_allow(tenant, permission).into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

fn role_does_not_allow(tenant: &Tenant, permission: Permission) -> Problem {
    let detail = format!(
        "the role {} in this team does not allow to {}",
        tenant.role(),
        permission.words()
    );
    let remedy = format!(
        "it needs the role {} or more; ask an owner or admin of the team",
        permission.least()
    );
    Problem::new(Kind::Forbidden, detail).remedy(remedy)
}

/// The tenant that [`authorize`] has noted. Without it there is none: a route that forgot its check
/// refuses everybody.
impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(Kind::Unauthorized, "the request carries no API key"))
    }
}
