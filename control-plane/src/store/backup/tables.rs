//! The tables of a database, in an order in which rows name only rows of earlier tables.

use std::collections::BTreeSet;

use crate::store::db::{Conn, all};
use crate::store::{Result, StoreError, migrations};

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Tables that its rows name.
    names: BTreeSet<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column holds; SQLite knows fewer kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Real,
    Text,
    Bytes,
    Truth,
    Identifier,
    Time,
    Json,
}

impl Table {
    /// The columns' names, as a backup has them.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.columns.iter().map(|column| column.name.clone());
        names.collect()
    }

    /// The columns' names in a statement.
    pub(super) fn list(&self) -> String {
        let names = self.columns.iter().map(|column| quoted(&column.name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The table's name in a statement.
    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }
}

/// A name in a statement. Names come from the database's own catalogue.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// All tables that our migrations have made here.
pub(super) async fn of(mut conn: Conn<'_>) -> Result<Vec<Table>> {
    let sql = conn.pick(SQLITE_COLUMNS, POSTGRES_COLUMNS);
    let columns = all!(conn.again(), (String, String, String), sql)?;
    let sql = conn.pick(SQLITE_REFERENCES, POSTGRES_REFERENCES);
    let references = all!(conn, (String, String), sql)?;
    let ours = migrations::tables();
    let mut tables: Vec<Table> = Vec::new();
    for (table, name, kind) in columns {
        if !ours.contains(table.as_str()) {
            continue;
        }
        let column = Column {
            kind: kind_of(&kind)?,
            name,
        };
        match tables.last_mut() {
            Some(last) if last.name == table => last.columns.push(column),
            _ => tables.push(Table {
                name: table,
                columns: vec![column],
                names: BTreeSet::new(),
            }),
        }
    }
    for (from, to) in references {
        let found = tables.iter_mut().find(|table| table.name == from);
        if let Some(table) = found.filter(|_| from != to) {
            table.names.insert(to);
        }
    }
    ordered(tables)
}

const SQLITE_COLUMNS: &str =
    "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c
    WHERE m.type = 'table' ORDER BY m.name, c.cid";
const POSTGRES_COLUMNS: &str = "SELECT t.relname::text, a.attname::text, format_type(a.atttypid, NULL)
    FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid
    WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY t.relname, a.attnum";
const SQLITE_REFERENCES: &str =
    "SELECT m.name, f.\"table\" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table'";
const POSTGRES_REFERENCES: &str = "SELECT t.relname::text, f.relname::text FROM pg_constraint c
    JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
    WHERE t.relnamespace = current_schema()::regnamespace AND c.contype = 'f'";

fn kind_of(kind: &str) -> Result<Kind> {
    Ok(match kind {
        "INTEGER" | "bigint" => Kind::Integer,
        "REAL" | "double precision" => Kind::Real,
        "TEXT" | "text" => Kind::Text,
        "BLOB" | "bytea" => Kind::Bytes,
        "boolean" => Kind::Truth,
        "uuid" => Kind::Identifier,
        "timestamp with time zone" => Kind::Time,
        "jsonb" => Kind::Json,
        other => {
            return Err(StoreError::Damaged(format!(
                "no backup can hold a column of the type {other}"
            )));
        }
    })
}

fn ordered(mut left: Vec<Table>) -> Result<Vec<Table>> {
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waiting: BTreeSet<String> = left.iter().map(|table| table.name.clone()).collect();
        let (ready, rest): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|table| table.names.is_disjoint(&waiting));
        if ready.is_empty() {
            return Err(StoreError::Damaged(format!(
                "the tables {waiting:?} name each other in a circle"
            )));
        }
        ordered.extend(ready);
        left = rest;
    }
    Ok(ordered)
}
