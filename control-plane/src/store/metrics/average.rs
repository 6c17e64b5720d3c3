//! Many samples as one: averages of what goes up and down, the last state of what only grows, and
//! the worst health.

use std::collections::HashMap;

use towline_shared::metrics::{ContainerSample, Health, HostSample, MAX_CONTAINERS, Sample};

/// Samples of one agent under way to become one.
#[derive(Default)]
pub(super) struct Average {
    host: Host,
    containers: HashMap<String, Container>,
    samples: u64,
}

/// A mean in the making. Weights are seconds.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

#[derive(Default)]
struct Host {
    last: HostSample,
    cpu: Mean,
    load: [Mean; 3],
    memory: Mean,
    disk: Mean,
}

struct Container {
    last: ContainerSample,
    /// The number of the last sample that had it.
    seen: u64,
    cpu: Mean,
    memory: Mean,
    worst: Health,
}

impl Average {
    /// Adds the next sample in time, which stands for so many seconds.
    pub(super) fn add(&mut self, sample: Sample, seconds: i64) {
        #[expect(clippy::cast_precision_loss, reason = "at most 3600")]
        let weight = seconds as f64;
        self.samples += 1;
        self.host.add(sample.host, weight);
        for container in sample.containers {
            self.add_container(container, weight);
        }
    }

    fn add_container(&mut self, sample: ContainerSample, weight: f64) {
        let container = self
            .containers
            .entry(sample.id.clone())
            .or_insert_with(|| Container {
                last: ContainerSample::default(),
                seen: 0,
                cpu: Mean::default(),
                memory: Mean::default(),
                worst: sample.health,
            });
        container.seen = self.samples;
        container.add(sample, weight);
    }

    /// The sample that stands for all, for the interval that starts at `at`, Unix seconds; nothing if
    /// there was none.
    pub(super) fn finish(self, at: i64) -> Option<Sample> {
        if self.samples == 0 {
            return None;
        }
        let mut containers: Vec<_> = self.containers.into_values().collect();
        if containers.len() > MAX_CONTAINERS {
            containers.sort_unstable_by_key(|container| std::cmp::Reverse(container.seen));
            containers.truncate(MAX_CONTAINERS);
        }
        let mut containers: Vec<_> = containers.into_iter().map(Container::finish).collect();
        containers.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Some(Sample {
            at_ms: at.saturating_mul(1000),
            host: self.host.finish(),
            containers,
        })
    }
}

impl Host {
    fn add(&mut self, sample: HostSample, weight: f64) {
        self.cpu.add(sample.cpu_percent, weight);
        for (mean, load) in self.load.iter_mut().zip(sample.load) {
            mean.add(load, weight);
        }
        self.memory.add_count(sample.memory_used, weight);
        self.disk.add_count(sample.disk_used, weight);
        self.last = sample;
    }

    fn finish(self) -> HostSample {
        HostSample {
            cpu_percent: self.cpu.share(),
            load: self.load.map(Mean::share),
            memory_used: self.memory.count(),
            disk_used: self.disk.count(),
            ..self.last
        }
    }
}

impl Container {
    fn add(&mut self, sample: ContainerSample, weight: f64) {
        self.cpu.add(sample.cpu_percent, weight);
        self.memory.add_count(sample.memory_used, weight);
        self.worst = worse(self.worst, sample.health);
        self.last = sample;
    }

    fn finish(self) -> ContainerSample {
        ContainerSample {
            cpu_percent: self.cpu.share(),
            memory_used: self.memory.count(),
            health: self.worst,
            ..self.last
        }
    }
}

impl Mean {
    fn add(&mut self, value: f32, weight: f64) {
        self.sum += f64::from(value) * weight;
        self.weight += weight;
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 bytes are more than hosts have"
    )]
    fn add_count(&mut self, value: u64, weight: f64) {
        self.sum += value as f64 * weight;
        self.weight += weight;
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the mean of f32 is within their range"
    )]
    fn share(self) -> f32 {
        (self.sum / self.weight) as f32
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the mean of counts is a count"
    )]
    fn count(self) -> u64 {
        (self.sum / self.weight).round() as u64
    }
}

fn worse(a: Health, b: Health) -> Health {
    const fn badness(health: Health) -> u8 {
        match health {
            Health::None => 0,
            Health::Healthy => 1,
            Health::Starting => 2,
            Health::Unhealthy => 3,
        }
    }
    if badness(b) > badness(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn container(id: &str, cpu: f32, received: u64, health: Health) -> ContainerSample {
        ContainerSample {
            id: id.to_owned(),
            name: format!("shop-{id}"),
            cpu_percent: cpu,
            memory_used: 100,
            net_received: received,
            health,
            ..ContainerSample::default()
        }
    }

    fn sample(cpu: f32, memory: u64, received: u64, containers: Vec<ContainerSample>) -> Sample {
        let host = HostSample {
            cpu_percent: cpu,
            load: [cpu, 0.0, 1.0],
            memory_used: memory,
            memory_total: 1000,
            net_received: received,
            ..HostSample::default()
        };
        Sample {
            at_ms: 0,
            host,
            containers,
        }
    }

    #[test]
    fn gauges_average_counters_stay_and_health_is_the_worst() {
        let mut average = Average::default();
        average.add(
            sample(10.0, 100, 5, vec![container("a", 1.0, 7, Health::Healthy)]),
            10,
        );
        let both = vec![
            container("a", 3.0, 8, Health::Unhealthy),
            container("b", 9.0, 1, Health::None),
        ];
        average.add(sample(20.0, 200, 6, both), 10);
        average.add(
            sample(90.0, 300, 9, vec![container("a", 5.0, 9, Health::Healthy)]),
            10,
        );
        let sample = average.finish(60).unwrap();
        assert_eq!(sample.at_ms, 60_000);
        assert_eq!(
            (sample.host.cpu_percent, sample.host.load),
            (40.0, [40.0, 0.0, 1.0])
        );
        assert_eq!(
            (
                sample.host.memory_used,
                sample.host.memory_total,
                sample.host.net_received
            ),
            (200, 1000, 9)
        );
        let [a, b] = sample.containers.as_slice() else {
            panic!("both containers are there, by name");
        };
        assert_eq!(
            (a.cpu_percent, a.net_received, a.health),
            (3.0, 9, Health::Unhealthy)
        );
        assert_eq!(
            (b.cpu_percent, b.net_received, b.health),
            (9.0, 1, Health::None),
            "over its own time only"
        );
    }

    #[test]
    fn a_minute_weighs_as_much_as_its_six_samples() {
        let mut average = Average::default();
        average.add(sample(10.0, 0, 0, vec![]), 60);
        average.add(sample(80.0, 0, 0, vec![]), 10);
        assert!((average.finish(0).unwrap().host.cpu_percent - 20.0).abs() < 1e-4);
    }

    #[test]
    fn of_too_many_containers_the_latest_are_kept() {
        let mut average = Average::default();
        for id in 0..MAX_CONTAINERS + 50 {
            average.add(
                sample(
                    0.0,
                    0,
                    0,
                    vec![container(&format!("{id:04}"), 0.0, 0, Health::None)],
                ),
                10,
            );
        }
        let sample = average.finish(0).unwrap();
        assert_eq!(sample.containers.len(), MAX_CONTAINERS);
        assert_eq!(sample.containers[0].id, "0050");
    }

    #[test]
    fn nothing_averages_to_nothing() {
        assert!(Average::default().finish(0).is_none());
    }
}
