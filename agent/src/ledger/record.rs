//! What the ledger says, and the state it adds up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use towline_shared::Fence;
use towline_shared::failpoint::{is_planted, reach};
use towline_shared::ids::TargetId;
use towline_shared::log::LogPosition;
use towline_shared::outcome::{Outcome, Step};
use towline_shared::protocol::v1::{Attempt, Offer};
use towline_shared::spec::{Interruption, JobSpec};

/// One entry of the journal. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The highest fence seen on a target; written by compaction.
    Fence(TargetId, Fence),
    /// An offer was accepted. Its specification stands before it, or lies in the attempt's folder.
    Accepted(Acceptance),
    /// Effects are permitted from here on.
    Begun(Attempt),
    /// The work intends a step.
    Step(Attempt, Step),
    /// The work has ended; its result waits to be acknowledged.
    Finished(Attempt, Outcome, LogPosition),
    /// The attempt is no longer this agent's.
    Forgotten(Attempt),
    /// The encoded specification of an attempt that is accepted next.
    Spec(Attempt, Vec<u8>),
}

impl Record {
    /// Marks that the record is durable.
    pub(super) fn journalled(&self) {
        match self {
            Self::Accepted(_) => reach("agent: journalled an acceptance"),
            Self::Begun(_) => reach("agent: journalled a beginning"),
            Self::Step(..) => reach("agent: journalled a step"),
            Self::Finished(..) => reach("agent: journalled a result"),
            Self::Forgotten(_) => reach("agent: journalled that a job is forgotten"),
            // Neither is durable alone: the one is written by compaction, the other before an acceptance.
            Self::Fence(..) | Self::Spec(..) => {}
        }
    }
}

/// An accepted offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The job and its fence.
    pub attempt: Attempt,
    /// Where it works.
    pub target: TargetId,
    /// What happens to it when the agent dies in the middle.
    pub interruption: Interruption,
    /// Whether secrets came with it. They are in no file, so a restart loses them.
    pub secrets: SecretCount,
    /// Where its log starts.
    pub log: LogPosition,
}

impl Acceptance {
    /// What accepting an offer says, whose specification was opened.
    pub fn of(offer: &Offer, spec: &JobSpec) -> Self {
        Self {
            attempt: offer.attempt,
            target: spec.target,
            interruption: spec.interruption,
            secrets: if offer.secrets.is_empty() {
                SecretCount::None
            } else {
                SecretCount::Some
            },
            log: offer.log,
        }
    }
}

/// Whether a job came with secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretCount {
    /// It came with none.
    None,
    /// It came with some.
    Some,
}

/// A job as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was accepted.
    pub accepted: Acceptance,
    /// How far it has come.
    pub progress: EntryProgress,
}

/// How far a journalled job has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryProgress {
    /// No effect was permitted.
    Accepted,
    /// Effects were permitted; the last step that was intended.
    Begun(Option<Step>),
    /// It has ended.
    Finished(Outcome, LogPosition),
}

/// All that the journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// The highest fence per target.
    pub fences: BTreeMap<TargetId, Fence>,
    /// The jobs that are held, in the order of their acceptance.
    pub jobs: Vec<Entry>,
    /// The encoded specifications that stand in the journal.
    specs: Vec<(Attempt, Vec<u8>)>,
}

impl LedgerState {
    /// Adds one entry. An entry on an attempt that is not held says nothing, because what it spoke
    /// of is forgotten.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Fence(target, fence) => self.raise(*target, *fence),
            Record::Accepted(accepted) => {
                self.raise(accepted.target, accepted.attempt.fence);
                self.jobs
                    .retain(|job| job.accepted.attempt != accepted.attempt);
                self.jobs.push(Entry {
                    accepted: accepted.clone(),
                    progress: EntryProgress::Accepted,
                });
            }
            Record::Begun(attempt) => self.advance(*attempt, EntryProgress::Begun(None)),
            Record::Step(attempt, step) => {
                self.advance(*attempt, EntryProgress::Begun(Some(*step)));
            }
            Record::Finished(..) if is_planted("agent: lose results by a restart") => {}
            Record::Finished(attempt, outcome, log) => {
                self.advance(*attempt, EntryProgress::Finished(outcome.clone(), *log));
            }
            Record::Forgotten(attempt) => {
                self.jobs.retain(|job| job.accepted.attempt != *attempt);
                self.specs.retain(|(of, _)| of != attempt);
            }
            Record::Spec(attempt, spec) => self.specs.push((*attempt, spec.clone())),
        }
    }

    /// The encoded specification of a job, if it stands in the journal.
    pub fn spec(&self, attempt: Attempt) -> Option<&[u8]> {
        let mut specs = self.specs.iter();
        specs
            .find(|(of, _)| *of == attempt)
            .map(|(_, spec)| spec.as_slice())
    }

    /// The fewest records that add up to this state.
    pub fn records(&self) -> Vec<Record> {
        let fences = self.fences.iter();
        let mut records: Vec<_> = fences
            .map(|(target, fence)| Record::Fence(*target, *fence))
            .collect();
        for job in &self.jobs {
            let attempt = job.accepted.attempt;
            records.extend(
                self.spec(attempt)
                    .map(|spec| Record::Spec(attempt, spec.to_vec())),
            );
            records.extend(job.records());
        }
        records
    }

    fn raise(&mut self, target: TargetId, fence: Fence) {
        if is_planted("agent: lose fences by a restart") {
            return;
        }
        let highest = self.fences.entry(target).or_insert(fence);
        *highest = fence.max(*highest);
    }

    fn advance(&mut self, attempt: Attempt, progress: EntryProgress) {
        let job = self
            .jobs
            .iter_mut()
            .find(|job| job.accepted.attempt == attempt);
        if let Some(job) = job {
            job.progress = progress;
        }
    }
}

impl Entry {
    fn records(&self) -> Vec<Record> {
        let attempt = self.accepted.attempt;
        let mut records = vec![Record::Accepted(self.accepted.clone())];
        match &self.progress {
            EntryProgress::Accepted => {}
            EntryProgress::Begun(None) => records.push(Record::Begun(attempt)),
            EntryProgress::Begun(Some(step)) => records.push(Record::Step(attempt, *step)),
            EntryProgress::Finished(outcome, log) => {
                records.push(Record::Finished(attempt, outcome.clone(), *log));
            }
        }
        records
    }
}
