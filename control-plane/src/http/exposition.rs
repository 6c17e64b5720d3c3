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

type Host = fn(&HostSample) -> f64;
type Container = fn(&ContainerSample) -> f64;

const HOST: [(&str, Type, &str, Host); 13] = [
    (
        "cpu_usage_ratio",
        Type::Gauge,
        "Share of all cores in use, 0 to 1",
        |host| ratio(host.cpu_percent),
    ),
    ("cpu_cores", Type::Gauge, "Number of cores", |host| {
        host.cores.into()
    }),
    ("load1", Type::Gauge, "Load average over 1 minute", |host| {
        host.load[0].into()
    }),
    (
        "load5",
        Type::Gauge,
        "Load average over 5 minutes",
        |host| host.load[1].into(),
    ),
    (
        "load15",
        Type::Gauge,
        "Load average over 15 minutes",
        |host| host.load[2].into(),
    ),
    ("memory_used_bytes", Type::Gauge, "Memory in use", |host| {
        bytes(host.memory_used)
    }),
    (
        "memory_total_bytes",
        Type::Gauge,
        "Memory there is",
        |host| bytes(host.memory_total),
    ),
    (
        "disk_used_bytes",
        Type::Gauge,
        "In use on the file system of the engine's data",
        |host| bytes(host.disk_used),
    ),
    (
        "disk_total_bytes",
        Type::Gauge,
        "Size of the file system of the engine's data",
        |host| bytes(host.disk_total),
    ),
    (
        "disk_read_bytes_total",
        Type::Counter,
        "Read from block devices",
        |host| bytes(host.disk_read),
    ),
    (
        "disk_written_bytes_total",
        Type::Counter,
        "Written to block devices",
        |host| bytes(host.disk_written),
    ),
    (
        "network_received_bytes_total",
        Type::Counter,
        "Received on all interfaces but loopback",
        |host| bytes(host.net_received),
    ),
    (
        "network_sent_bytes_total",
        Type::Counter,
        "Sent on all interfaces but loopback",
        |host| bytes(host.net_sent),
    ),
];

const CONTAINER: [(&str, Type, &str, Container); 8] = [
    ("cpu_usage_cores", Type::Gauge, "Cores in use", |it| {
        ratio(it.cpu_percent)
    }),
    (
        "memory_used_bytes",
        Type::Gauge,
        "Memory in use, without the page cache",
        |it| bytes(it.memory_used),
    ),
    (
        "memory_limit_bytes",
        Type::Gauge,
        "Limit on its memory, or the host's memory",
        |it| bytes(it.memory_limit),
    ),
    (
        "network_received_bytes_total",
        Type::Counter,
        "Received",
        |it| bytes(it.net_received),
    ),
    ("network_sent_bytes_total", Type::Counter, "Sent", |it| {
        bytes(it.net_sent)
    }),
    (
        "block_read_bytes_total",
        Type::Counter,
        "Read from block devices",
        |it| bytes(it.block_read),
    ),
    (
        "block_written_bytes_total",
        Type::Counter,
        "Written to block devices",
        |it| bytes(it.block_written),
    ),
    (
        "restarts_total",
        Type::Counter,
        "Restarts by the engine",
        |it| it.restarts.into(),
    ),
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
        for (name, kind, help, value) in HOST {
            let mut family = self.family(&format!("towline_host_{name}"), kind, help);
            for (agent, stored) in sampled(scraped) {
                family.series(&host_labels(agent), value(&stored.sample.host));
            }
        }
    }

    fn containers(&mut self, scraped: &[Scraped]) {
        for (name, kind, help, value) in CONTAINER {
            let mut family = self.family(&format!("towline_container_{name}"), kind, help);
            for (agent, container) in containers(scraped) {
                family.series(&container_labels(agent, container), value(container));
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
