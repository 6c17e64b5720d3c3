//! Taking samples in.

use towline_shared::ids::AgentId;
use towline_shared::metrics::MAX_CONTAINERS;

use super::super::encoding;
use super::{DAY, Fixture, Resolution, sample};

#[tokio::test]
async fn a_hosts_clock_is_believed_within_a_minute() {
    for fixture in Fixture::each().await {
        for (off, want) in [
            (0, 0),
            (7, 0),
            (-7, -10),
            (59, 50),
            (-60, -60),
            (61, 0),
            (-61, 0),
            (86_400, 0),
            (i64::MIN / 2000, 0),
        ] {
            let agent = AgentId::new();
            fixture.store.record_at(
                agent,
                fixture.tenant.team(),
                sample(DAY.saturating_add(off), 1.0),
                DAY * 1000,
            );
            assert_eq!(fixture.store.flush_metrics().await.unwrap(), 1);
            let rows = fixture.rows(Resolution::TenSeconds).await;
            let (_, at, _) = rows.iter().find(|(found, _, _)| *found == agent).unwrap();
            assert_eq!(at - DAY, want, "{off} s off");
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn the_later_sample_of_an_interval_counts() {
    for fixture in Fixture::each().await {
        fixture.record(fixture.agent, DAY, 1.0);
        fixture.record(fixture.agent, DAY + 9, 2.0);
        assert_eq!(fixture.store.flush_metrics().await.unwrap(), 2);
        fixture.record(fixture.agent, DAY + 9, 3.0);
        assert_eq!(fixture.store.flush_metrics().await.unwrap(), 1);
        assert_eq!(fixture.store.flush_metrics().await.unwrap(), 0);
        let rows = fixture.rows(Resolution::TenSeconds).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].2, sample(DAY + 9, 3.0));
        fixture.end().await;
    }
}

#[tokio::test]
async fn broken_numbers_and_floods_of_containers_are_cut() {
    for fixture in Fixture::each().await {
        let mut broken = sample(DAY, f32::NAN);
        broken.host.load = [f32::INFINITY, 1.5, f32::NEG_INFINITY];
        broken.containers = vec![broken.containers[0].clone(); MAX_CONTAINERS + 10];
        fixture
            .store
            .record_at(fixture.agent, fixture.tenant.team(), broken, DAY * 1000);
        fixture.store.flush_metrics().await.unwrap();
        let (_, _, stored) = fixture.rows(Resolution::TenSeconds).await.remove(0);
        assert_eq!(
            (stored.host.cpu_percent, stored.host.load),
            (0.0, [0.0, 1.5, 0.0])
        );
        assert_eq!(stored.containers.len(), MAX_CONTAINERS);
        assert!(
            stored
                .containers
                .iter()
                .all(|container| container.cpu_percent == 0.0)
        );
        fixture.end().await;
    }
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_the_rest_is_counted() {
    for fixture in Fixture::each().await {
        fixture.store.close().await;
        for second in 0..8 {
            fixture.record(fixture.agent, DAY + second * 10, 1.0);
            fixture
                .store
                .flush_metrics()
                .await
                .expect_err("the database is closed");
        }
        assert_eq!(fixture.store.samples_dropped(), 2);
        fixture.end().await;
    }
}

#[test]
fn samples_are_small_and_of_a_known_version() {
    let bytes = encoding::encode(&sample(DAY, 1.0)).unwrap();
    assert!(bytes.len() < 200, "{}", bytes.len());
    assert_eq!(encoding::decode(&bytes).unwrap(), sample(DAY, 1.0));
    for damaged in [&[][..], &[9, 1, 2], &bytes[..20]] {
        encoding::decode(damaged).expect_err("it is no sample of a known version");
    }
}
