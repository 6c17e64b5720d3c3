//! What is found in a project.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::Rule;

/// One thing found in a project, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether it keeps the project from being deployed.
    pub severity: Severity,
    /// The project's file.
    pub file: String,
    /// The line in it, 1-based; nothing when it is about the whole file.
    pub line: Option<u32>,
    /// The rule it breaks.
    pub rule: Rule,
    /// What is wrong and what to do, for a person.
    pub message: String,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot be deployed.
    Error,
    /// It can be deployed; something may not be as meant.
    Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {} (rule {})", self.message, self.rule)
    }
}
