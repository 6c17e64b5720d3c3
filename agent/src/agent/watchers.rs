//! What watches the host beside the loop: its capabilities and its metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{Agent, Event};
use crate::executor::Executor;
use crate::metrics::Sampler;

/// Whether anybody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connected {
    Yes,
    No,
}

impl Agent {
    /// They end when the set is dropped.
    pub(super) fn start_watchers(&self) -> JoinSet<()> {
        let pace = self.options.pace;
        let mut watchers = JoinSet::new();
        watchers.spawn(watch_capabilities(
            Arc::clone(&self.executor),
            pace.capabilities,
            self.connected.subscribe(),
            self.sender.clone(),
        ));
        if let Some(data) = &self.options.engine_data {
            watchers.spawn(sample(
                Sampler::new(data),
                Arc::clone(&self.executor),
                pace.sample,
                self.connected.subscribe(),
                self.sender.clone(),
            ));
        }
        watchers
    }
}

/// Looks at once, because the first hello waits for it, and from time to time while connected.
async fn watch_capabilities(
    executor: Arc<dyn Executor>,
    every: Duration,
    mut connected: watch::Receiver<Connected>,
    sender: mpsc::Sender<Event>,
) {
    loop {
        let capabilities = executor.capabilities().await;
        if sender
            .send(Event::Capabilities(capabilities))
            .await
            .is_err()
        {
            return;
        }
        sleep(every).await;
        if connected
            .wait_for(|connected| *connected == Connected::Yes)
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn sample(
    mut sampler: Sampler,
    executor: Arc<dyn Executor>,
    every: Duration,
    mut connected: watch::Receiver<Connected>,
    sender: mpsc::Sender<Event>,
) {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if connected
            .wait_for(|connected| *connected == Connected::Yes)
            .await
            .is_err()
        {
            return;
        }
        let sample = sampler.sample(executor.containers().await);
        if sender.send(Event::Sampled(sample)).await.is_err() {
            return;
        }
    }
}
