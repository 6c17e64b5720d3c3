//! Backups: all rows of one moment, read while the servers run, and put back into either database.
//!
//! No table is named here. What there is, and in which order rows can be put back, the database
//! itself says: what a later migration adds is in the backup without anybody thinking of it.

mod check;
mod copy;
mod load;
mod read;
mod restore;
pub(super) mod swap;
mod tables;

use uuid::Uuid;

pub use check::{Checked, verify};
pub use restore::{Occupied, Restored, restore};

use super::db::{Conn, Db};
use super::{Store, master_keys, migrations};
use crate::backup::{BackupError, BackupWriter, Header, Key, NewFile, Origin, TableHead, Written};
use tables::Table;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct BackedUp {
    /// What it says of itself.
    pub header: Header,
    /// Its rows.
    pub rows: u64,
    /// Its file.
    pub written: Written,
}

impl Store {
    /// Writes all rows of this moment into a file, and tells how many each table had.
    pub async fn back_up(
        &self,
        file: NewFile,
        mut tell: impl FnMut(&str, u64),
    ) -> Result<BackedUp, BackupError> {
        let mut main = self.main().read().await?;
        match (self.main(), self.telemetry()) {
            (Db::Sqlite { .. }, telemetry) => {
                // Logs may be ahead of what is known of their jobs, never behind: so they are second.
                let mut logs = telemetry.read().await?;
                read::begin(main.conn()).await?;
                read::begin(logs.conn()).await?;
                let mut parts = [main.conn(), logs.conn()];
                let done = self.write_all(&mut parts, file, &mut tell).await;
                read::end(main.conn()).await?;
                read::end(logs.conn()).await?;
                done
            }
            (Db::Postgres(_), _) => {
                read::begin(main.conn()).await?;
                let done = self.write_all(&mut [main.conn()], file, &mut tell).await;
                read::end(main.conn()).await?;
                done
            }
        }
    }

    async fn write_all(
        &self,
        parts: &mut [Conn<'_>],
        file: NewFile,
        tell: &mut impl FnMut(&str, u64),
    ) -> Result<BackedUp, BackupError> {
        let mut header = Header {
            id: Uuid::now_v7(),
            made_at: super::db::local_now(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            origin: Origin::Sqlite,
            migrations: Vec::new(),
            keys: Vec::new(),
            sealed_key: String::new(),
        };
        let mut tables = Vec::new();
        for part in parts.iter_mut() {
            header.origin = match part {
                Conn::Sqlite(_) => Origin::Sqlite,
                Conn::Postgres(_) => Origin::Postgres,
            };
            header
                .migrations
                .extend(migrations::applied(part.again()).await?);
            tables.push(tables::of(part.again()).await?);
        }
        header.migrations.sort_unstable();
        if let Some(main) = parts.first_mut() {
            header.keys = needed_keys(main.again()).await?;
            master_keys::learn(self.vault(), main.again()).await?;
        }
        let mut writer = BackupWriter::begin(file, header.clone(), self.vault())?;
        for (part, tables) in parts.iter_mut().zip(tables) {
            for table in tables {
                let rows = write_table(part.again(), &table, &mut writer).await?;
                tell(&table.name, rows);
            }
        }
        let (rows, written) = writer.finish()?;
        Ok(BackedUp {
            header,
            rows,
            written,
        })
    }
}

async fn write_table(
    conn: Conn<'_>,
    table: &Table,
    writer: &mut BackupWriter,
) -> Result<u64, BackupError> {
    writer.table(TableHead {
        name: table.name.clone(),
        columns: table.names(),
    })?;
    read::rows(conn, table, |row| writer.row(row)).await
}

/// The versions of the master key that something is under, the present one first.
async fn needed_keys(conn: Conn<'_>) -> Result<Vec<Key>, BackupError> {
    let keys = master_keys::in_use(conn).await?;
    let key = |(version, fingerprint)| Key {
        version,
        fingerprint,
    };
    Ok(keys.into_iter().map(key).collect())
}
