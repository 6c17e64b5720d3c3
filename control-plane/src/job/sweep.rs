//! The sweep: leases that ran out, and agents that were not woken for what waits for them.
//!
//! It is a safety net. What it finds was missed by a session that died with its server, or by a
//! wake-up that was lost. Each replica sweeps, so that each finds what its own sessions have missed.

use crate::job::JobState;
use crate::store::{Result, Store, StoreError};

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Offers that nobody answered, queued again.
    pub requeued: u64,
    /// Jobs whose agent is out of reach.
    pub unknown: u64,
    /// Agents that were woken for a job that is due, or shall stop.
    pub woken: u64,
}

/// Lets all leases expire that have run out, also by a clock that was set back, and wakes the agents
/// that overlook something.
pub async fn sweep_expired(store: &Store) -> Result<Swept> {
    let mut swept = Swept::default();
    store.heed_clock_set_back().await?;
    for job in store.expired_leases().await? {
        match store.expire_lease(job).await {
            Ok(Some(JobState::Queued)) => swept.requeued += 1,
            Ok(Some(JobState::Unknown)) => swept.unknown += 1,
            Ok(_) => {}
            // One broken row must not keep the leases of all others alive.
            Err(error @ StoreError::Damaged(_)) => {
                tracing::error!(%job, %error, "the lease of a job cannot expire");
            }
            Err(error) => return Err(error),
        }
    }
    for agent in store.overlooked().await? {
        store.wake().agent(agent);
        swept.woken += 1;
    }
    Ok(swept)
}
