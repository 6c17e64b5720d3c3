//! What stops work on a Docker engine.

use towline_shared::outcome::FailureReason;

use super::engine::EngineError;
use super::folder::FolderError;
pub(super) use crate::executor::stop::Stop;

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        let reason = match error {
            EngineError::Refused { .. } => FailureReason::ComposeFailed,
            EngineError::Unclear(_) => FailureReason::Internal,
            EngineError::Unreachable { .. } | EngineError::Hung { .. } => {
                FailureReason::EngineUnavailable
            }
        };
        Self::failed(reason, error.to_string())
    }
}

impl From<FolderError> for Stop {
    fn from(error: FolderError) -> Self {
        let reason = match &error {
            error if error.is_full() => FailureReason::DiskFull,
            FolderError::Io { .. } | FolderError::Manifest { .. } => FailureReason::Internal,
            FolderError::Link(_) | FolderError::BelowWritable { .. } => {
                FailureReason::PolicyRefused
            }
            FolderError::Path(_) => FailureReason::InvalidProject,
        };
        Self::failed(reason, error.to_string())
    }
}
