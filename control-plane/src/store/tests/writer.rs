//! The writer of SQLite: what is committed stays, what is not leaves nothing, and a full disk is
//! survived.

use std::time::Duration;

use super::world::World;
use crate::store::StoreError;
use crate::store::db::{execute, one};

async fn projects(world: &World) -> i64 {
    let mut reader = world.store.main().read().await.unwrap();
    one!(reader.conn(), (i64,), "SELECT COUNT(*) FROM setup_links")
        .unwrap()
        .0
}

async fn insert(tx: &mut crate::store::db::Tx) -> Result<u64, sqlx::Error> {
    let id = uuid::Uuid::now_v7();
    execute!(
        tx.conn(),
        "INSERT INTO setup_links (id, token_hash, created_at, updated_at) VALUES ($1, $2, $3, $3)",
        id,
        id.to_string(),
        chrono::Utc::now()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_write_leaves_nothing() {
    let world = World::sqlite().await;
    let before = projects(&world).await;
    let mut tx = world.store.main().begin().await.unwrap();
    insert(&mut tx).await.unwrap();
    drop(tx);
    let mut tx = world.store.main().begin().await.unwrap();
    insert(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(projects(&world).await, before + 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_a_commit_and_lose_nothing() {
    let world = World::sqlite().await;
    let before = projects(&world).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = world.store.clone();
        tasks.spawn(async move {
            let mut tx = store.main().begin().await.unwrap();
            insert(&mut tx).await.unwrap();
            // Every fourth one gives up, in one way or the other.
            match number % 8 {
                0 => drop(tx),
                4 => {
                    let _ = tokio::time::timeout(Duration::ZERO, insert(&mut tx)).await;
                }
                _ => {
                    tx.commit().await.unwrap();
                    return 1;
                }
            }
            0
        });
    }
    let kept: i64 = tasks.join_all().await.into_iter().sum();
    assert_eq!(kept, 150);
    assert_eq!(projects(&world).await, before + kept);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_leaves_in_the_commit_loses_nothing() {
    let world = World::sqlite().await;
    let before = projects(&world).await;
    for _ in 0..20 {
        let mut tx = world.store.main().begin().await.unwrap();
        insert(&mut tx).await.unwrap();
        let _ = tokio::time::timeout(Duration::ZERO, tx.commit()).await;
    }
    let mut tx = world.store.main().begin().await.unwrap();
    insert(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(projects(&world).await, before + 21);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_survived() {
    let world = World::sqlite().await;
    let project = world.project("web").await;
    limit_pages(&world, "PRAGMA max_page_count = 1").await;
    let large = || {
        vec![super::world::file(
            "compose.yaml",
            &"# large\n".repeat(200_000),
        )]
    };
    let full = world
        .store
        .put_files(&world.tenant, project.id, large())
        .await;
    assert!(matches!(full, Err(StoreError::DiskFull(_))), "{full:?}");
    let files = world
        .store
        .read_files(&world.tenant, project.id)
        .await
        .unwrap();
    assert_eq!(
        files[0].content,
        super::world::COMPOSE.as_bytes(),
        "what was there stays"
    );

    limit_pages(&world, "PRAGMA max_page_count = 1000000").await;
    world
        .store
        .put_files(&world.tenant, project.id, large())
        .await
        .unwrap();
    world.end().await;
}

async fn limit_pages(world: &World, sql: &'static str) {
    let mut tx = world.store.main().begin().await.unwrap();
    execute!(tx.conn(), sql).unwrap();
    tx.commit().await.unwrap();
}
