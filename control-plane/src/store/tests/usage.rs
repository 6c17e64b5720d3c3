//! What is counted, and what is shown of it.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, SqliteConnection};
use towline_shared::ids::DeploymentId;
use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream};
use towline_shared::outcome::Step;
use towline_shared::protocol::v1::{Finished, Progress};
use uuid::Uuid;

use super::quotas::usage;
use super::world::{World, finished, on_both, succeeded};
use crate::egress::Egress;
use crate::ops;
use crate::store::db::{Conn, all, execute};
use crate::store::plans::{OF_TEAM, PROJECTS};
use crate::store::usage::{self as counters, ADD, DAYS, Day, FORGET, KEPT_FOR, Metric, USED};
use crate::store::{PastDays, Usage};

on_both!(
    a_log_counts_once_at_its_jobs_end,
    a_retry_is_another_deployment,
    a_build_counts_once_however_often_it_is_told,
    an_upgrade_gives_nothing_back,
    days_are_paged_and_forgotten,
    no_query_reads_a_whole_table,
);

async fn a_log_counts_once_at_its_jobs_end(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let line = LogLine {
        at_us: 1,
        stream: LogStream::Stdout,
        source: "towline".to_owned(),
        text: "hello".to_owned(),
    };
    let (chunk, position) = LogChunk::encode(LogPosition::default(), &[line]).unwrap();
    world
        .store
        .append_log(host.id, attempt, &chunk)
        .await
        .unwrap();
    assert_eq!(usage(world).await.current.log_bytes, 0, "it may still grow");
    let end = Finished {
        log: position,
        ..finished(attempt, succeeded())
    };
    for _ in 0..3 {
        world.store.finished(host.id, &end).await.unwrap();
        let used = usage(world).await.current.log_bytes;
        assert_eq!(used, chunk.payload.len() as u64);
    }
}

async fn a_retry_is_another_deployment(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let first = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    world
        .store
        .finished(host.id, &finished(attempt, succeeded()))
        .await
        .unwrap();
    ops::retry(&world.store, &Egress::closed(), &world.tenant, first.id)
        .await
        .unwrap();
    assert_eq!(usage(world).await.current.deployments, 2);
}

async fn a_build_counts_once_however_often_it_is_told(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let used = async || {
        let current = usage(world).await.current;
        (current.builds, current.build_seconds)
    };
    for (step, builds) in [
        (Step::Preparing, 0),
        (Step::Applying, 0),
        (Step::Building, 1),
        (Step::Building, 1),
        (Step::Applying, 1),
        (Step::Verifying, 1),
        (Step::Building, 2),
    ] {
        let progress = Progress { attempt, step };
        world.store.progress(host.id, &progress).await.unwrap();
        let seen = used().await;
        assert_eq!(seen.0, builds, "{step:?}");
        let ended = builds - u64::from(step == Step::Building);
        assert!(seen.1 >= ended && seen.1 < 60, "{step:?}: {seen:?}");
    }
    let before = used().await.1;
    // The second build fails with its job.
    for _ in 0..2 {
        world
            .store
            .finished(host.id, &finished(attempt, succeeded()))
            .await
            .unwrap();
    }
    let (builds, seconds) = used().await;
    assert_eq!(builds, 2);
    assert!(seconds > before && seconds < 60, "{before} {seconds}");
    let after = used().await;
    assert_eq!(after, (builds, seconds));
}

async fn an_upgrade_gives_nothing_back(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world.deploy(&project, &host).await;
    world.deploy(&project, &host).await;
    let before = usage(world).await.current;
    let mut tx = world.store.main().begin().await.unwrap();
    execute!(tx.conn(), "DELETE FROM usage_metrics").unwrap();
    let migration = tx.conn().pick(
        include_str!("../../../../migrations/sqlite/0010_usage.sql"),
        include_str!("../../../../migrations/postgres/0010_usage.sql"),
    );
    let count = migration
        .split_inclusive(';')
        .find(|statement| statement.contains("INSERT INTO usage_metrics"));
    execute!(tx.conn(), count.unwrap()).unwrap();
    tx.commit().await.unwrap();
    assert_eq!(usage(world).await.current, before);
    // It is the row that goes on counting.
    world.deploy(&project, &host).await;
    assert_eq!(usage(world).await.current.deployments, 3);
    let mut reader = world.store.main().read().await.unwrap();
    let rows = all!(
        reader.conn(),
        (i64, DateTime<Utc>),
        "SELECT count, period_end FROM usage_metrics"
    );
    assert_eq!(rows.unwrap(), [(3, before.period_end)]);
}

async fn count(world: &World, of: DeploymentId, metric: Metric, count: u64, at: DateTime<Utc>) {
    let mut tx = world.store.main().begin().await.unwrap();
    counters::add(&mut tx, of, metric, count, at).await.unwrap();
    tx.commit().await.unwrap();
}

async fn page(world: &World, limit: u32, after: Option<&Usage>) -> Usage {
    let past = PastDays {
        limit,
        before: after.map(|page| page.next_cursor.unwrap()),
    };
    world.store.usage(&world.tenant, past).await.unwrap()
}

async fn days_are_paged_and_forgotten(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let other = world.project("other").await;
    let mine = [
        world.deploy(&project, &host).await.id,
        world.deploy(&other, &host).await.id,
    ];
    let now = world.store.now().await.unwrap();
    for days in 1..=5 {
        for (of, times) in mine.iter().zip([1, 10]) {
            let at = now - TimeDelta::days(days);
            count(world, *of, Metric::Deployments, times, at).await;
            count(world, *of, Metric::BuildSeconds, times * 60, at).await;
        }
    }
    let old = now - KEPT_FOR - TimeDelta::days(2);
    count(world, mine[0], Metric::Builds, 1, old).await;

    let mut pages = vec![page(world, 4, None).await];
    pages.push(page(world, 4, pages.last()).await);
    let shown: Vec<_> = pages.iter().flat_map(|page| &page.items).collect();
    let days: Vec<_> = shown.iter().map(|period| period.period_start).collect();
    let expected = (1..=5).map(|days| now - TimeDelta::days(days)).chain([old]);
    let expected: Vec<_> = expected.map(|at| Day::of(at).start()).collect();
    assert_eq!(days, expected);
    assert!(pages[1].next_cursor.is_none());
    for period in &shown[..5] {
        assert_eq!((period.deployments, period.build_seconds), (11, 660));
        assert_eq!(period.period_end - period.period_start, TimeDelta::days(1));
    }
    assert_eq!(shown[5].builds, 1);
    for page in &pages {
        assert_eq!(page.current.period_start, Day::of(now).start());
        assert_eq!(page.current.deployments, 2);
    }

    world.store.prune().await.unwrap();
    assert_eq!(page(world, 200, None).await.items.len(), 5);
}

/// What stands for a parameter.
#[derive(Clone, Copy)]
enum Bound {
    Id(Uuid),
    At(DateTime<Utc>),
    Text(&'static str),
    Number(i64),
}

async fn no_query_reads_a_whole_table(world: &World) {
    let mut reader = world.store.main().read().await.unwrap();
    let (id, at, number) = (
        Bound::Id(Uuid::now_v7()),
        Bound::At(Utc::now()),
        Bound::Number(5),
    );
    let metric = Bound::Text("builds");
    // A deleted person or project is looked for in the counters.
    let project = "UPDATE usage_metrics SET project_id = NULL WHERE project_id = $1";
    let user = "UPDATE usage_metrics SET user_id = NULL WHERE user_id = $1";
    let queries: [(&'static str, &[Bound]); 8] = [
        (OF_TEAM, &[id, at]),
        (PROJECTS, &[id]),
        (USED, &[id, at, metric]),
        (DAYS, &[id, at, at, number]),
        (FORGET, &[at]),
        (ADD, &[id, id, metric, number, at, at, at]),
        (project, &[id]),
        (user, &[id]),
    ];
    for (sql, bound) in queries {
        let steps = match reader.conn() {
            Conn::Sqlite(connection) => sqlite_plan(connection, sql).await,
            Conn::Postgres(connection) => postgres_plan(connection, sql, bound).await,
        };
        assert!(!steps.is_empty(), "{sql}");
        for step in &steps {
            let is_whole = step.starts_with("SCAN") || step.contains("Seq Scan");
            // A person's few subscriptions are sorted by what they give.
            let sorts = sql != OF_TEAM && step.contains("TEMP B-TREE");
            assert!(!is_whole && !sorts, "{sql}: {steps:?}");
        }
    }
}

async fn sqlite_plan(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let steps: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(plan).fetch_all(connection).await.unwrap();
    steps.into_iter().map(|(.., step)| step).collect()
}

/// With a few rows PostgreSQL reads tables whole, as it is faster so: it is told not to.
async fn postgres_plan(connection: &mut PgConnection, sql: &str, bound: &[Bound]) -> Vec<String> {
    let off = sqlx::query("SET enable_seqscan = off");
    off.execute(&mut *connection).await.unwrap();
    let plan = sqlx::AssertSqlSafe(format!("EXPLAIN {sql}"));
    let query = bound
        .iter()
        .fold(sqlx::query_as(plan), |query, value| match *value {
            Bound::Id(id) => query.bind(id),
            Bound::At(at) => query.bind(at),
            Bound::Text(text) => query.bind(text),
            Bound::Number(number) => query.bind(number),
        });
    let steps: Vec<(String,)> = query.fetch_all(connection).await.unwrap();
    steps.into_iter().map(|(step,)| step).collect()
}
