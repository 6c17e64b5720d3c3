//! Opening what cannot be opened says why.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;

use super::world::{World, on_both, vault};
use crate::store::db::{execute, one};
use crate::store::{DatabaseConfig, OpenError, Store, StoreError};
use crate::vault::Vault;

on_both!(
    a_newer_schema_is_refused,
    a_half_finished_migration_is_explained,
    an_altered_migration_is_refused,
    another_master_key_is_refused_and_touches_nothing,
);

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

/// A step that was begun and has no end, as the migrations write it down.
async fn a_half_finished_migration_is_explained(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    let conn = tx.conn();
    let sql = conn.pick(
        "UPDATE _sqlx_migrations SET success = 0 WHERE version = 16",
        "UPDATE _sqlx_migrations SET success = false WHERE version = 16",
    );
    assert_eq!(execute!(conn, sql).unwrap(), 1);
    tx.commit().await.unwrap();
    let opened = open_again(world, vault(world.dir.path())).await;
    let Err(error @ OpenError::HalfMigrated(16)) = opened else {
        panic!("{opened:?}")
    };
    let said = error.to_string();
    assert!(
        said.contains("16") && said.contains("admin restore"),
        "{said}"
    );
}

async fn an_altered_migration_is_refused(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    let conn = tx.conn();
    let sql = conn.pick(
        "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 12",
        "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 12",
    );
    assert_eq!(execute!(conn, sql).unwrap(), 1);
    tx.commit().await.unwrap();
    let opened = open_again(world, vault(world.dir.path())).await;
    assert!(
        matches!(opened, Err(OpenError::ForeignSchema(12))),
        "{opened:?}"
    );
}

/// Also when there would be something to bring to this version.
async fn another_master_key_is_refused_and_touches_nothing(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    for sql in [
        "DROP TABLE webhook_deliveries",
        "DROP TABLE webhooks",
        "DELETE FROM _sqlx_migrations WHERE version = 16",
    ] {
        execute!(tx.conn(), sql).unwrap();
    }
    tx.commit().await.unwrap();
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let wrong = || Vault::load_or_create(world.dir.path(), Some(&key)).unwrap();
    if world.config.url.is_some() {
        let opened = Store::open(&world.config, wrong()).await;
        assert!(matches!(opened, Err(OpenError::MasterKey)), "{opened:?}");
        let mut reader = world.store.main().read().await.unwrap();
        let sql = "SELECT COUNT(*) FROM _sqlx_migrations WHERE version = 16";
        let (done,) = one!(reader.conn(), (i64,), sql).unwrap();
        assert_eq!(done, 0, "nothing was brought to this version");
        return;
    }
    let copy = copy_of(world);
    let before = contents(copy.path());
    let config = config_of(world, &copy);
    let opened = Store::open(&config, wrong()).await;
    assert!(matches!(opened, Err(OpenError::MasterKey)), "{opened:?}");
    assert_eq!(contents(copy.path()), before);
    let opened = Store::open(&config, vault(copy.path())).await.unwrap();
    opened.close().await;
    assert_ne!(
        contents(copy.path()),
        before,
        "the right key brings it to this version"
    );
}

/// All files, but for what readers of SQLite share.
fn contents(dir: &std::path::Path) -> std::collections::BTreeMap<std::ffi::OsString, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    files
        .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
        .filter(|(name, _)| !name.to_string_lossy().ends_with("-shm"))
        .collect()
}

/// A second server on the same database; on SQLite on a copy of the files, since the first has
/// them.
async fn open_again(world: &World, vault: Vault) -> Result<Store, OpenError> {
    if world.config.url.is_some() {
        return Store::open(&world.config, vault).await;
    }
    let copy = copy_of(world);
    Store::open(&config_of(world, &copy), vault).await
}

fn copy_of(world: &World) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn config_of(world: &World, copy: &tempfile::TempDir) -> DatabaseConfig {
    DatabaseConfig {
        data_dir: copy.path().to_owned(),
        ..world.config.clone()
    }
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
