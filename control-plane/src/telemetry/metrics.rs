//! Metrics of the server's own process, for `/metrics`.

use std::sync::{Arc, atomic::AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

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
    agents: Gauge,
    jobs: Family<StateLabels, Gauge>,
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
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// What is only known when somebody asks.
#[derive(Debug)]
pub struct Readings {
    /// Agents connected to this process.
    pub agents: usize,
    /// Jobs by state.
    pub jobs: Vec<(&'static str, u64)>,
}

impl ProcessMetrics {
    /// All metrics at zero, and `observed`, which others count, beside them.
    pub fn new(observed: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("towline");
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
        let agents = register(
            &mut registry,
            "agents_connected",
            "Agents connected to this process",
            Gauge::default(),
        );
        let jobs = register(&mut registry, "jobs", "Jobs by state", Family::default());
        observed(&mut registry);
        Self(Arc::new(Inner {
            registry,
            requests,
            latency,
            agents,
            jobs,
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
        self.0
            .agents
            .set(i64::try_from(readings.agents).unwrap_or(i64::MAX));
        self.0.jobs.clear();
        for (state, count) in &readings.jobs {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.0
                .jobs
                .get_or_create(&StateLabels {
                    state: (*state).to_owned(),
                })
                .set(count);
        }
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
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
        let metrics = ProcessMetrics::new(|_| {});
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
        let readings = Readings {
            agents: 3,
            jobs: vec![("queued", 7)],
        };
        let text = metrics.encode(&readings).unwrap();
        for line in [
            r#"towline_http_requests_total{method="GET",route="/a/{id}",status="200"} 2"#,
            r#"towline_http_requests_total{method="GET",route="/a/{id}",status="404"} 1"#,
            r#"towline_http_requests_total{method="other",route="none",status="200"} 1"#,
            r#"towline_http_request_duration_seconds_count{method="GET",route="/a/{id}"} 3"#,
            "towline_agents_connected 3",
            r#"towline_jobs{state="queued"} 7"#,
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let later = metrics
            .encode(&Readings {
                agents: 0,
                jobs: vec![],
            })
            .unwrap();
        assert!(!later.contains("towline_jobs{"), "{later}");
    }
}
