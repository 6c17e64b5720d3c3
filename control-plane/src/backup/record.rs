//! Rows in values that both databases have.

use super::{BackupError, damaged};

/// A value as SQLite has it. PostgreSQL's further types have one form each among these: identifiers
/// are 16 bytes, times RFC 3339, truth is 0 or 1, JSON is text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The values of a row, in the order of its table's columns.
pub type Row = Vec<Value>;

/// A table, ahead of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHead {
    /// Its name.
    pub name: String,
    /// The names of its columns.
    pub columns: Vec<String>,
}

/// A piece of a backup.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The rows of this table come next.
    Table(TableHead),
    /// A row of the last table.
    Row(Row),
    /// All rows were there; how many.
    End(u64),
}

const TABLE: u8 = 1;
const ROW: u8 = 2;
const END: u8 = 3;

impl Record {
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Table(table) => {
                into.push(TABLE);
                put_bytes(into, table.name.as_bytes());
                for column in &table.columns {
                    put_bytes(into, column.as_bytes());
                }
            }
            Self::Row(row) => {
                into.push(ROW);
                for value in row {
                    value.encode(into);
                }
            }
            Self::End(rows) => {
                into.push(END);
                into.extend(rows.to_le_bytes());
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BackupError> {
        let (kind, rest) = bytes.split_first().ok_or_else(unreadable)?;
        let mut rest = Rest(rest);
        let record = match *kind {
            TABLE => {
                let name = rest.text()?;
                let mut columns = Vec::new();
                while !rest.0.is_empty() {
                    columns.push(rest.text()?);
                }
                Self::Table(TableHead { name, columns })
            }
            ROW => {
                let mut row = Vec::new();
                while !rest.0.is_empty() {
                    row.push(Value::decode(&mut rest)?);
                }
                Self::Row(row)
            }
            END => Self::End(u64::from_le_bytes(rest.array()?)),
            _ => return Err(unreadable()),
        };
        if rest.0.is_empty() {
            Ok(record)
        } else {
            Err(unreadable())
        }
    }
}

impl Value {
    fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Null => into.push(0),
            Self::Integer(number) => {
                into.push(1);
                into.extend(number.to_le_bytes());
            }
            Self::Real(number) => {
                into.push(2);
                into.extend(number.to_le_bytes());
            }
            Self::Text(text) => {
                into.push(3);
                put_bytes(into, text.as_bytes());
            }
            Self::Bytes(bytes) => {
                into.push(4);
                put_bytes(into, bytes);
            }
        }
    }

    fn decode(rest: &mut Rest<'_>) -> Result<Self, BackupError> {
        let [kind] = rest.array()?;
        Ok(match kind {
            0 => Self::Null,
            1 => Self::Integer(i64::from_le_bytes(rest.array()?)),
            2 => Self::Real(f64::from_le_bytes(rest.array()?)),
            3 => Self::Text(rest.text()?),
            4 => Self::Bytes(rest.bytes()?.to_vec()),
            _ => return Err(unreadable()),
        })
    }
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend((bytes.len() as u64).to_le_bytes());
    into.extend_from_slice(bytes);
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(unreadable)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn bytes(&mut self) -> Result<&'a [u8], BackupError> {
        let length = u64::from_le_bytes(self.array()?);
        let length = usize::try_from(length).map_err(|_| unreadable())?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<String, BackupError> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| unreadable())?;
        Ok(text.to_owned())
    }
}

fn unreadable() -> BackupError {
    damaged("a row in it cannot be read")
}
