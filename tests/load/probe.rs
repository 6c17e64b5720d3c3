//! How fast the API answers meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;
use towline_tests::api::Api;

const PAUSE: Duration = Duration::from_millis(20);

/// Asks for a list of agents again and again.
pub struct Probe {
    over: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Duration>>,
}

/// Latencies in milliseconds.
#[derive(Debug, Default, Serialize)]
pub struct Latency {
    /// How many requests were answered.
    pub requests: usize,
    /// The median.
    pub p50_ms: f64,
    /// 99 of 100 were as fast.
    pub p99_ms: f64,
}

impl Probe {
    /// Begins to ask.
    pub fn start(api: &Api) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (api, stop) = (api.clone(), Arc::clone(&over));
        let asking = thread::spawn(move || {
            let mut latencies = Vec::new();
            while !stop.load(SeqCst) {
                let began = Instant::now();
                let request = api.request(reqwest::Method::GET, "/agents?limit=50");
                if api
                    .try_send(request)
                    .is_ok_and(|answer| answer.status == 200)
                {
                    latencies.push(began.elapsed());
                }
                thread::sleep(PAUSE);
            }
            latencies
        });
        Self { over, asking }
    }

    /// Stops, and says how it was.
    pub fn stop(self) -> Latency {
        self.over.store(true, SeqCst);
        let mut latencies = self.asking.join().unwrap_or_default();
        latencies.sort_unstable();
        let at = |share: usize| {
            let index = (latencies.len() * share / 100).min(latencies.len().saturating_sub(1));
            latencies
                .get(index)
                .map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
        };
        Latency {
            requests: latencies.len(),
            p50_ms: at(50),
            p99_ms: at(99),
        }
    }
}
