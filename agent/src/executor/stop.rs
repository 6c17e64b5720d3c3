//! Why work on a job ends early.

use towline_shared::outcome::FailureReason;

use crate::task::{Cancelled, StepRefused};

/// Why work ends before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was asked to.
    Cancelled,
    /// Its time is over.
    Deadline,
    /// It failed.
    Failed {
        reason: FailureReason,
        message: String,
    },
    /// It failed, and the log says so already.
    Told {
        reason: FailureReason,
        message: String,
    },
}

impl Stop {
    pub fn failed(reason: FailureReason, message: impl Into<String>) -> Self {
        Self::Failed {
            reason,
            message: message.into(),
        }
    }

    pub fn internal(what: &str, error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::StorageFull => FailureReason::DiskFull,
            _ => FailureReason::Internal,
        };
        Self::failed(reason, format!("{what}: {error}"))
    }
}

impl From<Cancelled> for Stop {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl From<StepRefused> for Stop {
    fn from(refused: StepRefused) -> Self {
        Self::failed(FailureReason::DiskFull, refused.to_string())
    }
}
