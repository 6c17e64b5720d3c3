//! Signing in and out in a browser.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use towline_shared::ids::SessionId;
use utoipa::ToSchema;

use super::auth::Attempt;
use super::cookie;
use super::input::{Body, From, Id};
use super::page::whole;
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::password::Password;
use crate::ops::{self, NotLetIn, OpsError};
use crate::store::{Device, Listed, Person, Session};

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The e-mail address.
    email: String,
    /// The password.
    #[schema(write_only, value_type = String)]
    password: Password,
    /// A code of the second factor or a recovery code, when the answer without it was `totp_required`.
    #[schema(write_only)]
    code: Option<String>,
}

/// A new password, for who knows the present one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The present password.
    #[schema(write_only, value_type = String)]
    password: Password,
    /// The new password, of at least 12 characters.
    #[schema(write_only, value_type = String)]
    new_password: Password,
}

/// One of the person's sessions.
#[derive(Serialize, ToSchema)]
pub struct OwnSession {
    #[serde(flatten)]
    session: Session,
    /// Whether it is the one that asks.
    is_this: bool,
}

/// From where the request comes.
pub fn device(address: From, headers: &HeaderMap) -> Device {
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    Device {
        address: address.0,
        user_agent: String::from_utf8_lossy(agent.unwrap_or_default()).into_owned(),
    }
}

/// Signs in. The answer sets a cookie; it is the only credential that a browser needs. An unknown
/// address and a wrong password are one answer.
#[utoipa::path(post, path = "/session", tag = "sign-in", operation_id = "sign_in", request_body = SignIn,
    responses((status = CREATED, body = Session)))]
pub async fn begin(
    State(api): State<Api>,
    address: From,
    headers: HeaderMap,
    Body(request): Body<SignIn>,
) -> Result<Response, Problem> {
    let attempt = Attempt::at(&api, &request.email, address.0)?;
    let sign_in = ops::SignIn {
        email: request.email,
        password: request.password,
        code: request.code,
    };
    let device = device(address, &headers);
    let begun = ops::sign_in(&api.store, &api.passwords, sign_in, &device).await;
    settle(attempt, &begun);
    let begun = begun?;
    let cookie = [(SET_COOKIE, cookie::set(&begun)?)];
    Ok((StatusCode::CREATED, cookie, Json(begun.session)).into_response())
}

/// What was wrong has cost an attempt; what was right, or failed for another reason, has not.
pub fn settle<T>(attempt: Attempt<'_>, tried: &Result<T, OpsError>) {
    let wrong = [
        NotLetIn::Wrong,
        NotLetIn::WrongPassword,
        NotLetIn::WrongCode,
    ];
    match tried {
        Err(OpsError::NotLetIn(why)) if wrong.contains(why) => {}
        _ => attempt.give_back(),
    }
}

/// Signs out: ends the session that asks, and takes the cookie back.
#[utoipa::path(delete, path = "/session", tag = "sign-in", operation_id = "sign_out", responses((status = NO_CONTENT)))]
pub async fn end(State(api): State<Api>, person: Person) -> Result<Response, Problem> {
    let session = person.session().ok_or_else(|| {
        Problem::new(Kind::Conflict, "an API key is no session")
            .remedy("end the key with `towline keys revoke`")
    })?;
    api.store.end_session(&person, session).await?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie::clear()?)]).into_response())
}

/// The person's sessions, in whatever browser.
#[utoipa::path(get, path = "/sessions", tag = "sign-in", operation_id = "list_sessions",
    responses((status = OK, body = Listed<OwnSession>)))]
pub async fn list(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<Listed<OwnSession>>, Problem> {
    let sessions = api.store.list_sessions(&person).await?.into_iter();
    let own = sessions.map(|session| OwnSession {
        is_this: person.session() == Some(session.id),
        session,
    });
    Ok(Json(whole(own.collect())))
}

/// Ends one of the person's sessions.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "sign-in", operation_id = "revoke_session",
    params(("id" = Uuid, Path, description = "The session")), responses((status = NO_CONTENT)))]
pub async fn revoke(
    State(api): State<Api>,
    person: Person,
    Id(session): Id<SessionId>,
) -> Result<StatusCode, Problem> {
    api.store.end_session(&person, session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the password. All sessions end but the one that asks; API keys stay.
#[utoipa::path(post, path = "/me/password", tag = "sign-in", operation_id = "change_password", request_body = ChangePassword,
    responses((status = NO_CONTENT)))]
pub async fn change_password(
    State(api): State<Api>,
    person: Person,
    address: From,
    Body(request): Body<ChangePassword>,
) -> Result<StatusCode, Problem> {
    let email = api.store.account(&person).await?.email;
    let attempt = Attempt::at(&api, &email, address.0)?;
    let ChangePassword {
        password,
        new_password,
    } = request;
    let changed =
        ops::change_password(&api.store, &api.passwords, &person, password, new_password).await;
    settle(attempt, &changed);
    changed?;
    Ok(StatusCode::NO_CONTENT)
}
