//! The state of hosts and containers in Prometheus' text form, version 0.0.4.

use std::collections::HashSet;
use std::fmt::{self, Display, Write as _};

use towline_shared::metrics::{ContainerSample, Health, HostSample};

use crate::store::{Agent, AgentStatus, StoredSample};

/// The media type of what [`write`] gives.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An agent, and its latest sample unless that is too old to show.
#[derive(Debug)]
pub struct Scraped {
    /// The agent.
    pub agent: Agent,
    /// Its latest sample.
    pub sample: Option<StoredSample>,
}

#[derive(Clone, Copy)]
enum Type {
    Gauge,
    Counter,
}

/// One metric of hosts or of containers: its name behind the prefix, and where its value comes from.
struct Metric<S> {
    name: &'static str,
    kind: Type,
    help: &'static str,
    value: fn(&S) -> f64,
}

const fn gauge<S>(name: &'static str, help: &'static str, value: fn(&S) -> f64) -> Metric<S> {
    let kind = Type::Gauge;
    Metric {
        name,
        kind,
        help,
        value,
    }
}

const fn counter<S>(name: &'static str, help: &'static str, value: fn(&S) -> f64) -> Metric<S> {
    Metric {
        kind: Type::Counter,
        ..gauge(name, help, value)
    }
}

#[rustfmt::skip]
const HOST: [Metric<HostSample>; 13] = [
    gauge("cpu_usage_ratio", "Share of all cores in use, 0 to 1", |it| ratio(it.cpu_percent)),
    gauge("cpu_cores", "Number of cores", |it| it.cores.into()),
    gauge("load1", "Load average over 1 minute", |it| it.load[0].into()),
    gauge("load5", "Load average over 5 minutes", |it| it.load[1].into()),
    gauge("load15", "Load average over 15 minutes", |it| it.load[2].into()),
    gauge("memory_used_bytes", "Memory in use", |it| bytes(it.memory_used)),
    gauge("memory_total_bytes", "Memory there is", |it| bytes(it.memory_total)),
    gauge("disk_used_bytes", "In use on the file system of the engine's data", |it| bytes(it.disk_used)),
    gauge("disk_total_bytes", "Size of the file system of the engine's data", |it| bytes(it.disk_total)),
    counter("disk_read_bytes_total", "Read from block devices", |it| bytes(it.disk_read)),
    counter("disk_written_bytes_total", "Written to block devices", |it| bytes(it.disk_written)),
    counter("network_received_bytes_total", "Received on all interfaces but loopback", |it| bytes(it.net_received)),
    counter("network_sent_bytes_total", "Sent on all interfaces but loopback", |it| bytes(it.net_sent)),
];

#[rustfmt::skip]
const CONTAINER: [Metric<ContainerSample>; 8] = [
    gauge("cpu_usage_cores", "Cores in use", |it| ratio(it.cpu_percent)),
    gauge("memory_used_bytes", "Memory in use, without the page cache", |it| bytes(it.memory_used)),
    gauge("memory_limit_bytes", "Limit on its memory, or the host's memory", |it| bytes(it.memory_limit)),
    counter("network_received_bytes_total", "Received", |it| bytes(it.net_received)),
    counter("network_sent_bytes_total", "Sent", |it| bytes(it.net_sent)),
    counter("block_read_bytes_total", "Read from block devices", |it| bytes(it.block_read)),
    counter("block_written_bytes_total", "Written to block devices", |it| bytes(it.block_written)),
    counter("restarts_total", "Restarts by the engine", |it| it.restarts.into()),
];

fn ratio(percent: f32) -> f64 {
    f64::from(percent) / 100.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus' values are 64-bit floats"
)]
fn bytes(count: u64) -> f64 {
    count as f64
}

/// Everything in one text.
pub fn write(scraped: &[Scraped]) -> String {
    let mut text = Exposition::default();
    text.agents(scraped);
    text.hosts(scraped);
    text.containers(scraped);
    text.text
}

#[derive(Default)]
struct Exposition {
    text: String,
}

impl Exposition {
    fn agents(&mut self, scraped: &[Scraped]) {
        let mut family = self.family(
            "towline_agent_up",
            Type::Gauge,
            "Whether the agent is connected",
        );
        for Scraped { agent, .. } in scraped {
            let up = if agent.status == AgentStatus::Online {
                1.0
            } else {
                0.0
            };
            family.series(&host_labels(agent), up);
        }
    }

    fn hosts(&mut self, scraped: &[Scraped]) {
        for metric in HOST {
            let mut family = self.family_of("host", &metric);
            for (agent, stored) in sampled(scraped) {
                family.series(&host_labels(agent), (metric.value)(&stored.sample.host));
            }
        }
    }

    fn containers(&mut self, scraped: &[Scraped]) {
        for metric in CONTAINER {
            let mut family = self.family_of("container", &metric);
            for (agent, container) in containers(scraped) {
                let labels = container_labels(agent, container);
                family.series(&labels, (metric.value)(container));
            }
        }
        let help =
            "Whether the container's health check succeeds; containers without one are left out";
        let mut family = self.family("towline_container_healthy", Type::Gauge, help);
        for (agent, container) in containers(scraped) {
            let healthy = match container.health {
                Health::None => continue,
                Health::Healthy => 1.0,
                Health::Starting | Health::Unhealthy => 0.0,
            };
            family.series(&container_labels(agent, container), healthy);
        }
    }

    fn family_of<S>(&mut self, of: &str, metric: &Metric<S>) -> Family<'_> {
        let name = format!("towline_{of}_{}", metric.name);
        self.family(&name, metric.kind, metric.help)
    }

    fn family(&mut self, name: &str, kind: Type, help: &str) -> Family<'_> {
        let kind = match kind {
            Type::Gauge => "gauge",
            Type::Counter => "counter",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            name: name.to_owned(),
            text: &mut self.text,
            written: HashSet::new(),
        }
    }
}

fn sampled(scraped: &[Scraped]) -> impl Iterator<Item = (&Agent, &StoredSample)> {
    scraped
        .iter()
        .filter_map(|one| Some((&one.agent, one.sample.as_ref()?)))
}

fn containers(scraped: &[Scraped]) -> impl Iterator<Item = (&Agent, &ContainerSample)> {
    sampled(scraped)
        .flat_map(|(agent, stored)| stored.sample.containers.iter().map(move |it| (agent, it)))
}

/// One metric. Prometheus refuses a whole scrape for one repeated series, so repeats are left out.
struct Family<'a> {
    name: String,
    text: &'a mut String,
    written: HashSet<String>,
}

impl Family<'_> {
    fn series(&mut self, labels: &str, value: f64) {
        if self.written.insert(labels.to_owned()) {
            let _ = writeln!(self.text, "{}{{{labels}}} {}", self.name, Value(value));
        }
    }
}

/// A number as Prometheus spells it.
struct Value(f64);

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            value if value.is_infinite() => f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" }),
            value => write!(f, "{value}"),
        }
    }
}

fn host_labels(agent: &Agent) -> String {
    let host = agent.hostname.as_str();
    labels(&[("agent", &agent.name), ("host", host)])
}

fn container_labels(agent: &Agent, container: &ContainerSample) -> String {
    labels(&[
        ("agent", &agent.name),
        ("host", &agent.hostname),
        ("container", &container.name),
        ("project", &container.project),
        ("service", &container.service),
    ])
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{name}=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}
