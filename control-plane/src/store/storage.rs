//! How much room everything takes, and how much there is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use utoipa::ToSchema;

use super::db::{Db, one};
use super::open::{MAIN_FILE, TELEMETRY_FILE};
use super::{Result, Store, StoreError, counted};

/// The name of what PostgreSQL keeps, which is one database.
const ONE: &str = "all";

/// How much room everything takes, and how much there is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Storage {
    /// The databases.
    pub databases: Vec<DatabaseSize>,
    /// The data directory of the server that answers.
    pub data_dir: DiskSpace,
}

/// What a database takes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DatabaseSize {
    /// `main`, `telemetry` (logs and metrics), or `all` where both are one.
    pub name: &'static str,
    /// `sqlite` or `postgres`.
    pub kind: &'static str,
    /// Bytes on its disk, its write-ahead log included where that is a file of its own.
    pub bytes: u64,
    /// Bytes of these that are free for new rows; null where the database does not tell.
    pub reusable_bytes: Option<u64>,
}

/// The room of a folder's disk.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DiskSpace {
    /// The folder.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Bytes of it that the server may still fill.
    pub available_bytes: u64,
}

impl Store {
    /// How much room everything takes. It costs a few small queries, however much there is.
    pub async fn storage(&self) -> Result<Storage> {
        let databases = match self.main() {
            Db::Postgres(_) => vec![postgres(self.main()).await?],
            Db::Sqlite { .. } => vec![
                sqlite(self.main(), "main", &self.data_dir().join(MAIN_FILE)).await?,
                sqlite(
                    self.telemetry(),
                    "telemetry",
                    &self.data_dir().join(TELEMETRY_FILE),
                )
                .await?,
            ],
        };
        Ok(Storage {
            databases,
            data_dir: disk_of(self.data_dir())?,
        })
    }
}

async fn postgres(db: &Db) -> Result<DatabaseSize> {
    let mut reader = db.read().await?;
    let sql = "SELECT pg_database_size(current_database())";
    let (bytes,) = one!(reader.conn(), (i64,), sql)?;
    Ok(DatabaseSize {
        name: ONE,
        kind: "postgres",
        bytes: counted(bytes),
        reusable_bytes: None,
    })
}

async fn sqlite(db: &Db, name: &'static str, file: &Path) -> Result<DatabaseSize> {
    let mut reader = db.read().await?;
    let (size, free) = one!(
        reader.conn(),
        (i64, i64),
        "SELECT s.page_size, f.freelist_count FROM pragma_page_size() s, pragma_freelist_count() f"
    )?;
    Ok(DatabaseSize {
        name,
        kind: "sqlite",
        bytes: length(file)? + length(&wal_of(file))?,
        reusable_bytes: Some(counted(size) * counted(free)),
    })
}

fn wal_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The bytes of a file; none when it is not there.
fn length(file: &Path) -> Result<u64> {
    match std::fs::metadata(file) {
        Ok(about) => Ok(about.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(unreadable(file, &error)),
    }
}

fn disk_of(folder: &Path) -> Result<DiskSpace> {
    let about = rustix::fs::statvfs(folder).map_err(|error| unreadable(folder, &error))?;
    Ok(DiskSpace {
        path: folder.to_owned(),
        disk_bytes: about.f_blocks.saturating_mul(about.f_frsize),
        available_bytes: about.f_bavail.saturating_mul(about.f_frsize),
    })
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Damaged(format!("{} cannot be looked at: {error}", path.display()))
}
