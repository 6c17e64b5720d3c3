//! Backups on the disk: written as a whole or not at all, and read as often as one likes.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{CWD, FlockOperation, RenameFlags};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::frames::{FileKey, FrameReader, FrameWriter};
use super::header::HeaderHash;
use super::record::{Record, Row, TableHead};
use super::{BackupError, Header, damaged};
use crate::domain::hex::hex;
use crate::vault::{Place, Vault};

/// The most bytes of a row. A release's files are the largest by far.
const MAX_ROW: usize = 256 << 20;

/// A file that gets its name when it is whole and on the disk.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    file: Option<File>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl NewFile {
    /// Makes it under another name. A file of the wanted name is left as it is.
    pub fn create(path: &Path) -> Result<Self, BackupError> {
        if path.symlink_metadata().is_ok() {
            return Err(BackupError::Exists {
                path: path.to_owned(),
            });
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let failed = |cause| unwritten(path, cause);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&partial).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(BackupError::Refused {
                    message: format!("another process writes {}", path.display()),
                    remedy: "wait for its end, or name another file".to_owned(),
                });
            }
            Err(error) => return Err(failed(error.into())),
        }
        // What a process left that was killed.
        file.set_len(0).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            file: Some(file),
        })
    }

    /// Where its bytes go.
    pub(crate) fn sink(&self) -> Result<Sink, BackupError> {
        let file = self.file.as_ref().ok_or_else(|| damaged("it is closed"))?;
        let file = file
            .try_clone()
            .map_err(|cause| unwritten(&self.path, cause))?;
        Ok(Sink {
            out: BufWriter::with_capacity(1 << 20, file),
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// Gives it its name, when all of it is on the disk.
    pub(crate) fn keep(mut self, sink: Sink) -> Result<Written, BackupError> {
        let (written, file) = sink.end().map_err(|cause| unwritten(&self.path, cause))?;
        let named = file.sync_all().and_then(|()| self.name());
        named.map_err(|cause| unwritten(&self.path, cause))?;
        self.file = None;
        Ok(written)
    }

    fn name(&self) -> io::Result<()> {
        let renamed =
            rustix::fs::renameat_with(CWD, &self.partial, CWD, &self.path, RenameFlags::NOREPLACE);
        match renamed {
            // Some file systems cannot refuse to replace.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                std::fs::rename(&self.partial, &self.path)?;
            }
            renamed => renamed?,
        }
        sync_folder_of(&self.path)
    }

    /// An error of its writing, with its name.
    pub(crate) fn failed(&self, cause: io::Error) -> BackupError {
        unwritten(&self.path, cause)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = std::fs::remove_file(&self.partial)
        {
            tracing::warn!(%error, path = %self.partial.display(), "what was written of the backup stays");
        }
    }
}

fn unwritten(path: &Path, cause: io::Error) -> BackupError {
    BackupError::File {
        path: path.to_owned(),
        done: "written",
        cause,
    }
}

/// Makes the names in a file's folder durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// Counts and hashes what goes by.
pub(crate) struct Sink {
    out: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Sink {
    fn end(self) -> io::Result<(Written, File)> {
        let file = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        let written = Written {
            bytes: self.bytes,
            sha256: hex(&self.hash.finalize()),
        };
        Ok((written, file))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a backup's rows.
pub(crate) struct BackupWriter {
    file: NewFile,
    frames: FrameWriter<Sink>,
    record: Vec<u8>,
    table: String,
    rows: u64,
}

impl BackupWriter {
    /// Writes the header, whose key is filled in: a new one, sealed under the first of its keys.
    pub(crate) fn begin(
        file: NewFile,
        mut header: Header,
        vault: &Vault,
    ) -> Result<Self, BackupError> {
        let key = FileKey::new(crate::vault::random()?);
        let version = header.keys.first().map_or(0, |key| key.version);
        let sealed = vault.seal(version, place(header.id), key.as_slice())?;
        header.sealed_key = STANDARD.encode(sealed);
        let mut sink = file.sink()?;
        let hash = header
            .write(&mut sink)
            .map_err(|cause| file.failed(cause))?;
        Ok(Self {
            file,
            frames: FrameWriter::new(sink, &key, hash),
            record: Vec::new(),
            table: String::new(),
            rows: 0,
        })
    }

    pub(crate) fn table(&mut self, table: TableHead) -> Result<(), BackupError> {
        self.table.clone_from(&table.name);
        self.put(&Record::Table(table))
    }

    pub(crate) fn row(&mut self, row: Row) -> Result<(), BackupError> {
        self.rows += 1;
        self.put(&Record::Row(row))
    }

    /// How many rows there are, and the file.
    pub(crate) fn finish(mut self) -> Result<(u64, Written), BackupError> {
        self.put(&Record::End(self.rows))?;
        let sink = self
            .frames
            .finish()
            .map_err(|cause| self.file.failed(cause))?;
        Ok((self.rows, self.file.keep(sink)?))
    }

    fn put(&mut self, record: &Record) -> Result<(), BackupError> {
        self.record.clear();
        record.encode(&mut self.record);
        if self.record.len() > MAX_ROW {
            return Err(BackupError::TooLarge {
                table: self.table.clone(),
                limit: MAX_ROW,
            });
        }
        let length = (self.record.len() as u64).to_le_bytes();
        let written = self.frames.write(&length);
        let written = written.and_then(|()| self.frames.write(&self.record));
        written.map_err(|cause| self.file.failed(cause))
    }
}

/// A backup that opens under the keys that are there. Whether all of it is what was written shows
/// when it is read to its end.
pub struct BackupFile {
    path: PathBuf,
    file: File,
    header: Header,
    hash: HeaderHash,
    key: FileKey,
}

impl BackupFile {
    /// Reads its header. The vault learns which of its keys the backup's are.
    pub fn open(path: &Path, vault: &Vault) -> Result<Self, BackupError> {
        let failed = |cause| BackupError::File {
            path: path.to_owned(),
            done: "read",
            cause,
        };
        let mut file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(BackupError::Foreign);
        }
        let (header, hash) = Header::read(&mut file)?;
        let known = header.keys.iter();
        vault.learn(known.map(|key| (key.version, key.fingerprint.as_str())));
        for key in &header.keys {
            if !vault.knows(key.version) {
                return Err(BackupError::Key {
                    fingerprint: key.fingerprint.clone(),
                });
            }
        }
        let key = open_key(&header, vault)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            hash,
            key,
        })
    }

    /// What it says of itself.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Its rows, from the first one on.
    pub(crate) fn records(&self) -> Result<Records, BackupError> {
        let mut input = self.reader()?;
        Header::read(&mut input)?;
        Ok(Records {
            frames: FrameReader::new(input, &self.key, self.hash),
            bytes: Vec::new(),
            rows: 0,
            state: Reading::Tables,
        })
    }

    /// The size and the digest of the whole file.
    pub fn digest(&self) -> Result<Written, BackupError> {
        let mut input = self.reader()?;
        let mut hash = Sha256::new();
        let bytes = io::copy(&mut input, &mut hash).map_err(|cause| self.unread(cause))?;
        Ok(Written {
            bytes,
            sha256: hex(&hash.finalize()),
        })
    }

    fn reader(&self) -> Result<BufReader<File>, BackupError> {
        let mut file = self.file.try_clone().map_err(|cause| self.unread(cause))?;
        file.seek(SeekFrom::Start(0))
            .map_err(|cause| self.unread(cause))?;
        Ok(BufReader::with_capacity(1 << 20, file))
    }

    fn unread(&self, cause: io::Error) -> BackupError {
        BackupError::File {
            path: self.path.clone(),
            done: "read",
            cause,
        }
    }
}

fn open_key(header: &Header, vault: &Vault) -> Result<FileKey, BackupError> {
    let changed = || damaged("its key does not open");
    let sealed = STANDARD.decode(&header.sealed_key).map_err(|_| changed())?;
    let first = header.keys.first().ok_or_else(changed)?;
    let opened = vault.open(first.version, place(header.id), &sealed);
    let key: [u8; 32] = opened
        .map_err(|_| changed())?
        .as_slice()
        .try_into()
        .map_err(|_| changed())?;
    Ok(Zeroizing::new(key))
}

const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "backup",
        id,
        version: 1,
    }
}

/// Reads a backup's rows.
pub(crate) struct Records {
    frames: FrameReader<BufReader<File>>,
    bytes: Vec<u8>,
    rows: u64,
    state: Reading,
}

enum Reading {
    Tables,
    Rows { columns: usize },
    Ended,
}

impl Records {
    /// The next table or row; none when all were read and nothing is missing.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, BackupError> {
        if matches!(self.state, Reading::Ended) {
            return Ok(None);
        }
        let record = self.read()?;
        match (&record, &self.state) {
            (Record::Table(table), _) => {
                let columns = table.columns.len();
                self.state = Reading::Rows { columns };
            }
            (Record::Row(row), Reading::Rows { columns }) if row.len() == *columns => {
                self.rows += 1;
            }
            (Record::End(rows), _) if *rows == self.rows => {
                self.frames.end()?;
                self.state = Reading::Ended;
                return Ok(None);
            }
            _ => return Err(damaged("its rows are not in order")),
        }
        Ok(Some(record))
    }

    fn read(&mut self) -> Result<Record, BackupError> {
        self.bytes.clear();
        self.frames.read(&mut self.bytes, 8)?;
        let length = self
            .bytes
            .first_chunk()
            .map_or(0, |length| u64::from_le_bytes(*length));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_ROW {
            return Err(damaged("a row in it is too large"));
        }
        self.bytes.clear();
        self.frames.read(&mut self.bytes, length)?;
        Record::decode(&self.bytes)
    }
}
