//! Bytes in encrypted frames.
//!
//! A frame is a byte that says whether it is the last, its length, and as many bytes: up to
//! [`PLAIN`] of plain text, compressed by zstd and encrypted by XChaCha20-Poly1305. The nonce is the
//! frame's number and that first byte, which no two frames of a file share; the file's key is used
//! for no other file. The associated data is the header's hash.

use std::io::{self, Read, Write};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::header::HeaderHash;
use super::{BackupError, damaged};

/// Plain text of a frame, in bytes: little memory, and little lost to nonces and tags.
pub(super) const PLAIN: usize = 256 << 10;
/// What cannot be compressed grows a little; then comes the tag.
const MAX_SEALED: usize = PLAIN + (PLAIN >> 7) + 512;
/// zstd's own default.
const LEVEL: i32 = 3;
const KEY: usize = 32;

/// The key of one file.
pub(super) type FileKey = Zeroizing<[u8; KEY]>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Inner = 0,
    Last = 1,
}

/// What sealing and opening share.
struct Cipher {
    by: XChaCha20Poly1305,
    header: HeaderHash,
    /// Of the next frame.
    number: u64,
}

impl Cipher {
    fn new(key: &FileKey, header: HeaderHash) -> Self {
        Self {
            by: XChaCha20Poly1305::new(&(**key).into()),
            header,
            number: 0,
        }
    }

    fn nonce(&mut self, frame: Frame) -> XNonce {
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.number.to_le_bytes());
        nonce[8] = frame as u8;
        self.number += 1;
        XNonce::from(nonce)
    }

    const fn payload<'a>(header: &'a HeaderHash, msg: &'a [u8]) -> Payload<'a, 'a> {
        Payload { msg, aad: header }
    }
}

/// Writes frames.
pub(super) struct FrameWriter<W> {
    out: W,
    cipher: Cipher,
    waiting: Vec<u8>,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(out: W, key: &FileKey, header: HeaderHash) -> Self {
        Self {
            out,
            cipher: Cipher::new(key, header),
            waiting: Vec::with_capacity(PLAIN),
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // A full frame waits, for it may be the last.
            if self.waiting.len() == PLAIN {
                self.seal(Frame::Inner)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PLAIN - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.seal(Frame::Last)?;
        Ok(self.out)
    }

    fn seal(&mut self, frame: Frame) -> io::Result<()> {
        let squeezed = zstd::bulk::compress(&self.waiting, LEVEL)?;
        self.waiting.clear();
        let nonce = self.cipher.nonce(frame);
        let payload = Cipher::payload(&self.cipher.header, &squeezed);
        let sealed = self.cipher.by.encrypt(&nonce, payload);
        let sealed = sealed.map_err(|_| io::Error::other("a frame cannot be encrypted"))?;
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        self.out.write_all(&[frame as u8])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&sealed)
    }
}

/// Reads frames.
pub(super) struct FrameReader<R> {
    input: R,
    cipher: Cipher,
    plain: Vec<u8>,
    /// How much of it was given out.
    taken: usize,
    is_last: bool,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn new(input: R, key: &FileKey, header: HeaderHash) -> Self {
        Self {
            input,
            cipher: Cipher::new(key, header),
            plain: Vec::new(),
            taken: 0,
            is_last: false,
        }
    }

    /// Appends so many bytes.
    pub(super) fn read(&mut self, into: &mut Vec<u8>, mut count: usize) -> Result<(), BackupError> {
        while count > 0 {
            let rest = &self.plain[self.taken..];
            if rest.is_empty() {
                if self.is_last {
                    return Err(damaged("it ends within a row"));
                }
                self.open()?;
                continue;
            }
            let part = rest.len().min(count);
            into.extend_from_slice(&rest[..part]);
            self.taken += part;
            count -= part;
        }
        Ok(())
    }

    /// Whether the last frame was read to its end, and nothing is behind it.
    pub(super) fn end(&mut self) -> Result<(), BackupError> {
        let mut more = [0; 1];
        if self.taken == self.plain.len()
            && self.is_last
            && self
                .input
                .read(&mut more)
                .map_err(|error| unreadable(&error))?
                == 0
        {
            return Ok(());
        }
        Err(damaged("something stands behind its end"))
    }

    fn open(&mut self) -> Result<(), BackupError> {
        let mut start = [0; 5];
        self.fill(&mut start)?;
        let frame = match start[0] {
            0 => Frame::Inner,
            1 => Frame::Last,
            _ => return Err(changed()),
        };
        let length = u32::from_le_bytes([start[1], start[2], start[3], start[4]]) as usize;
        if length > MAX_SEALED {
            return Err(changed());
        }
        let mut sealed = vec![0; length];
        self.fill(&mut sealed)?;
        let nonce = self.cipher.nonce(frame);
        let payload = Cipher::payload(&self.cipher.header, &sealed);
        let opened = self.cipher.by.decrypt(&nonce, payload);
        let squeezed = Zeroizing::new(opened.map_err(|_| changed())?);
        self.plain = zstd::bulk::decompress(&squeezed, PLAIN).map_err(|_| changed())?;
        self.taken = 0;
        self.is_last = frame == Frame::Last;
        if self.plain.is_empty() && !self.is_last {
            return Err(changed());
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.input.read_exact(bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                damaged("it was cut off")
            } else {
                unreadable(&error)
            }
        })
    }
}

fn unreadable(error: &io::Error) -> BackupError {
    damaged(format!("it cannot be read: {error}"))
}

fn changed() -> BackupError {
    damaged("a part of it is not what was written")
}
