//! What agents and people are refused, in the audit log.
//!
//! A host that was taken over can say whatever it likes under its certificate. Nothing of that is
//! heeded, and each act that no agent of ours would do is an entry, so that people see it. What is
//! free to be said without end must not fill the disk, so each agent and each person has [`AT_ONCE`] entries and
//! one more every [`EVERY`]; those beyond are counted, and the next entry tells how many they were:
//! at most some 150 KB a day for an agent that never rests. The count is of this process, so that
//! it costs nothing while all is well.
//!
//! What messages that cross on the wire bring about is no entry: a report on a job that was
//! cancelled a moment ago is answered, not accused.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use serde_json::{Value, json};
use towline_shared::ids::{AgentId, TeamId, UserId};
use towline_shared::protocol::v1::Attempt;
use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::db::{local_now, optional};
use super::{Result, Store, Tenant};
use crate::domain::allowance::Allowances;
use crate::job::{Event, Job, JobState};

/// Entries that an agent may bring about at once,
const AT_ONCE: u32 = 64;
/// and how long it takes until it may bring about one more.
const EVERY: TimeDelta = TimeDelta::minutes(5);
/// The most bytes of a reason that are kept.
const MAX_REASON: usize = 300;

/// How many entries each may still bring about.
#[derive(Debug)]
pub(super) struct Budget {
    agents: Mutex<Allowances<AgentId>>,
    people: Mutex<Allowances<UserId>>,
}

impl Budget {
    pub(super) fn full() -> Self {
        Self {
            agents: Mutex::new(Allowances::new(AT_ONCE, EVERY)),
            people: Mutex::new(Allowances::new(AT_ONCE, EVERY)),
        }
    }
}

/// Uses an allowance once, and adds to the detail how many before went unwritten; nothing when none is left.
fn within<K: Hash + Eq>(budget: &Mutex<Allowances<K>>, who: K, mut detail: Value) -> Option<Value> {
    let mut budget = budget.lock().unwrap_or_else(PoisonError::into_inner);
    let unwritten = budget.spend(who, local_now())?;
    if unwritten > 0 {
        detail["unwritten_before"] = unwritten.into();
    }
    Some(detail)
}

/// A report that is refused because the job is another agent's, or nobody's. The two are one reason:
/// what others have is not told.
pub(super) const NOT_ITS_OWN: &str = "the job is not this agent's";
/// A report that is refused because the job was offered again since, or under no such fence.
pub(super) const ANOTHER_FENCE: &str = "the fence is not the job's";
/// A report that is refused because nothing but an answer may follow an offer.
pub(super) const NOT_ACCEPTED: &str = "the job was not accepted";

/// Why a report that changed nothing is none that an agent of ours makes; nothing, if it may be.
pub(super) fn reason(job: &Job, event: Event) -> Option<&'static str> {
    let (Event::Accepted(fence)
    | Event::Refused(fence, _)
    | Event::Started(fence)
    | Event::Progress(fence)
    | Event::Finished(fence, _)) = event
    else {
        return None;
    };
    if fence != job.fence {
        return Some(ANOTHER_FENCE);
    }
    match (job.state, event) {
        (JobState::Accepted | JobState::Running, Event::Refused(..)) => {
            Some("the job was accepted")
        }
        (JobState::Offered, _) => Some(NOT_ACCEPTED),
        _ => None,
    }
}

/// The name of a report's message.
pub(super) const fn name(event: Event) -> &'static str {
    match event {
        Event::Accepted(_) => "Accepted",
        Event::Refused(..) => "Refused",
        Event::Started(_) => "Started",
        Event::Progress(_) => "Progress",
        Event::Finished(..) => "Finished",
        _ => "",
    }
}

impl Store {
    /// An agent's session has ended because it broke the protocol.
    pub async fn note_violation(&self, agent: AgentId, session: Uuid, why: &str) -> Result<()> {
        let why = &why[..why.floor_char_boundary(MAX_REASON)];
        let detail = json!({ "session": session, "why": super::text::storable(why) });
        self.note_refusal(agent, "agent.violation", detail).await
    }

    /// A report of an agent was refused; its session goes on.
    pub(super) async fn note_refused_report(
        &self,
        agent: AgentId,
        said: &str,
        attempt: Attempt,
        why: &str,
    ) -> Result<()> {
        let detail = json!({
            "said": said,
            "job": attempt.job,
            "fence": attempt.fence.to_string(),
            "why": why,
        });
        self.note_refusal(agent, "agent.report_refused", detail)
            .await
    }

    /// An agent that connects says to hold jobs that are not its own. An honest one does when its
    /// host was enrolled again in the same folder.
    pub(super) async fn note_foreign_jobs(&self, agent: AgentId, count: usize) -> Result<()> {
        let detail = json!({ "said": "Hello", "jobs": count, "why": NOT_ITS_OWN });
        self.note_refusal(agent, "agent.report_refused", detail)
            .await
    }

    /// A person asked for what their role or their key does not allow.
    pub async fn note_refused_access(
        &self,
        tenant: &Tenant,
        method: &str,
        route: &str,
        why: &str,
    ) -> Result<()> {
        let detail = json!({ "method": method, "route": route, "why": why });
        let Some(detail) = within(&self.refusals().people, tenant.user(), detail) else {
            return Ok(());
        };
        let mut tx = self.main().begin().await?;
        let subject = ("team", tenant.team().uuid());
        audit::append_of(
            &mut tx,
            tenant,
            "access.refuse",
            subject,
            detail,
            local_now(),
        )
        .await?;
        tx.commit().await
    }

    async fn note_refusal(&self, agent: AgentId, action: &str, detail: Value) -> Result<()> {
        let Some(detail) = within(&self.refusals().agents, agent, detail) else {
            return Ok(());
        };
        let mut tx = self.main().begin().await?;
        let sql = "SELECT team_id FROM agents WHERE id = $1";
        let Some((team,)) = optional!(tx.conn(), (Uuid,), sql, agent.uuid())? else {
            return tx.roll_back().await;
        };
        let now = tx.now().await?;
        let entry = Entry {
            chain: team,
            team: Some(TeamId::from(team)),
            actor: Actor::Agent(agent),
            action,
            subject: ("agent", Some(agent.uuid())),
            detail,
        };
        audit::append(&mut tx, &entry, now).await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use towline_shared::Fence;
    use towline_shared::protocol::v1::Refusal;
    use towline_shared::spec::Interruption;

    use super::*;
    use crate::job::{Begun, Cancel, Ending};

    #[test]
    fn what_may_cross_on_the_wire_is_told_from_what_may_not() {
        use JobState::{Accepted, Cancelled, Offered, Queued, Running, Succeeded, Unknown};
        let (ours, other) = (Fence::new(1, 7), Fence::new(1, 6));
        let busy = |fence| Event::Refused(fence, Refusal::Busy);
        let ended = |fence| Event::Finished(fence, Ending::Succeeded);
        let table = [
            (Running, Event::Started(other), true),
            (Queued, ended(other), true),
            (Offered, Event::Started(ours), true),
            (Offered, Event::Progress(ours), true),
            (Offered, ended(ours), true),
            (Running, busy(ours), true),
            // The cancel, the result or the end of the lease was on its way.
            (Cancelled, Event::Accepted(ours), false),
            (Cancelled, busy(ours), false),
            (Queued, Event::Accepted(ours), false),
            (Succeeded, ended(ours), false),
            (Accepted, Event::Accepted(ours), false),
            (Unknown, Event::Progress(ours), false),
            (Running, Event::LeaseExpired, false),
        ];
        for (state, event, refused) in table {
            let job = Job {
                state,
                fence: ours,
                cancel: Cancel::No,
                begun: Begun::No,
                interruption: Interruption::Resume,
            };
            assert_eq!(reason(&job, event).is_some(), refused, "{state} {event:?}");
        }
    }
}
