//! Both databases have the same tables, columns, keys, indexes and checks.

use std::collections::{BTreeMap, BTreeSet};

use super::world::World;
use crate::store::Store;
use crate::store::db::{Db, all};

/// A table as it is in a database, in words that both have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Name, kind of type, and whether it may be absent.
    columns: BTreeSet<(String, &'static str, bool)>,
    /// Unique or not, columns, and the condition of a partial one.
    indexes: BTreeSet<(bool, String, String)>,
    /// Columns, the table they name, and what a deletion there does.
    references: BTreeSet<(String, String, String)>,
    /// The words that the checks speak of, sorted.
    checks: Vec<String>,
}

type Tables = BTreeMap<String, Table>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_have_the_same_schema() {
    let (sqlite, postgres) = (World::sqlite().await, World::postgres().await);
    let mut ours = sqlite_tables(sqlite.store.main()).await;
    ours.extend(sqlite_tables(sqlite.store.telemetry()).await);
    let theirs = postgres_tables(&postgres.store).await;
    let names = |tables: &Tables| tables.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    assert!(ours.len() > 20, "the tables are there");
    for (name, table) in &ours {
        assert_eq!(Some(table), theirs.get(name), "{name}");
    }
    sqlite.end().await;
    postgres.end().await;
}

#[test]
fn both_folders_have_the_same_migrations() {
    let names = |folder: &str| {
        let path = format!("{}/../migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
        let entries = std::fs::read_dir(path).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

async fn sqlite_tables(db: &Db) -> Tables {
    let mut reader = db.read().await.unwrap();
    let rows = all!(
        reader.conn(),
        (String, String),
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx%'"
    )
    .unwrap();
    let mut tables = Tables::new();
    for (name, sql) in rows {
        let columns = all!(
            reader.conn(),
            (String, String, i64, i64),
            "SELECT name, type, \"notnull\", pk FROM pragma_table_info($1)",
            name.as_str()
        );
        let indexes = all!(
            reader.conn(),
            (i64, String, Option<String>),
            "SELECT l.\"unique\",
                (SELECT GROUP_CONCAT(COALESCE(name, '(expression)'), ', ') FROM
                    (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno)),
                (SELECT sql FROM sqlite_master WHERE type = 'index' AND name = l.name)
             FROM pragma_index_list($1) l",
            name.as_str()
        );
        let references = all!(
            reader.conn(),
            (String, String, String),
            "SELECT \"from\", \"table\", on_delete FROM pragma_foreign_key_list($1)",
            name.as_str()
        );
        let columns = columns.unwrap();
        // A key of one integer is the row's own number and has no index in SQLite.
        let row_number = columns
            .iter()
            .filter(|(_, kind, _, key)| kind == "INTEGER" && *key == 1)
            .filter(|_| columns.iter().filter(|column| column.3 > 0).count() == 1)
            .map(|(name, ..)| (true, name.clone(), String::new()));
        let mut table = Table {
            columns: columns
                .iter()
                .map(|(name, kind, not_null, _)| (name.clone(), sqlite_kind(kind), *not_null == 0))
                .collect(),
            indexes: indexes
                .unwrap()
                .into_iter()
                .map(|(unique, columns, sql)| (unique == 1, columns, condition(sql)))
                .collect(),
            references: references.unwrap().into_iter().collect(),
            checks: words(sql.split("CHECK").skip(1).map(balanced)),
        };
        table.indexes.extend(row_number);
        tables.insert(name, table);
    }
    tables
}

async fn postgres_tables(store: &Store) -> Tables {
    let mut reader = store.main().read().await.unwrap();
    let columns = all!(
        reader.conn(),
        (String, String, String, String),
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'"
    );
    let mut tables = Tables::new();
    for (table, name, kind, nullable) in columns.unwrap() {
        tables.entry(table).or_default().columns.insert((
            name,
            postgres_kind(&kind),
            nullable == "YES",
        ));
    }
    let indexes = all!(
        reader.conn(),
        (String, bool, String, Option<String>),
        "SELECT c.relname::text, i.indisunique,
            (SELECT string_agg(COALESCE(a.attname::text, '(expression)'), ', ' ORDER BY k.place)
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
                LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number AND k.number > 0),
            pg_get_indexdef(i.indexrelid)
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relname NOT LIKE '\\_sqlx%' AND c.relkind = 'r'"
    );
    for (table, unique, columns, definition) in indexes.unwrap() {
        tables
            .entry(table)
            .or_default()
            .indexes
            .insert((unique, columns, condition(definition)));
    }
    let constraints = all!(
        reader.conn(),
        (String, String, String, Option<String>, Option<String>),
        "SELECT c.relname::text, k.contype::text, pg_get_constraintdef(k.oid), f.relname::text, k.confdeltype::text
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_class f ON f.oid = k.confrelid
         WHERE n.nspname = 'public' AND c.relname NOT LIKE '\\_sqlx%' AND k.contype IN ('c', 'f')"
    );
    let mut checks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, kind, definition, foreign, on_delete) in constraints.unwrap() {
        if kind == "c" {
            checks.entry(table).or_default().push(definition);
            continue;
        }
        let column = definition.split(['(', ')']).nth(1).unwrap().to_owned();
        let on_delete = match on_delete.as_deref() {
            Some("c") => "CASCADE",
            Some("r") => "RESTRICT",
            Some("n") => "SET NULL",
            _ => "NO ACTION",
        };
        let reference = (column, foreign.unwrap(), on_delete.to_owned());
        tables
            .entry(table)
            .or_default()
            .references
            .insert(reference);
    }
    for (table, checks) in checks {
        tables.entry(table).or_default().checks = words(checks.iter().map(String::as_str));
    }
    tables
}

fn sqlite_kind(kind: &str) -> &'static str {
    match kind {
        "BLOB" => "bytes",
        "TEXT" => "text",
        "INTEGER" => "integer",
        "REAL" => "real",
        other => panic!("{other} is no type of ours"),
    }
}

fn postgres_kind(kind: &str) -> &'static str {
    match kind {
        "uuid" | "bytea" => "bytes",
        "text" | "timestamp with time zone" | "jsonb" => "text",
        "bigint" | "boolean" => "integer",
        "double precision" => "real",
        other => panic!("{other} is no type of ours"),
    }
}

/// What a partial index is limited to, as the words in it.
fn condition(definition: Option<String>) -> String {
    let definition = definition.unwrap_or_default();
    let condition = definition
        .split_once(" WHERE ")
        .map_or("", |(_, condition)| condition);
    words([condition].into_iter()).join(" ")
}

/// The text up to the bracket that closes the first one.
fn balanced(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 && c == ')' {
            return &text[..=at];
        }
    }
    text
}

/// Names, values and comparisons, without what each database puts around them.
fn words<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    const NOISE: [&str; 8] = ["check", "any", "array", "in", "text", "bigint", "and", "::"];
    let mut words = Vec::new();
    for text in texts {
        let plain = text.replace("!=", "<>");
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        words.extend(
            plain
                .split(|c| !is_word(c))
                .map(str::to_lowercase)
                .filter(|word| !word.is_empty()),
        );
        words.extend(plain.matches(">=").map(str::to_owned));
        words.extend(plain.matches("<>").map(str::to_owned));
    }
    words.retain(|word| !NOISE.contains(&word.as_str()));
    words.sort();
    words.dedup();
    words
}
