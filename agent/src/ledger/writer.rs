//! The thread that writes the journal, so that the agent's loop never waits for a disk.

use std::fs;
use std::path::Path;
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use towline_shared::failpoint::reach;

use super::{Ledger, Record};
use crate::logs::SPOOL_DIR;
use crate::state_dir::{StateDir, create_private_dir, sync_parent, write_durably};

/// The most records that wait to be written; the agent holds few jobs, each with few at a time.
const QUEUE: usize = 512;

/// A record to make durable, and what must be durable before it.
#[derive(Debug)]
pub struct Append {
    /// The record.
    pub record: Record,
    /// The encoded specification that an acceptance stores.
    pub spec: Option<Vec<u8>>,
}

/// The end that the agent's loop holds. When it is dropped, what was handed over is written first.
#[derive(Debug)]
pub struct LedgerWriter {
    queue: Option<mpsc::Sender<Append>>,
    thread: Option<JoinHandle<()>>,
}

/// The name of the file that holds a large specification.
pub(crate) const SPEC_FILE: &str = "spec";
/// Specifications up to this many bytes stand in the journal, so that one sync makes the whole
/// acceptance durable; larger ones have a file of their own, to keep the journal small.
const INLINE_SPEC: usize = 64 * 1024;

impl LedgerWriter {
    /// Starts the thread. `done` is called on it for each record, in order: with nothing when the
    /// record is durable, or with the words of the error when it is not journalled.
    pub fn start(
        mut ledger: Ledger,
        dir: StateDir,
        done: impl Fn(Record, Result<(), String>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, mut appends) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || {
                let mut waiting = Vec::new();
                while appends.blocking_recv_many(&mut waiting, QUEUE) > 0 {
                    write_waiting(&mut ledger, &dir, std::mem::take(&mut waiting), &done);
                }
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Hands a record over. It comes back when the queue is full, which means that the disk hangs.
    pub fn append(&self, append: Append) -> Result<(), Record> {
        match &self.queue {
            Some(queue) => queue
                .try_send(append)
                .map_err(|refused| refused.into_inner().record),
            None => Err(append.record),
        }
    }
}

impl Drop for LedgerWriter {
    fn drop(&mut self) {
        self.queue = None;
        // Another process may open the journal as soon as this one has let go of it.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread has failed");
        }
    }
}

/// One sync for all that waited. When it fails, each is tried alone, so that one record too many
/// on a full disk does not refuse the others.
pub fn write_waiting(
    ledger: &mut Ledger,
    dir: &StateDir,
    waiting: Vec<Append>,
    mut done: impl FnMut(Record, Result<(), String>),
) {
    let mut ready = Vec::with_capacity(waiting.len());
    for append in waiting {
        match prepare(dir, &append) {
            Ok(spec) => ready.push((spec, append.record)),
            Err(error) => refuse(dir, append.record, error.to_string(), &mut done),
        }
    }
    let all: Vec<_> = ready.iter().flat_map(records).collect();
    if all.is_empty() {
        return;
    }
    let written = ledger.append(&all).is_ok();
    for pair in ready {
        let alone = if written {
            Ok(())
        } else {
            ledger.append(&records(&pair).collect::<Vec<_>>())
        };
        match alone {
            Ok(()) => done(pair.1, Ok(())),
            Err(error) => refuse(dir, pair.1, error.to_string(), &mut done),
        }
    }
}

/// A record, and what stands before it.
fn records((spec, record): &(Option<Record>, Record)) -> impl Iterator<Item = Record> + use<> {
    spec.clone().into_iter().chain([record.clone()])
}

/// Makes an accepted attempt's folder, and decides where its specification goes. The log's folder
/// is made too, so that nothing about an accepted job needs room for a first time.
fn prepare(dir: &StateDir, append: &Append) -> std::io::Result<Option<Record>> {
    let (Record::Accepted(accepted), Some(spec)) = (&append.record, &append.spec) else {
        return Ok(None);
    };
    let folder = dir.job(accepted.attempt);
    create_private_dir(&folder.join(SPOOL_DIR))?;
    reach("agent: made a job's folder");
    if spec.len() <= INLINE_SPEC {
        return Ok(Some(Record::Spec(accepted.attempt, spec.clone())));
    }
    write_durably(&folder.join(SPEC_FILE), spec)?;
    sync_parent(&folder)?;
    reach("agent: stored a specification");
    Ok(None)
}

fn refuse(
    dir: &StateDir,
    record: Record,
    error: String,
    done: &mut impl FnMut(Record, Result<(), String>),
) {
    if let Record::Accepted(accepted) = &record {
        remove_folder(&dir.job(accepted.attempt));
    }
    done(record, Err(error));
}

/// Removes an attempt's folder. It is moved aside first, in one step, because a missing folder
/// tells a restarted agent that the attempt was forgotten, even when the disk was too full to
/// journal that.
pub fn remove_folder(folder: &Path) {
    let mut aside = folder.as_os_str().to_owned();
    aside.push(".gone");
    let removed = match fs::rename(folder, &aside) {
        Ok(()) => {
            reach("agent: moved a job's folder aside");
            fs::remove_dir_all(aside)
        }
        Err(_) => fs::remove_dir_all(folder),
    };
    match removed {
        Ok(()) => reach("agent: removed a job's folder"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "a job's folder could not be removed");
        }
    }
}
