//! The sweep: leases that ran out, and jobs whose waiting time is over.
//!
//! It is a safety net. What it finds was missed by a session that died with its server, or by a
//! wake-up that was lost.

use chrono::TimeDelta;

use crate::store::{Result, Store};

/// How far back a waiting time that is over is still announced; several sweeps cover it.
pub(crate) const ANNOUNCE_WITHIN: TimeDelta = TimeDelta::seconds(20);

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Offers that nobody answered, queued again.
    pub requeued: u64,
    /// Jobs whose agent is out of reach.
    pub unknown: u64,
    /// Agents that were woken for a job whose waiting time is over.
    pub woken: u64,
}

/// Lets all leases expire that have run out, and wakes for what has become due.
pub async fn sweep_expired(store: &Store) -> Result<Swept> {
    let mut swept = Swept::default();
    for job in store.expired_leases().await? {
        match store.expire_lease(job).await? {
            Some(crate::job::JobState::Queued) => swept.requeued += 1,
            Some(crate::job::JobState::Unknown) => swept.unknown += 1,
            _ => {}
        }
    }
    for agent in store.newly_due(ANNOUNCE_WITHIN).await? {
        store.wake().agent(agent);
        swept.woken += 1;
    }
    Ok(swept)
}
