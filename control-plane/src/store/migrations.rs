//! The tables, brought to the present version when the store is opened.
//!
//! The migrations of both databases have the same numbers and names. Those whose name begins with
//! `telemetry` go to the second file on SQLite, and to the one database on PostgreSQL.

use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use sqlx::{Acquire, PgPool, SqliteConnection};

use super::open::OpenError;

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

/// Which of the two SQLite files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Telemetry,
}

impl Part {
    fn has(self, migration: &Migration) -> bool {
        migration.description.starts_with("telemetry") == (self == Self::Telemetry)
    }
}

/// Brings an SQLite file to the present version.
pub(super) async fn migrate_sqlite(
    connection: &mut SqliteConnection,
    part: Part,
) -> Result<(), OpenError> {
    let migrations = SQLITE
        .iter()
        .filter(|migration| part.has(migration))
        .cloned()
        .collect();
    run(&Migrator::with_migrations(migrations), connection).await
}

/// Brings a PostgreSQL database to the present version; replicas that start together take turns.
pub(super) async fn migrate_postgres(pool: &PgPool) -> Result<(), OpenError> {
    run(&POSTGRES, pool).await
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

async fn run<'a, A>(migrator: &Migrator, database: A) -> Result<(), OpenError>
where
    A: Acquire<'a>,
    <A::Connection as std::ops::Deref>::Target: Migrate,
{
    migrator.run(database).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::NewerSchema(version),
        MigrateError::VersionMismatch(version) => OpenError::ForeignSchema(version),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            OpenError::Database(error.into())
        }
        error => OpenError::Migration(error.to_string()),
    })
}
