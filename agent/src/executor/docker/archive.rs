//! How engines pack images: the archive of `docker save` and `docker load`.
//!
//! Engines before 25 name a layer's file in it `<id>/layer.tar`, later ones `blobs/sha256/<digest>`; what a file is,
//! its digest tells either way, and `manifest.json` is the same. An engine that loads an archive needs no file of a
//! layer that it has already on top of the same ones.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};
use tokio::sync::mpsc;
use towline_shared::relay::{Digest, Image, MAX_CONFIG, MAX_PLAIN_LAYER_BYTES};

/// zstd's fastest useful level: layers are packed as fast as most networks take them.
const LEVEL: i32 = 1;
/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// A layer that was packed for the way.
#[derive(Debug)]
pub(super) struct Packed {
    pub digest: Digest,
    pub file: PathBuf,
}

/// What is wanted of an archive.
pub(super) struct Wanted {
    /// Configurations.
    pub images: HashSet<Digest>,
    pub layers: HashSet<Digest>,
}

/// Takes what is wanted out of an archive: layers are packed into files of a folder and handed on at once, the
/// configurations are the result.
pub(super) fn unpack(
    archive: impl Read,
    wanted: &Wanted,
    folder: &Path,
    packed: &mpsc::Sender<Packed>,
) -> io::Result<HashMap<Digest, Vec<u8>>> {
    let mut configs = HashMap::new();
    let mut done = HashSet::new();
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let path = entry.path()?.into_owned();
        let named = path
            .file_name()
            .and_then(|name| format!("sha256:{}", name.to_str()?).parse().ok());
        let is_layer = path.ends_with("layer.tar");
        if is_small(entry.size()) && !is_layer {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            let digest = digest_of(&bytes);
            if wanted.images.contains(&digest) {
                configs.insert(digest, bytes);
                continue;
            }
            if wanted.layers.contains(&digest) && done.insert(digest) {
                hand_on(pack(&mut &bytes[..], folder)?, packed)?;
            }
            continue;
        }
        // A file that says by its name that nobody wants it need not be read.
        if named.is_some_and(|digest| !wanted.layers.contains(&digest) || done.contains(&digest)) {
            continue;
        }
        let layer = pack(&mut entry, folder)?;
        if wanted.layers.contains(&layer.digest) && done.insert(layer.digest) {
            hand_on(layer, packed)?;
        } else {
            std::fs::remove_file(layer.file)?;
        }
    }
    Ok(configs)
}

fn is_small(size: u64) -> bool {
    usize::try_from(size).is_ok_and(|size| size <= MAX_CONFIG)
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn hand_on(layer: Packed, packed: &mpsc::Sender<Packed>) -> io::Result<()> {
    packed
        .blocking_send(layer)
        .map_err(|_| io::ErrorKind::BrokenPipe.into())
}

/// Packs a layer while its digest is reckoned.
fn pack(layer: &mut impl Read, folder: &Path) -> io::Result<Packed> {
    let unnamed = folder.join("layer");
    let file = BufWriter::with_capacity(PIECE, File::create(&unnamed)?);
    let mut packer = zstd::stream::write::Encoder::new(file, LEVEL)?;
    let mut sum = Sha256::new();
    copy(layer, |piece| {
        sum.update(piece);
        packer.write_all(piece)
    })?;
    packer
        .finish()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    let digest = Digest(sum.finalize().into());
    let file = folder.join(format!("{}.zst", digest.hex()));
    std::fs::rename(unnamed, &file)?;
    Ok(Packed { digest, file })
}

/// Whether a packed layer is the one that it is named by, and how many bytes it has unpacked.
pub(super) fn measure(layer: &Packed) -> io::Result<Option<u64>> {
    let (mut sum, mut size) = (Sha256::new(), 0_u64);
    let measured = copy(&mut unpacked(&layer.file)?, |piece| {
        size += piece.len() as u64;
        if size > MAX_PLAIN_LAYER_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        sum.update(piece);
        Ok(())
    });
    // What cannot be unpacked is not that layer either.
    let is_it = measured.is_ok() && Digest(sum.finalize().into()) == layer.digest;
    Ok(is_it.then_some(size))
}

fn unpacked(file: &Path) -> io::Result<impl Read + use<>> {
    let file = BufReader::with_capacity(PIECE, File::open(file)?);
    Ok(zstd::stream::read::Decoder::with_buffer(file)?.single_frame())
}

fn copy(from: &mut impl Read, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => to(&piece[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes an archive of an image with these of its layers, each with its unpacked size, under a name of our own.
pub(super) fn write(
    to: impl Write,
    image: &Image,
    name: &str,
    layers: &[(Packed, u64)],
) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    let config = format!("{}.json", image.id.hex());
    let place = |digest: &Digest| format!("{}/layer.tar", digest.hex());
    append(
        &mut archive,
        &config,
        image.config.len() as u64,
        &image.config[..],
    )?;
    for (layer, size) in layers {
        append(
            &mut archive,
            &place(&layer.digest),
            *size,
            unpacked(&layer.file)?,
        )?;
    }
    let manifest = json!([{
        "Config": config,
        "RepoTags": [name],
        "Layers": image.layers.iter().map(place).collect::<Vec<_>>(),
    }]);
    let manifest = manifest.to_string();
    append(
        &mut archive,
        "manifest.json",
        manifest.len() as u64,
        manifest.as_bytes(),
    )?;
    archive.into_inner()?.flush()
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content)
}

/// Bytes that come from elsewhere, for a reader on a thread of its own.
pub(super) struct Incoming {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Incoming {
    pub fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self {
            pieces,
            piece: Bytes::new(),
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

/// Takes bytes from a writer on a thread of its own.
pub(super) struct Outgoing(pub mpsc::Sender<io::Result<Bytes>>);

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
