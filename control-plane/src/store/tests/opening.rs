//! Opening what cannot be opened says why.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;

use super::world::{World, on_both, vault};
use crate::store::db::execute;
use crate::store::{DatabaseConfig, OpenError, Store, StoreError};
use crate::vault::Vault;

on_both!(a_newer_schema_is_refused, another_master_key_is_refused);

async fn a_newer_schema_is_refused(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    let conn = tx.conn();
    let sql = conn.pick(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of the future', 1, x'00', 0)",
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of the future', true, '\\x00', 0)",
    );
    execute!(conn, sql).unwrap();
    tx.commit().await.unwrap();
    let opened = open_again(world, vault(world.dir.path())).await;
    assert!(
        matches!(opened, Err(OpenError::NewerSchema(9999))),
        "{opened:?}"
    );
}

async fn another_master_key_is_refused(world: &World) {
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let other = Vault::load_or_create(world.dir.path(), Some(&key)).unwrap();
    let opened = open_again(world, other).await;
    assert!(matches!(opened, Err(OpenError::MasterKey)), "{opened:?}");
}

/// A second server on the same database; on SQLite on a copy of the files, since the first has
/// them.
async fn open_again(world: &World, vault: Vault) -> Result<Store, OpenError> {
    if world.config.url.is_some() {
        return Store::open(&world.config, vault).await;
    }
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let config = DatabaseConfig {
        data_dir: copy.path().to_owned(),
        ..world.config.clone()
    };
    Store::open(&config, vault).await
}

#[tokio::test]
async fn two_servers_on_one_sqlite_folder_are_refused() {
    let world = World::sqlite().await;
    let second = Store::open(&world.config, vault(world.dir.path())).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    let World {
        store, config, dir, ..
    } = world;
    store.close().await;
    drop(store);
    let third = Store::open(&config, vault(dir.path())).await.unwrap();
    third.ping().await.unwrap();
    third.close().await;
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let world = World::sqlite().await;
    let project = world.project("web").await;
    let host = world.host("shop").await;
    world.deploy(&project, &host).await;
    let World {
        store,
        config,
        dir,
        tenant,
        ..
    } = world;
    let mode = std::fs::metadata(dir.path().join("control.db"))
        .unwrap()
        .permissions()
        .mode();
    drop(store);
    let store = Store::open(&config, vault(dir.path())).await.unwrap();
    assert_eq!(
        store.project(&tenant, project.id).await.unwrap().name,
        "web"
    );
    let agent = store.agent(&tenant, host.id).await.unwrap();
    assert_eq!(
        agent.status,
        crate::store::AgentStatus::Offline,
        "nobody is connected after a restart"
    );
    assert_eq!(store.claim(host.id).await.unwrap().len(), 1);
    assert_eq!(mode & 0o077, 0, "nobody else reads the database ({mode:o})");
    store.close().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let occupied = dir.path().join("file");
    std::fs::write(&occupied, "x").unwrap();
    let config = DatabaseConfig {
        data_dir: occupied.join("data"),
        url: None,
        connections: 1,
    };
    let opened = Store::open(&config, vault(dir.path())).await;
    let Err(error @ OpenError::DataDir { .. }) = opened else {
        panic!("{opened:?}")
    };
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (url, is_expected) in [
        (
            "mysql://localhost/x",
            (|error| matches!(error, OpenError::Url(_))) as fn(&OpenError) -> bool,
        ),
        ("postgres://towline@127.0.0.1:1/x", |error| {
            matches!(error, OpenError::Database(StoreError::Unavailable(_)))
        }),
    ] {
        let config = DatabaseConfig {
            data_dir: dir.path().to_owned(),
            url: Some(url.to_owned()),
            connections: 1,
        };
        let error = Store::open(&config, vault(dir.path())).await.unwrap_err();
        assert!(is_expected(&error), "{url}: {error:?}");
    }
}
