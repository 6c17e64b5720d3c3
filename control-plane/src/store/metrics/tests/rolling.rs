//! Rolling up and deleting.

use towline_shared::ids::AgentId;
use towline_shared::metrics::Health;

use super::super::super::db::execute;
use super::{DAY, Fixture, Resolution, mean_load};

#[tokio::test]
async fn ten_seconds_become_minutes_and_minutes_hours() {
    for fixture in Fixture::each().await {
        fixture.measure(fixture.agent, DAY, DAY + 3600).await;
        assert_eq!(
            fixture.store.rollup_at(DAY + 3600).await.unwrap(),
            58,
            "the last ones wait for late samples"
        );
        assert_eq!(
            fixture.store.rollup_at(DAY + 3600 + 90).await.unwrap(),
            2 + 1
        );
        let minutes = fixture.rows(Resolution::Minute).await;
        let times: Vec<_> = minutes.iter().map(|(_, at, _)| *at).collect();
        assert_eq!(times, (DAY..DAY + 3600).step_by(60).collect::<Vec<_>>());
        let (_, at, first) = &minutes[0];
        let (mean, want) = (first.host.cpu_percent, mean_load(DAY, DAY + 60));
        assert!((mean - want).abs() < 1e-3, "{mean} is not {want}");
        assert_eq!(
            first.host.net_received,
            (DAY + 50).unsigned_abs(),
            "the last of what only grows"
        );
        assert_eq!(first.at_ms, at * 1000);
        let hours = fixture.rows(Resolution::Hour).await;
        assert_eq!(hours.len(), 1);
        assert_eq!(
            hours[0].2.containers[0].health,
            Health::Unhealthy,
            "the worst of the hour"
        );
        assert_eq!(hours[0].2.host.net_received, (DAY + 3590).unsigned_abs());
        fixture.end().await;
    }
}

#[tokio::test]
async fn doing_it_again_changes_nothing() {
    for fixture in Fixture::each().await {
        let agents: Vec<_> = (0..3).map(|_| AgentId::new()).collect();
        for agent in &agents {
            fixture.measure(*agent, DAY, DAY + 600).await;
        }
        assert_eq!(fixture.store.rollup_at(DAY + 700).await.unwrap(), 30);
        assert_eq!(fixture.store.rollup_at(DAY + 700).await.unwrap(), 0);
        let before = fixture.rows(Resolution::Minute).await;
        // A crash after the rows and before the watermark.
        let mut tx = fixture.store.telemetry().begin().await.unwrap();
        execute!(tx.conn(), "DELETE FROM metric_rollups").unwrap();
        tx.commit().await.unwrap();
        assert_eq!(fixture.store.rollup_at(DAY + 700).await.unwrap(), 30);
        assert_eq!(fixture.rows(Resolution::Minute).await, before);
        fixture.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_at_once_roll_up_the_same() {
    for fixture in Fixture::each().await {
        fixture.measure(fixture.agent, DAY, DAY + 3600).await;
        let (one, two) = (fixture.store.clone(), fixture.store.clone());
        let one = tokio::spawn(async move { one.rollup_at(DAY + 4000).await });
        let two = tokio::spawn(async move { two.rollup_at(DAY + 4000).await });
        one.await.unwrap().unwrap();
        two.await.unwrap().unwrap();
        assert_eq!(fixture.rows(Resolution::Minute).await.len(), 60);
        assert_eq!(fixture.rows(Resolution::Hour).await.len(), 1);
        fixture.end().await;
    }
}

#[tokio::test]
async fn long_silence_is_skipped() {
    for fixture in Fixture::each().await {
        fixture.measure(fixture.agent, DAY, DAY + 60).await;
        fixture.store.rollup_at(DAY + 200).await.unwrap();
        let later = DAY + 300 * 86_400;
        fixture.measure(fixture.agent, later, later + 60).await;
        assert_eq!(
            fixture.store.rollup_at(later + 200).await.unwrap(),
            2,
            "its minute, and the hour of the first"
        );
        assert_eq!(fixture.store.rollup_at(later + 3700).await.unwrap(), 1);
        fixture.end().await;
    }
}

#[tokio::test]
async fn rows_live_for_their_time_and_the_space_is_bounded() {
    for fixture in Fixture::each().await {
        let lengths = async || {
            let mut lengths = Vec::new();
            for resolution in Resolution::ALL {
                lengths.push(fixture.rows(resolution).await.len());
            }
            lengths
        };
        fixture.measure(fixture.agent, DAY, DAY + 3 * 3600).await;
        let now = DAY + 3 * 3600;
        assert_eq!(
            fixture.store.prune_metrics_at(now + 86_400).await.unwrap(),
            0,
            "nothing goes before it is rolled up"
        );
        fixture.store.rollup_at(now).await.unwrap();
        assert_eq!(lengths().await, [720, 178, 2]);
        fixture.store.rollup_at(now + 2 * 3600).await.unwrap();
        assert_eq!(lengths().await, [0, 180, 3]);
        fixture.store.rollup_at(now + 2 * 86_400).await.unwrap();
        assert_eq!(lengths().await, [0, 0, 3]);
        fixture
            .store
            .rollup_at(DAY + 90 * 86_400 + 3601)
            .await
            .unwrap();
        assert_eq!(lengths().await, [0, 0, 1]);
        fixture.store.rollup_at(DAY + 91 * 86_400).await.unwrap();
        assert_eq!(lengths().await, [0, 0, 0]);
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_leaves_no_hole() {
    for fixture in Fixture::each().await {
        fixture.store.rollup_at(DAY + 86_400).await.unwrap();
        fixture.measure(fixture.agent, DAY, DAY + 3600).await;
        let rolled = fixture.store.rollup_at(DAY + 3700).await.unwrap();
        assert_eq!(rolled, 60 + 1, "the minutes, and their hour");
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_damaged_row_is_left_out() {
    for fixture in Fixture::each().await {
        fixture.measure(fixture.agent, DAY, DAY + 60).await;
        let mut tx = fixture.store.telemetry().begin().await.unwrap();
        execute!(
            tx.conn(),
            "UPDATE cluster_metrics SET sample = $1 WHERE at = $2",
            [9_u8].as_slice(),
            DAY + 50
        )
        .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(fixture.store.rollup_at(DAY + 200).await.unwrap(), 1);
        let (_, _, minute) = fixture.rows(Resolution::Minute).await.remove(0);
        assert_eq!(minute.host.net_received, (DAY + 40).unsigned_abs());
        fixture.end().await;
    }
}
