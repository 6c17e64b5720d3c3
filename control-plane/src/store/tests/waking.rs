//! Wake-ups between two servers on one PostgreSQL database.

use std::time::Duration;

use super::world::World;
use crate::store::StoreError;
use crate::store::db::{execute, one};
use crate::wake::Topic;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_on_one_server_wakes_a_waiter_on_another() {
    let world = World::postgres().await;
    let other = world.replica().await;
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let mut waiter = other.wake().subscribe(Topic::Agent(host.id));
    // The listening connection may still be on its way; until it stands, timers do its work.
    let woken = async {
        loop {
            world.deploy(&project, &host).await;
            if tokio::time::timeout(Duration::from_millis(300), waiter.woken())
                .await
                .is_ok()
            {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), woken)
        .await
        .expect("it is woken");
    let deployment = world.deploy(&project, &host).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut waiter = other.wake().subscribe(Topic::Deployment(deployment.id));
    crate::ops::cancel(&world.store, &world.tenant, deployment.id)
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(10), waiter.woken())
        .await
        .expect("it is woken");
    other.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_claim_no_job_twice() {
    let world = World::postgres().await;
    let other = world.replica().await;
    let (host, project) = (world.host("shop").await, world.project("web").await);
    for _ in 0..20 {
        world.deploy(&project, &host).await;
    }
    for _ in 0..20 {
        let (one, two) = tokio::join!(world.store.claim(host.id), other.claim(host.id));
        let mut offers = one.unwrap();
        offers.extend(two.unwrap());
        assert_eq!(offers.len(), 1);
        let attempt = offers[0].attempt;
        other.accepted(host.id, attempt).await.unwrap();
        let end = super::world::finished(attempt, super::world::succeeded());
        world.store.finished(host.id, &end).await.unwrap();
    }
    other.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_listening_connection_comes_back() {
    let world = World::postgres().await;
    let other = world.replica().await;
    let host = world.host("shop").await;
    let mut waiter = other.wake().subscribe(Topic::Agent(host.id));
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    execute!(tx.conn(), sql).unwrap();
    tx.commit().await.unwrap();
    let woken = async {
        loop {
            world.store.wake().agent(host.id);
            if tokio::time::timeout(Duration::from_millis(300), waiter.woken())
                .await
                .is_ok()
            {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), woken)
        .await
        .expect("it listens again");
    other.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_in_a_transaction_loses_it() {
    let world = World::postgres().await;
    let other = world.replica().await;
    let host = world.host("shop").await;
    let mut hung = other.main().begin().await.unwrap();
    let shown = one!(
        hung.conn(),
        (String,),
        "SHOW idle_in_transaction_session_timeout"
    );
    assert_eq!(shown.unwrap().0, "30s");
    let sql = "SET idle_in_transaction_session_timeout = 100";
    execute!(hung.conn(), sql).unwrap();
    let sql = "UPDATE agents SET updated_at = updated_at WHERE id = $1";
    execute!(hung.conn(), sql, host.id.uuid()).unwrap();

    // The row's lock is free again, though nobody has let it go.
    crate::ops::revoke(&world.store, &world.tenant, host.id)
        .await
        .unwrap();
    let lost = hung.now().await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    drop(hung);
    other.close().await;
    world.end().await;
}
