//! What a starting agent still holds: the journal and the folders together.

use std::fs;
use std::path::Path;

use towline_shared::spec::{JobSpec, SealedSpec};

use super::writer::SPEC_FILE;
use super::{Acceptance, Ledger, LedgerError, Record};
use crate::state_dir::{Boot, StateDir};

/// The jobs that are still held, in the order of their acceptance. One whose folder is gone was
/// forgotten when the journal could not say so, and now it can; unless the machine has lost its
/// power meanwhile, and the folder by it.
pub fn held_on_disk(
    ledger: &mut Ledger,
    dir: &StateDir,
    boot: Boot,
) -> Result<Vec<(Acceptance, JobSpec)>, LedgerError> {
    let entries = ledger.state().jobs.iter();
    let accepted: Vec<_> = entries.map(|job| job.accepted.clone()).collect();
    let mut held = Vec::with_capacity(accepted.len());
    for accepted in accepted {
        let attempt = accepted.attempt;
        let folder = dir.job(attempt);
        let is_there = folder.is_dir() || boot == Boot::Other;
        let spec = is_there.then(|| read_spec(ledger.state().spec(attempt), &folder));
        match spec.flatten() {
            Some(spec) => held.push((accepted, spec)),
            None => ledger.append(&[Record::Forgotten(attempt)])?,
        }
    }
    Ok(held)
}

fn read_spec(journalled: Option<&[u8]>, folder: &Path) -> Option<JobSpec> {
    let file = || fs::read(folder.join(SPEC_FILE)).ok();
    let encoded = journalled.map(<[u8]>::to_vec).or_else(file)?;
    let sealed: SealedSpec = postcard::from_bytes(&encoded).ok()?;
    match sealed.open() {
        Ok(spec) => Some(spec),
        Err(error) => {
            tracing::error!(folder = %folder.display(), %error, "a held job's specification is damaged; the job is given up");
            None
        }
    }
}
