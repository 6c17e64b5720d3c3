//! Making, checking and restoring backups.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backup::{BackupError, BackupFile, Header, NewFile, Written};
use crate::config::Config;
use crate::error::StartError;
use crate::serve::{database, open_store_beside, open_vault};
use crate::store::StoreError;
use crate::store::backup::{self, Checked, Occupied};
use crate::vault::Vault;

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Writes all there is in the database into a file, while the servers run.
pub async fn make(config: Config, path: PathBuf, format: Format) -> Result<(), StartError> {
    let began = Instant::now();
    let file = NewFile::create(&path)?;
    let vault = open_vault(&config).await?;
    let store = open_store_beside(&config, vault).await?;
    let made = store.back_up(file, tell).await;
    store.close().await;
    let made = made?;
    let mut report = Report::new();
    report.file(&path, &made.written);
    report.header(&made.header);
    report.add("rows", "rows", made.rows.to_string(), json!(made.rows));
    report.took(began.elapsed());
    report.print(format);
    eprintln!(
        "The master key is not in the backup, and nothing opens the backup without it: keep a copy of the key\n\
         (fingerprint {}) somewhere else.",
        made.header.keys.first().map_or("?", |key| &key.fingerprint)
    );
    Ok(())
}

/// Reads a backup to its end and opens what is sealed in it.
pub async fn verify(config: Config, path: PathBuf, format: Format) -> Result<(), StartError> {
    let began = Instant::now();
    let vault = key_of_backup(&config).await?;
    let (backup, checked) = read_all(&path, &vault)?;
    let mut report = Report::new();
    report.file(&path, &backup.digest()?);
    report.header(backup.header());
    report.checked(&checked);
    report.took(began.elapsed());
    report.print(format);
    Ok(())
}

/// Puts a backup into an empty place, or in the place of what is there.
pub async fn restore(
    config: Config,
    path: PathBuf,
    occupied: Occupied,
    format: Format,
) -> Result<(), StartError> {
    let began = Instant::now();
    let vault = key_of_backup(&config).await?;
    eprintln!("reading all of the backup before anything is touched");
    let (backup, checked) = read_all(&path, &vault)?;
    let restored = backup::restore(&database(&config), &backup, vault, occupied, tell).await?;
    let mut report = Report::new();
    report.header(backup.header());
    report.checked(&checked);
    let incarnation = restored.incarnation;
    report.add(
        "incarnation",
        "incarnation",
        incarnation.to_string(),
        json!(incarnation),
    );
    report.took(began.elapsed());
    report.print(format);
    eprintln!(
        "Start the server; the agents go on by themselves. Everybody signs in again. Whatever was revoked after the\n\
         backup was made is valid again: look through agents, API keys and members."
    );
    Ok(())
}

fn read_all(path: &std::path::Path, vault: &Vault) -> Result<(BackupFile, Checked), BackupError> {
    let backup = BackupFile::open(path, vault)?;
    let checked = backup::verify(&backup, vault)?;
    Ok((backup, checked))
}

async fn key_of_backup(config: &Config) -> Result<Vault, StartError> {
    open_vault(config).await.map_err(|error| match error {
        StartError::File {
            path,
            done: done @ "read",
            cause,
            ..
        } => StartError::File {
            path,
            done,
            cause,
            remedy: "put the master key there that the backup was made under, or name its file with --master-key-file: it is not in the backup",
        },
        error => error,
    })
}

fn tell(table: &str, rows: u64) {
    if rows > 0 {
        eprintln!("{table}: {rows}");
    }
}

/// Names and values, for people and for programs.
struct Report {
    lines: Vec<(&'static str, String)>,
    json: serde_json::Map<String, Value>,
}

impl Report {
    fn new() -> Self {
        Self {
            lines: Vec::new(),
            json: serde_json::Map::new(),
        }
    }

    fn add(&mut self, label: &'static str, name: &str, text: String, value: Value) {
        self.lines.push((label, text));
        self.json.insert(name.to_owned(), value);
    }

    fn file(&mut self, path: &std::path::Path, written: &Written) {
        let name = path.display().to_string();
        self.add("file", "file", name.clone(), json!(name));
        let size = format!("{} bytes", written.bytes);
        self.add("size", "bytes", size, json!(written.bytes));
        let digest = written.sha256.clone();
        self.add("SHA-256", "sha256", digest.clone(), json!(digest));
    }

    fn header(&mut self, header: &Header) {
        self.add("backup", "id", header.id.to_string(), json!(header.id));
        let made = header.made_at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        self.add("made", "made_at", made, json!(header.made_at));
        let by = format!("towline-server {}", header.program);
        self.add("by", "program", by, json!(header.program));
        let schema = header.migrations.last().copied().unwrap_or(0);
        self.add("schema", "schema", schema.to_string(), json!(schema));
        let keys: Vec<_> = header
            .keys
            .iter()
            .map(|key| key.fingerprint.clone())
            .collect();
        self.add("master key", "master_keys", keys.join(", "), json!(keys));
    }

    fn checked(&mut self, checked: &Checked) {
        self.add(
            "rows",
            "rows",
            checked.rows.to_string(),
            json!(checked.rows),
        );
        let sealed = format!("{} opened", checked.sealed);
        self.add("sealed values", "sealed", sealed, json!(checked.sealed));
        self.json.insert("tables".to_owned(), json!(checked.tables));
    }

    fn took(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.add("took", "seconds", format!("{seconds:.1} s"), json!(seconds));
    }

    fn print(self, format: Format) {
        match format {
            Format::Json => println!("{}", Value::Object(self.json)),
            Format::Table => print!("{}", aligned(&self.lines)),
        }
    }
}

fn aligned(lines: &[(&str, String)]) -> String {
    let width = lines
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (label, value) in lines {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{label:width$}  {value}");
    }
    text
}

impl From<BackupError> for StartError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Refused { message, remedy } => Self::Refused { message, remedy },
            BackupError::Store(StoreError::Conflict { message, remedy }) => {
                Self::Refused { message, remedy }
            }
            error => Self::Backup(error),
        }
    }
}
