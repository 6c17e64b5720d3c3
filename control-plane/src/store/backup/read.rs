//! Reading all rows of one moment. Nobody waits for it: SQLite's readers and PostgreSQL's snapshots
//! see what was committed before they began, and hold up no writer.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, sqlite::SqliteRow};

use super::copy::Unpacker;
use super::tables::{Column, Kind, Table};
use crate::backup::{BackupError, Row, Value};
use crate::store::StoreError;
use crate::store::db::Conn;

/// Begins to see one moment.
pub(super) async fn begin(conn: Conn<'_>) -> Result<(), StoreError> {
    match conn {
        Conn::Sqlite(conn) => {
            // The moment is that of the first read.
            let sql = "BEGIN; SELECT COUNT(*) FROM sqlite_master";
            sqlx::raw_sql(sql).execute(conn).await?;
        }
        Conn::Postgres(conn) => {
            // A slow disk under the backup must not end it.
            let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
                SET LOCAL idle_in_transaction_session_timeout = 0";
            sqlx::raw_sql(sql).execute(conn).await?;
        }
    }
    Ok(())
}

/// Ends it.
pub(super) async fn end(conn: Conn<'_>) -> Result<(), StoreError> {
    match conn {
        Conn::Sqlite(conn) => sqlx::raw_sql("ROLLBACK").execute(conn).await.map(drop)?,
        Conn::Postgres(conn) => sqlx::raw_sql("ROLLBACK").execute(conn).await.map(drop)?,
    }
    Ok(())
}

/// Gives out all rows of a table; how many there were.
pub(super) async fn rows(
    conn: Conn<'_>,
    table: &Table,
    mut put: impl FnMut(Row) -> Result<(), BackupError>,
) -> Result<u64, BackupError> {
    let mut count = 0;
    let mut counted = |row| {
        count += 1;
        put(row)
    };
    match conn {
        Conn::Sqlite(conn) => sqlite_rows(conn, table, &mut counted).await?,
        Conn::Postgres(conn) => {
            let sql = format!(
                "COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)",
                table.list(),
                table.quoted()
            );
            let mut stream = conn.copy_out_raw(&sql).await.map_err(StoreError::from)?;
            let mut unpacker = Unpacker::new(&table.columns);
            while let Some(bytes) = stream.try_next().await.map_err(StoreError::from)? {
                unpacker.feed(&bytes);
                while let Some(row) = unpacker.row()? {
                    counted(row)?;
                }
            }
        }
    }
    Ok(count)
}

async fn sqlite_rows(
    conn: &mut SqliteConnection,
    table: &Table,
    put: &mut impl FnMut(Row) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let sql = format!("SELECT {} FROM {}", table.list(), table.quoted());
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(conn);
    while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
        let columns = table.columns.iter().enumerate();
        let values = columns.map(|(at, column)| value(&row, at, column));
        put(values
            .collect::<Result<_, sqlx::Error>>()
            .map_err(StoreError::from)?)?;
    }
    Ok(())
}

fn value(row: &SqliteRow, at: usize, column: &Column) -> Result<Value, sqlx::Error> {
    let value = match column.kind {
        Kind::Integer => row.try_get::<Option<_>, _>(at)?.map(Value::Integer),
        Kind::Real => row.try_get::<Option<_>, _>(at)?.map(Value::Real),
        Kind::Bytes => row.try_get::<Option<_>, _>(at)?.map(Value::Bytes),
        // SQLite has no other kinds.
        _ => row.try_get::<Option<_>, _>(at)?.map(Value::Text),
    };
    Ok(value.unwrap_or(Value::Null))
}
