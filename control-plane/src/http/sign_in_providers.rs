//! Signing in at a provider of identities.
//!
//! The browser is sent away by a page of ours, with a cookie that it needs to come back. It comes back by a
//! link of the provider's, so what is said then is said by sending it on to the page: what went wrong
//! stands behind the `#`, in a word that the page knows.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Attempt, may_try, too_many};
use super::cookie;
use super::input::{Body, From, Query, Segment};
use super::page::whole;
use super::problem::{Kind, Problem};
use super::sessions::{device, settle};
use super::state::Api;
use crate::config::ProviderKind;
use crate::ops::{self, Came, NotByProvider, OpsError, Returned, Sent};
use crate::sso::{Provider, SsoError};
use crate::store::{Asker, Listed, Person, Resource, Session, StoreError};

/// The page that sends people away and takes them back.
const PAGE: &str = "/sign-in";
/// The most bytes of what comes back.
const MAX_STATE: usize = 128;
const MAX_CODE: usize = 4096;

/// At whom people may sign in.
#[derive(Serialize, ToSchema)]
pub struct SignInProvider {
    /// Its id.
    #[schema(value_type = String, example = "acme")]
    id: String,
    /// What people read.
    name: String,
    /// `github`, `google` or `oidc`.
    #[schema(value_type = String, example = "oidc")]
    kind: ProviderKind,
}

/// That somebody goes to a provider. There is nothing more to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoToProvider {}

/// Where the browser goes now.
#[derive(Serialize, ToSchema)]
pub struct ToProvider {
    /// An address of the provider. The answer's cookie must be there when the browser comes back.
    authorization_url: String,
}

/// What a provider sends people back with, and what else it may add.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CameBack {
    /// What they were sent with.
    state: Option<String>,
    /// What is exchanged for the provider's word.
    code: Option<String>,
    /// Who the provider says to be.
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// A code of the second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveCode {
    /// What the authenticator app shows, or a recovery code.
    #[schema(write_only)]
    code: String,
}

/// At whom people may sign in, beside their passwords.
#[utoipa::path(get, path = "/sign-in/providers", tag = "sign-in", operation_id = "list_sign_in_providers",
    responses((status = OK, body = Listed<SignInProvider>)))]
pub async fn list(State(api): State<Api>) -> Json<Listed<SignInProvider>> {
    let all = api.providers.all().iter();
    let all = all.map(|provider| SignInProvider {
        id: provider.id.to_string(),
        name: provider.name.clone(),
        kind: provider.kind,
    });
    Json(whole(all.collect()))
}

/// Begins to sign in at a provider. The answer says where the browser goes now, and sets a cookie without
/// which it cannot come back.
#[utoipa::path(post, path = "/sign-in/providers/{name}", tag = "sign-in", operation_id = "begin_provider_sign_in",
    params(("name" = String, Path, description = "The provider's id")), request_body = GoToProvider,
    responses((status = OK, body = ToProvider)))]
pub async fn begin(
    State(api): State<Api>,
    From(address): From,
    Segment(name): Segment,
    Body(GoToProvider {}): Body<GoToProvider>,
) -> Result<Response, Problem> {
    let provider = find(&api, &name)?;
    pay(&api, address)?;
    go(ops::send_to_provider(&api.store, provider).await?)
}

/// Takes a browser back from a provider, which sends it here. The answer sends it on to the page `/sign-in`, signed
/// in, with a code of the second factor to give (`#code`), with an identity linked (`#linked`), or with a word on
/// what went wrong (`#trouble=…`).
#[utoipa::path(get, path = "/sign-in/providers/{name}/callback", tag = "sign-in", operation_id = "end_provider_sign_in",
    params(("name" = String, Path, description = "The provider's id"), CameBack), responses((status = SEE_OTHER)))]
pub async fn come_back(
    State(api): State<Api>,
    address: From,
    headers: HeaderMap,
    Segment(name): Segment,
    Query(came): Query<CameBack>,
) -> Result<Response, Problem> {
    let provider = find(&api, &name)?;
    may_try(&api.sign_in, address.0)?;
    match take_back(&api, provider, address, &headers, &came).await {
        Ok(Came::In(new)) => on_to_page("", [cookie::set(&new)?, cookie::clear_away()?]),
        Ok(Came::ToCode(secret)) => on_to_page("#code", [cookie::set_away(&secret)?]),
        Ok(Came::Linked) => on_to_page("#linked", [cookie::clear_away()?]),
        Err(NotByProvider::Failed(error)) => Err(error.into()),
        // What is in the browser may be another attempt's.
        Err(why @ NotByProvider::Over) => {
            api.sign_in.failed(address.0, Instant::now());
            on_to_page(&trouble(&why), [])
        }
        Err(why) => {
            tracing::info!(provider = %provider.id, error = %why, "nobody was shown by a provider");
            on_to_page(&trouble(&why), [cookie::clear_away()?])
        }
    }
}

async fn take_back(
    api: &Api,
    provider: &Provider,
    address: From,
    headers: &HeaderMap,
    came: &CameBack,
) -> Result<Came, NotByProvider> {
    let browser = cookie::away(headers).ok().flatten();
    let (Some(state), Some(browser)) = (came.state.as_deref(), browser) else {
        return Err(NotByProvider::Over);
    };
    if state.len() > MAX_STATE || browser.len() > MAX_STATE {
        return Err(NotByProvider::Over);
    }
    let code = came.code.as_deref();
    let returned = Returned {
        state,
        browser,
        code: code.filter(|code| came.error.is_none() && code.len() <= MAX_CODE),
        issuer: came.iss.as_deref(),
    };
    let person = signed_in(api, address, headers).await?;
    let device = device(address, headers);
    let (store, doors) = (&api.store, api.sign_up);
    ops::return_from_provider(store, provider, doors, returned, person.as_ref(), &device).await
}

/// Who is signed in in this browser, if anybody is.
async fn signed_in(
    api: &Api,
    address: From,
    headers: &HeaderMap,
) -> Result<Option<Person>, StoreError> {
    let Ok(Some(token)) = cookie::token(headers) else {
        return Ok(None);
    };
    let asker = api.store.authenticate_session(token, None).await?;
    let person = asker.map(|asker| match asker {
        Asker::Member(tenant) => tenant.person().clone(),
        Asker::Alone(person) => person,
    });
    Ok(person.map(|person| person.from_address(address.0)))
}

/// Gives the code of the second factor that was missing when a provider had shown who it is. The answer sets the
/// cookie of a session.
#[utoipa::path(post, path = "/sign-in/code", tag = "sign-in", operation_id = "give_sign_in_code", request_body = GiveCode,
    responses((status = CREATED, body = Session)))]
pub async fn give_code(
    State(api): State<Api>,
    address: From,
    headers: HeaderMap,
    Body(GiveCode { code }): Body<GiveCode>,
) -> Result<Response, Problem> {
    may_try(&api.sign_in, address.0)?;
    let browser = cookie::away(&headers)?.filter(|browser| browser.len() <= MAX_STATE);
    let browser = browser.ok_or_else(nobody_waits)?;
    let Some(waiting) = api.store.waiting_sign_in(browser).await? else {
        api.sign_in.failed(address.0, Instant::now());
        return Err(nobody_waits());
    };
    let attempt = Attempt::at(&api, &waiting.email, address.0)?;
    let device = device(address, &headers);
    let begun = ops::give_code(&api.store, browser, &code, &device).await;
    settle(attempt, &begun);
    let new = match begun {
        Err(OpsError::Store(StoreError::NotFound(Resource::WaitingSignIn))) => {
            return Err(nobody_waits());
        }
        begun => begun?,
    };
    let mut answer = (StatusCode::CREATED, Json(&new.session)).into_response();
    set_cookies(&mut answer, [cookie::set(&new)?, cookie::clear_away()?]);
    Ok(answer)
}

/// The provider that a path names.
pub fn find<'a>(api: &'a Api, name: &str) -> Result<&'a Provider, Problem> {
    let provider = api.providers.find(name);
    provider.ok_or_else(|| Problem::not_found("provider of sign-ins"))
}

/// Each journey costs calls and a row, whatever comes of it.
pub fn pay(api: &Api, address: std::net::IpAddr) -> Result<(), Problem> {
    let paid = api.journeys.attempt(address, Instant::now());
    paid.map_err(|wait| too_many("from this address", wait))
}

/// Tells a page of ours where to go.
pub fn go(sent: Sent) -> Result<Response, Problem> {
    let to = ToProvider {
        authorization_url: sent.url,
    };
    let mut answer = Json(to).into_response();
    set_cookies(&mut answer, [cookie::set_away(&sent.browser)?]);
    Ok(answer)
}

fn on_to_page<const N: usize>(
    fragment: &str,
    cookies: [HeaderValue; N],
) -> Result<Response, Problem> {
    let page = HeaderValue::try_from(format!("{PAGE}{fragment}")).map_err(Problem::internal)?;
    let mut answer = (StatusCode::SEE_OTHER, [(LOCATION, page)]).into_response();
    set_cookies(&mut answer, cookies);
    Ok(answer)
}

fn trouble(why: &NotByProvider) -> String {
    format!("#trouble={}", why.word())
}

fn set_cookies<const N: usize>(answer: &mut Response, cookies: [HeaderValue; N]) {
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
}

fn nobody_waits() -> Problem {
    let detail = "this sign-in is over, or was begun in another browser";
    Problem::new(Kind::Gone, detail).remedy("begin again on the page /sign-in")
}

/// What a page of ours is told when it asks to send somebody away. What comes back later is told by the page.
impl std::convert::From<NotByProvider> for Problem {
    fn from(error: NotByProvider) -> Self {
        match error {
            NotByProvider::Failed(error) => error.into(),
            NotByProvider::Provider(SsoError::Unreachable(why)) => {
                tracing::warn!(error = %why, "a provider of identities cannot be reached");
                Self::new(Kind::Unavailable, "the provider cannot be reached")
                    .remedy("try again in a moment, or sign in in another way")
            }
            NotByProvider::Provider(why) => {
                tracing::warn!(error = %why, "a provider of identities cannot be used");
                let detail = "the provider does not answer as this installation expects";
                Self::new(Kind::Unavailable, detail)
                    .remedy("tell an administrator of the installation; its log has the reason")
            }
            other => Self::new(Kind::Conflict, other.to_string()),
        }
    }
}
