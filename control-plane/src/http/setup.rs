//! The set-up of a new installation: its one-time link makes the first user and key.
//!
//! The page reads the token from the link's fragment, which browsers do not send: so it stands in no
//! server's log, and no credential is ever part of a URL that is asked for.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::auth::may_try;
use super::input::{Body, From};
use super::problem::Problem;
use super::state::Api;
use crate::domain::password::Password;
use crate::ops::{self, OpsError};
use crate::store::people::SetUp;

/// The page may run its own script, wear its own style and talk to its own server; nothing else.
pub(super) const POLICY: (HeaderName, &str) = (
    CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// The first user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteSetup {
    /// The secret of the set-up link.
    #[schema(write_only)]
    token: String,
    /// The user's e-mail address.
    email: String,
    /// The user's name.
    name: String,
    /// The password to sign in with in a browser, of at least 12 characters; without one there is only the API key.
    #[schema(write_only, value_type = Option<String>)]
    password: Option<Password>,
}

/// Makes the first user, their team and their first API key. The link is used up by it.
#[utoipa::path(post, path = "/setup", tag = "setup", operation_id = "complete_setup", request_body = CompleteSetup,
    responses((status = CREATED, body = SetUp)))]
pub async fn complete(
    State(api): State<Api>,
    From(address): From,
    Body(request): Body<CompleteSetup>,
) -> Result<(StatusCode, Json<SetUp>), Problem> {
    may_try(&api.sign_in, address)?;
    let CompleteSetup {
        token,
        email,
        name,
        password,
    } = request;
    let password = api.passwords.chosen("password", password, &email).await?;
    match ops::complete_setup(&api.store, &token, &email, &name, password.as_ref()).await {
        Ok(set_up) => Ok((StatusCode::CREATED, Json(set_up))),
        Err(error) => {
            if matches!(error, OpsError::SetUpDone) {
                api.sign_in.failed(address, Instant::now());
            }
            Err(error.into())
        }
    }
}

/// The page behind the set-up link.
#[utoipa::path(get, path = "/setup", tag = "setup", operation_id = "show_setup_page",
    responses((status = OK, body = String, content_type = "text/html")))]
pub async fn page() -> Response {
    ([POLICY], Html(include_str!("setup/page.html"))).into_response()
}

/// The page behind an invitation's link.
#[utoipa::path(get, path = "/join", tag = "setup", operation_id = "show_join_page",
    responses((status = OK, body = String, content_type = "text/html")))]
pub async fn join_page() -> Response {
    ([POLICY], Html(include_str!("setup/join.html"))).into_response()
}

/// The page behind a link to a new password.
#[utoipa::path(get, path = "/reset", tag = "setup", operation_id = "show_reset_page",
    responses((status = OK, body = String, content_type = "text/html")))]
pub async fn reset_page() -> Response {
    ([POLICY], Html(include_str!("setup/reset.html"))).into_response()
}

/// The page to sign in, and to look after one's own account.
#[utoipa::path(get, path = "/sign-in", tag = "setup", operation_id = "show_sign_in_page",
    responses((status = OK, body = String, content_type = "text/html")))]
pub async fn sign_in_page() -> Response {
    ([POLICY], Html(include_str!("setup/sign_in.html"))).into_response()
}

/// That page's script.
#[utoipa::path(get, path = "/sign-in.js", tag = "setup", operation_id = "show_sign_in_script",
    responses((status = OK, body = String, content_type = "text/javascript")))]
pub async fn sign_in_script() -> Response {
    let kind = [(CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("setup/sign_in.js")).into_response()
}

/// The pages' script.
#[utoipa::path(get, path = "/setup.js", tag = "setup", operation_id = "show_setup_script",
    responses((status = OK, body = String, content_type = "text/javascript")))]
pub async fn script() -> Response {
    (
        [(CONTENT_TYPE, "text/javascript; charset=utf-8")],
        include_str!("setup/script.js"),
    )
        .into_response()
}

/// The pages' style.
#[utoipa::path(get, path = "/setup.css", tag = "setup", operation_id = "show_setup_style",
    responses((status = OK, body = String, content_type = "text/css")))]
pub async fn style() -> Response {
    (
        [(CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("setup/style.css"),
    )
        .into_response()
}
