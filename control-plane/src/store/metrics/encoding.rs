//! Samples as bytes.

use towline_shared::metrics::Sample;

use super::super::{Result, StoreError};

/// The first byte: how the rest is to be read. Another shape of [`Sample`] takes another number.
const VERSION: u8 = 1;

pub(super) fn encode(sample: &Sample) -> Result<Vec<u8>> {
    let bytes = postcard::to_extend(sample, vec![VERSION]);
    bytes.map_err(|error| StoreError::Damaged(format!("a sample cannot be encoded: {error}")))
}

pub(super) fn decode(bytes: &[u8]) -> Result<Sample> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|error| {
            StoreError::Damaged(format!("a stored sample cannot be read: {error}"))
        }),
        Some((version, _)) => Err(StoreError::Damaged(format!(
            "a stored sample has the unknown version {version}"
        ))),
        None => Err(StoreError::Damaged("a stored sample is empty".to_owned())),
    }
}
