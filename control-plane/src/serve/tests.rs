//! The end of the process.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test says what went wrong"
)]

use std::time::Instant;

use towline_shared::ids::{AgentId, TeamId};
use towline_shared::metrics::Sample;

use super::{FLUSH, write_last_measurements};
use crate::store::db::{all, execute};
use crate::store::tests::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_does_not_hold_the_process() {
    let world = World::postgres().await;
    let mut hung = world.store.telemetry().begin().await.unwrap();
    let sql = "LOCK TABLE cluster_metrics IN ACCESS EXCLUSIVE MODE";
    execute!(hung.conn(), sql).unwrap();
    let sample = || {
        world
            .store
            .record_sample(AgentId::new(), TeamId::new(), Sample::default());
    };
    sample();
    let began = Instant::now();
    write_last_measurements(&world.store).await;
    assert!(began.elapsed() < 4 * FLUSH, "{:?}", began.elapsed());

    hung.roll_back().await.unwrap();
    sample();
    write_last_measurements(&world.store).await;
    let mut reader = world.store.telemetry().read().await.unwrap();
    let sql = "SELECT COUNT(*) FROM cluster_metrics";
    assert_eq!(all!(reader.conn(), (i64,), sql).unwrap(), [(1,)]);
    drop(reader);
    world.end().await;
}
