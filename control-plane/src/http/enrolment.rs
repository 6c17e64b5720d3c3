//! How a host becomes an agent, and stays one when it has slept too long.
//!
//! No API key: the enrolment token, or the proof of the certificate's key, is the credential.

use std::net::IpAddr;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use towline_shared::enrolment::{EnrolRequest, Enrolled, RenewRequest, Renewed};

use super::auth::may_try;
use super::input::{Body, From};
use super::problem::Problem;
use super::state::Api;
use crate::ops::{self, OpsError};

/// Makes the sender an agent, once per token.
#[utoipa::path(post, path = "/agent/enroll", tag = "agents", operation_id = "enrol_agent", request_body = serde_json::Value,
    responses((status = OK, body = serde_json::Value)))]
pub async fn enroll(
    State(api): State<Api>,
    From(address): From,
    Body(request): Body<EnrolRequest>,
) -> Result<Json<Enrolled>, Problem> {
    may_try(&api.enrolment, address)?;
    let agent_address = api.agent_address.to_string();
    let enrolled = ops::enroll(&api.store, &request, &agent_address).await;
    Ok(Json(
        enrolled.map_err(|error| refused(&api, address, error))?,
    ))
}

/// A new certificate in place of an expired one, by proof of its key.
#[utoipa::path(post, path = "/agent/renew", tag = "agents", operation_id = "renew_agent", request_body = serde_json::Value,
    responses((status = OK, body = serde_json::Value)))]
pub async fn renew(
    State(api): State<Api>,
    From(address): From,
    Body(request): Body<RenewRequest>,
) -> Result<Json<Renewed>, Problem> {
    may_try(&api.enrolment, address)?;
    let renewed = ops::renew(&api.store, &request).await;
    Ok(Json(
        renewed.map_err(|error| refused(&api, address, error))?,
    ))
}

fn refused(api: &Api, address: IpAddr, error: OpsError) -> Problem {
    if matches!(error, OpsError::Enrolment { .. } | OpsError::Csr(_)) {
        api.enrolment.failed(address, Instant::now());
    }
    error.into()
}
