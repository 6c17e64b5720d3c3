//! The commit that a release is built from, as compose needs it.

use towline_shared::outcome::FailureReason;
use towline_shared::spec::{Deploy, GitSource, ProjectFile};

use super::EnginePlace;
use super::folder::Mount;
use super::job::Job;
use super::model::is_at_or_below;
use super::stop::Stop;
use crate::executor::source::{self, unfit, unreadable};

pub(super) use crate::executor::source::Tree;

/// The most bytes of the files that containers mount.
const MAX_MOUNTED: u64 = 64 * 1024 * 1024;

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
    "the repository to be fetched".clone_into(&mut job.waiting_for);
    source::take(&job.errand(), source, own).await
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
    pub(super) fn lasting(&self, deploy: &Deploy, mounted: &[ProjectFile]) -> Deploy {
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
    pub(super) fn mounted(&self, mounts: &[Mount]) -> Result<Vec<ProjectFile>, Stop> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use towline_shared::spec::FileMode;

    use super::super::folder;
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
        let tree = source::lay(root.clone(), vec![own]).unwrap();
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
        let tree = source::lay(root, Vec::new()).unwrap();
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
