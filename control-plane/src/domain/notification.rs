//! What people are told of, and what holds when they have chosen nothing.

use serde::{Deserialize, Serialize};
use towline_shared::ids::{ProjectId, TeamId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::named::named;

/// The most channels of a person, beside mail.
pub const MAX_CHANNELS: usize = 20;
/// So many messages in a row that fail for good switch a channel off.
pub const MAX_FAILURES: u64 = 5;
/// The type of a message that tries a channel.
pub const TEST: &str = "channel.test";

/// The most characters of the line that says what happened.
const MAX_MESSAGE: usize = 200;
/// The most characters of what else there is to say.
const MAX_DETAIL: usize = 1000;

/// Something that people can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotificationEvent {
    /// A deployment has succeeded.
    DeploymentSucceeded,
    /// A deployment has failed.
    DeploymentFailed,
    /// A deployment was cancelled.
    DeploymentCancelled,
    /// An agent is out of reach for minutes.
    AgentOffline,
    /// Such an agent is back.
    AgentOnline,
    /// A host has enrolled.
    AgentEnrolled,
    /// A certificate by which a target is reached ends soon, or has ended.
    TargetCertificateExpiring,
    /// Somebody has joined the team.
    MemberJoined,
    /// Four fifths of what the plan allows are used, or all of it.
    QuotaNearlyReached,
    /// A plan that somebody had for a while has ended.
    PlanEnded,
    /// A payment for a plan has failed.
    PaymentFailed,
    /// Somebody has signed in to the account from a browser that is new.
    AccountSignedIn,
    /// The account has another password.
    AccountPasswordChanged,
    /// A second factor is asked for from now on.
    AccountSecondFactorOn,
    /// The password is enough from now on.
    AccountSecondFactorOff,
    /// A channel was switched off because messages failed.
    ChannelBroken,
}

named!(NotificationEvent {
    DeploymentSucceeded: "deployment.succeeded",
    DeploymentFailed: "deployment.failed",
    DeploymentCancelled: "deployment.cancelled",
    AgentOffline: "agent.offline",
    AgentOnline: "agent.online",
    AgentEnrolled: "agent.enrolled",
    TargetCertificateExpiring: "target.certificate_expiring",
    MemberJoined: "member.joined",
    QuotaNearlyReached: "quota.nearly_reached",
    PlanEnded: "plan.ended",
    PaymentFailed: "payment.failed",
    AccountSignedIn: "account.signed_in",
    AccountPasswordChanged: "account.password_changed",
    AccountSecondFactorOn: "account.second_factor_on",
    AccountSecondFactorOff: "account.second_factor_off",
    ChannelBroken: "channel.broken",
});

/// Of which of an event's occurrences somebody is told at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tell {
    /// Of none.
    None,
    /// Of those of deployments that they asked for themselves.
    Own,
    /// Of all.
    All,
}

named!(Tell {
    None: "none",
    Own: "own",
    All: "all",
});

/// Whose an occurrence is to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Theirs.
    Own,
    /// Somebody else's, or nobody's.
    Others,
}

/// What holds where somebody has chosen nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// In the product.
    pub in_product: Tell,
    /// By mail to the account's address.
    pub mail: Tell,
}

impl Tell {
    /// Whether an occurrence is told.
    pub const fn covers(self, whose: Whose) -> bool {
        match (self, whose) {
            (Self::None, _) | (Self::Own, Whose::Others) => false,
            (Self::Own, Whose::Own) | (Self::All, _) => true,
        }
    }
}

impl NotificationEvent {
    /// Whether its occurrences are somebody's own or others'.
    pub const fn has_owner(self) -> bool {
        matches!(
            self,
            Self::DeploymentSucceeded | Self::DeploymentFailed | Self::DeploymentCancelled
        )
    }

    /// What holds where somebody has chosen nothing.
    pub const fn defaults(self) -> Defaults {
        let (in_product, mail) = match self {
            Self::DeploymentSucceeded | Self::DeploymentCancelled => (Tell::Own, Tell::None),
            Self::DeploymentFailed
            | Self::AgentOffline
            | Self::AgentOnline
            | Self::AgentEnrolled
            | Self::TargetCertificateExpiring
            | Self::MemberJoined
            | Self::QuotaNearlyReached => (Tell::All, Tell::None),
            Self::PlanEnded
            | Self::PaymentFailed
            | Self::AccountSignedIn
            | Self::AccountPasswordChanged
            | Self::AccountSecondFactorOn
            | Self::AccountSecondFactorOff
            | Self::ChannelBroken => (Tell::All, Tell::All),
        };
        Defaults { in_product, mail }
    }
}

/// What somebody is told, whatever the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened (`deployment.failed`).
    pub event: String,
    /// The same in one line.
    pub message: String,
    /// What else there is to say.
    pub detail: Option<String>,
    /// The team's name.
    pub team: Option<String>,
    /// The team.
    pub team_id: Option<TeamId>,
    /// The project.
    pub project_id: Option<ProjectId>,
    /// What it is about.
    pub subject: Option<NoticeSubject>,
}

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeSubject {
    /// What it is: `deployment`, `agent`, `target` or `channel`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: Uuid,
}

impl Notice {
    /// A notice. Names and messages are others' words: they are cut, and keep no signs that steer a terminal or turn
    /// the direction of text.
    pub fn new(event: &str, message: &str, detail: Option<&str>) -> Self {
        let line = message.replace(|c: char| c.is_whitespace() || c.is_control(), " ");
        let detail = detail.map(|detail| cut(&plain(detail), MAX_DETAIL));
        Self {
            event: event.to_owned(),
            message: cut(&plain(&line), MAX_MESSAGE),
            detail: detail.filter(|detail| !detail.trim().is_empty()),
            team: None,
            team_id: None,
            project_id: None,
            subject: None,
        }
    }

    /// The same about something.
    #[must_use]
    pub fn about(mut self, kind: &str, id: Uuid) -> Self {
        self.subject = Some(NoticeSubject {
            kind: kind.to_owned(),
            id,
        });
        self
    }
}

/// The text with line feeds and tabs as its only controls.
fn plain(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|c| !steers(*c)).collect()
}

/// The first characters of a text, with a sign that there was more.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text
            .chars()
            .take(most.saturating_sub(1))
            .chain(['…'])
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_read_as_what_they_name() {
        for event in NotificationEvent::ALL {
            assert_eq!(event.as_str().parse(), Ok(event));
        }
        let unknown = "agent.exploded".parse::<NotificationEvent>().unwrap_err();
        assert!(unknown.to_string().contains("agent.offline"), "{unknown}");
        for tell in Tell::ALL {
            let json = serde_json::to_value(tell).unwrap();
            assert_eq!(json, tell.as_str(), "the API and the database agree");
        }
    }

    #[test]
    fn own_and_all_are_told_apart() {
        let table = [
            (Tell::None, false, false),
            (Tell::Own, true, false),
            (Tell::All, true, true),
        ];
        for (tell, own, others) in table {
            assert_eq!(
                (tell.covers(Whose::Own), tell.covers(Whose::Others)),
                (own, others),
                "{tell}"
            );
        }
    }

    #[test]
    fn what_guards_an_account_is_mailed_unless_somebody_chose_otherwise() {
        for event in NotificationEvent::ALL {
            let mailed = event.defaults().mail == Tell::All;
            let guards = ["account.", "channel.", "plan.", "payment."]
                .iter()
                .any(|start| event.as_str().starts_with(start));
            assert_eq!(mailed, guards, "{event}");
            assert!(event.defaults().in_product != Tell::None, "{event}");
            assert!(
                event.has_owner() || event.defaults().in_product == Tell::All,
                "{event}"
            );
        }
    }

    #[test]
    fn others_words_are_cut_and_steer_nothing() {
        let long = "é".repeat(5000);
        let notice = Notice::new("x", "a\u{1b}[2Jb\r\nc\u{202e}d", Some(&long));
        assert_eq!(notice.message, "a [2Jb  cd");
        let detail = notice.detail.unwrap();
        assert_eq!(detail.chars().count(), 1000);
        assert!(detail.ends_with('…'));
        assert_eq!(Notice::new("x", "m", Some(" \u{7} ")).detail, None);
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
    }
}
