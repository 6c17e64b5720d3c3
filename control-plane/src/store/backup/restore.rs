//! Restoring a backup: all of it or nothing.
//!
//! It is read to its end before anything is touched, and once more while its rows are put back. The
//! tables are made by the migrations that the backup names, filled, and then brought to the present
//! version, as an upgrade would. SQLite's files are made beside the present ones and take their
//! place in one step; on PostgreSQL everything is one transaction.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{load, swap};
use crate::backup::{BackupError, BackupFile, Header};
use crate::store::audit::{self, Actor, Entry};
use crate::store::db::{Conn, Db, Tx, execute, local_now, one};
use crate::store::migrations::{self, Part};
use crate::store::open::{self, MAIN_FILE, TELEMETRY_FILE};
use crate::store::{DatabaseConfig, OpenError, Result, Store, StoreError, installation};
use crate::vault::Vault;

/// A server that has just ended may have connections for a moment yet.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(150);

/// What to do when there is an installation already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// Leave it as it is, and fail.
    Refuse,
    /// Put the backup in its place.
    Replace,
}

/// What a restore has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Rows.
    pub rows: u64,
    /// The incarnation that fences have from now on.
    pub incarnation: u32,
}

/// Puts a backup that [`verify`](super::verify) has read into a database on which no server runs.
pub async fn restore(
    config: &DatabaseConfig,
    backup: &BackupFile,
    vault: Vault,
    occupied: Occupied,
    mut tell: impl FnMut(&str, u64),
) -> std::result::Result<Restored, BackupError> {
    migrations::must_know(&backup.header().migrations)?;
    match &config.url {
        Some(url) => into_postgres(url, backup, occupied, &mut tell).await,
        None => into_folder(config, backup, vault, occupied, &mut tell).await,
    }
}

async fn into_folder(
    config: &DatabaseConfig,
    backup: &BackupFile,
    vault: Vault,
    occupied: Occupied,
    tell: &mut impl FnMut(&str, u64),
) -> std::result::Result<Restored, BackupError> {
    let data_dir = &config.data_dir;
    open::make_folder(data_dir)?;
    let _lock = open::lock(data_dir)?;
    match swap::settle(data_dir) {
        // This restore is the second try.
        Err(OpenError::RestoreBrokenOff { .. }) => {}
        settled => settled?,
    }
    let is_occupied = [MAIN_FILE, TELEMETRY_FILE]
        .iter()
        .any(|name| data_dir.join(name).exists());
    if is_occupied && occupied == Occupied::Refuse {
        return Err(there_is_one(&format!("in {}", data_dir.display())));
    }
    let making = swap::making(data_dir);
    let failed = |cause| BackupError::File {
        path: making.clone(),
        done: "written",
        cause,
    };
    remove_folder(&making).map_err(failed)?;
    let scratch = DatabaseConfig {
        data_dir: making.clone(),
        ..config.clone()
    };
    let made = make_files(&scratch, backup, vault, tell).await;
    let made = made.and_then(|made| {
        swap::decide(data_dir).map_err(failed)?;
        Ok(made)
    });
    match made {
        Ok(made) => {
            swap::move_in(data_dir).map_err(failed)?;
            Ok(made)
        }
        Err(error) => {
            if let Err(error) = remove_folder(&making) {
                tracing::warn!(%error, path = %making.display(), "what was written stays");
            }
            Err(error)
        }
    }
}

fn remove_folder(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

async fn make_files(
    config: &DatabaseConfig,
    backup: &BackupFile,
    vault: Vault,
    tell: &mut impl FnMut(&str, u64),
) -> std::result::Result<Restored, BackupError> {
    open::make_folder(&config.data_dir)?;
    let listed = &backup.header().migrations;
    let mut parts = Vec::new();
    for part in Part::BOTH {
        let mut file = open::connect_file(config, part).await?;
        migrations::make_sqlite(&mut file, part, listed).await?;
        parts.push(file);
    }
    let rows = load::into_sqlite(backup, &mut parts, tell).await?;
    for part in parts {
        sqlx::Connection::close(part)
            .await
            .map_err(StoreError::from)?;
    }
    // Brings the tables to the present version, and proves that the key opens them.
    let store = Store::open(config, vault).await?;
    let settled = store.settle(backup.header()).await;
    store.close().await;
    Ok(Restored {
        rows,
        incarnation: settled?,
    })
}

impl Store {
    async fn settle(&self, header: &Header) -> Result<u32> {
        let mut tx = self.main().begin().await?;
        let incarnation = settle(&mut tx, header).await?;
        tx.commit().await?;
        Ok(incarnation)
    }
}

async fn into_postgres(
    url: &str,
    backup: &BackupFile,
    occupied: Occupied,
    tell: &mut impl FnMut(&str, u64),
) -> std::result::Result<Restored, BackupError> {
    let db = open::connect_to_restore(url).await?;
    let restored = in_transaction(&db, backup, occupied, tell).await;
    db.close().await;
    restored
}

async fn in_transaction(
    db: &Db,
    backup: &BackupFile,
    occupied: Occupied,
    tell: &mut impl FnMut(&str, u64),
) -> std::result::Result<Restored, BackupError> {
    let mut tx = db.begin().await?;
    refuse_running(tx.conn()).await?;
    let Conn::Postgres(conn) = tx.conn() else {
        return Err(StoreError::Damaged("this is no PostgreSQL".to_owned()).into());
    };
    if migrations::is_made(conn).await? {
        if occupied == Occupied::Refuse {
            return Err(there_is_one("in this database"));
        }
        migrations::unmake_postgres(conn).await?;
    }
    migrations::make_postgres(conn, &backup.header().migrations).await?;
    let rows = load::into_postgres(backup, conn, tell).await?;
    migrations::finish_postgres(conn).await?;
    let incarnation = settle(&mut tx, backup.header()).await?;
    // One that was started meanwhile waits for our locks.
    refuse_running(tx.conn()).await?;
    tx.commit().await?;
    Ok(Restored { rows, incarnation })
}

async fn refuse_running(mut conn: Conn<'_>) -> std::result::Result<(), BackupError> {
    // Within a transaction PostgreSQL shows what it has shown once, unless it is told to look again.
    const FORGET: &str = "SELECT 1::bigint FROM pg_stat_clear_snapshot()";
    const COUNT: &str = "SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = $1";
    for _ in 0..LOOKS {
        one!(conn.again(), (i64,), FORGET).map_err(StoreError::from)?;
        let (running,) =
            one!(conn.again(), (i64,), COUNT, open::APPLICATION).map_err(StoreError::from)?;
        if running == 0 {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(BackupError::Refused {
        message: "a towline-server is connected to this database; nothing was changed".to_owned(),
        remedy: "stop all servers of this installation, then run this again".to_owned(),
    })
}

fn there_is_one(place: &str) -> BackupError {
    BackupError::Refused {
        message: format!("there is an installation {place} already"),
        remedy: "name an empty place, or put the backup in its place with --replace, which deletes what is there"
            .to_owned(),
    }
}

/// What must not be as it was: fences that were given out since, and what lets somebody in who may
/// have been shut out since.
async fn settle(tx: &mut Tx, header: &Header) -> Result<u32> {
    let now = local_now();
    execute!(tx.conn(), "DELETE FROM sessions WHERE TRUE")?;
    execute!(
        tx.conn(),
        "DELETE FROM password_resets WHERE used_at IS NULL"
    )?;
    execute!(
        tx.conn(),
        "UPDATE enrolment_tokens SET revoked_at = $1, updated_at = $1 WHERE used_at IS NULL AND revoked_at IS NULL",
        now
    )?;
    let incarnation = installation::raise(tx, now).await?;
    let chain = installation::id(tx).await?;
    let entry = Entry {
        chain,
        team: None,
        actor: Actor::System,
        action: "installation.restore",
        subject: ("installation", Some(chain)),
        detail: json!({ "backup": header.id, "made_at": header.made_at }),
    };
    audit::append(tx, &entry, now).await?;
    Ok(incarnation)
}
