//! The tables, brought to the present version when the store is opened.
//!
//! The migrations of both databases have the same numbers and names. Those whose name begins with
//! `telemetry` go to the second file on SQLite, and to the one database on PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use sqlx::{Acquire, AssertSqlSafe, PgConnection, PgPool, SqliteConnection};

use super::db::{Conn, all, optional};
use super::error::StoreError;
use super::open::OpenError;

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");
/// Where it is written down which of them were done.
const DONE: &str = "_sqlx_migrations";

/// Which of the two SQLite files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Telemetry,
}

impl Part {
    pub(super) const BOTH: [Self; 2] = [Self::Main, Self::Telemetry];

    fn has(self, migration: &Migration) -> bool {
        migration.description.starts_with("telemetry") == (self == Self::Telemetry)
    }
}

/// Brings an SQLite file to the present version.
pub(super) async fn migrate_sqlite(
    connection: &mut SqliteConnection,
    part: Part,
) -> Result<(), OpenError> {
    run(
        &chosen(&SQLITE, |migration| part.has(migration)),
        connection,
    )
    .await
}

/// Brings a PostgreSQL database to the present version; replicas that start together take turns.
pub(super) async fn migrate_postgres(pool: &PgPool) -> Result<(), OpenError> {
    run(&POSTGRES, pool).await
}

/// Makes the tables of an SQLite file as some migrations make them.
pub(super) async fn make_sqlite(
    connection: &mut SqliteConnection,
    part: Part,
    listed: &[i64],
) -> Result<(), OpenError> {
    let is_chosen =
        |migration: &Migration| part.has(migration) && listed.contains(&migration.version);
    run(&chosen(&SQLITE, is_chosen), connection).await
}

/// Makes the tables in a PostgreSQL database as some migrations make them.
pub(super) async fn make_postgres(
    connection: &mut PgConnection,
    listed: &[i64],
) -> Result<(), OpenError> {
    let is_chosen = |migration: &Migration| listed.contains(&migration.version);
    run(&chosen(&POSTGRES, is_chosen), connection).await
}

/// Does the rest of them.
pub(super) async fn finish_postgres(connection: &mut PgConnection) -> Result<(), OpenError> {
    run(&POSTGRES, connection).await
}

/// Takes our tables away, with all their rows. Tables of a later version stay, and the rest with
/// them: the database refuses to take away what those name.
pub(super) async fn unmake_postgres(connection: &mut PgConnection) -> Result<(), OpenError> {
    examine(Conn::Postgres(connection), None).await?;
    let tables: Vec<_> = tables().into_iter().chain([DONE]).collect();
    let sql = format!("DROP TABLE IF EXISTS {}", tables.join(", "));
    let dropped = sqlx::query(AssertSqlSafe(sql)).execute(connection).await;
    dropped.map_err(StoreError::from)?;
    Ok(())
}

/// Whether a PostgreSQL database has tables of ours.
pub(super) async fn is_made(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace
        AND relname = ANY($1))";
    let tables: Vec<String> = tables()
        .into_iter()
        .chain([DONE])
        .map(str::to_owned)
        .collect();
    let made = sqlx::query_scalar(sql)
        .bind(tables)
        .fetch_one(connection)
        .await;
    Ok(made?)
}

/// The names of all tables that our migrations make.
pub(super) fn tables() -> BTreeSet<&'static str> {
    let mut tables = BTreeSet::new();
    for migration in POSTGRES.iter() {
        let mut words = migration.sql.as_str().split_whitespace().peekable();
        let mut before = "";
        while let Some(word) = words.next() {
            if matches!((before, word), ("CREATE", "TABLE") | ("RENAME", "TO"))
                && let Some(name) = words.peek()
            {
                tables.insert(name.trim_end_matches([';', '(']));
            }
            before = word;
        }
    }
    tables
}

/// Refuses migrations that this program does not know.
pub(super) fn must_know(listed: &[i64]) -> Result<(), OpenError> {
    let unknown = listed
        .iter()
        .find(|version| !POSTGRES.version_exists(**version));
    match unknown {
        Some(version) => Err(OpenError::NewerSchema(*version)),
        None => Ok(()),
    }
}

/// The migrations that were done here.
pub(super) async fn applied(conn: Conn<'_>) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
    let rows = all!(conn, (i64,), sql)?;
    Ok(rows.into_iter().map(|(version,)| version).collect())
}

#[derive(sqlx::FromRow)]
struct Done {
    version: i64,
    success: bool,
    checksum: Vec<u8>,
}

/// What there is before anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing of ours.
    Nothing,
    /// Tables, perhaps of an earlier version.
    Tables,
}

/// Looks, and changes nothing: refuses tables that no migration of this program has made, or that one
/// has left half-made. Without a part it looks at PostgreSQL.
pub(super) async fn examine(mut conn: Conn<'_>, part: Option<Part>) -> Result<Found, OpenError> {
    if !has_table(conn.again(), DONE).await? {
        return Ok(Found::Nothing);
    }
    let sql = "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
    let done = all!(conn.again(), Done, sql).map_err(StoreError::from)?;
    let known = match part {
        Some(part) => chosen(&SQLITE, |migration| part.has(migration)),
        None => chosen(&POSTGRES, |_| true),
    };
    let known: BTreeMap<i64, &Migration> = known
        .iter()
        .map(|migration| (migration.version, migration))
        .collect();
    if let Some(half) = done.iter().find(|done| !done.success) {
        return Err(OpenError::HalfMigrated(half.version));
    }
    for done in &done {
        match known.get(&done.version) {
            None => return Err(OpenError::NewerSchema(done.version)),
            Some(migration) if *migration.checksum != *done.checksum => {
                return Err(OpenError::ForeignSchema(done.version));
            }
            Some(_) => {}
        }
    }
    Ok(if done.is_empty() {
        Found::Nothing
    } else {
        Found::Tables
    })
}

/// Whether there is a table of this name.
pub(super) async fn has_table(conn: Conn<'_>, name: &str) -> Result<bool, StoreError> {
    let sql = conn.pick(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1",
        "SELECT 1::bigint FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = $1",
    );
    Ok(optional!(conn, (i64,), sql, name)?.is_some())
}

/// The present version of a PostgreSQL database.
pub(super) fn newest() -> i64 {
    newest_in(|_| true)
}

/// The present version of an SQLite file.
pub(super) fn newest_of(part: Part) -> i64 {
    newest_in(|migration| part.has(migration))
}

/// Both databases have the same migrations.
fn newest_in(is_counted: impl Fn(&Migration) -> bool) -> i64 {
    let versions = POSTGRES.iter().filter(|migration| is_counted(migration));
    versions
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

fn chosen(of: &Migrator, is_chosen: impl Fn(&Migration) -> bool) -> Migrator {
    let migrations = of.iter().filter(|migration| is_chosen(migration));
    Migrator::with_migrations(migrations.cloned().collect())
}

async fn run<'a, A>(migrator: &Migrator, database: A) -> Result<(), OpenError>
where
    A: Acquire<'a>,
    <A::Connection as std::ops::Deref>::Target: Migrate,
{
    migrator.run(database).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::NewerSchema(version),
        MigrateError::VersionMismatch(version) => OpenError::ForeignSchema(version),
        MigrateError::Dirty(version) => OpenError::HalfMigrated(version),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            OpenError::Database(error.into())
        }
        error => OpenError::Migration(error.to_string()),
    })
}
