//! A long list is as quick at its end as at its beginning.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::world::{World, on_both};
use crate::store::db::execute;
use crate::store::{DeploymentFilter, Page};

on_both!(the_last_page_comes_as_quickly_as_the_first);

const DEPLOYMENTS: usize = 100_000;
const PAGE: u32 = 50;
/// The quickest of so many readings counts: what else the machine does makes them slower only.
const READINGS: usize = 40;
const RATIO: f64 = 1.5;

async fn the_last_page_comes_as_quickly_as_the_first(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let sample = world.deploy(&project, &host).await;
    multiply(world, sample.id.uuid()).await;
    for filter in [
        DeploymentFilter::default(),
        DeploymentFilter {
            project: Some(project.id),
            ..DeploymentFilter::default()
        },
        DeploymentFilter {
            status: Some(crate::job::JobState::Succeeded),
            ..DeploymentFilter::default()
        },
    ] {
        let first = Page {
            limit: PAGE,
            after: None,
        };
        let last = Page {
            after: Some(copy_id(PAGE as usize)),
            ..first
        };
        let (at_first, at_last) = (
            quickest(world, &filter, first).await,
            quickest(world, &filter, last).await,
        );
        let ratio = at_last.as_secs_f64() / at_first.as_secs_f64();
        assert!(
            ratio <= RATIO,
            "{filter:?}: first page {at_first:?}, last page {at_last:?}"
        );
    }
}

/// The copies' identifiers are older than any that is made now.
fn copy_id(n: usize) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n as u128)
}

async fn multiply(world: &World, sample: Uuid) {
    let mut tx = world.store.main().begin().await.unwrap();
    let conn = tx.conn();
    let sql = conn.pick(
        "WITH RECURSIVE copies (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM copies WHERE n + 1 < $2)
         INSERT INTO deployments (id, team_id, project_id, target_id, release_id, platform, kind, status, log, settle_ms,
            deadline_s, interruption, attempts, triggered_by, created_at, updated_at)
         SELECT unhex(printf('0190000000007000800000%010x', n)), team_id, project_id, target_id, release_id, platform, kind,
            'succeeded', unhex(printf('0190000000007000900000%010x', n)), settle_ms, deadline_s, interruption, 1,
            triggered_by, created_at, created_at
         FROM copies CROSS JOIN deployments WHERE id = $1",
        "INSERT INTO deployments (id, team_id, project_id, target_id, release_id, platform, kind, status, log, settle_ms,
            deadline_s, interruption, attempts, triggered_by, created_at, updated_at)
         SELECT ('0190000000007000800000' || lpad(to_hex(n), 10, '0'))::uuid, team_id, project_id, target_id, release_id,
            platform, kind, 'succeeded', ('0190000000007000900000' || lpad(to_hex(n), 10, '0'))::uuid, settle_ms, deadline_s,
            interruption, 1, triggered_by, created_at, created_at
         FROM deployments CROSS JOIN generate_series(0, $2 - 1) AS copies (n) WHERE id = $1",
    );
    let made = execute!(conn, sql, sample, i64::try_from(DEPLOYMENTS).unwrap()).unwrap();
    assert_eq!(made, DEPLOYMENTS as u64);
    tx.commit().await.unwrap();
}

async fn quickest(world: &World, filter: &DeploymentFilter, page: Page) -> Duration {
    let mut quickest = Duration::MAX;
    for _ in 0..READINGS {
        let begun = Instant::now();
        let listed = world
            .store
            .list_deployments(&world.tenant, filter, page)
            .await
            .unwrap();
        quickest = quickest.min(begun.elapsed());
        assert_eq!(listed.items.len(), PAGE as usize);
    }
    quickest
}
