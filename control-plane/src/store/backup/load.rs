//! Putting a backup's rows into tables that its migrations have just made.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};

use super::tables::{self, Table};
use super::{copy, tables::quoted};
use crate::backup::{BackupError, BackupFile, Record, Records, Row, TableHead, Value};
use crate::store::StoreError;
use crate::store::db::Conn;

/// So much goes to PostgreSQL at once, in bytes.
const PORTION: usize = 1 << 20;

/// Tables by their names.
type Tables = BTreeMap<String, Table>;

/// Fills the two files' tables; gives the number of rows.
pub(super) async fn into_sqlite(
    backup: &BackupFile,
    parts: &mut [SqliteConnection],
    tell: &mut impl FnMut(&str, u64),
) -> Result<u64, BackupError> {
    let mut places = Vec::new();
    for part in parts.iter_mut() {
        // Rows may name later rows of their own table. What is wrong shows at the end.
        run(part, "PRAGMA foreign_keys = OFF; BEGIN").await?;
        places.push(empty(Conn::Sqlite(part)).await?);
    }
    let mut all = 0;
    let mut records = backup.records()?;
    let mut next = records.next()?;
    while let Some(Record::Table(head)) = next {
        let at = places
            .iter()
            .position(|tables| tables.contains_key(&head.name));
        let (Some(at), Some(table)) = (at, at.and_then(|at| fitting(&places[at], &head))) else {
            return Err(unknown(&head));
        };
        let rows;
        (rows, next) = fill_sqlite(&mut parts[at], &table, &mut records).await?;
        tell(&table.name, rows);
        all += rows;
    }
    for part in parts.iter_mut() {
        let wrong: Option<(String,)> =
            sqlx::query_as("SELECT DISTINCT \"table\" FROM pragma_foreign_key_check LIMIT 1")
                .fetch_optional(&mut *part)
                .await
                .map_err(StoreError::from)?;
        if let Some((table,)) = wrong {
            return Err(BackupError::Damaged(format!(
                "rows of {table} name rows that are not there"
            )));
        }
        run(part, "COMMIT; PRAGMA foreign_keys = ON").await?;
    }
    Ok(all)
}

async fn fill_sqlite(
    part: &mut SqliteConnection,
    table: &Table,
    records: &mut Records,
) -> Result<(u64, Option<Record>), BackupError> {
    let marks: Vec<_> = (1..=table.columns.len())
        .map(|at| format!("${at}"))
        .collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.quoted(),
        table.list(),
        marks.join(", ")
    );
    let mut rows = 0;
    loop {
        match records.next()? {
            Some(Record::Row(row)) => {
                insert(part, &sql, row).await?;
                rows += 1;
            }
            next => return Ok((rows, next)),
        }
    }
}

async fn insert(part: &mut SqliteConnection, sql: &str, row: Row) -> Result<(), StoreError> {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for value in row {
        query = match value {
            Value::Null => query.bind(None::<i64>),
            Value::Integer(number) => query.bind(number),
            Value::Real(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
        };
    }
    query.execute(part).await?;
    Ok(())
}

async fn run(part: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(part).await?;
    Ok(())
}

/// Fills the tables within a transaction; gives the number of rows.
pub(super) async fn into_postgres(
    backup: &BackupFile,
    conn: &mut PgConnection,
    tell: &mut impl FnMut(&str, u64),
) -> Result<u64, BackupError> {
    let places = empty(Conn::Postgres(conn)).await?;
    let mut all = 0;
    let mut records = backup.records()?;
    let mut next = records.next()?;
    while let Some(Record::Table(head)) = next {
        let table = fitting(&places, &head).ok_or_else(|| unknown(&head))?;
        let rows;
        (rows, next) = fill_postgres(conn, &table, &mut records).await?;
        tell(&table.name, rows);
        all += rows;
    }
    Ok(all)
}

/// One `COPY`: what rows name is looked at when all rows of the table are there.
async fn fill_postgres(
    conn: &mut PgConnection,
    table: &Table,
    records: &mut Records,
) -> Result<(u64, Option<Record>), BackupError> {
    let sql = format!(
        "COPY {} ({}) FROM STDIN (FORMAT binary)",
        table.quoted(),
        table.list()
    );
    let mut copy = conn.copy_in_raw(&sql).await.map_err(StoreError::from)?;
    let mut portion = Vec::with_capacity(PORTION);
    copy::start(&mut portion);
    let next = loop {
        match records.next()? {
            Some(Record::Row(row)) => copy::pack(&mut portion, table, &row)?,
            next => break next,
        }
        if portion.len() >= PORTION {
            copy.send(portion.as_slice())
                .await
                .map_err(StoreError::from)?;
            portion.clear();
        }
    };
    copy::end(&mut portion);
    copy.send(portion.as_slice())
        .await
        .map_err(StoreError::from)?;
    let rows = copy.finish().await.map_err(StoreError::from)?;
    Ok((rows, next))
}

/// The tables, without the rows that migrations have put there.
async fn empty(mut conn: Conn<'_>) -> Result<Tables, BackupError> {
    let tables = tables::of(conn.again()).await?;
    for table in tables.iter().rev() {
        let sql = AssertSqlSafe(format!("DELETE FROM {}", quoted(&table.name)));
        match conn.again() {
            Conn::Sqlite(conn) => sqlx::query(sql).execute(conn).await.map(drop),
            Conn::Postgres(conn) => sqlx::query(sql).execute(conn).await.map(drop),
        }
        .map_err(StoreError::from)?;
    }
    let named = tables.into_iter().map(|table| (table.name.clone(), table));
    Ok(named.collect())
}

/// The table with its columns in the order that the backup's rows have.
fn fitting(tables: &Tables, head: &TableHead) -> Option<Table> {
    let mut table = tables.get(&head.name)?.clone();
    let place = |name: &String| head.columns.iter().position(|column| column == name);
    if table.columns.len() != head.columns.len()
        || !table
            .columns
            .iter()
            .all(|column| place(&column.name).is_some())
    {
        return None;
    }
    table.columns.sort_by_key(|column| place(&column.name));
    Some(table)
}

fn unknown(head: &TableHead) -> BackupError {
    BackupError::Damaged(format!(
        "its table {} is not the one of its migrations",
        head.name
    ))
}
