//! Two databases, one code: an enum over two drivers, and macros that write a query once.
//!
//! Queries are plain text with `$1` parameters, which both databases read. The few statements that
//! differ are chosen by [`Conn::pick`]. A write is a [`Tx`]; dropping it rolls it back.

use std::time::Instant;

use chrono::{DateTime, SubsecRound as _, Utc};
use prometheus_client::metrics::histogram::Histogram;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool};
use uuid::Uuid;

use towline_shared::failpoint;

use super::error::StoreError;
use super::sqlite_writer::{SqliteTx, SqliteWriter};

/// A database: an SQLite file, or PostgreSQL.
#[derive(Clone)]
pub(crate) enum Db {
    /// One file: one writer, many readers.
    Sqlite {
        writer: SqliteWriter,
        readers: SqlitePool,
        commits: Histogram,
    },
    /// A server.
    Postgres(PostgresDb),
}

/// A PostgreSQL database and how long its commits take.
#[derive(Clone)]
pub(crate) struct PostgresDb {
    pub(crate) pool: PgPool,
    pub(crate) commits: Histogram,
}

/// From the wish to commit to the durable commit, in seconds. A sync of a disk takes from a fraction
/// of a millisecond to tens of them.
pub(crate) fn commit_times() -> Histogram {
    Histogram::new([
        0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0,
    ])
}

/// A connection to either database, borrowed for one statement.
pub(crate) enum Conn<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

/// A write transaction. [`Tx::commit`] returns when it is durable.
pub(crate) struct Tx {
    open: OpenTx,
    commits: Histogram,
}

enum OpenTx {
    Sqlite(SqliteTx),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// A connection for reading outside of a transaction.
pub(crate) enum Reader {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Db {
    /// Begins a write. On SQLite this waits for the writer.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        let open = match self {
            Self::Sqlite { writer, .. } => OpenTx::Sqlite(writer.begin().await?),
            Self::Postgres(server) => OpenTx::Postgres(server.pool.begin().await?),
        };
        Ok(Tx {
            open,
            commits: self.commits().clone(),
        })
    }

    /// How long commits have taken.
    pub(crate) const fn commits(&self) -> &Histogram {
        match self {
            Self::Sqlite { commits, .. } | Self::Postgres(PostgresDb { commits, .. }) => commits,
        }
    }

    /// Takes a connection for reading.
    pub(crate) async fn read(&self) -> Result<Reader, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Reader::Sqlite(readers.acquire().await?),
            Self::Postgres(server) => Reader::Postgres(server.pool.acquire().await?),
        })
    }

    /// Ends all connections after their present work.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite {
                writer, readers, ..
            } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(server) => server.pool.close().await,
        }
    }
}

impl Conn<'_> {
    /// The same connection, for one more statement.
    pub(crate) fn again(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(connection) => Conn::Sqlite(connection),
            Self::Postgres(connection) => Conn::Postgres(connection),
        }
    }

    /// The text for this database, where the two differ.
    pub(crate) const fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }
}

impl Tx {
    /// The connection, for one statement.
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match &mut self.open {
            OpenTx::Sqlite(tx) => Conn::Sqlite(tx.connection()),
            OpenTx::Postgres(tx) => Conn::Postgres(tx),
        }
    }

    /// Makes the writes durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        let began = Instant::now();
        match self.open {
            OpenTx::Sqlite(tx) => tx.commit().await?,
            OpenTx::Postgres(tx) => tx.commit().await?,
        }
        self.commits.observe(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Takes the writes back, and returns when what was read is durable. Whoever answers by what a
    /// transaction has read, and not by what it wrote, ends it so: the answer must not be ahead of
    /// the database.
    pub(crate) async fn roll_back(self) -> Result<(), StoreError> {
        match self.open {
            OpenTx::Sqlite(tx) => tx.roll_back().await?,
            OpenTx::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// The database's clock, which leases are measured by: all replicas share it.
    pub(crate) async fn now(&mut self) -> Result<DateTime<Utc>, StoreError> {
        now(self.conn()).await
    }
}

impl Reader {
    /// The connection, for one statement.
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(connection) => Conn::Sqlite(connection),
            Self::Postgres(connection) => Conn::Postgres(connection),
        }
    }
}

/// SQLite has no clock but the process's own.
pub(crate) async fn now(conn: Conn<'_>) -> Result<DateTime<Utc>, StoreError> {
    Ok(match conn {
        Conn::Sqlite(_) => local_now(),
        Conn::Postgres(connection) => {
            let now: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
                .fetch_one(connection)
                .await?;
            now.trunc_subsecs(6)
        }
    })
}

/// This machine's clock, in the microseconds that both databases keep.
pub(crate) fn local_now() -> DateTime<Utc> {
    let played = failpoint::clock().and_then(DateTime::from_timestamp_millis);
    played.unwrap_or_else(Utc::now).trunc_subsecs(6)
}

/// Identifiers as one parameter: a JSON list, which a statement takes apart by [`Conn::pick`].
pub(crate) fn id_list<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> String {
    ids.into_iter()
        .map(Uuid::to_string)
        .collect::<serde_json::Value>()
        .to_string()
}

/// Runs a statement; gives the number of rows it touched.
macro_rules! execute {
    ($conn:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        match $conn {
            $crate::store::db::Conn::Sqlite(conn) => {
                #[cfg(test)]
                $crate::store::tests::explain::explain(&mut *conn, module_path!(), $sql).await;
                sqlx::query($sql)$(.bind($arg))*.execute(conn).await.map(|done| done.rows_affected())
            }
            $crate::store::db::Conn::Postgres(conn) => {
                sqlx::query($sql)$(.bind($arg))*.execute(conn).await.map(|done| done.rows_affected())
            }
        }
    };
}

macro_rules! fetch {
    ($how:ident, $conn:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        match $conn {
            $crate::store::db::Conn::Sqlite(conn) => {
                #[cfg(test)]
                $crate::store::tests::explain::explain(&mut *conn, module_path!(), $sql).await;
                sqlx::query_as::<_, $row>($sql)$(.bind($arg))*.$how(conn).await
            }
            $crate::store::db::Conn::Postgres(conn) => {
                sqlx::query_as::<_, $row>($sql)$(.bind($arg))*.$how(conn).await
            }
        }
    };
}

/// Reads exactly one row.
macro_rules! one {
    ($conn:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::store::db::fetch!(fetch_one, $conn, $row, $sql $(, $arg)*)
    };
}

/// Reads one row or none.
macro_rules! optional {
    ($conn:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::store::db::fetch!(fetch_optional, $conn, $row, $sql $(, $arg)*)
    };
}

/// Reads all rows; the statement limits their number.
macro_rules! all {
    ($conn:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::store::db::fetch!(fetch_all, $conn, $row, $sql $(, $arg)*)
    };
}

pub(crate) use {all, execute, fetch, one, optional};
