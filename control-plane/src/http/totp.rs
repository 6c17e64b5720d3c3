//! The second factor of one's own account.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Attempt;
use super::input::{Body, From};
use super::problem::Problem;
use super::sessions::settle;
use super::state::Api;
use crate::domain::password::Password;
use crate::ops;
use crate::store::Person;
use crate::store::second_factors::FactorStatus;

/// The password, once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The password.
    #[schema(write_only, value_type = String)]
    password: Password,
}

/// A code of the second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnableTotp {
    /// What the authenticator app shows.
    #[schema(write_only)]
    code: String,
}

/// A secret for an authenticator app, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct ProposedTotp {
    /// The secret, in base32, to be typed.
    secret: String,
    /// The same as an `otpauth://` address, to be shown as a QR code.
    uri: String,
}

/// Codes for when the device is lost; each works once. They are shown this once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// How the second factor stands.
#[utoipa::path(get, path = "/me/totp", tag = "sign-in", operation_id = "show_totp", responses((status = OK, body = FactorStatus)))]
pub async fn show(State(api): State<Api>, person: Person) -> Result<Json<FactorStatus>, Problem> {
    Ok(Json(api.store.second_factor_status(&person).await?))
}

/// Makes a secret for an authenticator app. It counts when it is enabled by a code; asking again makes
/// another.
#[utoipa::path(post, path = "/me/totp", tag = "sign-in", operation_id = "propose_totp", request_body = Confirm,
    responses((status = CREATED, body = ProposedTotp)))]
pub async fn propose(
    State(api): State<Api>,
    person: Person,
    From(address): From,
    Body(confirm): Body<Confirm>,
) -> Result<(StatusCode, Json<ProposedTotp>), Problem> {
    let attempt = attempt(&api, &person, address).await?;
    let issuer = format!("Towline {}", api.url.host());
    let (store, passwords) = (&api.store, &api.passwords);
    let made =
        ops::propose_second_factor(store, passwords, &person, confirm.password, &issuer).await;
    settle(attempt, &made);
    let made = made?;
    let proposed = ProposedTotp {
        secret: made.letters.to_string(),
        uri: made.uri.to_string(),
    };
    Ok((StatusCode::CREATED, Json(proposed)))
}

/// Turns the second factor on. Every other session ends; the answer has ten recovery codes.
#[utoipa::path(post, path = "/me/totp/enable", tag = "sign-in", operation_id = "enable_totp", request_body = EnableTotp,
    responses((status = OK, body = RecoveryCodes)))]
pub async fn enable(
    State(api): State<Api>,
    person: Person,
    From(address): From,
    Body(request): Body<EnableTotp>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let attempt = attempt(&api, &person, address).await?;
    let enabled = ops::enable_second_factor(&api.store, &person, &request.code).await;
    settle(attempt, &enabled);
    let codes = enabled.map_err(|error| match error {
        // Who asks is signed in: it is the field that is at fault.
        ops::OpsError::NotLetIn(why @ ops::NotLetIn::WrongCode) => {
            Problem::invalid("code", why.to_string())
                .remedy("give the one that the app shows now; see that the device's clock is right")
        }
        other => other.into(),
    })?;
    Ok(Json(RecoveryCodes {
        recovery_codes: codes.iter().map(|code| code.to_string()).collect(),
    }))
}

/// Turns the second factor off, for who knows the password.
#[utoipa::path(post, path = "/me/totp/disable", tag = "sign-in", operation_id = "disable_totp", request_body = Confirm,
    responses((status = NO_CONTENT)))]
pub async fn disable(
    State(api): State<Api>,
    person: Person,
    From(address): From,
    Body(confirm): Body<Confirm>,
) -> Result<StatusCode, Problem> {
    let attempt = attempt(&api, &person, address).await?;
    let (store, passwords) = (&api.store, &api.passwords);
    let done = ops::disable_second_factor(store, passwords, &person, confirm.password).await;
    settle(attempt, &done);
    done?;
    Ok(StatusCode::NO_CONTENT)
}

async fn attempt<'a>(
    api: &'a Api,
    person: &Person,
    address: std::net::IpAddr,
) -> Result<Attempt<'a>, Problem> {
    let account = api.store.account(person).await?;
    Attempt::at(api, &account.email, address)
}
