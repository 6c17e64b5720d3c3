//! Opening the store: files, locks, versions, and clear words when one of them is not right.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::FlockOperation;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, PgConnection, PgPool, SqliteConnection};

use super::backup::swap;
use super::crowd::Crowd;
use super::db::{Conn, Db, PostgresDb, commit_times, one};
use super::error::StoreError;
use super::migrations::{
    Found, Part, examine, migrate_postgres, migrate_sqlite, newest, newest_of,
};
use super::sqlite_writer::SqliteWriter;
use super::{Inner, Store, installation, metrics, refusals};
use crate::vault::Vault;
use crate::wake::Wake;

/// The main database in the data directory, when there is no PostgreSQL.
pub const MAIN_FILE: &str = "control.db";
/// Logs and metrics in the data directory, when there is no PostgreSQL.
pub const TELEMETRY_FILE: &str = "telemetry.db";
const LOCK_FILE: &str = "lock";
/// How long a connection to PostgreSQL may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A server that hangs in the middle of a transaction must not hold its locks, and with them the
/// other servers, for ever: PostgreSQL ends its transaction.
const IDLE_IN_TRANSACTION: (&str, &str) = ("idle_in_transaction_session_timeout", "30s");
/// By which PostgreSQL tells our servers' connections from others.
pub(super) const APPLICATION: &str = "towline";
/// A restore that waits for somebody's locks gives up.
const LOCKED: (&str, &str) = ("lock_timeout", "20s");
/// Readers never wait for the writer; this covers checkpoints and recovery.
const BUSY: Duration = Duration::from_secs(5);

/// Where the store is.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The folder of everything this installation keeps.
    pub data_dir: PathBuf,
    /// `postgres://…`; without it, SQLite files in the folder.
    pub url: Option<String>,
    /// Connections to PostgreSQL, or readers of each SQLite file.
    pub connections: u32,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or written.
    #[error(
        "the data directory {path} cannot be written: {cause}; give another with --data-dir, or make it writable for this user"
    )]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The operating system's words.
        cause: std::io::Error,
    },
    /// Another server has the folder.
    #[error(
        "another towline-server uses the data directory {path}; stop it first, or use PostgreSQL (--database postgres://…) for several servers"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The URL is no PostgreSQL URL.
    #[error(
        "the database URL cannot be used: {0}; write postgres://user:password@host:port/database"
    )]
    Url(String),
    /// The database cannot be reached or opened.
    #[error("the database cannot be opened: {0}")]
    Database(#[from] StoreError),
    /// The disk is full.
    #[error("the disk of {path} is full; free some space and start again")]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// A newer server has written the database.
    #[error(
        "the database was written by a newer towline-server (its schema has version {0}, which this one does not know); start that version or a later one"
    )]
    NewerSchema(i64),
    /// The tables are not what this version made.
    #[error(
        "the database's schema version {0} is not this program's; it belongs to another build or was changed by hand"
    )]
    ForeignSchema(i64),
    /// An upgrade was broken off in the middle.
    #[error(
        "the upgrade of this database to schema version {0} was broken off in the middle, and its tables are neither of the old version nor of the new one; nothing was changed now. Stop all servers and restore the backup that was made before the upgrade: `towline-server admin restore FILE --replace`"
    )]
    HalfMigrated(i64),
    /// A restore was killed, and there was no installation before it.
    #[error(
        "a restore into this data directory was broken off, and there is no installation yet; run `towline-server admin restore` again, or remove {path} to begin with an empty one"
    )]
    RestoreBrokenOff {
        /// What is left of it.
        path: PathBuf,
    },
    /// A restore is not at its end.
    #[error(
        "a restore into this data directory has not come to its end; start the server, which ends it, then run this again"
    )]
    RestoreUnderWay,
    /// A step of the upgrade failed.
    #[error("the database cannot be brought to this version: {0}")]
    Migration(String),
    /// The master key is another.
    #[error(
        "the master key is not the one this database was made with; put the right master.key back into the data directory, or set TOWLINE_MASTER_KEY"
    )]
    MasterKey,
    /// A rotation of the master key has not ended, and one of its two keys is missing.
    #[error(
        "the master key is being exchanged, and version {0} of it is missing; give both keys: in master.key one beneath the other, or as TOWLINE_MASTER_KEY and TOWLINE_MASTER_KEY_PREVIOUS"
    )]
    KeyOfRotation(i64),
    /// There is nothing to work on.
    #[error(
        "there is no installation in {path}; name its folder with --data-dir, or its database with --database"
    )]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// The tables are of another version, and a server may be using them.
    #[error(
        "the database is of another version than this program; start this version's server first, or use the program of the server that runs"
    )]
    OtherSchema,
}

/// What the one who opens it does with the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Serves by it, or works on it while no other server has its files.
    Own,
    /// Works on it while a server may be running: takes no lock, and leaves the tables as they are.
    Beside,
}

impl Store {
    /// Opens the store, and makes it at the first start.
    pub async fn open(config: &DatabaseConfig, vault: Vault) -> Result<Self, OpenError> {
        make_folder(&config.data_dir)?;
        let store = Self::open_for(config, vault, Purpose::Own).await?;
        store.forget_sessions_of_the_dead().await?;
        Ok(store)
    }

    /// Opens the store of an installation whose servers may be running. It is for short work.
    pub async fn open_beside(config: &DatabaseConfig, vault: Vault) -> Result<Self, OpenError> {
        if config.url.is_none() && !config.data_dir.join(MAIN_FILE).exists() {
            return Err(OpenError::Absent {
                path: config.data_dir.clone(),
            });
        }
        Self::open_for(config, vault, Purpose::Beside).await
    }

    async fn open_for(
        config: &DatabaseConfig,
        vault: Vault,
        purpose: Purpose,
    ) -> Result<Self, OpenError> {
        let inner = match &config.url {
            Some(url) => open_postgres(url, config, vault, purpose).await?,
            None => open_sqlite(config, vault, purpose)
                .await
                .map_err(|error| name_disk(error, &config.data_dir))?,
        };
        let store = Self {
            inner: Arc::new(inner),
        };
        store
            .ensure_installation()
            .await
            .map_err(|error| name_disk(error, &config.data_dir))?;
        Ok(store)
    }
}

async fn open_sqlite(
    config: &DatabaseConfig,
    vault: Vault,
    purpose: Purpose,
) -> Result<Inner, OpenError> {
    let lock = match purpose {
        Purpose::Own => Some(lock(&config.data_dir)?),
        Purpose::Beside if swap::is_decided(&config.data_dir) => {
            return Err(OpenError::RestoreUnderWay);
        }
        Purpose::Beside => None,
    };
    if purpose == Purpose::Own {
        swap::settle(&config.data_dir)?;
        look_first(config, &vault).await?;
    }
    let main = open_file(config, Part::Main, purpose).await?;
    let telemetry = open_file(config, Part::Telemetry, purpose).await?;
    Ok(inner(config, (main, telemetry), vault, Wake::local(), lock))
}

fn inner(
    config: &DatabaseConfig,
    (main, telemetry): (Db, Db),
    vault: Vault,
    wake: Wake,
    lock: Option<File>,
) -> Inner {
    Inner {
        main,
        telemetry,
        data_dir: config.data_dir.clone(),
        vault,
        wake,
        samples: Mutex::new(metrics::Pending::default()),
        refusals: refusals::Budget::full(),
        crowd: Crowd::default(),
        lock,
    }
}

/// Refuses what cannot be used, before anything is changed.
async fn look_first(config: &DatabaseConfig, vault: &Vault) -> Result<(), OpenError> {
    for part in Part::BOTH {
        let path = config.data_dir.join(file_of(part));
        if !path.exists() {
            continue;
        }
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options.busy_timeout(BUSY))
            .await
            .map_err(StoreError::from)?;
        let found = examine(Conn::Sqlite(&mut connection), Some(part)).await?;
        if (part, found) == (Part::Main, Found::Tables) {
            installation::prove_keys(Conn::Sqlite(&mut connection), vault).await?;
        }
        connection.close().await.map_err(StoreError::from)?;
    }
    Ok(())
}

const fn file_of(part: Part) -> &'static str {
    match part {
        Part::Main => MAIN_FILE,
        Part::Telemetry => TELEMETRY_FILE,
    }
}

/// How a file is opened.
fn options_of(config: &DatabaseConfig, part: Part) -> SqliteConnectOptions {
    let synchronous = match part {
        Part::Main => SqliteSynchronous::Full,
        Part::Telemetry => SqliteSynchronous::Normal,
    };
    SqliteConnectOptions::new()
        .filename(config.data_dir.join(file_of(part)))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        // A flood leaves no large log behind, in bytes.
        .pragma("journal_size_limit", "67108864")
        // A savepoint's old pages would go to a file outside of the data directory.
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(256)
}

/// The connection that writes a file, which is made if it is not there.
pub(super) async fn connect_file(
    config: &DatabaseConfig,
    part: Part,
) -> Result<SqliteConnection, OpenError> {
    own(&config.data_dir.join(file_of(part))).map_err(|cause| OpenError::DataDir {
        path: config.data_dir.clone(),
        cause,
    })?;
    // Merged logs and old samples give their space back; the rest hardly shrinks. A reader may not even ask for it.
    let writer = options_of(config, part).auto_vacuum(SqliteAutoVacuum::Incremental);
    let connection = SqliteConnection::connect_with(&writer).await;
    Ok(connection.map_err(StoreError::from)?)
}

async fn open_file(config: &DatabaseConfig, part: Part, purpose: Purpose) -> Result<Db, OpenError> {
    let mut connection = connect_file(config, part).await?;
    match purpose {
        Purpose::Own => migrate_sqlite(&mut connection, part).await?,
        Purpose::Beside => check(Conn::Sqlite(&mut connection), newest_of(part)).await?,
    }
    let readers = SqlitePoolOptions::new()
        .max_connections(config.connections.max(1))
        // A file does not go away as a server may.
        .test_before_acquire(false)
        .connect_with(
            options_of(config, part)
                .read_only(true)
                .create_if_missing(false),
        )
        .await
        .map_err(StoreError::from)?;
    Ok(Db::Sqlite {
        writer: SqliteWriter::new(connection),
        readers,
        commits: commit_times(),
    })
}

async fn open_postgres(
    url: &str,
    config: &DatabaseConfig,
    vault: Vault,
    purpose: Purpose,
) -> Result<Inner, OpenError> {
    let options = postgres_options(url)?
        .application_name(APPLICATION)
        .options([IDLE_IN_TRANSACTION]);
    let mut first = try_once(&options).await?;
    if purpose == Purpose::Own {
        let found = examine(Conn::Postgres(&mut first), None).await?;
        if found == Found::Tables {
            installation::prove_keys(Conn::Postgres(&mut first), &vault).await?;
        }
    }
    first.close().await.map_err(StoreError::from)?;
    let pool: PgPool = PgPoolOptions::new()
        // One of them listens for wake-ups.
        .max_connections(config.connections.max(1) + 1)
        .acquire_timeout(CONNECT_WITHIN)
        .connect_with(options)
        .await
        .map_err(StoreError::from)?;
    match purpose {
        Purpose::Own => migrate_postgres(&pool).await?,
        Purpose::Beside => {
            let mut connection = pool.acquire().await.map_err(StoreError::from)?;
            check(Conn::Postgres(&mut connection), newest()).await?;
        }
    }
    let wake = Wake::postgres(&pool);
    Ok(inner(
        config,
        (postgres_db(pool.clone()), postgres_db(pool)),
        vault,
        wake,
        None,
    ))
}

fn postgres_db(pool: PgPool) -> Db {
    Db::Postgres(PostgresDb {
        pool,
        commits: commit_times(),
    })
}

fn postgres_options(url: &str) -> Result<PgConnectOptions, OpenError> {
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        return Err(OpenError::Url("it is for another database".to_owned()));
    }
    PgConnectOptions::from_str(url).map_err(|error| OpenError::Url(error.to_string()))
}

/// A PostgreSQL database as it is, for one transaction.
pub(super) async fn connect_to_restore(url: &str) -> Result<Db, OpenError> {
    let options = postgres_options(url)?
        .application_name("towline-restore")
        .options([LOCKED]);
    try_once(&options)
        .await?
        .close()
        .await
        .map_err(StoreError::from)?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options);
    Ok(postgres_db(pool.await.map_err(StoreError::from)?))
}

/// Whether the tables are those that this program makes.
async fn check(conn: Conn<'_>, expected: i64) -> Result<(), OpenError> {
    let sql = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
    match one!(conn, (Option<i64>,), sql) {
        Ok((Some(version),)) if version == expected => Ok(()),
        Ok(_) => Err(OpenError::OtherSchema),
        Err(error) => Err(StoreError::from(error).into()),
    }
}

/// The pool would try until its time is over; one try says at once what is wrong.
async fn try_once(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let first = tokio::time::timeout(CONNECT_WITHIN, PgConnection::connect_with(options));
    Ok(first.await.map_err(|_| sqlx::Error::PoolTimedOut)??)
}

pub(super) fn make_folder(path: &Path) -> Result<(), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|cause| OpenError::DataDir {
            path: path.to_owned(),
            cause,
        })
}

/// Makes the file for this user alone; SQLite gives its other files the same mode.
fn own(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map(|_| ())
}

/// The kernel lets go of the lock when the process ends, however it ends.
pub(super) fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let failed = |cause| OpenError::DataDir {
        path: data_dir.to_owned(),
        cause,
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(data_dir.join(LOCK_FILE)).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse {
            path: data_dir.to_owned(),
        }),
        Err(error) => Err(failed(error.into())),
    }
}

/// Gives the data directory free for another server.
pub(super) fn unlock(lock: &File) -> rustix::io::Result<()> {
    rustix::fs::flock(lock, FlockOperation::Unlock)
}

fn name_disk(error: OpenError, data_dir: &Path) -> OpenError {
    match error {
        OpenError::Database(StoreError::DiskFull(_)) => OpenError::DiskFull {
            path: data_dir.to_owned(),
        },
        error => error,
    }
}
