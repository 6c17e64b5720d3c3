//! Errors as RFC 9457 problem documents: one shape for every refusal of the API.
//!
//! A problem has a public half, which says what failed, names the field and says what to do next, and
//! an internal half, the cause, which only the log sees.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::findings::Finding;
use crate::forges::ForgeError;
use crate::ops::{NotLetIn, OpsError, UNREAD};
use crate::passwords::PasswordError;
use crate::store::{QuotaExceeded, StoreError};
use crate::vault::VaultError;

/// The media type of a problem document.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A refusal: its document, and what only the log sees.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    document: ProblemDocument,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What a refused request is answered with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Names the kind of problem, for programs.
    #[schema(example = "urn:towline:problem:not-found")]
    r#type: String,
    /// The kind of problem, for people.
    #[schema(example = "Not found")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What failed this time.
    #[schema(example = "there is no deployment with this id")]
    detail: String,
    /// The field of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// Of `quota_exceeded`: how many the plan allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 10)]
    limit: Option<u64>,
    /// Of `quota_exceeded`: how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 10)]
    used: Option<u64>,
    /// Of `quota_exceeded`: when the count begins anew; absent when it never does by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<DateTime<Utc>>,
    /// What was found wrong in a project's files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// The kinds of problems; each has one name and one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be understood at all.
    Malformed,
    /// No credential, or none that is valid.
    Unauthorized,
    /// The password is right, and a code of the second factor is needed besides.
    TotpRequired,
    /// The credential does not allow it.
    Forbidden,
    /// The plan allows no more of it.
    QuotaExceeded,
    /// A plugin of the team has said no.
    PluginVeto,
    /// A plugin of the team that must say yes has said nothing.
    PluginUnavailable,
    /// It is not there, or belongs to another team.
    NotFound,
    /// The route has no such method.
    MethodNotAllowed,
    /// Nothing is paid for here.
    BillingOff,
    /// The state of things forbids it.
    Conflict,
    /// It was there and is no more.
    Gone,
    /// The body is over its limit.
    TooLarge,
    /// The body is of another kind than the route reads.
    UnsupportedMedia,
    /// A field has a value that cannot be used.
    Invalid,
    /// Too many failed attempts.
    TooManyRequests,
    /// Something that should not happen did.
    Internal,
    /// What is needed for it is out of reach for now.
    Unavailable,
    /// It took too long.
    Timeout,
    /// The disk is full.
    InsufficientStorage,
}

impl Kind {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "Malformed request"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "Not signed in"),
            Self::TotpRequired => (
                StatusCode::UNAUTHORIZED,
                "totp_required",
                "Second factor required",
            ),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Self::QuotaExceeded => (StatusCode::FORBIDDEN, "quota_exceeded", "Quota exceeded"),
            Self::PluginVeto => (StatusCode::FORBIDDEN, "plugin_veto", "Vetoed by a plugin"),
            Self::PluginUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "plugin_unavailable",
                "A plugin gives no answer",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Self::BillingOff => (StatusCode::CONFLICT, "billing_off", "Billing is off"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::Gone => (StatusCode::GONE, "gone", "Gone"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large"),
            Self::UnsupportedMedia => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Unsupported media type",
            ),
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid input"),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "Too many attempts",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Unavailable",
            ),
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout", "Timed out"),
            Self::InsufficientStorage => (
                StatusCode::INSUFFICIENT_STORAGE,
                "insufficient-storage",
                "Disk full",
            ),
        }
    }
}

impl Problem {
    /// A problem of a kind; `detail` says what failed this time.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, name, title) = kind.parts();
        Self(Box::new(Inner {
            status,
            document: ProblemDocument {
                r#type: format!("urn:towline:problem:{name}"),
                title,
                status: status.as_u16(),
                detail: detail.into(),
                field: None,
                remedy: None,
                limit: None,
                used: None,
                resets_at: None,
                findings: Vec::new(),
            },
            retry_after: None,
            cause: None,
        }))
    }

    /// A field with a value that cannot be used.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail).field(field)
    }

    /// Something that is absent, or another team's: the two are told apart nowhere.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}"))
    }

    /// A failure of our own, whose cause only the log sees.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "the control plane failed at this request")
            .remedy(
                "try again; the server's log has the cause under the X-Request-Id of this answer",
            )
            .cause(cause)
    }

    /// The control plane is stopping and takes no new work.
    pub fn stopping() -> Self {
        Self::new(
            Kind::Unavailable,
            "the control plane is stopping and takes no new work",
        )
        .remedy("try again in a few seconds")
        .retry_after(Duration::from_secs(5))
    }

    /// Names the field that is at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.document.field = Some(field.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.document.remedy = Some(remedy.into()).filter(|remedy: &String| !remedy.is_empty());
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Keeps a cause for the log.
    #[must_use]
    fn cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    fn findings(mut self, findings: Vec<Finding>) -> Self {
        self.0.document.findings = findings;
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The field that is at fault, if one is named.
    #[cfg(test)]
    pub fn named_field(&self) -> Option<&str> {
        self.0.document.field.as_deref()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner {
            status,
            document,
            retry_after,
            cause,
        } = *self.0;
        if let Some(cause) = cause {
            tracing::error!(error = %Chain(cause.as_ref()), status = status.as_u16(), "request failed");
        }
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = retry_after {
            headers.insert(header::RETRY_AFTER, after.as_secs().max(1).into());
        }
        response
    }
}

/// An error with all its causes, in one line.
struct Chain<'a>(&'a (dyn Error + Send + Sync + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(resource) => Self::not_found(resource),
            StoreError::Invalid {
                field,
                message,
                remedy,
            } => Self::invalid(field, message).remedy(remedy),
            StoreError::Conflict { message, remedy } => {
                Self::new(Kind::Conflict, message).remedy(remedy)
            }
            StoreError::QuotaExceeded(exceeded) => exceeded.into(),
            StoreError::Forbidden { message, remedy } => {
                Self::new(Kind::Forbidden, message).remedy(remedy)
            }
            StoreError::DiskFull(_) => Self::new(
                Kind::InsufficientStorage,
                "the control plane's disk is full; nothing was changed",
            )
            .remedy("free space on the control plane's machine and try again")
            .cause(error),
            StoreError::Unavailable(_) => {
                Self::new(Kind::Unavailable, "the database is out of reach for now")
                    .remedy("try again in a moment")
                    .retry_after(Duration::from_secs(1))
                    .cause(error)
            }
            StoreError::Vault(VaultError::UnknownKey { .. }) => Self::new(
                Kind::Unavailable,
                "the master key is being exchanged, and this server does not have the new one yet",
            )
            .remedy("try again in a moment; if it stays so, tell who runs the control plane")
            .retry_after(Duration::from_secs(5))
            .cause(error),
            other => Self::internal(other),
        }
    }
}

impl From<NotLetIn> for Problem {
    fn from(why: NotLetIn) -> Self {
        let detail = why.to_string();
        match why {
            NotLetIn::Wrong => Self::new(Kind::Unauthorized, detail)
                .remedy("try again, or ask for a link to a new password"),
            NotLetIn::WrongPassword => Self::invalid("password", detail)
                .remedy("give the one you sign in with, or ask for a link to a new one"),
            NotLetIn::CodeRequired => Self::new(Kind::TotpRequired, detail)
                .field("code")
                .remedy("send code, too: what the authenticator app shows, or a recovery code"),
            NotLetIn::WrongCode => Self::new(Kind::Unauthorized, detail)
                .field("code")
                .remedy("give the one that the authenticator app shows now, or a recovery code"),
            NotLetIn::Suspended => Self::new(Kind::Forbidden, detail)
                .remedy("ask an administrator of the installation"),
            NotLetIn::NoPassword => Self::new(Kind::Conflict, detail).remedy(
                "ask for a link to a first one: an API key alone must not become a sign-in",
            ),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Unfit(unfit) => {
                Self::invalid(unfit.field, unfit.message).remedy(unfit.remedy)
            }
            PasswordError::Busy => Self::new(Kind::Unavailable, error.to_string())
                .remedy("try again in a few seconds")
                .retry_after(Duration::from_secs(5)),
            PasswordError::Failed(_) => Self::internal(error),
        }
    }
}

impl From<QuotaExceeded> for Problem {
    fn from(exceeded: QuotaExceeded) -> Self {
        let mut problem =
            Self::new(Kind::QuotaExceeded, exceeded.to_string()).remedy(exceeded.remedy());
        let document = &mut problem.0.document;
        document.limit = Some(exceeded.limit);
        document.used = Some(exceeded.used);
        document.resets_at = exceeded.resets_at;
        problem
    }
}

impl From<ForgeError> for Problem {
    fn from(error: ForgeError) -> Self {
        // As with a repository that cannot be read: it is not this server that is out of service.
        let problem = Self::new(Kind::Conflict, error.to_string()).remedy(error.remedy());
        let problem = match error.wait() {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        };
        match error.field() {
            Some(field) => problem.field(field),
            None => problem,
        }
    }
}

impl From<OpsError> for Problem {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Store(error) => error.into(),
            OpsError::Refused {
                message,
                remedy,
                field,
            } => {
                let problem = Self::new(Kind::Conflict, message).remedy(remedy);
                match field {
                    Some(field) => problem.field(field),
                    None => problem,
                }
            }
            OpsError::Unread { message, field } => {
                Self::new(Kind::Conflict, message).field(field).remedy(UNREAD)
            }
            OpsError::Forge(error) => error.into(),
            OpsError::Findings(findings) => {
                Self::invalid("files", "the project's files cannot be deployed")
                    .remedy("mend what the findings name and upload the files again")
                    .findings(findings.into_iter().map(Finding::from).collect())
            }
            OpsError::KeyReused => Self::new(
                Kind::Conflict,
                "this Idempotency-Key was used before for another request",
            )
            .field("Idempotency-Key")
            .remedy("use a new key for each new request, and the same one only to repeat it"),
            OpsError::Vetoed { ref plugin, .. } => {
                let remedy = format!("do as it says; `towline plugins runs {plugin}` shows what it was asked");
                Self::new(Kind::PluginVeto, error.to_string()).remedy(remedy)
            }
            OpsError::PluginUnavailable { ref plugin, .. } => {
                let remedy = format!(
                    "try again, or ask an owner or admin of the team to look at it (`towline plugins test {plugin}`)"
                );
                Self::new(Kind::PluginUnavailable, error.to_string())
                    .remedy(remedy)
                    .retry_after(Duration::from_secs(5))
            }
            OpsError::Enrolment { message, remedy } => {
                Self::new(Kind::Forbidden, message).remedy(remedy)
            }
            OpsError::Csr(refusal) => Self::invalid("csr", refusal.to_string()),
            OpsError::SetUpDone => Self::new(Kind::Gone, error.to_string()).remedy(
                "open the link that the server printed at its last start, or sign in with an API key",
            ),
            OpsError::NotLetIn(why) => why.into(),
            OpsError::Password(error) => error.into(),
            OpsError::Pki(error) => Self::internal(error),
        }
    }
}
