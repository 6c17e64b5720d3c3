//! The guarded way out, as the library of the protocol calls it.

use std::pin::Pin;

use openidconnect::{
    AsyncHttpClient, ErrorResponse, HttpRequest, HttpResponse, RequestTokenError, http,
};

use super::SsoError;
use crate::egress::{BodyEnd, Egress, EgressError};

/// Calls a provider.
#[derive(Clone, Debug)]
pub struct Outside(Egress);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was none.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// It was longer than answers may be, or it broke off.
    #[error("the answer is too long, or it broke off")]
    Cut,
    /// It is none of HTTP's.
    #[error("the answer is damaged: {0}")]
    Damaged(#[from] http::Error),
}

impl Outside {
    pub fn new(egress: Egress) -> Self {
        Self(egress)
    }

    /// Whether an address that a provider names may be one of its own.
    pub fn check(&self, url: &str) -> Result<(), SsoError> {
        let checked = self.0.check(url);
        checked.map_err(|error| SsoError::Unfit(format!("its address {url}: {error}")))?;
        Ok(())
    }

    pub async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let answer = self.0.call(request).await?;
        if answer.end != BodyEnd::Whole {
            return Err(CallError::Cut);
        }
        let mut response = http::Response::builder().status(answer.status);
        if let Some(kind) = answer.headers.get(http::header::CONTENT_TYPE) {
            response = response.header(http::header::CONTENT_TYPE, kind);
        }
        Ok(response.body(answer.body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for Outside {
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, CallError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// What went wrong when a code was to be exchanged. An answer is not repeated: it may hold tokens.
pub fn exchange_failed<E: ErrorResponse>(error: RequestTokenError<CallError, E>) -> SsoError {
    match error {
        RequestTokenError::ServerResponse(refusal) => SsoError::Refused(refusal.to_string()),
        RequestTokenError::Request(error) => error.into(),
        RequestTokenError::Parse(..) => {
            SsoError::Refused("it gave no token in exchange".to_owned())
        }
        RequestTokenError::Other(why) => SsoError::Unfit(why),
    }
}
