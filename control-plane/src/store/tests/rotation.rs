//! The master key is exchanged while values are set and jobs claimed, and whatever breaks off.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::world::{World, on_both, vault};
use crate::store::db::{Db, all, execute};
use crate::store::sealing::SEALED;
use crate::store::{KeyState, OpenError, Store, StoreError};
use crate::vault::{MASTER_KEY_FILE, Vault, VaultError};

on_both!(
    every_sealed_column_is_in_the_list,
    a_key_is_exchanged_under_load,
    an_exchange_that_broke_off_is_gone_on_with,
    a_server_without_the_new_key_says_so_and_loses_nothing,
    a_damaged_value_is_named_and_keeps_the_old_key,
    keys_of_the_environment_are_exchanged,
);

/// A column that is forgotten in the list is lost at the first rotation.
async fn every_sealed_column_is_in_the_list(world: &World) {
    let mut reader = world.store.main().read().await.unwrap();
    let conn = reader.conn();
    let sql = conn.pick(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'",
        "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'",
    );
    let columns = all!(conn, (String, String), sql).unwrap();
    let listed: Vec<_> = SEALED
        .iter()
        .map(|column| column.name.split_once('.').unwrap())
        .collect();
    let mut seen = 0;
    for (table, column) in &columns {
        let is_sealed = column.ends_with("_encrypted") || column.ends_with("_sealed");
        if is_sealed {
            assert!(
                listed.contains(&(table.as_str(), column.as_str())),
                "{table}.{column} is not in SEALED"
            );
            seen += 1;
        }
        if column == "key_version" {
            assert!(
                listed.iter().any(|(of, _)| of == table),
                "{table} has sealed values and is not in SEALED"
            );
        }
    }
    assert!(seen >= 3, "{seen}");
    for (table, column) in listed {
        for column in [column, "key_version"] {
            let expected = (table.to_owned(), column.to_owned());
            assert!(columns.contains(&expected), "{table}.{column}");
        }
    }
}

/// As `towline-server admin rotate-master-key` does it, up to a step.
struct Operator {
    vault: Vault,
    store: Store,
}

impl Operator {
    async fn of(world: &World) -> Self {
        let vault = Vault::of_file(&world.dir.path().join(MASTER_KEY_FILE)).unwrap();
        let store = Store::open_beside(&world.config, vault.clone())
            .await
            .unwrap();
        Self { vault, store }
    }

    async fn begin(&self) -> crate::store::KeyChange {
        let turn = self.vault.take_turn().unwrap();
        let new = self.vault.add_key(&turn).unwrap();
        self.store.begin_key_change(&new).await.unwrap()
    }

    async fn finish(self, change: crate::store::KeyChange) {
        for _ in 0..100 {
            match self.store.rewrap_all(change, |_| {}).await {
                Ok(()) => {}
                Err(StoreError::Unavailable(_)) => continue,
                Err(error) => panic!("{error}"),
            }
            if self
                .store
                .finish_key_change(change)
                .await
                .unwrap()
                .is_empty()
            {
                let turn = self.vault.take_turn().unwrap();
                let keys = self.store.master_keys().await.unwrap();
                let current = keys.iter().find(|key| key.state == KeyState::Current);
                self.vault
                    .keep_keys(&turn, &[current.unwrap().fingerprint.as_str()])
                    .unwrap();
                self.store.close().await;
                return;
            }
        }
        panic!("it does not end");
    }
}

/// Everything opens under the keys of the file alone, and nothing under the old one.
async fn check_all(world: &World, old: &Vault) {
    let fresh = Operator::of(world).await;
    assert_eq!(fresh.vault.fingerprints().len(), 1);
    let current = fresh.store.master_keys().await.unwrap().pop().unwrap();
    assert_eq!(current.state, KeyState::Current);
    old.learn((1..=current.version).zip(std::iter::repeat(old.fingerprints()[0].as_str())));
    let mut reader = fresh.store.main().read().await.unwrap();
    let mut checked = 0;
    for column in &SEALED {
        let conn = reader.conn();
        let sql = column.batch[0];
        let rows = all!(
            conn,
            crate::store::sealing::SealedRow,
            sql,
            current.version,
            uuid::Uuid::nil(),
            10_000_i64
        )
        .unwrap();
        for row in rows {
            let place = crate::vault::Place {
                table: column.place,
                id: row.place_id,
                version: row.place_version,
            };
            let sealed = row.sealed.as_slice();
            fresh.vault.open(current.version, place, sealed).unwrap();
            for version in 1..=current.version {
                assert!(old.open(version, place, sealed).is_err(), "{}", column.name);
            }
            checked += 1;
        }
    }
    drop(reader);
    let counts = fresh.store.sealed_counts().await.unwrap();
    let all: u64 = counts.iter().map(|count| count.values).sum();
    assert_eq!(checked, all, "{counts:?}");
    fresh.store.close().await;
    let refused = Store::open_beside(&world.config, old.clone()).await;
    assert!(matches!(refused, Err(OpenError::MasterKey)), "{refused:?}");
}

async fn a_key_is_exchanged_under_load(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let old = vault(world.dir.path());
    for number in 0..60 {
        let key = format!("KEY_{number}");
        world
            .store
            .put_secret(&world.tenant, project.id, key.as_str(), "before")
            .await
            .unwrap();
    }
    let stopping = AtomicBool::new(false);
    let load = async {
        let mut round = 0;
        while !stopping.load(Ordering::Relaxed) {
            let (key, value) = (format!("KEY_{}", round % 60), format!("value {round}"));
            world
                .store
                .put_secret(&world.tenant, project.id, key.as_str(), &value)
                .await
                .unwrap();
            if round % 5 == 0 {
                world.deploy(&project, &host).await;
                let attempt = world.start(&host).await;
                let done = super::world::finished(attempt, super::world::succeeded());
                world.store.finished(host.id, &done).await.unwrap();
            }
            round += 1;
        }
        round
    };
    let rotate = async {
        for version in 2..=3 {
            let operator = Operator::of(world).await;
            let change = operator.begin().await;
            assert_eq!(change.to, version);
            operator.finish(change).await;
        }
        stopping.store(true, Ordering::Relaxed);
    };
    let (rounds, ()) = tokio::join!(load, rotate);
    assert!(rounds > 0);
    check_all(world, &old).await;
    world.store.agent_authority().await.unwrap();
    world.deploy(&project, &host).await;
    assert_eq!(world.claim(&host).await.secrets.len(), 60);
}

async fn an_exchange_that_broke_off_is_gone_on_with(world: &World) {
    let project = world.project("web").await;
    let old = vault(world.dir.path());
    for number in 0..120 {
        let key = format!("KEY_{number}");
        world
            .store
            .put_secret(&world.tenant, project.id, key.as_str(), "before")
            .await
            .unwrap();
    }
    let first = Operator::of(world).await;
    let change = first.begin().await;
    // It is gone in the middle: some values are under the new key, and some are not.
    let broken = {
        let rewrapping = first.store.rewrap_all(change, |_| {});
        tokio::time::timeout(std::time::Duration::from_millis(20), rewrapping).await
    };
    drop(broken);
    first.store.close().await;
    let restarted = vault(world.dir.path());
    assert_eq!(restarted.fingerprints().len(), 2);
    let left = first_left(world).await;
    assert!(left > 0, "it did break off in the middle");
    world
        .store
        .put_secret(&world.tenant, project.id, "KEY_0", "meanwhile")
        .await
        .unwrap();
    // Whoever has one of the two keys alone is refused.
    let half = Store::open_beside(&world.config, old.clone()).await;
    assert!(matches!(half, Err(OpenError::KeyOfRotation(2))), "{half:?}");
    Operator::of(world).await.finish(change).await;
    check_all(world, &old).await;
}

async fn first_left(world: &World) -> u64 {
    let counts = world.store.sealed_counts().await.unwrap();
    let old = counts.iter().filter(|count| count.version == 1);
    old.map(|count| count.values).sum()
}

async fn a_server_without_the_new_key_says_so_and_loses_nothing(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world
        .store
        .put_secret(&world.tenant, project.id, "PASSWORD", "hunter2")
        .await
        .unwrap();
    let path = world.dir.path().join(MASTER_KEY_FILE);
    let before = std::fs::read(&path).unwrap();
    let operator = Operator::of(world).await;
    let change = operator.begin().await;
    operator.store.rewrap_all(change, |_| {}).await.unwrap();
    // Its file is another's, where nobody has put the new key yet.
    let after = std::fs::read(&path).unwrap();
    std::fs::write(&path, before).unwrap();
    let put = world
        .store
        .put_secret(&world.tenant, project.id, "PASSWORD", "hunter3");
    let put = put.await;
    assert!(
        matches!(
            put,
            Err(StoreError::Vault(VaultError::UnknownKey { version: 2 }))
        ),
        "{put:?}"
    );
    let deployed = world.deploy(&project, &host).await;
    assert!(world.store.claim(host.id).await.is_err());
    assert!(!world.show(&deployed).await.status.is_terminal());
    std::fs::write(&path, after).unwrap();
    let put = world
        .store
        .put_secret(&world.tenant, project.id, "PASSWORD", "hunter3");
    assert_eq!(put.await.unwrap().version, 2);
    operator.finish(change).await;
}

async fn a_damaged_value_is_named_and_keeps_the_old_key(world: &World) {
    let project = world.project("web").await;
    let secret = world
        .store
        .put_secret(&world.tenant, project.id, "PASSWORD", "hunter2")
        .await
        .unwrap();
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE secrets SET value_encrypted = $1";
    execute!(tx.conn(), sql, [7_u8; 200].as_slice()).unwrap();
    tx.commit().await.unwrap();
    let operator = Operator::of(world).await;
    let change = operator.begin().await;
    let mut unreadable = Vec::new();
    operator
        .store
        .rewrap_all(change, |done| unreadable.extend(done.unreadable.clone()))
        .await
        .unwrap();
    assert_eq!(unreadable, [secret.id.uuid()]);
    let left = operator.store.finish_key_change(change).await.unwrap();
    assert_eq!((left.len(), left[0].values), (1, 1));
    world
        .store
        .put_secret(&world.tenant, project.id, "PASSWORD", "hunter3")
        .await
        .unwrap();
    // Its former value is still damaged.
    let left = operator.store.finish_key_change(change).await.unwrap();
    assert_eq!(left[0].column, "secret_versions.value_encrypted");
    world
        .store
        .delete_secret(&world.tenant, project.id, "PASSWORD")
        .await
        .unwrap();
    operator.finish(change).await;
}

async fn keys_of_the_environment_are_exchanged(world: &World) {
    let old = std::fs::read_to_string(world.dir.path().join(MASTER_KEY_FILE)).unwrap();
    let new = STANDARD.encode([9; 32]);
    let given = |text: &str| Vault::load_or_create(world.dir.path(), Some(text)).unwrap();
    let alone = Store::open_beside(&world.config, given(&new)).await;
    assert!(matches!(alone, Err(OpenError::MasterKey)), "{alone:?}");
    let vault = given(&format!("{new}\n{old}"));
    let store = Store::open_beside(&world.config, vault.clone())
        .await
        .unwrap();
    let change = store
        .begin_key_change(&vault.fingerprints()[0])
        .await
        .unwrap();
    let twice = store.begin_key_change(&vault.fingerprints()[0]).await;
    assert!(
        matches!(twice, Err(StoreError::Conflict { .. })),
        "{twice:?}"
    );
    store.rewrap_all(change, |_| {}).await.unwrap();
    assert_eq!(store.finish_key_change(change).await.unwrap(), []);
    store.close().await;
    let alone = Store::open_beside(&world.config, given(&new)).await;
    alone.unwrap().close().await;
}

#[tokio::test]
async fn there_must_be_an_installation_to_work_beside() {
    let world = World::sqlite().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let config = crate::store::DatabaseConfig {
        data_dir: elsewhere.path().to_owned(),
        ..world.config.clone()
    };
    let opened = Store::open_beside(&config, vault(world.dir.path())).await;
    assert!(
        matches!(opened, Err(OpenError::Absent { .. })),
        "{opened:?}"
    );
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    world.end().await;
}

/// Tables that another version has made are left alone.
#[tokio::test]
async fn tables_of_another_version_are_refused_and_left_alone() {
    let world = World::sqlite().await;
    let Db::Sqlite { .. } = world.store.main() else {
        panic!("SQLite")
    };
    let mut tx = world.store.main().begin().await.unwrap();
    let sql =
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
    execute!(tx.conn(), sql).unwrap();
    tx.commit().await.unwrap();
    let opened = Store::open_beside(&world.config, vault(world.dir.path())).await;
    assert!(matches!(opened, Err(OpenError::OtherSchema)), "{opened:?}");
    world.end().await;
}
