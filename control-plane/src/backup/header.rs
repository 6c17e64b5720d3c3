//! What a backup says of itself, in clear.

use std::io::{self, Read, Write};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{BackupError, damaged};

/// The file begins with these, and the format's number.
const MAGIC: &[u8; 15] = b"towline backup ";
const FORMAT: u8 = b'1';
/// A header has a few hundred bytes and one number for each migration.
const MAX_HEADER: u32 = 64 << 10;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// By which the audit log names the backup.
    pub id: Uuid,
    /// When its rows were what they are.
    pub made_at: DateTime<Utc>,
    /// The version of the program that made it.
    pub program: String,
    /// Where the rows come from.
    pub origin: Origin,
    /// The migrations that made the tables.
    pub migrations: Vec<i64>,
    /// The versions of the master key that values in it are under; the first one sealed the file.
    pub keys: Vec<Key>,
    /// The file's own key, sealed, in base64.
    pub sealed_key: String,
}

/// A version of the master key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The version.
    pub version: i64,
    /// By which the key is recognized.
    pub fingerprint: String,
}

/// The kind of database that rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Files in the data directory.
    Sqlite,
    /// A server.
    Postgres,
}

/// SHA-256 of the header as it stands in the file, which every frame is bound to.
pub(super) type HeaderHash = [u8; 32];

impl Header {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<HeaderHash> {
        let body = serde_json::to_vec(self)?;
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if length > MAX_HEADER {
            return Err(io::Error::other("its header is too long"));
        }
        let mut text = MAGIC.to_vec();
        text.push(FORMAT);
        text.extend(length.to_le_bytes());
        text.extend(body);
        out.write_all(&text)?;
        Ok(Sha256::digest(&text).into())
    }

    pub(super) fn read(input: &mut impl Read) -> Result<(Self, HeaderHash), BackupError> {
        let mut start = [0; MAGIC.len() + 1 + 4];
        let unread = |_| BackupError::Foreign;
        input.read_exact(&mut start).map_err(unread)?;
        let (magic, rest) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(BackupError::Foreign);
        }
        if rest[0] != FORMAT {
            return Err(BackupError::Format(rest[0].wrapping_sub(b'0')));
        }
        let length = u32::from_le_bytes([rest[1], rest[2], rest[3], rest[4]]);
        if length > MAX_HEADER {
            return Err(damaged("its header is too long"));
        }
        let mut body = vec![0; length as usize];
        input
            .read_exact(&mut body)
            .map_err(|_| damaged("it ends within its header"))?;
        let header = serde_json::from_slice(&body)
            .map_err(|error| damaged(format!("its header cannot be read: {error}")))?;
        let hash = Sha256::new()
            .chain_update(start)
            .chain_update(&body)
            .finalize();
        Ok((header, hash.into()))
    }
}
