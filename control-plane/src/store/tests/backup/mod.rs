//! Backups hold all there is, and come back into either database as a whole or not at all.

mod files;
mod older;
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sqlx::AssertSqlSafe;

use super::world::{World, create_database, drop_database, url_of, vault};
use crate::backup::{BackupError, BackupFile, NewFile};
use crate::store::backup::{BackedUp, Occupied, Restored, restore, verify};
use crate::store::db::{Conn, Db};
use crate::store::{DatabaseConfig, Store};

/// Where nothing is yet.
struct Place {
    config: DatabaseConfig,
    database: Option<String>,
    _dir: tempfile::TempDir,
}

impl Place {
    fn sqlite() -> Self {
        Self::new(None)
    }

    async fn postgres() -> Self {
        Self::new(Some(create_database().await))
    }

    fn new(database: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            config: DatabaseConfig {
                data_dir: dir.path().join("data"),
                url: database.as_deref().map(url_of),
                connections: 4,
            },
            database,
            _dir: dir,
        }
    }

    async fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres().await]
    }

    /// Restores with the keys of a world.
    async fn restore(
        &self,
        file: &Path,
        world: &World,
        occupied: Occupied,
    ) -> Result<Restored, BackupError> {
        let vault = vault(world.dir.path());
        let backup = BackupFile::open(file, &vault)?;
        verify(&backup, &vault)?;
        restore(&self.config, &backup, vault, occupied, |_, _| {}).await
    }

    async fn open(&self, world: &World) -> Store {
        let opened = Store::open(&self.config, vault(world.dir.path())).await;
        opened.unwrap()
    }

    async fn end(self) {
        if let Some(database) = &self.database {
            drop_database(database).await;
        }
    }
}

/// Backs a world up, as another process beside its server.
async fn back_up(world: &World, name: &str) -> (PathBuf, BackedUp) {
    let file = world.dir.path().join(name);
    let beside = Store::open_beside(&world.config, vault(world.dir.path()));
    let beside = beside.await.unwrap();
    let made = beside.back_up(NewFile::create(&file).unwrap(), |_, _| {});
    let made = made.await.unwrap();
    beside.close().await;
    (file, made)
}

type Dump = BTreeMap<String, Vec<String>>;

/// All rows of all tables, as text, in the order of the text.
async fn dump(store: &Store) -> Dump {
    let mut dump = Dump::new();
    let mut parts = vec![store.main()];
    if matches!(store.main(), Db::Sqlite { .. }) {
        parts.push(store.telemetry());
    }
    for part in parts {
        let mut reader = part.read().await.unwrap();
        for (name, columns) in columns(reader.conn()).await {
            let list: Vec<_> = columns
                .iter()
                .map(|(name, kind)| as_text(name, kind))
                .collect();
            let sql = format!("SELECT {} FROM {name}", list.join(" || ' | ' || "));
            let rows: Vec<(String,)> = match reader.conn() {
                Conn::Sqlite(conn) => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(conn).await,
                Conn::Postgres(conn) => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(conn).await,
            }
            .unwrap();
            let mut rows: Vec<_> = rows.into_iter().map(|(row,)| in_one_order(&row)).collect();
            rows.sort();
            dump.insert(name, rows);
        }
    }
    dump
}

/// PostgreSQL puts the fields of JSON into an order of its own.
fn in_one_order(row: &str) -> String {
    let values = row.split(" | ").map(|value| {
        let json = value
            .split_once('=')
            .filter(|(name, _)| ["capabilities", "images"].contains(name));
        match json {
            Some((name, json)) if json != "NULL" => {
                let json: serde_json::Value = serde_json::from_str(json).unwrap();
                format!("{name}={json}")
            }
            _ => value.to_owned(),
        }
    });
    values.collect::<Vec<_>>().join(" | ")
}

async fn columns(conn: Conn<'_>) -> BTreeMap<String, Vec<(String, String)>> {
    let sqlite = "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c
        WHERE m.type = 'table' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'";
    let postgres = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'";
    let rows: Vec<(String, String, String)> = match conn {
        Conn::Sqlite(conn) => sqlx::query_as(sqlite).fetch_all(conn).await,
        Conn::Postgres(conn) => sqlx::query_as(postgres).fetch_all(conn).await,
    }
    .unwrap();
    let mut tables: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (table, column, kind) in rows {
        tables.entry(table).or_default().push((column, kind));
    }
    for columns in tables.values_mut() {
        columns.sort();
    }
    tables
}

/// The same text for the same value in both databases.
fn as_text(name: &str, kind: &str) -> String {
    let text = match kind {
        "BLOB" => format!("CASE WHEN {name} IS NOT NULL THEN lower(hex({name})) END"),
        "uuid" => format!("replace({name}::text, '-', '')"),
        "bytea" => format!("encode({name}, 'hex')"),
        "boolean" => format!("{name}::int::text"),
        "jsonb" => format!("replace({name}::text, ' ', '')"),
        "timestamp with time zone" => {
            format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')")
        }
        // Times have no trailing zeros, JSON no blanks.
        "TEXT"
            if name.ends_with("_at")
                || name.ends_with("_until")
                || name.starts_with("not_")
                || name.ends_with("_not_after")
                || name.starts_with("period_")
                || name == "agent_offline_since"
                || name == "building_since"
                || name == "give_up_at" =>
        {
            format!(
                "substr(replace({name}, '+00:00', '') || CASE WHEN instr({name}, '.') > 0 THEN '000000' ELSE '.000000' END, 1, 26)"
            )
        }
        "TEXT" if name == "capabilities" || name == "images" => format!("replace({name}, ' ', '')"),
        "TEXT" => name.to_owned(),
        _ => format!("CAST({name} AS TEXT)"),
    };
    format!("'{name}=' || COALESCE({text}, 'NULL')")
}

/// What a restore changes: everything else is as it was.
fn without_what_a_restore_changes(mut dump: Dump) -> Dump {
    for table in [
        "installation",
        "deployment_targets",
        "audit_heads",
        "audit_logs",
    ] {
        dump.remove(table);
    }
    dump.insert("sessions".to_owned(), Vec::new());
    dump.insert("password_resets".to_owned(), Vec::new());
    for rows in dump.values_mut() {
        for row in rows.iter_mut() {
            let kept = row.split(" | ").filter(|value| {
                // Agents are offline after a start; tokens that were not used are revoked.
                !["revoked_at=", "updated_at=", "session_id=", "connected_at="]
                    .iter()
                    .any(|name| value.starts_with(name))
            });
            *row = kept.collect::<Vec<_>>().join(" | ");
        }
        rows.sort();
    }
    dump
}
