//! A new password, for who has forgotten theirs.

use std::time::Instant;

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::auth::{may_try, too_many};
use super::input::{Body, From};
use super::problem::{Kind, Problem};
use super::sessions::device;
use super::state::Api;
use super::throttle::Guessed;
use crate::domain::password::Password;
use crate::mail::{Mail, Mailer};
use crate::ops::{self, OpsError};
use crate::store::password_resets::Maker;
use crate::store::{Resource, StoreError};

/// Whose password is forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskForReset {
    /// The e-mail address of the account.
    email: String,
}

/// A new password, for who has a link to it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UseReset {
    /// The secret of the link.
    #[schema(write_only)]
    token: String,
    /// The new password, of at least 12 characters.
    #[schema(write_only, value_type = String)]
    password: Password,
}

/// Sends a link to a new password to an account's address, where the installation sends mail. The answer
/// is the same, and as soon, if there is no such account.
#[utoipa::path(post, path = "/password-resets", tag = "sign-in", operation_id = "ask_for_reset", request_body = AskForReset,
    responses((status = ACCEPTED)))]
pub async fn ask(
    State(api): State<Api>,
    From(address): From,
    Body(request): Body<AskForReset>,
) -> Result<StatusCode, Problem> {
    let Some(mailer) = api.mailer.clone() else {
        return Err(
            Problem::new(Kind::Conflict, "this installation sends no mail").remedy(
                "ask an administrator of the installation for a link: `towline users reset-link EMAIL`",
            ),
        );
    };
    let now = Instant::now();
    api.newcomers
        .attempt(address, now)
        .map_err(|wait| too_many("from this address", wait))?;
    // Who asks for more mail than that to one address is answered the same, and nothing is sent.
    if api
        .resets
        .attempt(Guessed::account(&request.email), now)
        .is_ok()
    {
        tokio::spawn(async move {
            if let Err(error) = send(&api, &mailer, &request.email, Maker::Mail(address)).await {
                tracing::warn!(%error, "a link to a new password was not sent");
            }
        });
    }
    Ok(StatusCode::ACCEPTED)
}

async fn send(
    api: &Api,
    mailer: &Mailer,
    email: &str,
    by: Maker<'_>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Some(account) = api.store.account_by_email(email).await? else {
        return Ok(());
    };
    let made = api.store.make_reset(account.user, by).await?;
    let link = api.link("/reset", &made.token).await?;
    let text = format!(
        "Somebody, most likely you, asked for a new password for your account at\n{url}.\n\n\
         Open this link within an hour to choose one. It works once:\n\n{link}\n\n\
         If it was not you, nothing has changed: you need not do anything.\n",
        url = api.url,
    );
    let mail = Mail {
        to: made.email,
        subject: "A new password for Towline".to_owned(),
        text,
    };
    Ok(mailer.send(mail).await?)
}

/// Chooses a new password by a link. It ends all of the person's sessions, and their other links; API keys
/// stay. A second factor is still asked for at the next sign-in.
#[utoipa::path(post, path = "/password-resets/use", tag = "sign-in", operation_id = "use_reset", request_body = UseReset,
    responses((status = NO_CONTENT)))]
pub async fn finish(
    State(api): State<Api>,
    address: From,
    headers: HeaderMap,
    Body(request): Body<UseReset>,
) -> Result<StatusCode, Problem> {
    may_try(&api.sign_in, address.0)?;
    let device = device(address, &headers);
    let UseReset { token, password } = request;
    match ops::use_reset(&api.store, &api.passwords, &token, password, &device).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(OpsError::Store(error @ StoreError::NotFound(Resource::PasswordReset))) => {
            api.sign_in.failed(address.0, Instant::now());
            let remedy = "a link works once, for an hour; ask for a new one";
            Err(Problem::from(error).remedy(remedy))
        }
        Err(error) => Err(error.into()),
    }
}
