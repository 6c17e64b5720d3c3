//! What happens every now and then.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::certificates::Certificates;
use crate::job;
use crate::relay::Layers;
use crate::store::Store;

const METRICS: Duration = Duration::from_secs(1);
/// Leases last 30 s, so a lost agent is noticed within 35 s.
const SWEEP: Duration = Duration::from_secs(5);
const COMPACTION: Duration = Duration::from_secs(10);
const ROLLUP: Duration = Duration::from_mins(1);
/// Agents that are away for two and a half minutes are told of; also how long they have to find a server that was
/// restarted, before it tells of them.
const PRESENCE: Duration = Duration::from_secs(150);
/// People are told of the end of a certificate days before.
const EXPIRY: Duration = Duration::from_mins(10);
/// What has lapsed gives nothing before it is noted.
const LAPSE: Duration = Duration::from_mins(1);
const PRUNING: Duration = Duration::from_hours(1);
/// Also how long after a rotation of the authority the listeners may go on with the former.
const CERTIFICATES: Duration = Duration::from_mins(10);

/// Starts all of them; they end when `stopping` is cancelled, each after what it is doing.
pub fn start(
    tasks: &TaskTracker,
    store: &Store,
    layers: Layers,
    mut certificates: Certificates,
    stopping: &CancellationToken,
) {
    macro_rules! every {
        ($period:ident, $name:literal, |$store:ident| $work:expr) => {{
            let ($store, stopping) = (store.clone(), stopping.clone());
            tasks.spawn(async move {
                let mut timer = Timer::new($period, stopping);
                while timer.tick().await {
                    note($name, $work.await);
                }
            });
        }};
    }
    every!(METRICS, "writing metrics", |store| store.flush_metrics());
    every!(
        SWEEP,
        "looking for lost agents",
        |store| job::sweep_expired(&store)
    );
    every!(LAPSE, "noting lapsed plans", |store| store
        .note_lapsed_plans());
    every!(PRESENCE, "looking for absent agents", |store| store
        .tell_of_absent_agents());
    every!(EXPIRY, "looking for certificates that end", |store| store
        .tell_of_expiring_certificates());
    every!(COMPACTION, "compacting logs", |store| store.compact_logs());
    every!(ROLLUP, "rolling up metrics", |store| store.rollup_metrics());
    every!(PRUNING, "removing what is outdated", |store| store.prune());
    every!(PRUNING, "removing layers of images", |_store| layers
        .prune());
    every!(
        CERTIFICATES,
        "renewing the listeners' certificates",
        |store| certificates.refresh(&store)
    );
}

/// Ticks until it is time to stop; a late tick moves the later ones.
struct Timer {
    interval: Interval,
    stopping: CancellationToken,
}

impl Timer {
    fn new(period: Duration, stopping: CancellationToken) -> Self {
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, stopping }
    }

    async fn tick(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => false,
            _ = self.interval.tick() => true,
        }
    }
}

/// A failure passes: the next tick tries again.
fn note<T, E: Display>(work: &'static str, done: Result<T, E>) {
    if let Err(error) = done {
        tracing::warn!(work, %error, "periodic work failed; it is tried again");
    }
}
