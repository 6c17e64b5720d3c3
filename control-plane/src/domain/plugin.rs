//! Plugins: what of a team's own is asked before something is done, and told afterwards. What they may answer, and what
//! comes of it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::named::named;

/// The most plugins of one team.
pub const MAX_PLUGINS: usize = 10;
/// How long a plugin may take, in seconds: less than a request of the API has.
pub const TIMEOUT_S: RangeInclusive<u32> = 1..=30;
/// How long it may take when nothing else is said, in seconds.
pub const DEFAULT_TIMEOUT_S: u32 = 5;
/// The most bytes of an answer.
pub const MAX_ANSWER: usize = 64 * 1024;
/// The most characters of what an answer says to people.
pub const MAX_MESSAGE: usize = 1000;

/// A moment at which a plugin is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Somebody asks for a deployment.
    BeforeDeploy,
    /// A deployment has succeeded.
    AfterDeploy,
    /// A deployment has failed.
    FailedDeploy,
    /// Somebody asks for a deployment that begins with a build.
    BeforeBuild,
    /// A build has succeeded.
    AfterBuild,
    /// A build has failed.
    FailedBuild,
    /// Somebody asks for a project.
    BeforeProject,
    /// A project was made.
    AfterProject,
    /// A project was refused.
    FailedProject,
}

named!(Hook {
    BeforeDeploy: "before_deploy",
    AfterDeploy: "after_deploy",
    FailedDeploy: "failed_deploy",
    BeforeBuild: "before_build",
    AfterBuild: "after_build",
    FailedBuild: "failed_build",
    BeforeProject: "before_project",
    AfterProject: "after_project",
    FailedProject: "failed_project",
});

/// What becomes of what a plugin is asked about when it gives no answer that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It goes on.
    Open,
    /// It is refused.
    Closed,
}

named!(FailurePolicy {
    Open: "open",
    Closed: "closed",
});

/// What a plugin answers. A field that we do not know may be a veto that somebody has misspelt, so it is no answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What it says to people.
    pub message: Option<String>,
    /// That it shall not be.
    pub veto: Option<Veto>,
}

/// That something shall not be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Veto {
    /// Why.
    pub reason: String,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitAnswer {
    /// It is no success.
    #[error("the plugin answered {0}")]
    Status(u16),
    /// It is not what a plugin answers.
    #[error("the plugin's answer cannot be read: {0}")]
    Unreadable(String),
    /// It is too long.
    #[error("{0} of the plugin's answer has no text, or more than {MAX_MESSAGE} characters")]
    Text(&'static str),
}

/// What comes of asking a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be.
    GoOn,
    /// It may not be, and why.
    Vetoed(String),
    /// It may not be as nobody has said that it may.
    Unanswered,
}

/// What a plugin has said of what it let pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The plugin's name.
    pub plugin: String,
    /// Its words.
    pub message: String,
}

/// Adds what plugins have said to the detail of an audit entry.
pub fn note_said(detail: &mut Value, said: &[Said]) {
    if !said.is_empty() {
        detail["plugins"] = json!(said);
    }
}

/// Reads a whole answer. One without a body says nothing against it.
pub fn read_answer(status: u16, body: &[u8]) -> Result<Answer, UnfitAnswer> {
    if !(200..=299).contains(&status) {
        return Err(UnfitAnswer::Status(status));
    }
    if body.trim_ascii().is_empty() {
        return Ok(Answer::default());
    }
    let mut answer: Answer =
        serde_json::from_slice(body).map_err(|error| UnfitAnswer::Unreadable(error.to_string()))?;
    if let Some(message) = &mut answer.message {
        *message = text("message", message)?;
    }
    if let Some(veto) = &mut answer.veto {
        veto.reason = text("veto.reason", &veto.reason)?;
    }
    Ok(answer)
}

/// What comes of an answer, or of none.
pub fn decide(answer: Option<&Answer>, policy: FailurePolicy) -> Decision {
    match (answer, policy) {
        (Some(answer), _) => match &answer.veto {
            Some(veto) => Decision::Vetoed(veto.reason.clone()),
            None => Decision::GoOn,
        },
        (None, FailurePolicy::Open) => Decision::GoOn,
        (None, FailurePolicy::Closed) => Decision::Unanswered,
    }
}

/// One line that a terminal and both databases take.
fn text(field: &'static str, given: &str) -> Result<String, UnfitAnswer> {
    let line = given.replace(char::is_control, " ");
    let line = line.trim();
    if (1..=MAX_MESSAGE).contains(&line.chars().count()) {
        Ok(line.to_owned())
    } else {
        Err(UnfitAnswer::Text(field))
    }
}

impl Answer {
    /// What it says to people.
    pub fn words(self) -> Option<String> {
        self.veto.map(|veto| veto.reason).or(self.message)
    }
}

impl Hook {
    /// Whether the answer decides: what has happened already cannot be vetoed.
    pub const fn asks(self) -> bool {
        match self {
            Self::BeforeDeploy | Self::BeforeBuild | Self::BeforeProject => true,
            Self::AfterDeploy
            | Self::FailedDeploy
            | Self::AfterBuild
            | Self::FailedBuild
            | Self::AfterProject
            | Self::FailedProject => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hooks_have_the_names_they_are_read_by_and_those_before_ask() {
        for hook in Hook::ALL {
            assert_eq!(hook.as_str().parse(), Ok(hook));
            assert_eq!(hook.asks(), hook.as_str().starts_with("before_"));
        }
    }

    #[test]
    fn what_is_no_answer_is_told_by_its_fault() {
        let long = format!(r#"{{"message":"{}"}}"#, "ä".repeat(MAX_MESSAGE + 1));
        for (status, body, said) in [
            (500, "", "answered 500"),
            (302, "{}", "answered 302"),
            (199, "{}", "answered 199"),
            (200, "thanks", "cannot be read"),
            (200, "[]", "cannot be read"),
            (200, "null", "cannot be read"),
            (200, "{} {}", "cannot be read"),
            (200, r#"{"vetoed":{"reason":"no"}}"#, "vetoed"),
            (200, r#"{"veto":{}}"#, "reason"),
            (200, r#"{"veto":true}"#, "cannot be read"),
            (200, r#"{"veto":{"reason":"no","why":1}}"#, "why"),
            (200, r#"{"veto":{"reason":" \u0000 "}}"#, "veto.reason"),
            (200, r#"{"message":1}"#, "cannot be read"),
            (200, r#"{"message":""}"#, "message of"),
            (200, &long, "message of"),
            (200, "{\"message\":\"\u{1}\"}", "cannot be read"),
        ] {
            let told = read_answer(status, body.as_bytes()).unwrap_err();
            assert!(told.to_string().contains(said), "{body}: {told}");
        }
        assert!(read_answer(200, b"\xff").is_err());
    }

    #[test]
    fn an_answer_is_read_as_one_line() {
        let read = |status, body: &str| read_answer(status, body.as_bytes()).unwrap();
        for nothing in ["", " \n", "{}", r#"{"message":null,"veto":null}"#] {
            assert_eq!(read(204, nothing), Answer::default(), "{nothing}");
        }
        let answer = read(
            200,
            r#"{"message":" two\nlines ","veto":{"reason":"\u001b[2Jno"}}"#,
        );
        assert_eq!(answer.message.as_deref(), Some("two lines"));
        assert_eq!(answer.veto.unwrap().reason, "[2Jno");
    }

    #[test]
    fn a_veto_refuses_and_silence_does_as_the_policy_says() {
        let veto = Answer {
            veto: Some(Veto {
                reason: "frozen".to_owned(),
            }),
            ..Answer::default()
        };
        let yes = Answer::default();
        for policy in FailurePolicy::ALL {
            assert_eq!(decide(Some(&yes), policy), Decision::GoOn);
            let vetoed = Decision::Vetoed("frozen".to_owned());
            assert_eq!(decide(Some(&veto), policy), vetoed);
        }
        assert_eq!(decide(None, FailurePolicy::Open), Decision::GoOn);
        assert_eq!(decide(None, FailurePolicy::Closed), Decision::Unanswered);
    }
}
