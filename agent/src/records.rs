//! Files of length-prefixed, checksummed records: the ledger and the log spool are such files.
//!
//! A record is its length, the CRC-32 of its body (both 32 bits, little-endian) and the body. A
//! file that was being written when the machine died ends in a torn record, which is no damage: it
//! was never acknowledged. Damage before the end is told apart from that, because it means that
//! something acknowledged is gone.

/// Bytes before a record's body.
pub const HEADER: usize = 8;

/// Appends a record to `buffer`.
///
/// # Errors
/// [`RecordError::TooLarge`] when the body has more than `limit` bytes.
pub fn frame(buffer: &mut Vec<u8>, body: &[u8], limit: usize) -> Result<(), RecordError> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| !body.is_empty() && body.len() <= limit)
        .ok_or(RecordError::TooLarge {
            bytes: body.len(),
            limit,
        })?;
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    buffer.extend_from_slice(body);
    Ok(())
}

/// Why a record cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is empty or larger than its file allows.
    #[error("a record of {bytes} bytes; 1 to {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit of the file.
        limit: usize,
    },
    /// A record before the last one is damaged.
    #[error("the record at byte {at} is damaged, and sound ones follow it")]
    Damaged {
        /// Where it starts.
        at: usize,
    },
}

/// Reads the length and checksum of a record; nothing when they cannot be a record's.
pub fn read_header(header: [u8; HEADER], limit: usize) -> Option<(usize, u32)> {
    let (length, sum) = header.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let sum = u32::from_le_bytes(*sum.first_chunk()?);
    (length > 0 && length <= limit).then_some((length, sum))
}

/// The body of the record at the start of `bytes`, if a whole and sound one is there.
pub fn first(bytes: &[u8], limit: usize) -> Option<&[u8]> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let (length, sum) = read_header(*header, limit)?;
    let body = rest.get(..length)?;
    (crc32fast::hash(body) == sum).then_some(body)
}

/// The sound records of a file, and where they end.
#[derive(Debug)]
pub struct Scan<'a> {
    /// The bodies in order.
    pub bodies: Vec<&'a [u8]>,
    /// The end of the last sound record; what follows is torn.
    pub end: usize,
}

/// Reads the records of a file from `start` up to the first that is not sound.
pub fn sound(bytes: &[u8], start: usize, limit: usize) -> Scan<'_> {
    let mut bodies = Vec::new();
    let mut end = start;
    while let Some(body) = bytes.get(end..).and_then(|rest| first(rest, limit)) {
        end += HEADER + body.len();
        bodies.push(body);
    }
    Scan { bodies, end }
}

/// Reads all records of a file from `start`, and tells a torn end from damage.
///
/// # Errors
/// [`RecordError::Damaged`] when a sound record follows one that is not.
pub fn scan(bytes: &[u8], start: usize, limit: usize) -> Result<Scan<'_>, RecordError> {
    let scan = sound(bytes, start, limit);
    let torn = bytes.get(scan.end..).unwrap_or_default();
    if (1..torn.len()).any(|at| first(&torn[at..], limit).is_some()) {
        return Err(RecordError::Damaged { at: scan.end });
    }
    Ok(scan)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1000;

    fn file(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for body in bodies {
            frame(&mut bytes, body, LIMIT).unwrap();
        }
        bytes
    }

    fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..80), 1..12)
    }

    proptest! {
        #[test]
        fn a_file_cut_anywhere_reads_as_its_whole_records(bodies in bodies(), cut in any::<prop::sample::Index>()) {
            let bytes = file(&bodies);
            let cut = cut.index(bytes.len() + 1);
            let scan = scan(&bytes[..cut], 0, LIMIT).unwrap();
            let whole = scan.bodies.len();
            prop_assert_eq!(&scan.bodies, &bodies[..whole]);
            prop_assert_eq!(scan.end, file(&bodies[..whole]).len());
            let next = bodies.get(whole).map_or(usize::MAX, |body| body.len() + HEADER);
            prop_assert!(cut - scan.end < next);
        }

        #[test]
        fn a_flipped_bit_before_the_last_record_is_damage(bodies in bodies(), bit in any::<prop::sample::Index>()) {
            prop_assume!(bodies.len() > 1);
            let mut bytes = file(&bodies);
            let last = file(&bodies[..bodies.len() - 1]).len();
            let bit = bit.index(last * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Err(RecordError::Damaged { at }) = scan(&bytes, 0, LIMIT) else {
                return Err(TestCaseError::fail("the damage was not found"));
            };
            prop_assert!(at <= bit / 8);
        }
    }

    #[test]
    fn zeros_that_a_crash_left_are_torn_not_damage() {
        let mut bytes = file(&[b"one".to_vec()]);
        let end = bytes.len();
        bytes.extend_from_slice(&[0; 300]);
        let scan = scan(&bytes, 0, LIMIT).unwrap();
        assert_eq!((scan.bodies.len(), scan.end), (1, end));
    }

    #[test]
    fn a_record_over_its_limit_is_refused() {
        for bytes in [0, LIMIT + 1] {
            let refused = frame(&mut Vec::new(), &vec![1; bytes], LIMIT);
            let limit = LIMIT;
            assert_eq!(refused, Err(RecordError::TooLarge { bytes, limit }));
        }
    }
}
