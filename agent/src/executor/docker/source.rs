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
use towline_shared::spec::{Deploy, FileMode, GitSource, ProjectFile};

use super::EnginePlace;
use super::child;
use super::folder::{self, Mount};
use super::job::Job;
use super::model::is_at_or_below;
use super::stop::Stop;
use checkout::Checkout;

/// The most bytes of a file that is held in memory to be judged.
const MAX_JUDGED: u64 = 64 * 1024;
/// The most bytes of all of those.
const MAX_ALL_JUDGED: u64 = 16 * 1024 * 1024;
/// The most bytes of the files that containers mount.
const MAX_MOUNTED: u64 = 64 * 1024 * 1024;
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
    job: &mut Job<'_>,
    source: &GitSource,
    own: &[ProjectFile],
) -> Result<Tree, Stop> {
    if let EnginePlace::Elsewhere { .. } = job.host.place {
        return Err(Stop::failed(
            FailureReason::PolicyRefused,
            "a repository is not read for a host that is reached over TLS; deploy files of the project that name images, or \
             have an agent build them (`build_on`)",
        ));
    }
    let checkout = Checkout::of(job, source)?;
    if !checkout.is_complete() {
        // Who died while it fetched has left git at work on these very folders.
        if let Some(mut left) = child::left_by(job.task.attempt.job) {
            left.stop().await;
        }
        job.task.progress.begin(Step::Cloning).await?;
        let short: String = source.commit.chars().take(SHORT).collect();
        job.note(&format!("fetching {} at {short}", source.url))
            .await;
        let fetched = checkout.fetch(job).await;
        checkout.forget_repository();
        let (count, bytes) = fetched?;
        let mib = bytes.div_ceil(1024 * 1024);
        job.note(&format!("{count} files, {mib} MiB")).await;
    }
    let (root, own) = (checkout.root().to_owned(), own.to_vec());
    let tree = tokio::task::spawn_blocking(move || lay(root, own)).await;
    tree.map_err(|error| Stop::failed(FailureReason::Internal, error.to_string()))?
}

/// A deploy with all its files, and the commit that they lie over, if there is one.
pub(super) async fn over(
    job: &mut Job<'_>,
    deploy: &Deploy,
    source: Option<&GitSource>,
) -> Result<(Deploy, Option<Tree>), Stop> {
    let Some(source) = source else {
        return Ok((deploy.clone(), None));
    };
    let tree = take(job, source, &deploy.files).await?;
    let whole = Deploy {
        files: tree.files.clone(),
        ..deploy.clone()
    };
    Ok((whole, Some(tree)))
}

impl Tree {
    /// What of a deploy brings it back later when its images are settled: nothing is built then, so that the files that
    /// are judged and mounted are enough.
    pub fn lasting(&self, deploy: &Deploy, mounted: &[ProjectFile]) -> Deploy {
        let is_mounted = |path: &str| mounted.iter().any(|file| file.path == path);
        // What was not read has no content here, and what is empty has none either.
        let is_read = |file: &ProjectFile| {
            let on_disk = || self.root.join(&file.path).metadata();
            !file.content.is_empty() || on_disk().is_ok_and(|found| found.len() == 0)
        };
        let judged = self.files.iter();
        let judged = judged.filter(|file| is_read(file) && !is_mounted(&file.path));
        Deploy {
            files: mounted.iter().chain(judged).cloned().collect(),
            ..deploy.clone()
        }
    }

    /// The files that containers mount, with all their content.
    pub fn mounted(&self, mounts: &[Mount]) -> Result<Vec<ProjectFile>, Stop> {
        let is_mounted = |file: &&ProjectFile| {
            mounts
                .iter()
                .any(|mount| is_at_or_below(&file.path, &mount.path))
        };
        let (mut files, mut bytes) = (Vec::new(), 0);
        for file in self.files.iter().filter(is_mounted) {
            let path = self.root.join(&file.path);
            let size = path.symlink_metadata().map(|found| found.len());
            bytes += size.map_err(|error| unreadable(&file.path, &error))?;
            if bytes > MAX_MOUNTED {
                return Err(unfit(&format!(
                    "containers mount more than {} MiB of the repository; put large files into an image or a volume",
                    MAX_MOUNTED / 1024 / 1024
                )));
            }
            let content = std::fs::read(&path).map_err(|error| unreadable(&file.path, &error))?;
            files.push(ProjectFile {
                content,
                ..file.clone()
            });
        }
        Ok(files)
    }
}

/// Lays the project's own files over the commit's, and lists all of them.
fn lay(root: PathBuf, own: Vec<ProjectFile>) -> Result<Tree, Stop> {
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

fn unfit(message: &str) -> Stop {
    Stop::failed(FailureReason::SourceUnavailable, message)
}

fn unreadable(path: &str, error: &io::Error) -> Stop {
    Stop::internal(&format!("cannot read {path} of the commit"), error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn own_files_lie_over_the_commits() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        std::fs::create_dir_all(root.join("src")).unwrap();
        std::fs::write(root.join("src/main.rs"), "fn main() {}").unwrap();
        std::fs::write(root.join("compose.yaml"), "theirs").unwrap();
        std::fs::write(root.join("large"), vec![0; 100_000]).unwrap();
        let own = ProjectFile {
            path: "compose.yaml".into(),
            content: b"ours".into(),
            mode: FileMode::Regular,
        };
        let tree = lay(root.clone(), vec![own]).unwrap();
        let content = |path: &str| {
            let mut found = tree.files.iter().filter(|file| file.path == path);
            let file = found.next().unwrap();
            assert!(found.next().is_none());
            file.content.clone()
        };
        assert_eq!(content("compose.yaml"), b"ours");
        assert_eq!(std::fs::read(root.join("compose.yaml")).unwrap(), b"ours");
        assert_eq!(content("src/main.rs"), b"fn main() {}");
        assert_eq!(content("large"), b"");
        std::fs::write(root.join("empty.env"), "").unwrap();
        let tree = lay(root, Vec::new()).unwrap();
        let deploy = Deploy {
            release: towline_shared::ids::ReleaseId::new(),
            compose_project: "shop".into(),
            compose_file: "compose.yaml".into(),
            files: Vec::new(),
            settle_ms: 0,
        };
        let lasting = tree.lasting(&deploy, &[]);
        let mut lasting: Vec<&str> = lasting
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        lasting.sort_unstable();
        assert_eq!(lasting, ["compose.yaml", "empty.env", "src/main.rs"]);
        let mount = Mount {
            path: "large".into(),
            access: folder::Access::ReadOnly,
        };
        assert_eq!(tree.mounted(&[mount]).unwrap()[0].content.len(), 100_000);
    }
}
