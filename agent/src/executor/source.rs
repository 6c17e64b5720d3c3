//! The commit that a release is built from: fetched into the job's own folder, checked, and laid under the project's
//! own files.
//!
//! Nothing of a repository is run, followed or resolved here: one commit is fetched, its size is known before a file of
//! it is written, and its links may not lead out of it. Its submodules' folders stay empty, unless they are asked for: then
//! each is fetched as any commit is, by us, from an address that was judged, within the same bounds.

mod checkout;
mod judge;
mod repository;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::{FileMode, GitSource, ProjectFile};

use super::docker::{child, folder};
use super::errand::Errand;
use super::stop::Stop;
use checkout::Checkout;

/// The most bytes of a file that is held in memory to be judged.
const MAX_JUDGED: u64 = 64 * 1024;
/// The most bytes of all of those.
const MAX_ALL_JUDGED: u64 = 16 * 1024 * 1024;
/// How many first digits name a commit for people.
const SHORT: usize = 12;

/// A commit's files in the job's folder, with the project's own over them.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Where they are.
    pub root: PathBuf,
    /// All of them, with the content of those that are judged.
    pub files: Vec<ProjectFile>,
}

/// Fetches a commit, or finds what a former process of the agent has fetched.
pub(super) async fn take(
    errand: &Errand<'_>,
    source: &GitSource,
    own: &[ProjectFile],
) -> Result<Tree, Stop> {
    let checkout = Checkout::of(errand, source)?;
    if !checkout.is_complete() {
        // Who died while it fetched has left git at work on these very folders.
        if let Some(mut left) = child::left_by(errand.task.attempt.job) {
            left.stop().await;
        }
        errand.task.progress.begin(Step::Cloning).await?;
        let short: String = source.commit.chars().take(SHORT).collect();
        let says = format!("fetching {} at {short}", source.url);
        errand.note(&says).await;
        let fetched = checkout.fetch(errand).await;
        checkout.forget_repository();
        let (count, bytes) = fetched?;
        let mib = bytes.div_ceil(1024 * 1024);
        errand.note(&format!("{count} files, {mib} MiB")).await;
    }
    let (root, own) = (checkout.root().to_owned(), own.to_vec());
    let tree = tokio::task::spawn_blocking(move || lay(root, own)).await;
    tree.map_err(|error| Stop::failed(FailureReason::Internal, error.to_string()))?
}

impl Tree {
    /// Reads files whole that were too large to be held before it was known that they are wanted: each of at most `most`
    /// bytes, and not more than [`MAX_ALL_JUDGED`] of them together. One that is larger is named.
    pub fn read_whole(&mut self, wants: impl Fn(&str) -> bool, most: usize) -> Result<(), Stop> {
        let mut room = MAX_ALL_JUDGED;
        for file in self.files.iter_mut().filter(|file| wants(&file.path)) {
            let path = self.root.join(&file.path);
            let size = path.symlink_metadata().map(|found| found.len());
            let size = size.map_err(|error| unreadable(&file.path, &error))?;
            room = room.checked_sub(size).filter(|_| size <= most as u64).ok_or_else(|| {
                unfit(&format!(
                    "{} has {size} bytes; of such files at most {most} are read of each, and {MAX_ALL_JUDGED} of all",
                    file.path
                ))
            })?;
            file.content = std::fs::read(&path).map_err(|error| unreadable(&file.path, &error))?;
        }
        Ok(())
    }
}

/// Lays the project's own files over the commit's, and lists all of them.
pub(super) fn lay(root: PathBuf, own: Vec<ProjectFile>) -> Result<Tree, Stop> {
    folder::write_over(&root, &own)?;
    let names: BTreeSet<String> = own.iter().map(|file| file.path.clone()).collect();
    let (mut files, mut judged) = (own, 0);
    let mut folders = vec![String::new()];
    while let Some(inside) = folders.pop() {
        let cannot = |error: io::Error| unreadable(&inside, &error);
        for entry in std::fs::read_dir(root.join(&inside)).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = match inside.as_str() {
                "" => name,
                inside => format!("{inside}/{name}"),
            };
            let metadata = entry.metadata().map_err(cannot)?;
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() && !names.contains(&path) {
                let is_judged = metadata.len() <= MAX_JUDGED && judged < MAX_ALL_JUDGED;
                judged += if is_judged { metadata.len() } else { 0 };
                let content = if is_judged {
                    std::fs::read(entry.path()).map_err(cannot)?
                } else {
                    Vec::new()
                };
                let mode = mode_of(&metadata);
                files.push(ProjectFile {
                    path,
                    content,
                    mode,
                });
            }
        }
    }
    Ok(Tree { root, files })
}

/// The mode of a file that is there.
fn mode_of(metadata: &std::fs::Metadata) -> FileMode {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o100 == 0 {
        FileMode::Regular
    } else {
        FileMode::Executable
    }
}

pub(super) fn unfit(message: &str) -> Stop {
    Stop::failed(FailureReason::SourceUnavailable, message)
}

pub(super) fn unreadable(path: &str, error: &io::Error) -> Stop {
    Stop::internal(&format!("cannot read {path} of the commit"), error)
}
