//! What was found in a project's files.

use serde::Serialize;
use towline_shared::compose;
use utoipa::ToSchema;

/// Something to be said about a file of a project.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    /// `error` keeps the project from being deployed; `warning` does not.
    severity: &'static str,
    /// The file.
    file: String,
    /// The line in it, from 1; null when it is about the whole file.
    line: Option<u32>,
    /// The rule it breaks.
    rule: &'static str,
    /// What is wrong and what to do.
    message: String,
}

impl From<compose::Finding> for Finding {
    fn from(found: compose::Finding) -> Self {
        Self {
            severity: match found.severity {
                compose::Severity::Error => "error",
                compose::Severity::Warning => "warning",
            },
            file: found.file,
            line: found.line,
            rule: found.rule.as_str(),
            message: found.message,
        }
    }
}
