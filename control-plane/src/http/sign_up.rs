//! Making an account for oneself, where the installation lets people.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::too_many;
use super::input::{Body, From};
use super::problem::{Kind, Problem};
use super::state::Api;
use super::{cookie, sessions};
use crate::config::SignUp;
use crate::domain::password::Password;
use crate::ops;
use crate::store::{Session, User};

/// Who wants an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// The e-mail address.
    email: String,
    /// The name.
    name: String,
    /// The password, of at least 12 characters.
    #[schema(write_only, value_type = String)]
    password: Password,
}

/// A new account, and the session of whoever made it.
#[derive(Serialize, ToSchema)]
pub struct SignedUp {
    user: User,
    session: Session,
}

/// Makes an account and a team of its own, on the plan Free, and signs in. The installation may be closed
/// to it. An address that has an account is refused, which tells that it has one: so each network may
/// try but a few times.
#[utoipa::path(post, path = "/sign-up", tag = "sign-in", operation_id = "sign_up", request_body = NewAccount,
    responses((status = CREATED, body = SignedUp)))]
pub async fn sign_up(
    State(api): State<Api>,
    address: From,
    headers: HeaderMap,
    Body(new): Body<NewAccount>,
) -> Result<Response, Problem> {
    if api.sign_up == SignUp::Closed {
        let detail = "people come into this installation by invitation alone";
        return Err(Problem::new(Kind::Forbidden, detail)
            .remedy("ask an owner or admin of a team here for an invitation"));
    }
    api.newcomers
        .attempt(address.0, Instant::now())
        .map_err(|wait| too_many("from this address", wait))?;
    let new = ops::SignUp {
        email: new.email,
        name: new.name,
        password: new.password,
    };
    let device = sessions::device(address, &headers);
    let (user, begun) = ops::sign_up(&api.store, &api.passwords, new, &device).await?;
    let cookie = [(SET_COOKIE, cookie::set(&begun)?)];
    let made = SignedUp {
        user,
        session: begun.session,
    };
    Ok((StatusCode::CREATED, cookie, Json(made)).into_response())
}
