//! The commit that a release is built from: fetched into the job's own folder, checked, and laid under the project's
//! own files.
//!
//! Nothing of a repository is run, followed or resolved here: one commit is fetched, its size is known before a file of
//! it is written, its links may not lead out of it, and its submodules' folders stay empty.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use towline_shared::failpoint::reach;
use towline_shared::git::{
    self, Complaint, Credential, Entry, GitAddress, Kind, Reach, Reference, Scheme,
};
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::{Deploy, FileMode, GitSource, ProjectFile, SOURCE_PASSWORD, Submodules};

use super::child;
use super::folder::{self, Mount};
use super::job::Job;
use super::model::is_at_or_below;
use super::stop::Stop;

/// The most bytes that a commit's files may have together, and that git may take to fetch them.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// The most files.
const MAX_ENTRIES: usize = 100_000;
/// The most bytes of a file that is held in memory to be judged.
const MAX_JUDGED: u64 = 64 * 1024;
/// The most bytes of all of those.
const MAX_ALL_JUDGED: u64 = 16 * 1024 * 1024;
/// The most bytes of the files that containers mount.
const MAX_MOUNTED: u64 = 64 * 1024 * 1024;
/// How often the size of what git writes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The most bytes that git's answers are read of.
const MAX_PRINTED: u64 = 64 * 1024 * 1024;
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
    if source.submodules == Submodules::Take {
        return Err(unfit("this agent does not take submodules; leave them out"));
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
    let (root, own) = (checkout.root.clone(), own.to_vec());
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

/// Where a commit comes to.
struct Checkout<'a> {
    source: &'a GitSource,
    address: GitAddress,
    what: Reference,
    /// By what it is read: a password, or over ssh a key.
    password: Option<String>,
    /// Git's own folder; it goes as soon as the files are there.
    repository: PathBuf,
    root: PathBuf,
    /// Holds the commit's name when its files are all there.
    done: PathBuf,
}

impl<'a> Checkout<'a> {
    fn of(job: &Job<'_>, source: &'a GitSource) -> Result<Self, Stop> {
        let dir = &job.task.dir;
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.clone());
        let address = source.url.parse::<GitAddress>();
        let what = Reference::commit(&source.commit);
        let mut secrets = job.task.secrets.iter();
        let password = secrets.find(|secret| secret.name == SOURCE_PASSWORD);
        let address = address.map_err(|error| unfit(&error.to_string()))?;
        if address.scheme() == Scheme::Ssh && password.is_none() {
            let message =
                "the project has no deploy key for this address; set its repository again";
            return Err(unfit(message));
        }
        Ok(Self {
            source,
            address,
            what: what.map_err(|error| unfit(&error.to_string()))?,
            password: password.map(|secret| secret.value.clone()),
            repository: dir.join("git"),
            root: dir.join("project"),
            done: dir.join("commit"),
        })
    }

    fn is_complete(&self) -> bool {
        std::fs::read_to_string(&self.done).is_ok_and(|known| known == self.source.commit)
    }

    async fn fetch(&self, job: &mut Job<'_>) -> Result<(usize, u64), Stop> {
        self.begin_anew()
            .and_then(|()| self.prepare_ssh())
            .map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
        "the repository to be fetched".clone_into(&mut job.waiting_for);
        let repository = self.repository.to_string_lossy().into_owned();
        self.run(job, git::init(&repository)).await?;
        self.run(job, git::fetch(&repository, &self.address, &self.what))
            .await?;
        reach("agent: fetched a commit");
        let list = git::list(git::FETCHED, &self.source.folder);
        let listed = self.run(job, list).await.map_err(|stop| match stop {
            Stop::Failed {
                reason: FailureReason::SourceUnavailable,
                ..
            } => unfit(&format!(
                "the commit has no folder {:?}",
                self.source.folder
            )),
            stop => stop,
        })?;
        let entries = git::listed(&listed);
        let bytes = judge(&entries)?;
        let tree = format!("{}:{}", git::FETCHED, self.source.folder);
        let files = ["read-tree", "--reset", "-u", &tree].map(str::to_owned);
        self.run(job, files.into()).await?;
        reach("agent: checked a commit out");
        let (root, links) = (self.root.clone(), links(&entries));
        let judged = tokio::task::spawn_blocking(move || judge_links(&root, &links)).await;
        judged.map_err(|error| Stop::failed(FailureReason::Internal, error.to_string()))??;
        std::fs::write(&self.done, &self.source.commit)
            .map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
        Ok((entries.len(), bytes))
    }

    fn begin_anew(&self) -> io::Result<()> {
        for folder in [&self.repository, &self.root] {
            match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => folder::create_private(folder)?,
            }
        }
        Ok(())
    }

    /// Over ssh git needs files, which go with what it fetches.
    fn prepare_ssh(&self) -> io::Result<()> {
        let (Scheme::Ssh, Some(key)) = (self.address.scheme(), &self.password) else {
            return Ok(());
        };
        let home = self.repository.to_string_lossy();
        git::ssh::write(self.way(&home), key, &self.source.host_keys).map(drop)
    }

    fn way<'b>(&'b self, home: &'b str) -> Reach<'b> {
        let credential = match (&self.password, self.address.scheme()) {
            (None, _) => Credential::None,
            (Some(_), Scheme::Ssh) => Credential::Key,
            (Some(password), Scheme::Https | Scheme::Http) => Credential::Basic {
                user: &self.source.user,
                password,
            },
        };
        Reach {
            address: &self.address,
            credential,
            pinned: None,
            home,
        }
    }

    /// What git has fetched is not needed once its files are there; they must not find it beside them.
    fn forget_repository(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.repository) {
            tracing::debug!(%error, "the fetched repository goes with the job");
        }
    }

    async fn run(&self, job: &Job<'_>, arguments: Vec<String>) -> Result<Vec<u8>, Stop> {
        let mut child = self.start(job, &arguments)?;
        let done = async {
            tokio::select! {
                done = communicate(&mut child) => Ok(done),
                () = self.too_large() => Err(too_large()),
            }
        };
        let done = match job.bounded(done).await {
            Ok(done) => done,
            Err(stop) => Err(stop),
        };
        let done = match done {
            Ok(done) => done,
            Err(stop) => {
                end(&mut child).await;
                return Err(stop);
            }
        };
        let (succeeded, printed, complaint) =
            done.map_err(|error| Stop::internal("cannot read what git says", &error))?;
        if succeeded {
            return Ok(printed);
        }
        let complaint = git::understand(&String::from_utf8_lossy(&complaint));
        let reason = match complaint {
            Complaint::NoRoom => FailureReason::DiskFull,
            _ => FailureReason::SourceUnavailable,
        };
        Err(Stop::failed(reason, complaint.to_string()))
    }

    fn start(&self, job: &Job<'_>, arguments: &[String]) -> Result<Child, Stop> {
        let home = self.repository.to_string_lossy();
        let mut command = Command::new("git");
        command
            .args(arguments)
            .env_clear()
            .env("PATH", child::PATH)
            .env(child::JOB_VARIABLE, job.task.attempt.job.to_string())
            .env("GIT_DIR", self.repository.join(".git"))
            .env("GIT_WORK_TREE", &self.root)
            .envs(git::environment(self.way(&home)))
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command.spawn().map_err(|error| {
            let message = format!("cannot run git: {error}; install git on this host");
            Stop::failed(FailureReason::SourceUnavailable, message)
        })
    }

    /// Returns when what git writes is over the limit, and never otherwise.
    async fn too_large(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if size_of(&self.repository) > MAX_BYTES {
                return;
            }
        }
    }
}

type Done = io::Result<(bool, Vec<u8>, Vec<u8>)>;

async fn communicate(child: &mut Child) -> Done {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut printed, mut complaint) = (Vec::new(), Vec::new());
    let read = async {
        if let Some(stdout) = stdout {
            stdout.take(MAX_PRINTED).read_to_end(&mut printed).await?;
        }
        Ok::<(), io::Error>(())
    };
    let hear = async {
        if let Some(stderr) = stderr {
            stderr.take(MAX_PRINTED).read_to_end(&mut complaint).await?;
        }
        Ok::<(), io::Error>(())
    };
    tokio::try_join!(read, hear)?;
    let status = child.wait().await?;
    Ok((status.success(), printed, complaint))
}

/// Ends git with all that it has started.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may have ended by itself just now.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
    let _ = child.wait().await;
}

/// How many bytes the commit's files have, if they are not too many.
fn judge(entries: &[Entry]) -> Result<u64, Stop> {
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    if bytes > MAX_BYTES {
        return Err(too_large());
    }
    if entries.len() > MAX_ENTRIES {
        return Err(unfit(&format!(
            "the commit has more than {MAX_ENTRIES} files; take out what is generated or comes from elsewhere"
        )));
    }
    Ok(bytes)
}

fn too_large() -> Stop {
    unfit(&format!(
        "the commit has more than {} MiB; take large files out of the repository, or keep them in Git LFS",
        MAX_BYTES / 1024 / 1024
    ))
}

fn links(entries: &[Entry]) -> Vec<String> {
    let links = entries.iter().filter(|entry| entry.kind == Kind::Link);
    links.map(|entry| entry.path.clone()).collect()
}

/// Programs of this host read what links lead to, as root: they may not lead out of the commit.
fn judge_links(root: &Path, links: &[String]) -> Result<(), Stop> {
    for link in links {
        let path = root.join(link);
        let target = std::fs::read_link(&path).map_err(|error| unreadable(link, &error))?;
        let is_plain = is_plain_way(link, &target);
        let leads_out = path
            .canonicalize()
            .is_ok_and(|found| !found.starts_with(root));
        if !is_plain || leads_out {
            return Err(unfit(&format!(
                "{link} is a link that leads out of the project ({}); replace it by a file",
                target.display()
            )));
        }
    }
    Ok(())
}

/// Whether a link goes up first, if at all, and not beyond the root, and then only down.
fn is_plain_way(link: &str, target: &Path) -> bool {
    let mut depth = link.matches('/').count();
    let mut goes_down = false;
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if goes_down || depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => goes_down = true,
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
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

/// Bytes of the files in a folder and those below; what goes meanwhile does not count.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
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
    fn a_link_goes_up_first_and_stays_inside() {
        let table = [
            ("link", "file", true),
            ("link", "./a/b", true),
            ("a/link", "../file", true),
            ("a/b/link", "../../c/d", true),
            ("link", "../file", false),
            ("a/link", "../../file", false),
            ("link", "/etc/passwd", false),
            // Where `a` is a link itself, `a/..` is not where it seems to be.
            ("link", "a/../b", false),
            ("a/link", "b/../../../etc", false),
        ];
        for (link, target, plain) in table {
            assert_eq!(
                is_plain_way(link, Path::new(target)),
                plain,
                "{link} -> {target}"
            );
        }
    }

    #[test]
    fn a_link_that_leads_out_by_another_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        std::fs::create_dir_all(root.join("in/deep")).unwrap();
        std::fs::write(root.join("in/file"), "x").unwrap();
        let link = |target: &str, path: &str| {
            std::os::unix::fs::symlink(target, root.join(path)).unwrap();
        };
        link("in/file", "good");
        link("nowhere", "dangling");
        let named = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(judge_links(&root, &named(&["good", "dangling"])), Ok(()));
        link("/etc", "out");
        link("out/hostname", "through");
        for bad in ["out", "through"] {
            let stop = judge_links(&root, &named(&[bad])).unwrap_err();
            assert!(matches!(stop, Stop::Failed { message, .. } if message.starts_with(bad)));
        }
    }

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
