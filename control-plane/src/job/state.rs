//! The life of a job as the control plane sees it: pure transitions.
//!
//! `queued → offered → accepted → running → succeeded | failed | cancelled`, with `unknown` while
//! the agent is out of reach. Terminal states absorb. A report counts only under the job's current
//! fence. The store reads a [`Job`], asks [`step`], and writes the answer by compare-and-swap.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use towline_shared::Fence;
use towline_shared::failpoint::is_planted;
use towline_shared::outcome::FailureReason;
use towline_shared::protocol::v1::{HeldPhase, Refusal};
use towline_shared::spec::Interruption;
use utoipa::ToSchema;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for its target.
    Queued,
    /// An agent was told of it.
    Offered,
    /// An agent has it in its journal; nothing was done yet.
    Accepted,
    /// An agent works on it.
    Running,
    /// Its agent is out of reach; the host may still be working.
    Unknown,
    /// The work is done.
    Succeeded,
    /// The work is not done.
    Failed,
    /// The work was stopped on request.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Offered,
        Self::Accepted,
        Self::Running,
        Self::Unknown,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it never changes any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether an agent holds it, or may hold it.
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::Offered | Self::Accepted | Self::Running | Self::Unknown
        )
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no state.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no state of a job; there are queued, offered, accepted, running, unknown, succeeded, failed and cancelled"
)]
pub struct UnknownState(String);

impl FromStr for JobState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What of a job decides its transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where it is.
    pub state: JobState,
    /// The fence of its last offer.
    pub fence: Fence,
    /// Whether somebody asked to stop it.
    pub cancel: Cancel,
    /// Whether its work has begun at any time.
    pub begun: Begun,
    /// What happens when its agent dies in the middle.
    pub interruption: Interruption,
}

/// Whether somebody asked to stop a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// Nobody.
    No,
    /// Somebody; the intent is stored until the job has ended.
    Requested,
}

/// Whether a job's work has begun at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing was changed on the host.
    No,
    /// Something may have been.
    Yes,
}

/// Something that happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its target's agent takes it, under a new fence.
    Claim(Fence),
    /// The agent has journalled it.
    Accepted(Fence),
    /// The agent will not do it.
    Refused(Fence, Refusal),
    /// The agent has begun.
    Started(Fence),
    /// The agent has come to another step.
    Progress(Fence),
    /// The agent has ended it.
    Finished(Fence, Ending),
    /// Somebody asks to stop it.
    CancelRequested,
    /// Its agent's session has not renewed its lease.
    LeaseExpired,
    /// Its agent's session renews its lease.
    LeaseRenewed,
    /// Its agent has connected again and holds it.
    Held(Fence, HeldPhase),
    /// Its agent has connected again and does not hold it.
    Lost,
    /// Its agent was revoked.
    AgentRevoked,
    /// The images that it waits for were not built.
    BuildFailed,
}

/// How an agent's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done and verified.
    Succeeded,
    /// Not done.
    Failed,
    /// Stopped on request.
    Cancelled,
}

/// What an event does to a job, and what its agent is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is written.
    pub change: Change,
    /// What the agent is told, if it asked.
    pub reply: Reply,
}

/// What an event writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It is offered under this fence, with a lease.
    Offer(Fence),
    /// It goes to another live state; with a lease unless it is `unknown`.
    Go(JobState),
    /// It waits again.
    Requeue(Requeue),
    /// Where its work is.
    Note,
    /// The intent to stop it.
    RequestCancel,
    /// It ends as its agent says.
    End(Ending),
    /// It ends as cancelled without its agent: nobody holds it.
    CancelNow,
    /// It ends without its agent, and this is why.
    Fail(FailureReason),
}

/// When a job is offered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// At once.
    Now,
    /// After a short while: the agent could not take it.
    Later,
    /// At once, under a fence that outdates all that the agent has seen.
    RaisedFence,
}

/// What an agent is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nothing,
    /// The acceptance is recorded: begin.
    Go,
    /// Go on; to an accepted job this means begin.
    Continue,
    /// Stop at the next safe point.
    Cancel,
    /// Send the rest of the log and the result again.
    Resend,
    /// It is recorded, or not the agent's any more.
    Forget,
}

const fn quiet(change: Change) -> Step {
    Step {
        change,
        reply: Reply::Nothing,
    }
}

const fn answer(change: Change, reply: Reply) -> Step {
    Step { change, reply }
}

/// Decides what an event does to a job.
pub fn step(job: &Job, event: Event) -> Step {
    match event {
        Event::Claim(_) | Event::BuildFailed if job.state != JobState::Queued => {
            quiet(Change::None)
        }
        Event::Claim(fence) => quiet(Change::Offer(fence)),
        Event::Accepted(fence) => accepted(job, fence),
        Event::Refused(fence, refusal) => refused(job, fence, refusal),
        Event::Started(fence) => started(job, fence),
        Event::Progress(fence) => progress(job, fence),
        Event::Finished(fence, ending) => finished(job, fence, ending),
        Event::CancelRequested => cancel_requested(job),
        Event::LeaseExpired => lease_expired(job),
        Event::LeaseRenewed => lease_renewed(job),
        Event::Held(fence, phase) => held(job, fence, phase),
        Event::Lost => lost(job),
        Event::AgentRevoked if job.state.is_terminal() => quiet(Change::None),
        Event::BuildFailed => quiet(Change::Fail(FailureReason::BuildFailed)),
        Event::AgentRevoked => answer(Change::Fail(FailureReason::AgentRevoked), Reply::Forget),
    }
}

/// A report under the job's fence, from an agent that has journalled it.
fn is_at_work(job: &Job, fence: Fence) -> bool {
    job.fence == fence
        && matches!(
            job.state,
            JobState::Accepted | JobState::Running | JobState::Unknown
        )
}

fn accepted(job: &Job, fence: Fence) -> Step {
    let is_current = job.fence == fence || is_planted("plane: take an outdated acceptance");
    if job.state == JobState::Offered && is_current {
        if is_planted("plane: say go before it is recorded") {
            return answer(Change::None, Reply::Go);
        }
        return answer(Change::Go(JobState::Accepted), Reply::Go);
    }
    if !is_at_work(job, fence) {
        return answer(Change::None, Reply::Forget);
    }
    match job.cancel {
        Cancel::No => answer(Change::None, Reply::Go),
        Cancel::Requested => answer(Change::None, Reply::Cancel),
    }
}

fn refused(job: &Job, fence: Fence, refusal: Refusal) -> Step {
    if job.state != JobState::Offered || job.fence != fence {
        return quiet(Change::None);
    }
    quiet(match refusal {
        Refusal::Busy | Refusal::Stopping | Refusal::Journal => Change::Requeue(Requeue::Later),
        Refusal::StaleFence => Change::Requeue(Requeue::RaisedFence),
        Refusal::Unreadable => Change::Fail(FailureReason::Internal),
    })
}

fn started(job: &Job, fence: Fence) -> Step {
    let moves = matches!(job.state, JobState::Accepted | JobState::Unknown);
    if moves && job.fence == fence {
        quiet(Change::Go(JobState::Running))
    } else {
        stale(job, fence)
    }
}

fn progress(job: &Job, fence: Fence) -> Step {
    match job.state {
        JobState::Running | JobState::Accepted if job.fence == fence => quiet(Change::Note),
        JobState::Unknown if job.fence == fence => quiet(Change::Go(JobState::Running)),
        _ => stale(job, fence),
    }
}

/// A report that changes nothing; its sender is told when the job is not its own any more.
fn stale(job: &Job, fence: Fence) -> Step {
    if is_at_work(job, fence) {
        quiet(Change::None)
    } else {
        answer(Change::None, Reply::Forget)
    }
}

fn finished(job: &Job, fence: Fence, ending: Ending) -> Step {
    if is_at_work(job, fence) {
        answer(Change::End(ending), Reply::Forget)
    } else {
        answer(Change::None, Reply::Forget)
    }
}

fn cancel_requested(job: &Job) -> Step {
    match job.state {
        JobState::Accepted if is_planted("plane: cancel at once after accept") => {
            answer(Change::CancelNow, Reply::Forget)
        }
        state if state.is_terminal() && is_planted("plane: cancel what has ended") => {
            answer(Change::CancelNow, Reply::Forget)
        }
        JobState::Queued | JobState::Offered => answer(Change::CancelNow, Reply::Forget),
        JobState::Accepted | JobState::Running | JobState::Unknown => match job.cancel {
            Cancel::No => answer(Change::RequestCancel, Reply::Cancel),
            Cancel::Requested => answer(Change::None, Reply::Cancel),
        },
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => quiet(Change::None),
    }
}

fn lease_expired(job: &Job) -> Step {
    quiet(match job.state {
        JobState::Offered => Change::Requeue(Requeue::Now),
        JobState::Running if is_planted("plane: queue what is out of reach") => {
            Change::Requeue(Requeue::Now)
        }
        JobState::Accepted | JobState::Running => Change::Go(JobState::Unknown),
        _ => Change::None,
    })
}

/// A lease may run out under a session that lives: while the database does not answer, or when its
/// clock jumps. What the agent does not hold was settled when it connected.
fn lease_renewed(job: &Job) -> Step {
    quiet(match (job.state, job.begun) {
        _ if is_planted("plane: stay out of reach") => Change::None,
        (JobState::Unknown, Begun::No) => Change::Go(JobState::Accepted),
        (JobState::Unknown, Begun::Yes) => Change::Go(JobState::Running),
        _ => Change::None,
    })
}

fn held(job: &Job, fence: Fence, phase: HeldPhase) -> Step {
    let is_offered = job.state == JobState::Offered && job.fence == fence;
    if !is_offered && !is_at_work(job, fence) {
        return answer(Change::None, Reply::Forget);
    }
    let (state, reply) = match phase {
        // An agent whose journal says less than it reported before: what it reported stays true.
        HeldPhase::Accepted if job.begun == Begun::Yes => (JobState::Running, Reply::Continue),
        HeldPhase::Accepted => (JobState::Accepted, Reply::Continue),
        HeldPhase::Running if is_planted("plane: forget what runs") => {
            return answer(Change::None, Reply::Forget);
        }
        HeldPhase::Running => (JobState::Running, Reply::Continue),
        HeldPhase::Finished if job.state == JobState::Offered => {
            (JobState::Accepted, Reply::Resend)
        }
        HeldPhase::Finished => return answer(Change::None, Reply::Resend),
    };
    let reply = match job.cancel {
        Cancel::Requested if reply == Reply::Continue => Reply::Cancel,
        _ => reply,
    };
    answer(Change::Go(state), reply)
}

fn lost(job: &Job) -> Step {
    quiet(match job.state {
        JobState::Offered => Change::Requeue(Requeue::Now),
        JobState::Accepted | JobState::Running | JobState::Unknown => {
            match (job.cancel, job.interruption, job.begun) {
                (Cancel::Requested, _, _) => Change::CancelNow,
                (_, Interruption::Resume, _)
                | (_, Interruption::RequeueIfNotStarted, Begun::No) => {
                    Change::Requeue(Requeue::Now)
                }
                _ => Change::Fail(FailureReason::JournalLost),
            }
        }
        _ => Change::None,
    })
}

#[cfg(test)]
mod tests;
