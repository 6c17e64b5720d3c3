//! Reading a backup as a whole before anything is done by it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::backup::{BackupError, BackupFile, Record, Row, TableHead, Value};
use crate::store::sealing::{SEALED, SealedColumn};
use crate::vault::{Place, Vault};

/// What a backup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// Rows of all of them.
    pub rows: u64,
    /// Sealed values, which all opened.
    pub sealed: u64,
}

/// Reads all of a backup, and opens what is sealed in it.
pub fn verify(backup: &BackupFile, vault: &Vault) -> Result<Checked, BackupError> {
    let mut checked = Checked::default();
    let mut records = backup.records()?;
    let mut table = String::new();
    let mut columns = Vec::new();
    while let Some(record) = records.next()? {
        match record {
            Record::Table(head) => {
                columns = sealed_columns(&head);
                checked.tables.insert(head.name.clone(), 0);
                table = head.name;
            }
            Record::Row(row) => {
                checked.rows += 1;
                *checked.tables.entry(table.clone()).or_default() += 1;
                for column in &columns {
                    checked.sealed += column.check(&row, vault)?;
                }
            }
            Record::End(_) => {}
        }
    }
    if checked.tables.get("installation") == Some(&1) {
        return Ok(checked);
    }
    Err(BackupError::Damaged(
        "there is no installation in it".to_owned(),
    ))
}

/// Where a sealed value stands in the rows of a table.
struct Sealed {
    of: &'static SealedColumn,
    value: usize,
    key_version: usize,
    id: usize,
    /// Where there is none it is 1.
    version: Option<usize>,
}

fn sealed_columns(head: &TableHead) -> Vec<Sealed> {
    let at = |name: &str| head.columns.iter().position(|column| column == name);
    let ours = SEALED
        .iter()
        .filter_map(|of| Some((of, of.name.strip_prefix(&head.name)?.strip_prefix('.')?)));
    ours.filter_map(|(of, column)| {
        Some(Sealed {
            of,
            value: at(column)?,
            key_version: at("key_version")?,
            id: at(of.place_id)?,
            version: at(of.place_version),
        })
    })
    .collect()
}

impl Sealed {
    /// How many values it has opened.
    fn check(&self, row: &Row, vault: &Vault) -> Result<u64, BackupError> {
        let (Value::Bytes(sealed), Value::Integer(key_version)) =
            (&row[self.value], &row[self.key_version])
        else {
            return Ok(0);
        };
        let version = match self.version.map(|at| &row[at]) {
            Some(Value::Integer(version)) => *version,
            _ => 1,
        };
        let id = match &row[self.id] {
            Value::Bytes(id) => Uuid::from_slice(id).unwrap_or_default(),
            _ => Uuid::nil(),
        };
        let place = Place {
            table: self.of.place,
            id,
            version,
        };
        match vault.open(*key_version, place, sealed) {
            Ok(_) => Ok(1),
            Err(cause) => Err(BackupError::Sealed {
                table: self.of.name.to_owned(),
                row: id,
                cause,
            }),
        }
    }
}
