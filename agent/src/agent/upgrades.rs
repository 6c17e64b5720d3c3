//! The course of an upgrade beside everything else that the agent does.

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use towline_pki::release::Signature;
use towline_shared::protocol::v1::{FromAgent, QueryReply};
use towline_shared::query::Reply;
use towline_shared::upgrade::{AskUpgrade, Upgrade, UpgradeReport, UpgradeState, UpgradeWish};

use super::{Agent, Event, Finish};
use crate::machine;
use crate::upgrade::{Journal, Phase, Preparation, Prepared, Standing, Upgrades, idle, prepare};

/// How far an upgrade is.
pub(super) enum Course {
    /// None is under way; how the last one ended.
    Rest(UpgradeReport),
    /// A program is fetched, verified and tried.
    Preparing {
        report: UpgradeReport,
        _task: AbortOnDropHandle<()>,
    },
    /// It waits until no job runs; none is taken meanwhile.
    Waiting(UpgradeReport, Prepared),
    /// This is the new program; it must be welcomed until then.
    Proving(Journal, Instant),
}

impl Course {
    /// As this process has started.
    pub(super) fn begin(upgrades: &Upgrades) -> Self {
        match &upgrades.standing {
            Standing::Fresh => Self::Rest(idle()),
            Standing::Ended(report) => Self::Rest(report.clone()),
            Standing::Proving(journal) => {
                Self::Proving(journal.clone(), Instant::now() + upgrades.patience)
            }
        }
    }

    /// What people are told of it.
    pub(super) fn report(&self) -> UpgradeReport {
        match self {
            Self::Rest(report) | Self::Preparing { report, .. } | Self::Waiting(report, _) => {
                report.clone()
            }
            Self::Proving(journal, _) => journal.report(),
        }
    }
}

impl Agent {
    pub(super) fn on_ask_upgrade(&mut self, ask: AskUpgrade) {
        let reply = match ask.wish {
            UpgradeWish::Show => Reply::Upgrade(self.course.report()),
            UpgradeWish::Begin(upgrade) => self.on_upgrade(upgrade),
        };
        self.say(&FromAgent::Reply(QueryReply { id: ask.id, reply }));
    }

    /// Begins an upgrade. To be told of the same one again begins nothing; another one waits for its end.
    fn on_upgrade(&mut self, upgrade: Upgrade) -> Reply {
        let present = self.course.report();
        match &self.course {
            Course::Rest(_) => {}
            _ if present.sha256 == upgrade.sha256 => return Reply::Upgrade(present),
            _ => {
                return Reply::Failed(format!(
                    "an upgrade to {} is under way; ask again when it has ended",
                    present.version
                ));
            }
        }
        let claimed = upgrade.signature.parse::<Signature>();
        let claim = claimed.ok().and_then(|signature| signature.claim().ok());
        let report = UpgradeReport {
            version: claim.map_or_else(String::new, |claim| claim.version.to_string()),
            sha256: upgrade.sha256,
            state: UpgradeState::Preparing,
        };
        tracing::info!(version = report.version, "an upgrade was asked for");
        let (terms, sender) = (self.options.upgrades.terms.clone(), self.sender.clone());
        let task = tokio::spawn(async move {
            let prepared = prepare(&terms, &upgrade).await;
            // It fails only when the agent is gone.
            let _ = sender.send(Event::Prepared(prepared)).await;
        });
        self.course = Course::Preparing {
            report: report.clone(),
            _task: AbortOnDropHandle::new(task),
        };
        Reply::Upgrade(report)
    }

    /// From now on no job is taken, so that there will be a moment without one.
    pub(super) fn on_prepared(&mut self, prepared: Result<Preparation, String>) {
        let report = self.course.report();
        let in_state = |state| UpgradeReport { state, ..report };
        match prepared {
            Ok(Preparation::Running) => self.course = Course::Rest(in_state(UpgradeState::Done)),
            Ok(Preparation::Ready(prepared)) => {
                tracing::info!(version = %prepared.version, jobs = self.machine.live(), "the new program is good; it waits for the jobs that run");
                self.course = Course::Waiting(in_state(UpgradeState::Waiting), prepared);
                self.feed(machine::Event::Stopping);
            }
            Err(why) => {
                tracing::error!("the agent was not upgraded: {why}");
                self.course = Course::Rest(in_state(UpgradeState::Refused(why)));
            }
        }
    }

    /// The control plane has this agent: a new program has proven itself.
    pub(super) fn is_welcomed(&mut self) {
        if let Course::Proving(journal, _) = &self.course {
            tracing::info!(version = journal.version, "the upgrade is done");
            let journal = journal.clone().entering(&self.options.dir, Phase::Done);
            self.course = Course::Rest(journal.report());
        }
    }

    /// Whether another program is to run in this one's place now.
    pub(super) fn due(&self) -> Option<Finish> {
        match &self.course {
            Course::Waiting(_, prepared) if self.machine.live() == 0 => {
                Some(Finish::Upgrade(prepared.clone()))
            }
            Course::Proving(journal, until) if Instant::now() >= *until => {
                let last = self.last.error.as_deref().unwrap_or("nothing was heard");
                let patience = self.options.upgrades.patience.as_secs();
                let why =
                    format!("the control plane did not welcome it within {patience} s: {last}");
                Some(Finish::GoBack(journal.clone(), why))
            }
            _ => None,
        }
    }
}
