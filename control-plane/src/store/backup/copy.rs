//! PostgreSQL's binary form of rows, as `COPY` gives and takes it.

use bytes::{Buf as _, BytesMut};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use uuid::Uuid;

use super::tables::{Column, Kind, Table};
use crate::backup::{BackupError, Row, Value};
use crate::store::StoreError;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Behind the signature: flags, and the length of more, which there is none of.
const REST_OF_START: usize = 8;
/// In place of a number of columns.
const END: i16 = -1;
/// In place of a length.
const ABSENT: i32 = -1;
/// 2000-01-01, from which PostgreSQL counts, in Unix seconds.
const EPOCH: i64 = 946_684_800;
/// The version of the form that JSON has.
const JSON: u8 = 1;

/// Takes rows out of what comes.
pub(super) struct Unpacker<'a> {
    columns: &'a [Column],
    waiting: BytesMut,
    is_begun: bool,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(columns: &'a [Column]) -> Self {
        Self {
            columns,
            waiting: BytesMut::new(),
            is_begun: false,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next row, if all of it has come.
    pub(super) fn row(&mut self) -> Result<Option<Row>, BackupError> {
        if !self.is_begun {
            let start = SIGNATURE.len() + REST_OF_START;
            if self.waiting.len() < start {
                return Ok(None);
            }
            self.waiting.advance(start);
            self.is_begun = true;
        }
        let Some(length) = whole_row(&self.waiting) else {
            return Ok(None);
        };
        let mut row = self.waiting.split_to(length).freeze();
        let count = row.get_i16();
        if usize::try_from(count).ok() != Some(self.columns.len()) {
            return Err(odd("a row has another number of columns").into());
        }
        let values = self.columns.iter().map(|column| {
            let length = row.get_i32();
            if length == ABSENT {
                return Ok(Value::Null);
            }
            let bytes = row.split_to(usize::try_from(length).unwrap_or(0));
            unpack(column, &bytes)
        });
        Ok(Some(values.collect::<Result<_, StoreError>>()?))
    }
}

/// How long the first row is, if it is there and not the end.
fn whole_row(waiting: &[u8]) -> Option<usize> {
    let count = i16::from_be_bytes(*waiting.first_chunk()?);
    if count == END {
        return None;
    }
    let mut at = 2;
    for _ in 0..count {
        let length = i32::from_be_bytes(*waiting.get(at..)?.first_chunk()?);
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    (waiting.len() >= at).then_some(at)
}

fn unpack(column: &Column, bytes: &[u8]) -> Result<Value, StoreError> {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes);
        text.map(|text| Value::Text(text.to_owned()))
            .map_err(|_| odd("a text is none"))
    };
    match column.kind {
        Kind::Integer => Ok(Value::Integer(i64::from_be_bytes(array(bytes)?))),
        Kind::Real => Ok(Value::Real(f64::from_be_bytes(array(bytes)?))),
        Kind::Text => text(bytes),
        Kind::Bytes | Kind::Identifier => Ok(Value::Bytes(bytes.to_vec())),
        Kind::Truth => Ok(Value::Integer(array::<1>(bytes)?[0].into())),
        Kind::Time => time(i64::from_be_bytes(array(bytes)?)).map(Value::Text),
        Kind::Json => text(bytes.get(1..).unwrap_or_default()),
    }
}

/// As SQLite has times.
fn time(since_epoch: i64) -> Result<String, StoreError> {
    let epoch = DateTime::<Utc>::from_timestamp(EPOCH, 0);
    let at = epoch.and_then(|epoch| epoch.checked_add_signed(TimeDelta::microseconds(since_epoch)));
    let at = at.ok_or_else(|| odd("a time is out of range"))?;
    Ok(at.to_rfc3339_opts(SecondsFormat::AutoSi, false))
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes
        .try_into()
        .map_err(|_| odd("a value has another length"))
}

fn odd(what: &str) -> StoreError {
    StoreError::Damaged(format!("what PostgreSQL gives is not understood: {what}"))
}

/// What comes before the first row.
pub(super) fn start(into: &mut Vec<u8>) {
    into.extend_from_slice(SIGNATURE);
    into.extend_from_slice(&[0; REST_OF_START]);
}

/// What comes after the last row.
pub(super) fn end(into: &mut Vec<u8>) {
    into.extend_from_slice(&END.to_be_bytes());
}

/// A row. Its values are in the order of the columns.
pub(super) fn pack(into: &mut Vec<u8>, table: &Table, row: &[Value]) -> Result<(), BackupError> {
    let count = i16::try_from(row.len()).map_err(|_| odd("too many columns"))?;
    into.extend_from_slice(&count.to_be_bytes());
    for (column, value) in table.columns.iter().zip(row) {
        let bytes = match (column.kind, value) {
            (_, Value::Null) => {
                into.extend_from_slice(&ABSENT.to_be_bytes());
                continue;
            }
            (Kind::Integer, Value::Integer(number)) => number.to_be_bytes().to_vec(),
            (Kind::Real, Value::Real(number)) => number.to_be_bytes().to_vec(),
            (Kind::Text, Value::Text(text)) => text.as_bytes().to_vec(),
            (Kind::Bytes, Value::Bytes(bytes)) => bytes.clone(),
            (Kind::Identifier, Value::Bytes(bytes)) if Uuid::from_slice(bytes).is_ok() => {
                bytes.clone()
            }
            (Kind::Truth, Value::Integer(number @ (0 | 1))) => vec![u8::from(*number == 1)],
            (Kind::Time, Value::Text(text)) => packed_time(text)
                .ok_or_else(|| misfit(table, column))?
                .to_be_bytes()
                .to_vec(),
            (Kind::Json, Value::Text(text)) => [&[JSON], text.as_bytes()].concat(),
            _ => return Err(misfit(table, column)),
        };
        let length = i32::try_from(bytes.len()).map_err(|_| misfit(table, column))?;
        into.extend_from_slice(&length.to_be_bytes());
        into.extend_from_slice(&bytes);
    }
    Ok(())
}

fn packed_time(text: &str) -> Option<i64> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    at.timestamp_micros().checked_sub(EPOCH * 1_000_000)
}

pub(super) fn misfit(table: &Table, column: &Column) -> BackupError {
    BackupError::Damaged(format!(
        "a value does not fit into {}.{}",
        table.name, column.name
    ))
}
