//! What a detector writes down: evidence, and what people should know.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::app::{App, Detected, Packing};

/// The most notes of one kind; a repository cannot make more.
const MAX_NOTES: usize = 40;
/// The most characters of a repository's text that a note repeats.
const MAX_QUOTED: usize = 60;

/// Why something was detected: `package.json has next 15.1.0 → Next.js, port 3000`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Evidence {
    /// The file.
    pub file: String,
    /// What it says.
    pub says: String,
    /// What follows from that.
    pub therefore: String,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} → {}", self.file, self.says, self.therefore)
    }
}

/// What people should know of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// The file it is about; none when it is about all of them.
    pub file: Option<String>,
    /// What there is to know, and what to do about it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The notes of one detector.
#[derive(Debug, Default)]
pub(super) struct Notes {
    evidence: Vec<Evidence>,
    findings: Vec<Finding>,
}

impl Notes {
    /// Notes what a file says, and what follows.
    pub fn found(&mut self, file: &str, says: impl Into<String>, therefore: impl Into<String>) {
        if self.evidence.len() < MAX_NOTES {
            self.evidence.push(Evidence {
                file: file.to_owned(),
                says: says.into(),
                therefore: therefore.into(),
            });
        }
    }

    /// Notes what people should know; of no file in particular when that is empty.
    pub fn warn(&mut self, file: &str, message: impl Into<String>) {
        let finding = Finding {
            file: (!file.is_empty()).then(|| file.to_owned()),
            message: message.into(),
        };
        if self.findings.len() < MAX_NOTES && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    pub fn take(&mut self, other: Self) {
        self.evidence.extend(other.evidence);
        self.evidence.truncate(MAX_NOTES);
        for finding in other.findings {
            self.warn(finding.file.as_deref().unwrap_or_default(), finding.message);
        }
    }

    /// Takes the findings of a detector that claimed nothing: a broken manifest may be why.
    pub fn take_findings(&mut self, other: Self) {
        self.take(Self {
            evidence: Vec::new(),
            ..other
        });
    }

    pub fn into_detected(self, packing: Packing, app: App) -> Detected {
        Detected {
            packing,
            app,
            evidence: self.evidence,
            findings: self.findings,
        }
    }
}

/// A repository's own words, as short and plain as a note can take them.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.trim().chars().take(MAX_QUOTED).map(plain).collect();
    if text.trim().chars().count() > MAX_QUOTED {
        short.push('…');
    }
    short
}
