//! Why a cluster does not do what it is asked.

use kube::core::Status;
use towline_shared::outcome::FailureReason;

use super::api::HAND;
use crate::executor::stop::Stop;

/// Why a cluster does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// How it is reached cannot be told.
    #[error("how the cluster is reached cannot be told: {0}")]
    Config(String),
    /// It cannot be reached.
    #[error("the cluster's API cannot be reached: {0}")]
    Unreachable(String),
    /// It does not answer in time.
    #[error("the cluster's API does not answer")]
    Hung,
    /// It says no.
    #[error("{}", .0.message)]
    Refused(Box<Refused>),
    /// Its answer cannot be read.
    #[error("the answer of the cluster's API cannot be understood: {0}")]
    Unclear(String),
}

/// A refusal in the server's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub code: u16,
    pub reason: String,
    pub message: String,
    pub causes: Vec<Cause>,
}

/// A part of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Fields belong to other managers.
    Conflict,
    /// A right is missing.
    Right,
    /// Fields that never change would.
    Immutable,
    /// The namespace goes.
    Terminating,
    /// The service account of a pod is not there: it comes a moment after its namespace, or with the release.
    NoAccount,
    /// Anything else.
    Other,
}

impl ApiError {
    pub fn config(error: impl std::fmt::Display) -> Self {
        Self::Config(error.to_string())
    }

    pub fn refused(status: &Status) -> Self {
        let details = status.details.as_ref();
        let causes = details.into_iter().flat_map(|details| &details.causes);
        Self::Refused(Box::new(Refused {
            code: status.code,
            reason: status.reason.clone(),
            message: status.message.clone(),
            causes: causes
                .map(|cause| Cause {
                    reason: cause.reason.clone(),
                    message: cause.message.clone(),
                    field: cause.field.clone(),
                })
                .collect(),
        }))
    }

    fn has(&self, code: u16, reason: &str) -> bool {
        matches!(self, Self::Refused(refused) if refused.code == code && (reason.is_empty() || refused.reason == reason))
    }

    pub fn is_not_found(&self) -> bool {
        self.has(404, "")
    }

    /// Another version of the object is there than was named.
    pub fn is_conflict(&self) -> bool {
        self.has(409, "Conflict") && self.why() != Why::Conflict
    }

    pub fn is_there_already(&self) -> bool {
        self.has(409, "AlreadyExists")
    }

    /// The version that was to be begun from is no longer known.
    pub fn is_expired(&self) -> bool {
        self.has(410, "")
    }

    /// Whether it may pass by itself, and the same may be asked again.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Hung => true,
            Self::Refused(refused) => {
                matches!(refused.code, 429 | 502 | 503 | 504)
                    || matches!(
                        refused.reason.as_str(),
                        "ServerTimeout" | "Timeout" | "TooManyRequests"
                    )
                    || refused.message.contains("etcdserver: leader changed")
            }
            Self::Config(_) | Self::Unclear(_) => false,
        }
    }

    /// Whether all fields that are in the way were set by people through us: a release takes those back.
    pub fn is_by_hand(&self) -> bool {
        let Self::Refused(refused) = self else {
            return false;
        };
        let hand = format!("conflict with \"{HAND}\"");
        self.why() == Why::Conflict
            && refused
                .causes
                .iter()
                .all(|cause| cause.message.starts_with(&hand))
    }

    /// What a refusal is about.
    pub fn why(&self) -> Why {
        let Self::Refused(refused) = self else {
            return Why::Other;
        };
        let has_cause = |reason: &str| refused.causes.iter().any(|cause| cause.reason == reason);
        if has_cause("FieldManagerConflict") {
            return Why::Conflict;
        }
        if has_cause("NamespaceTerminating") {
            return Why::Terminating;
        }
        match refused.code {
            403 if refused.message.contains("error looking up service account") => Why::NoAccount,
            403 if refused.message.contains(" cannot ") => Why::Right,
            422 if is_about_the_immutable(&refused.message) => Why::Immutable,
            _ => Why::Other,
        }
    }
}

fn is_about_the_immutable(message: &str) -> bool {
    [
        "immutable",
        "updates to statefulset spec",
        "may not change once set",
        "is forbidden after creation",
    ]
    .iter()
    .any(|words| message.contains(words))
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::refused(&status),
            kube::Error::HyperError(error) => Self::Unreachable(chain(&error)),
            kube::Error::Service(error) => Self::Unreachable(chain(&*error)),
            kube::Error::ReadEvents(error) => Self::Unreachable(chain(&error)),
            // Neither the answer nor a token may be shown.
            kube::Error::SerdeError(_) => Self::Unclear("its answer is no JSON".to_owned()),
            kube::Error::Auth(error) => Self::Config(error.to_string()),
            other => Self::Unclear(other.to_string()),
        }
    }
}

/// The innermost cause says what it is; those around it only who noticed.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        let reason = match &error {
            ApiError::Config(_) | ApiError::Unreachable(_) | ApiError::Hung => {
                FailureReason::EngineUnavailable
            }
            ApiError::Refused(_) if error.why() == Why::Conflict => FailureReason::Conflict,
            ApiError::Refused(_) => FailureReason::ClusterRefused,
            ApiError::Unclear(_) => FailureReason::Internal,
        };
        Self::failed(reason, error.to_string())
    }
}
