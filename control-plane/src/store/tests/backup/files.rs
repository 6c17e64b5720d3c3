//! Files that are not what was written, and places where something is.

use std::fs;
use std::path::Path;

use base64::Engine as _;

use super::{Place, back_up};
use crate::backup::{BackupError, BackupFile, NewFile};
use crate::store::backup::{Occupied, swap, verify};
use crate::store::db::execute;
use crate::store::open::{MAIN_FILE, TELEMETRY_FILE};
use crate::store::tests::world::{World, on_both, vault};
use crate::store::{OpenError, Store};
use crate::vault::Vault;

on_both!(
    what_was_changed_or_cut_is_refused,
    another_key_is_refused,
    what_is_there_is_replaced_only_when_asked,
    a_backup_of_a_newer_program_is_refused,
);

fn read(file: &Path, world: &World) -> Result<(), BackupError> {
    let vault = vault(world.dir.path());
    verify(&BackupFile::open(file, &vault)?, &vault).map(drop)
}

async fn what_was_changed_or_cut_is_refused(world: &World) {
    let (file, _) = back_up(world, "backup").await;
    read(&file, world).unwrap();
    let whole = fs::read(&file).unwrap();
    let other = world.dir.path().join("other");
    // Every byte of the beginning and the end, and some of what is between.
    let ends = (0..400).chain(whole.len() - 100..whole.len());
    for at in ends.chain((400..whole.len()).step_by(whole.len() / 50)) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&other, &changed).unwrap();
        assert!(read(&other, world).is_err(), "byte {at}");
    }
    for length in [0, 1, 15, 16, 20, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&other, &whole[..length]).unwrap();
        assert!(read(&other, world).is_err(), "{length} bytes");
    }
    fs::write(&other, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(read(&other, world).is_err(), "something behind it");
    let place = Place::sqlite();
    let restored = place.restore(&other, world, Occupied::Refuse).await;
    assert!(restored.is_err());
    assert!(!place.config.data_dir.exists(), "nothing was touched");
    let again = NewFile::create(&file);
    assert!(
        matches!(again, Err(BackupError::Exists { .. })),
        "{again:?}"
    );
}

async fn another_key_is_refused(world: &World) {
    let (file, made) = back_up(world, "backup").await;
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let other = Vault::load_or_create(world.dir.path(), Some(&key)).unwrap();
    let Err(error @ BackupError::Key { .. }) = BackupFile::open(&file, &other) else {
        panic!("it opens");
    };
    let fingerprint = &made.header.keys[0].fingerprint;
    assert!(error.to_string().contains(fingerprint), "{error}");
}

async fn what_is_there_is_replaced_only_when_asked(world: &World) {
    world.project("kept").await;
    let (file, _) = back_up(world, "backup").await;
    for place in Place::both().await {
        let present = place.open(world).await;
        let restored = place.restore(&file, world, Occupied::Replace).await;
        let said = restored.unwrap_err().to_string();
        assert!(said.contains("towline-server"), "a server runs: {said}");
        present.ping().await.unwrap();
        present.close().await;
        let restored = place.restore(&file, world, Occupied::Refuse).await;
        let said = restored.unwrap_err().to_string();
        assert!(said.contains("--replace"), "{said}");
        let former = place.open(world).await;
        assert_eq!(projects(&former).await, 0, "as it was");
        former.close().await;
        for incarnation in [2, 2] {
            let restored = place.restore(&file, world, Occupied::Replace).await;
            assert_eq!(restored.unwrap().incarnation, incarnation);
        }
        let store = place.open(world).await;
        assert_eq!(projects(&store).await, 1);
        store.close().await;
        place.end().await;
    }
}

async fn projects(store: &Store) -> i64 {
    let mut reader = store.main().read().await.unwrap();
    let (count,) =
        crate::store::db::one!(reader.conn(), (i64,), "SELECT COUNT(*) FROM projects").unwrap();
    count
}

async fn a_backup_of_a_newer_program_is_refused(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    let conn = tx.conn();
    let sql = conn.pick(
        "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1",
        "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1",
    );
    execute!(conn, sql).unwrap();
    tx.commit().await.unwrap();
    let file = world.dir.path().join("backup");
    let made = world
        .store
        .back_up(NewFile::create(&file).unwrap(), |_, _| {});
    made.await.unwrap();
    let place = Place::sqlite();
    let restored = place.restore(&file, world, Occupied::Refuse).await;
    let Err(BackupError::Open(OpenError::NewerSchema(9999))) = restored else {
        panic!("{restored:?}")
    };
    assert!(!place.config.data_dir.exists(), "nothing was touched");
}

/// A data directory with these files in it, each with its name as content.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    dir
}

#[test]
fn a_restore_that_was_killed_has_happened_or_has_not() {
    let made = |name: &str| format!("restore.done/{name}");
    let (main, telemetry) = (made(MAIN_FILE), made(TELEMETRY_FILE));
    let wal = format!("{MAIN_FILE}-wal");
    // Wherever it was killed after the decision, what was made is what is there.
    let killed: [&[&str]; 4] = [
        &[MAIN_FILE, &wal, TELEMETRY_FILE, &main, &telemetry],
        &[MAIN_FILE, TELEMETRY_FILE, &main, &telemetry],
        &[MAIN_FILE, &wal, &main],
        &[&main, &telemetry],
    ];
    for files in killed {
        let dir = folder(files);
        assert!(swap::is_decided(dir.path()));
        swap::settle(dir.path()).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read(MAIN_FILE), main, "{files:?}");
        assert!(!dir.path().join(&wal).exists());
        assert!(!swap::is_decided(dir.path()));
        if files.contains(&telemetry.as_str()) {
            assert_eq!(read(TELEMETRY_FILE), telemetry);
        }
    }
    // Before it, what was there is there.
    let dir = folder(&[MAIN_FILE, &wal, "restore.partial/control.db"]);
    swap::settle(dir.path()).unwrap();
    let mut left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [MAIN_FILE, wal.as_str()]);
    // Where nothing was, nobody takes the rest for an installation, nor begins a new one.
    let dir = folder(&["restore.partial/control.db"]);
    let settled = swap::settle(dir.path());
    assert!(
        matches!(settled, Err(OpenError::RestoreBrokenOff { .. })),
        "{settled:?}"
    );
}
