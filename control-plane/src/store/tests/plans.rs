//! What is asked often reads few rows, however many jobs there were.

use super::world::World;
use crate::store::db::Conn;
use crate::store::hello::TARGETS_AND_LIVE;
use crate::store::jobs::{LIVE, OUT_OF_SIGHT, UNFINISHED};
use crate::store::leases::{AHEAD, EXPIRED, OVERLOOKED};
use crate::store::reports::{PENDING_CANCELS, RENEW_LEASES};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_of_every_day_reads_all_jobs() {
    let world = World::sqlite().await;
    let mut reader = world.store.main().read().await.unwrap();
    for sql in [
        TARGETS_AND_LIVE,
        RENEW_LEASES,
        PENDING_CANCELS,
        LIVE,
        OUT_OF_SIGHT,
        UNFINISHED,
        AHEAD,
        EXPIRED,
        OVERLOOKED,
    ] {
        let Conn::Sqlite(connection) = reader.conn() else {
            panic!("SQLite")
        };
        let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(plan).fetch_all(connection).await.unwrap();
        let steps: Vec<_> = plan.iter().map(|(.., step)| step.as_str()).collect();
        assert!(
            steps.iter().any(|step| step.contains("INDEX jobs_")),
            "{sql}: {steps:?}"
        );
        for step in steps {
            let reads_jobs = ["SCAN j", "SEARCH j"]
                .iter()
                .any(|begin| step.starts_with(begin));
            // Those indexes have the jobs that have not ended, and no others.
            assert!(!reads_jobs || step.contains("INDEX jobs_"), "{sql}: {step}");
        }
    }
    drop(reader);
    world.end().await;
}
