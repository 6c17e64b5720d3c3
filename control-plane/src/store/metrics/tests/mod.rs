#![allow(clippy::unwrap_used, clippy::expect_used)]

mod reading;
mod rolling;
mod taking;

use towline_shared::ids::AgentId;
use towline_shared::metrics::{ContainerSample, Health, HostSample, Sample};

use super::super::db::all;
use super::super::logs::fixture::Fixture;
use super::resolution::Resolution;

/// A moment at which a day, and so every interval, begins.
const DAY: i64 = 1_700_006_400;

fn sample(at: i64, cpu: f32) -> Sample {
    let host = HostSample {
        cpu_percent: cpu,
        memory_used: 100,
        net_received: at.unsigned_abs(),
        ..HostSample::default()
    };
    let container = ContainerSample {
        id: "c0ffee".to_owned(),
        name: "shop-web-1".to_owned(),
        cpu_percent: cpu,
        health: if cpu > 90.0 {
            Health::Unhealthy
        } else {
            Health::Healthy
        },
        ..ContainerSample::default()
    };
    Sample {
        at_ms: at * 1000,
        host,
        containers: vec![container],
    }
}

/// The load that [`Fixture::measure`] gives a moment.
fn load(at: i64) -> f32 {
    f32::from(i16::try_from(at / 10 % 100).unwrap())
}

fn mean_load(from: i64, to: i64) -> f32 {
    let loads: Vec<f32> = (from..to).step_by(10).map(load).collect();
    loads.iter().sum::<f32>() / f32::from(u16::try_from(loads.len()).unwrap())
}

impl Fixture {
    fn record(&self, agent: AgentId, at: i64, cpu: f32) {
        self.store
            .record_at(agent, self.tenant.team(), sample(at, cpu), at * 1000);
    }

    /// Samples every ten seconds over `from..to`, whose load is the number of the sample, modulo 100.
    async fn measure(&self, agent: AgentId, from: i64, to: i64) {
        for at in (from..to).step_by(10) {
            self.record(agent, at, load(at));
            if at % 60 == 50 {
                self.store.flush_metrics().await.unwrap();
            }
        }
        self.store.flush_metrics().await.unwrap();
    }

    /// All rows of a resolution: agent, time and sample.
    async fn rows(&self, resolution: Resolution) -> Vec<(AgentId, i64, Sample)> {
        let mut reader = self.store.telemetry().read().await.unwrap();
        let sql = "SELECT agent_id, at, sample FROM cluster_metrics WHERE resolution_s = $1 ORDER BY agent_id, at";
        let rows = all!(
            reader.conn(),
            (uuid::Uuid, i64, Vec<u8>),
            sql,
            resolution.seconds()
        )
        .unwrap();
        let rows = rows.into_iter().map(|(agent, at, sample)| {
            (agent.into(), at, super::encoding::decode(&sample).unwrap())
        });
        rows.collect()
    }
}
