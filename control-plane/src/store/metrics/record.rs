//! Taking samples in and writing them.

use std::sync::{MutexGuard, PoisonError};

use towline_shared::ids::{AgentId, TeamId};
use towline_shared::metrics::{ContainerSample, HostSample, MAX_CONTAINERS, Sample};
use uuid::Uuid;

use super::super::db::{Tx, execute, local_now};
use super::super::{Result, Store};
use super::buffer::{Pending, Waiting};
use super::encoding;
use super::resolution::Resolution;

/// A host's clock that is off by more is not believed, in milliseconds.
const TRUSTED_MS: i64 = 60_000;

impl Store {
    /// Takes a sample. It waits in memory for [`Store::flush_metrics`]; when too many wait, the agent's
    /// oldest are dropped.
    pub fn record_sample(&self, agent: AgentId, team: TeamId, sample: Sample) {
        self.record_at(agent, team, sample, local_now().timestamp_millis());
    }

    pub(super) fn record_at(&self, agent: AgentId, team: TeamId, sample: Sample, now_ms: i64) {
        let sample = made_safe(sample, now_ms);
        let at = Resolution::TenSeconds.start_of(sample.at_ms.div_euclid(1000));
        match encoding::encode(&sample) {
            Ok(sample) => self.pending().push(Waiting {
                agent,
                team,
                at,
                sample,
            }),
            Err(error) => tracing::warn!(%agent, %error, "a sample was dropped"),
        }
    }

    /// Writes the samples that wait, in one transaction. Gives their number. If it fails, they wait on.
    pub async fn flush_metrics(&self) -> Result<u64> {
        let batch = self.pending().take();
        if batch.is_empty() {
            return Ok(0);
        }
        match self.write_samples(&batch).await {
            Ok(()) => Ok(batch.len() as u64),
            Err(error) => {
                self.pending().put_back(batch);
                Err(error)
            }
        }
    }

    /// How many samples were dropped since the start, because too many waited to be written.
    pub fn samples_dropped(&self) -> u64 {
        self.pending().dropped()
    }

    async fn write_samples(&self, batch: &[Waiting]) -> Result<()> {
        let mut tx = self.telemetry().begin().await?;
        for Waiting {
            agent,
            team,
            at,
            sample,
        } in batch
        {
            write_row(
                &mut tx,
                (agent.uuid(), team.uuid()),
                Resolution::TenSeconds,
                *at,
                sample,
            )
            .await?;
        }
        tx.commit().await
    }

    /// A panic elsewhere cannot leave the buffer half-changed.
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.samples()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one row; a later one of the same interval counts.
pub(super) async fn write_row(
    tx: &mut Tx,
    (agent, team): (Uuid, Uuid),
    resolution: Resolution,
    at: i64,
    sample: &[u8],
) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO cluster_metrics (agent_id, team_id, resolution_s, at, sample) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (agent_id, resolution_s, at) DO UPDATE SET sample = excluded.sample",
        agent,
        team,
        resolution.seconds(),
        at,
        sample
    )?;
    Ok(())
}

/// What a broken or hostile agent says must not spoil averages or place samples in another time.
fn made_safe(mut sample: Sample, now_ms: i64) -> Sample {
    if sample.at_ms.abs_diff(now_ms) > TRUSTED_MS.unsigned_abs() {
        sample.at_ms = now_ms;
    }
    let HostSample {
        cpu_percent, load, ..
    } = &mut sample.host;
    for share in load.iter_mut().chain([cpu_percent]) {
        make_finite(share);
    }
    sample.containers.truncate(MAX_CONTAINERS);
    for ContainerSample { cpu_percent, .. } in &mut sample.containers {
        make_finite(cpu_percent);
    }
    sample
}

fn make_finite(share: &mut f32) {
    if !share.is_finite() {
        *share = 0.0;
    }
}
