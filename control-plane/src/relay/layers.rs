//! Layers as files: `relay/<team>/<digest>.zst`, and `….part` while one is received.
//!
//! A part grows only at its end and is synced before its length is told, so that a transfer goes on where a cut, of the
//! connection or of this process, has left it. It becomes a layer when its unpacked bytes have the digest it is named by.
//! Teams share no files: what one of them has, another could not have known to ask for.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use towline_shared::ids::TeamId;
use towline_shared::relay::{Digest, MAX_LAYER_BYTES, MAX_PLAIN_LAYER_BYTES, Received};

/// How long a layer stays after a build has offered it, or a host fetched it, for the last time.
const KEPT: Duration = Duration::from_hours(72);
/// How long a part stays after it grew for the last time.
const PART_KEPT: Duration = Duration::from_hours(24);
/// What is left free on the disk, for the database and the logs.
const LEFT_FREE: u64 = 512 * 1024 * 1024;
/// The most bytes that the layers of a team may take.
const MOST_OF_TEAM: u64 = 64 * 1024 * 1024 * 1024;
/// The longest that the next bytes of a layer may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// zstd's own limit on 64-bit machines is 31: 2 GiB of memory for each layer that is unpacked.
const MAX_WINDOW_LOG: u32 = 27;

/// The layers of this server.
#[derive(Clone, Debug)]
pub struct Layers {
    root: PathBuf,
    growing: Arc<Mutex<HashSet<PathBuf>>>,
}

/// Why a layer is not taken or given.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// It is not here.
    #[error("the control plane has no layer {0} (any more); build the images again")]
    Absent(Digest),
    /// Another builder sends it now.
    #[error("another builder sends the layer {0} now; ask again in a moment")]
    Busy(Digest),
    /// Its bytes are not what its name says.
    #[error("the bytes of layer {0} do not have that digest: {1}")]
    Wrong(Digest, &'static str),
    /// There is no room.
    #[error("the control plane has no room for the layer {0}: {1}")]
    Full(Digest, &'static str),
    /// The sender went away, or is too slow.
    #[error("the layer {0} ended early")]
    Cut(Digest),
    /// The file system failed.
    #[error("the control plane cannot keep layers: {0}")]
    Io(#[from] io::Error),
}

/// A piece of a layer that is sent.
pub(super) struct Piece {
    pub(super) digest: Digest,
    /// Where in the layer it begins, in bytes.
    pub(super) offset: u64,
    /// How many bytes the whole layer has.
    pub(super) length: u64,
    pub(super) bytes: BodyDataStream,
}

impl Layers {
    /// The layers in a data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            root: data_dir.join("relay"),
            growing: Arc::default(),
        }
    }

    /// Those of these layers that a team does not have, each with how much of it is here. The others stay for a while
    /// from now on.
    pub(super) async fn missing(
        &self,
        team: TeamId,
        layers: Vec<Digest>,
    ) -> Result<Vec<(Digest, u64)>, LayersError> {
        let this = self.clone();
        blocking(move || {
            let mut missing = Vec::new();
            for digest in layers {
                match touch(&this.whole(team, digest)) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        let part = this.part(team, digest).metadata();
                        missing.push((digest, part.map_or(0, |part| part.len())));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(missing)
        })
        .await
    }

    /// Takes the next piece of a layer. One that does not begin where the last has ended is not taken; the answer says
    /// where to go on.
    pub(super) async fn receive(
        &self,
        team: TeamId,
        piece: Piece,
    ) -> Result<Received, LayersError> {
        let digest = piece.digest;
        if touch(&self.whole(team, digest)).is_ok() {
            return Ok(Received::Whole);
        }
        let part = self.part(team, digest);
        let _turn = self.turn(&part).ok_or(LayersError::Busy(digest))?;
        let (root, path) = (self.root.join(team.to_string()), part.clone());
        let (file, have) = blocking(move || open_part(&root, &path)).await?;
        if piece.length > MAX_LAYER_BYTES {
            return Err(LayersError::Full(
                digest,
                "it is larger than any layer may be",
            ));
        }
        if have > piece.length {
            // Another agent has begun it, which packs otherwise.
            file.set_len(0)?;
            return Ok(Received::Part(0));
        }
        if piece.offset != have {
            return Ok(Received::Part(have));
        }
        let root = self.root.join(team.to_string());
        let more = piece.length.saturating_sub(have);
        blocking(move || room(&root, digest, more)).await?;
        let length = piece.length;
        let have = append(file, have, piece).await?;
        if have < length {
            return Ok(Received::Part(have));
        }
        let whole = self.whole(team, digest);
        blocking(move || complete(&part, &whole, digest)).await?;
        Ok(Received::Whole)
    }

    /// A layer from some byte on, and how many bytes that are.
    pub(super) async fn read(
        &self,
        team: TeamId,
        digest: Digest,
        offset: u64,
    ) -> Result<(tokio::fs::File, u64), LayersError> {
        let path = self.whole(team, digest);
        let _ = touch(&path);
        let mut file = match tokio::fs::File::open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LayersError::Absent(digest));
            }
            opened => opened?,
        };
        let length = file.metadata().await?.len();
        file.seek(SeekFrom::Start(offset.min(length))).await?;
        Ok((file, length.saturating_sub(offset)))
    }

    /// Deletes what nobody has asked for in a while.
    ///
    /// # Errors
    /// When the file system fails; what is left is tried the next time.
    pub async fn prune(&self) -> Result<(), LayersError> {
        let root = self.root.clone();
        blocking(move || prune(&root, SystemTime::now()).map_err(Into::into)).await
    }

    fn whole(&self, team: TeamId, digest: Digest) -> PathBuf {
        let file = format!("{}.zst", digest.hex());
        self.root.join(team.to_string()).join(file)
    }

    fn part(&self, team: TeamId, digest: Digest) -> PathBuf {
        self.whole(team, digest).with_extension("part")
    }

    /// One at a time writes to a part.
    fn turn(&self, part: &Path) -> Option<Turn> {
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        growing.insert(part.to_owned()).then(|| Turn {
            growing: Arc::clone(&self.growing),
            part: part.to_owned(),
        })
    }
}

struct Turn {
    growing: Arc<Mutex<HashSet<PathBuf>>>,
    part: PathBuf,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        growing.remove(&self.part);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LayersError> + Send + 'static,
) -> Result<T, LayersError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LayersError::Io(io::Error::other(error))))
}

fn touch(path: &Path) -> io::Result<()> {
    File::open(path)?.set_modified(SystemTime::now())
}

fn open_part(folder: &Path, part: &Path) -> Result<(File, u64), LayersError> {
    fs::create_dir_all(folder)?;
    let file = File::options().append(true).create(true).open(part)?;
    let have = file.metadata()?.len();
    Ok((file, have))
}

fn room(folder: &Path, digest: Digest, more: u64) -> Result<(), LayersError> {
    let disk = rustix::fs::statvfs(folder).map_err(io::Error::from)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < more.saturating_add(LEFT_FREE) {
        return Err(LayersError::Full(
            digest,
            "its disk is nearly full; make room there",
        ));
    }
    let mut taken = 0_u64;
    for entry in fs::read_dir(folder)? {
        taken = taken.saturating_add(entry?.metadata().map_or(0, |file| file.len()));
    }
    if taken.saturating_add(more) > MOST_OF_TEAM {
        return Err(LayersError::Full(
            digest,
            "the team's images take 64 GiB already; they go three days after their last use",
        ));
    }
    Ok(())
}

/// Writes what comes, as far as it comes: it is durable when this returns, however the transfer ended.
async fn append(file: File, have: u64, piece: Piece) -> Result<u64, LayersError> {
    let mut file = tokio::fs::File::from_std(file);
    let mut have = have;
    let mut bytes = piece.bytes;
    let taken = loop {
        if have >= piece.length {
            break Ok(());
        }
        let next = match tokio::time::timeout(PATIENCE, bytes.next()).await {
            Ok(Some(Ok(next))) => next,
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) | Err(_) => break Err(LayersError::Cut(piece.digest)),
        };
        let length = next.len() as u64;
        if have + length > piece.length {
            break Err(LayersError::Wrong(
                piece.digest,
                "it has more bytes than it was said to have",
            ));
        }
        file.write_all(&next).await?;
        have += length;
    };
    file.flush().await?;
    file.sync_data().await?;
    taken.map(|()| have)
}

/// Makes a part a layer, if it is the one that it is named by; otherwise it goes.
fn complete(part: &Path, whole: &Path, digest: Digest) -> Result<(), LayersError> {
    if let Err(error) = verify(part, digest) {
        if matches!(error, LayersError::Wrong(..)) {
            fs::remove_file(part)?;
        }
        return Err(error);
    }
    fs::rename(part, whole)?;
    if let Some(folder) = whole.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn verify(part: &Path, digest: Digest) -> Result<(), LayersError> {
    let wrong = |why| LayersError::Wrong(digest, why);
    let file = BufReader::with_capacity(1 << 16, File::open(part)?);
    let mut unpacked = zstd::stream::read::Decoder::with_buffer(file)?.single_frame();
    unpacked.window_log_max(MAX_WINDOW_LOG)?;
    let (mut sum, mut size) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = unpacked
            .read(&mut buffer)
            .map_err(|_| wrong("they cannot be unpacked"))?;
        if read == 0 {
            break;
        }
        size += read as u64;
        if size > MAX_PLAIN_LAYER_BYTES {
            return Err(wrong("unpacked, they are more than any layer may have"));
        }
        sum.update(&buffer[..read]);
    }
    if unpacked.finish().read(&mut buffer)? > 0 {
        return Err(wrong("there is more after its end"));
    }
    if <[u8; 32]>::from(sum.finalize()) == digest.0 {
        Ok(())
    } else {
        Err(wrong("they have another"))
    }
}

fn prune(root: &Path, now: SystemTime) -> io::Result<()> {
    let teams = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        teams => teams?,
    };
    for team in teams {
        for file in fs::read_dir(team?.path())? {
            let path = file?.path();
            let kept = match path.extension().and_then(|extension| extension.to_str()) {
                Some("part") => PART_KEPT,
                _ => KEPT,
            };
            let used = path.metadata()?.modified()?;
            if now.duration_since(used).is_ok_and(|idle| idle > kept) {
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
