//! Metrics of the server's own process, for `/metrics`.

use std::sync::{Arc, atomic::AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::agents::Counts;
use crate::job::JobState;

const PREFIX: &str = "towline";

/// The media type of what [`ProcessMetrics::encode`] writes.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds; an answer takes well under a millisecond, an upload on a slow line half a minute.
const LATENCY_BUCKETS: [f64; 11] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// The counters of this process. Cloning gives another handle to the same ones.
#[derive(Clone, Debug)]
pub struct ProcessMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// What is only known when somebody asks.
#[derive(Debug)]
pub struct Readings {
    /// The agents' side of this process.
    pub agents: Counts,
    /// Jobs of the installation by state.
    pub jobs: Vec<(JobState, u64)>,
}

impl Readings {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        let connected = ConstGauge::new(self.agents.connected);
        registry.register(
            "agents_connected",
            "Agents connected to this process",
            connected,
        );
        for (name, help, value) in [
            (
                "agent_connections",
                "Connections taken on the agent listener",
                self.agents.connections,
            ),
            (
                "agent_handshakes_failed",
                "Connections that ended before a session",
                self.agents.failed_handshakes,
            ),
            (
                "agents_refused",
                "Agents that were not admitted",
                self.agents.refused,
            ),
            (
                "agent_sessions",
                "Sessions that reached their welcome",
                self.agents.sessions,
            ),
            (
                "agent_sessions_superseded",
                "Sessions ended by a newer one of the same agent",
                self.agents.superseded,
            ),
            (
                "agent_violations",
                "Sessions ended because the agent broke the protocol",
                self.agents.violations,
            ),
            (
                "agent_dead_links",
                "Sessions ended because the agent fell silent",
                self.agents.dead_links,
            ),
            (
                "agent_frames_received",
                "Frames received from agents",
                self.agents.frames_in,
            ),
            (
                "agent_frames_sent",
                "Messages sent to agents",
                self.agents.frames_out,
            ),
            (
                "log_lines_stored",
                "Log lines stored and acknowledged",
                self.agents.log_lines,
            ),
            (
                "samples_dropped",
                "Metrics samples dropped",
                self.agents.samples_dropped,
            ),
        ] {
            registry.register(name, help, ConstCounter::new(value));
        }
        let jobs = Family::<StateLabels, Gauge<u64, AtomicU64>>::default();
        for (state, count) in &self.jobs {
            jobs.get_or_create(&StateLabels {
                state: state.as_str(),
            })
            .set(*count);
        }
        registry.register("jobs", "Jobs that have not ended, by state", jobs);
        registry
    }
}

impl ProcessMetrics {
    /// All metrics at zero, beside the store's commit times.
    pub fn new(commits: Histogram) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let build = Family::<BuildLabels, Gauge<u64, AtomicU64>>::default();
        build
            .get_or_create(&BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        registry.register("build", "The version that runs", build);
        let requests = register(
            &mut registry,
            "http_requests",
            "HTTP requests answered",
            Family::default(),
        );
        let latency = register(
            &mut registry,
            "http_request_duration_seconds",
            "Time from an HTTP request's head to its answer's head",
            Family::new_with_constructor((|| Histogram::new(LATENCY_BUCKETS)) as fn() -> Histogram),
        );
        registry.register(
            "store_commit_duration_seconds",
            "Time until a write to the main database was durable",
            commits,
        );
        Self(Arc::new(Inner {
            registry,
            requests,
            latency,
        }))
    }

    /// Counts an answered request. `route` is the route's pattern, so that the labels are bounded.
    pub fn answered(
        &self,
        method: &http::Method,
        route: &str,
        status: http::StatusCode,
        took: Duration,
    ) {
        let method = known_method(method);
        self.0
            .requests
            .get_or_create(&RequestLabels {
                method: method.to_owned(),
                route: route.to_owned(),
                status: status.as_u16(),
            })
            .inc();
        self.0
            .latency
            .get_or_create(&RouteLabels {
                method: method.to_owned(),
                route: route.to_owned(),
            })
            .observe(took.as_secs_f64());
    }

    /// Everything in the OpenMetrics text form.
    pub fn encode(&self, readings: &Readings) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.0.registry)?;
        text::encode_registry(&mut text, &readings.registry())?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }
}

fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// A method as a label: whatever is made up by a client counts as one.
fn known_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_status() {
        let metrics = ProcessMetrics::new(Histogram::new([0.001]));
        for status in [200, 200, 404] {
            let status = http::StatusCode::from_u16(status).unwrap();
            metrics.answered(
                &http::Method::GET,
                "/a/{id}",
                status,
                Duration::from_millis(2),
            );
        }
        let odd = http::Method::from_bytes(b"BREW").unwrap();
        metrics.answered(&odd, "none", http::StatusCode::OK, Duration::ZERO);
        let agents = Counts {
            connected: 3,
            log_lines: 5,
            ..Counts::default()
        };
        let readings = Readings {
            agents,
            jobs: vec![(JobState::Queued, 7)],
        };
        let text = metrics.encode(&readings).unwrap();
        for line in [
            r#"towline_http_requests_total{method="GET",route="/a/{id}",status="200"} 2"#,
            r#"towline_http_requests_total{method="GET",route="/a/{id}",status="404"} 1"#,
            r#"towline_http_requests_total{method="other",route="none",status="200"} 1"#,
            r#"towline_http_request_duration_seconds_count{method="GET",route="/a/{id}"} 3"#,
            "towline_agents_connected 3",
            r#"towline_jobs{state="queued"} 7"#,
            "# TYPE towline_log_lines_stored counter",
            "towline_log_lines_stored_total 5",
            "# TYPE towline_log_lines_stored counter",
            "towline_log_lines_stored_total 5",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1, "{text}");
        let later = Readings {
            agents: Counts::default(),
            jobs: vec![],
        };
        let later = metrics.encode(&later).unwrap();
        assert!(!later.contains("towline_jobs{"), "{later}");
    }
}
