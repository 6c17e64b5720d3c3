//! Curves and the latest samples.

use chrono::{DateTime, Utc};
use towline_shared::ids::{AgentId, TargetId};

use super::super::super::db::{execute, local_now};
use super::super::super::{Resource, StoreError};
use super::super::MetricsRange;
use super::{Fixture, mean_load, sample};

fn moment(at: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(at, 0).unwrap()
}

async fn range(fixture: &Fixture, from: i64, to: i64, step: Option<u32>) -> MetricsRange {
    let range = fixture
        .store
        .metrics_range(
            &fixture.tenant,
            fixture.target,
            moment(from),
            moment(to),
            step,
        )
        .await;
    range.unwrap()
}

fn times(range: &MetricsRange) -> Vec<i64> {
    range
        .samples
        .iter()
        .map(|stored| stored.at.timestamp())
        .collect()
}

#[tokio::test]
async fn curves_go_on_where_the_roll_up_has_not_come_yet() {
    for fixture in Fixture::each().await {
        let now = local_now().timestamp();
        let start = now - now.rem_euclid(3600) - 3 * 3600;
        fixture.measure(fixture.agent, start, now).await;
        fixture.measure(AgentId::new(), start, now).await;
        for _ in 0..2 {
            // First before anything is rolled up, then after.
            let fine = range(&fixture, now - 600, now, None).await;
            assert_eq!(fine.step_s, 10);
            let want: Vec<_> = (now - 600 - (now - 600).rem_euclid(10)..now)
                .step_by(10)
                .filter(|at| *at >= start)
                .collect();
            assert_eq!(times(&fine)[..want.len() - 1], want[..want.len() - 1]);
            let minutes = range(&fixture, start, now, Some(60)).await;
            assert_eq!(minutes.step_s, 60);
            assert_eq!(
                times(&minutes),
                (start..now).step_by(60).collect::<Vec<_>>()
            );
            let hours = range(&fixture, start, now, Some(3600)).await;
            assert_eq!(
                (hours.step_s, hours.samples.len()),
                (3600, times(&hours).len())
            );
            assert_eq!(times(&hours)[..3], [start, start + 3600, start + 7200]);
            assert!(
                hours
                    .samples
                    .iter()
                    .all(|stored| stored.agent == fixture.agent)
            );
            let mean = hours.samples[0].sample.host.cpu_percent;
            let want = mean_load(start, start + 3600);
            assert!((mean - want).abs() < 0.01, "{mean} is not {want}");
            fixture.store.rollup_metrics().await.unwrap();
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    for fixture in Fixture::each().await {
        let (from, to) = (moment(1_700_000_000), moment(1_700_000_100));
        let metrics = async |tenant, target, from, to| {
            fixture
                .store
                .metrics_range(tenant, target, from, to, None)
                .await
        };
        let empty = metrics(&fixture.tenant, fixture.target, from, to)
            .await
            .unwrap();
        assert_eq!(empty.samples, []);
        let stranger = Fixture::stranger();
        for (tenant, target) in [
            (&stranger, fixture.target),
            (&fixture.tenant, TargetId::new()),
        ] {
            let refused = metrics(tenant, target, from, to).await;
            assert!(matches!(
                refused,
                Err(StoreError::NotFound(Resource::Target))
            ));
        }
        let refused = metrics(&fixture.tenant, fixture.target, to, from).await;
        assert!(matches!(
            refused,
            Err(StoreError::Invalid { field: "to", .. })
        ));
        let mut tx = fixture.store.main().begin().await.unwrap();
        execute!(tx.conn(), "UPDATE deployment_targets SET agent_id = NULL").unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            metrics(&fixture.tenant, fixture.target, from, to)
                .await
                .unwrap()
                .samples,
            []
        );
        fixture.end().await;
    }
}

#[tokio::test]
async fn the_latest_is_one_per_agent_and_not_stale() {
    for fixture in Fixture::each().await {
        let now = local_now().timestamp();
        let now = now - now.rem_euclid(10);
        let (other, stale) = (AgentId::new(), AgentId::new());
        for (agent, at, cpu) in [
            (fixture.agent, now - 20, 1.0),
            (fixture.agent, now - 10, 2.0),
            (other, now - 120, 3.0),
            (stale, now - 400, 4.0),
            // From a clock that was ahead.
            (other, now + 86_400, 6.0),
        ] {
            fixture.record(agent, at, cpu);
        }
        let foreign = AgentId::new();
        let stranger = Fixture::stranger();
        fixture
            .store
            .record_at(foreign, stranger.team(), sample(now, 5.0), now * 1000);
        fixture.store.flush_metrics().await.unwrap();
        let found = |samples: Vec<super::super::StoredSample>| {
            let found = samples.into_iter().map(|stored| {
                (
                    stored.agent,
                    stored.at.timestamp() - now,
                    stored.sample.host.cpu_percent,
                )
            });
            found.collect::<Vec<_>>()
        };
        let mut want = vec![(fixture.agent, -10, 2.0), (other, -120, 3.0)];
        want.sort_by_key(|(agent, ..)| *agent);
        assert_eq!(
            found(fixture.store.metrics_latest(&fixture.tenant).await.unwrap()),
            want
        );
        assert_eq!(
            found(fixture.store.metrics_latest(&stranger).await.unwrap()),
            [(foreign, 0, 5.0)]
        );
        assert_eq!(
            found(fixture.store.metrics_latest_all().await.unwrap()).len(),
            3
        );
        fixture.end().await;
    }
}
