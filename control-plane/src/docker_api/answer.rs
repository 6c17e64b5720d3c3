//! What clients of Docker are told in the engine's place: `{"message": …}`, as the engine does it, so that they show it.

use std::error::Error;

use axum::body::Body;
use chrono::Utc;
use http::{HeaderValue, Response, StatusCode, header};

use crate::agents::{NoTunnel, Unreachable};
use crate::store::{DockerVisitor, StoreError};

/// Why a request is not the engine's to answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The certificate counts no more.
    Revoked,
    /// The person may not use this host.
    NotGranted(String),
    /// It is no request for an engine.
    Malformed(&'static str),
    /// The host cannot be reached.
    NoTunnel(Box<DockerVisitor>, NoTunnel),
    /// The connection to the engine did not last.
    Broken(Box<DockerVisitor>, String),
    /// What it wants to do cannot be written down.
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refusal {
    /// Why an exchange with an engine failed.
    pub(super) fn of(visitor: &DockerVisitor, error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        let mut last = error.to_string();
        while let Some(error) = cause {
            if let Some(none) = error.downcast_ref::<NoTunnel>() {
                return Self::NoTunnel(Box::new(visitor.clone()), none.clone());
            }
            last = error.to_string();
            cause = error.source();
        }
        Self::Broken(Box::new(visitor.clone()), last)
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Revoked | Self::NotGranted(_) | Self::NoTunnel(_, NoTunnel::Forbidden(_)) => {
                StatusCode::FORBIDDEN
            }
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NoTunnel(_, NoTunnel::Silent) => StatusCode::GATEWAY_TIMEOUT,
            Self::NoTunnel(..) | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(..) => StatusCode::BAD_GATEWAY,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Revoked => "this certificate for the Docker API was revoked or has ended; make another with \
                              `towline docker context HOST`"
                .to_owned(),
            Self::NotGranted(host) => format!(
                "you may not use the Docker engine of {host} (any more); ask an owner or admin of the team for \
                 `towline docker grant {host} YOUR-ADDRESS`"
            ),
            Self::Malformed(what) => (*what).to_owned(),
            Self::NoTunnel(visitor, NoTunnel::Unreachable(Unreachable::Offline)) => offline(visitor),
            Self::NoTunnel(visitor, why) => format!("the host {}: {why}", visitor.name),
            Self::Broken(visitor, why) => format!(
                "the connection to the engine of {} broke off ({why}); what was asked for may have been done or not",
                visitor.name
            ),
            Self::Store(_) => {
                "Towline cannot write down what you ask for now, so it is not done; try again, and see the control plane's \
                 log if it stays so"
                    .to_owned()
            }
        }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        if let Self::Store(error) = &self {
            tracing::error!(%error, "a request to the Docker API was not written down");
        }
        let body = serde_json::json!({ "message": self.words() }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response
    }
}

fn offline(visitor: &DockerVisitor) -> String {
    let name = &visitor.name;
    let since = match visitor.last_seen_at {
        Some(at) => {
            let ago = (Utc::now() - at).num_minutes().max(0);
            format!("its agent is offline; it was last heard of {ago} min ago")
        }
        None => "its agent has not connected yet".to_owned(),
    };
    format!(
        "the host {name} cannot be reached through this control plane: {since}; start the agent there, or try again when \
         it is back"
    )
}
