//! How the program ends: one exit code per kind of end, and failures that say what to do next.

use std::{borrow::Cow, io};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// The exit codes, as `towline --help` and the documentation list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; a followed deployment succeeded.
    Success,
    /// A followed deployment failed, or the control plane refused the request.
    Failed,
    /// The command line, the configuration or the folder cannot be used; nothing was sent.
    Usage,
    /// The followed deployment was cancelled.
    Cancelled,
    /// The control plane, or the agent that had to answer, cannot be reached.
    Unreachable,
    /// The deployment goes on and its end is not known: watching was interrupted, or it waits for
    /// an agent that is offline.
    Undecided,
    /// What a project has in a cluster is not as it was deployed.
    Drifted,
    /// A command of the person's own ended by this code.
    Of(u8),
}

impl Exit {
    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Cancelled => 3,
            Self::Unreachable => 4,
            Self::Undecided => 5,
            Self::Drifted => 6,
            Self::Of(code) => code,
        }
    }
}

/// Why a command stops.
#[derive(Debug)]
pub enum Failure {
    /// Something to tell the person.
    Told(Box<Report>),
    /// Whoever read our output went away (`towline logs … | head`): nobody is left to tell.
    OutputClosed,
}

/// A failure in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What failed.
    pub title: String,
    /// Why, or what exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The field of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The HTTP status, when the control plane said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The quota that is used up.
    #[serde(flatten)]
    pub quota: Option<Quota>,
    #[serde(skip)]
    exit: Exit,
}

/// A quota that is used up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// How many the plan allows.
    pub limit: u64,
    /// How many there are.
    pub used: u64,
    /// When the count begins anew, if it does by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<DateTime<Utc>>,
}

impl Quota {
    /// The quota in words.
    pub fn sentence(&self) -> String {
        let used = format!("used {} of {}", self.used, self.limit);
        match self.resets_at {
            Some(at) => {
                let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                format!("{used}; resets at {at}")
            }
            None => used,
        }
    }
}

impl Failure {
    /// A failure of the given kind.
    pub fn new(exit: Exit, title: impl Into<String>) -> Self {
        Self::Told(Box::new(Report {
            title: title.into(),
            detail: None,
            field: None,
            remedy: None,
            status: None,
            quota: None,
            exit,
        }))
    }

    /// Something on this side cannot be used.
    pub fn usage(title: impl Into<String>) -> Self {
        Self::new(Exit::Usage, title)
    }

    /// Adds the cause.
    pub fn detail(self, detail: impl Into<String>) -> Self {
        self.with(|report| report.detail = Some(detail.into()))
    }

    /// Adds what to do next.
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        self.with(|report| report.remedy = Some(remedy.into()))
    }

    /// Adds the field of the request that is at fault.
    pub fn field(self, field: Option<String>) -> Self {
        self.with(|report| report.field = field)
    }

    /// Adds the HTTP status.
    pub fn status(self, status: u16) -> Self {
        self.with(|report| report.status = Some(status))
    }

    /// Adds the quota that is used up.
    pub fn quota(self, quota: Option<Quota>) -> Self {
        self.with(|report| report.quota = quota)
    }

    /// The exit code this failure ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Told(report) => report.exit,
            Self::OutputClosed => Exit::Undecided,
        }
    }

    /// The HTTP status, when the control plane said it.
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Told(report) => report.status,
            Self::OutputClosed => None,
        }
    }

    /// The failure in one sentence.
    pub fn sentence(&self) -> Cow<'_, str> {
        match self {
            Self::Told(report) => match &report.detail {
                Some(detail) => format!("{}: {detail}", report.title).into(),
                None => report.title.as_str().into(),
            },
            Self::OutputClosed => "the output was closed".into(),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Report)) -> Self {
        if let Self::Told(report) = &mut self {
            change(report);
        }
        self
    }
}

impl From<io::Error> for Failure {
    /// For errors of writing to our own output.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::usage("The output cannot be written").detail(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_code() {
        let codes = [
            (Exit::Success, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Cancelled, 3),
            (Exit::Unreachable, 4),
            (Exit::Undecided, 5),
            (Exit::Drifted, 6),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_to_tell() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(matches!(Failure::from(closed), Failure::OutputClosed));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(Failure::from(full), Failure::Told(_)));
    }
}
