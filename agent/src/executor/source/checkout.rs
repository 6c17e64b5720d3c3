//! A commit with its submodules, in the job's own folder.

use std::io;
use std::path::{Path, PathBuf};

use towline_shared::failpoint::reach;
use towline_shared::git::submodule::{self, Access, MAX_COUNT, MAX_DEPTH, Submodule};
use towline_shared::git::{self, Entry, GitAddress, Kind, Reference, Scheme};
use towline_shared::outcome::FailureReason;
use towline_shared::spec::{GitSource, SOURCE_PASSWORD, Submodules};

use super::judge::{Taken, below, judge_links, links, make_folder};
use super::repository::Repository;
use super::{SHORT, unfit};
use crate::executor::docker::folder;
use crate::executor::errand::Errand;
use crate::executor::stop::Stop;

/// Where a commit comes to.
pub(super) struct Checkout<'a> {
    source: &'a GitSource,
    address: GitAddress,
    what: Reference,
    /// By what it is read: a password, or over ssh a key.
    password: Option<String>,
    /// Git's own folder, and those for submodules in it; it goes as soon as the files are there.
    repository: PathBuf,
    root: PathBuf,
    /// Holds the commit's name when its files are all there.
    done: PathBuf,
}

/// A repository that is to be taken.
struct Due {
    address: GitAddress,
    what: Reference,
    access: Access,
    /// Where it lies in the project; empty: all of it.
    path: String,
    /// The repositories that it lies in.
    parents: Vec<GitAddress>,
}

impl<'a> Checkout<'a> {
    pub fn of(errand: &Errand<'_>, source: &'a GitSource) -> Result<Self, Stop> {
        let dir = &errand.task.dir;
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.clone());
        let address = source.url.parse::<GitAddress>();
        let what = Reference::commit(&source.commit);
        let mut secrets = errand.task.secrets.iter();
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

    /// Where its files are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn is_complete(&self) -> bool {
        std::fs::read_to_string(&self.done).is_ok_and(|known| known == self.source.commit)
    }

    /// Fetches all of it; says how many files it has, of how many bytes.
    pub async fn fetch(&self, errand: &Errand<'_>) -> Result<(usize, u64), Stop> {
        self.begin_anew()
            .map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
        let (mut taken, mut count, mut number) = (Taken::default(), 0, 0);
        let mut due = vec![Due {
            address: self.address.clone(),
            what: self.what.clone(),
            access: Access::Source,
            path: String::new(),
            parents: Vec::new(),
        }];
        while let Some(next) = due.pop() {
            let repository = self.repository(&next, number);
            number += 1;
            let entries = self.take(errand, &next, &repository, taken).await?;
            taken = taken.with(&entries)?;
            if self.source.submodules == Submodules::Take {
                let inside = self.inside(errand, &next, &repository, &entries).await?;
                count += inside.len();
                if count > MAX_COUNT {
                    let says = format!("the commit has more than {MAX_COUNT} submodules");
                    return Err(unfit(&says));
                }
                due.extend(inside);
            }
        }
        std::fs::write(&self.done, &self.source.commit)
            .map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
        Ok((taken.files, taken.bytes))
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

    fn repository(&self, due: &Due, number: u32) -> Repository<'_> {
        let is_source = due.access == Access::Source;
        let password = self.password.as_deref().filter(|_| is_source);
        Repository {
            address: due.address.clone(),
            what: due.what.clone(),
            login: password.map(|password| (self.source.user.as_str(), password)),
            host_keys: &self.source.host_keys,
            home: match due.path.as_str() {
                "" => self.repository.clone(),
                // Its own number, whatever its path is.
                _ => self.repository.join("modules").join(number.to_string()),
            },
            watched: &self.repository,
            root: self.root.join(&due.path),
        }
    }

    /// Fetches one commit, judges it, and lays its files into its folder.
    async fn take(
        &self,
        errand: &Errand<'_>,
        due: &Due,
        repository: &Repository<'_>,
        taken: Taken,
    ) -> Result<Vec<Entry>, Stop> {
        let folder = if due.path.is_empty() {
            self.source.folder.as_str()
        } else {
            let short: String = due.what.as_str().chars().take(SHORT).collect();
            let (path, from) = (&due.path, &due.address);
            let says = format!("fetching the submodule {path} from {from} at {short}");
            errand.note(&says).await;
            make_folder(&self.root, path)?;
            ""
        };
        repository
            .fetch(errand)
            .await
            .map_err(|stop| due.told(stop))?;
        reach("agent: fetched a commit");
        let listed = repository
            .run(errand, git::list(git::FETCHED, folder))
            .await;
        let listed = listed.map_err(|stop| match stop {
            Stop::Failed {
                reason: FailureReason::SourceUnavailable,
                ..
            } => unfit(&format!("the commit has no folder {folder:?}")),
            stop => stop,
        })?;
        let entries = git::listed(&listed);
        taken.with(&entries)?;
        let tree = format!("{}:{folder}", git::FETCHED);
        let files = ["read-tree", "--reset", "-u", &tree].map(str::to_owned);
        repository.run(errand, files.into()).await?;
        reach("agent: checked a commit out");
        let (root, links) = (self.root.clone(), links(&entries, &due.path));
        let judged = tokio::task::spawn_blocking(move || judge_links(&root, &links)).await;
        judged.map_err(|error| Stop::failed(FailureReason::Internal, error.to_string()))??;
        Ok(entries)
    }

    /// The submodules of a commit that was taken.
    async fn inside(
        &self,
        errand: &Errand<'_>,
        due: &Due,
        repository: &Repository<'_>,
        entries: &[Entry],
    ) -> Result<Vec<Due>, Stop> {
        let submodules = entries.iter().filter(|entry| entry.kind == Kind::Submodule);
        let submodules: Vec<_> = submodules.collect();
        if submodules.is_empty() {
            return Ok(Vec::new());
        }
        let declared = declared(errand, repository).await?;
        let folder = if due.path.is_empty() {
            self.source.folder.as_str()
        } else {
            ""
        };
        let mut inside = Vec::new();
        for entry in submodules {
            let path = below(folder, &entry.path);
            let origin = submodule::origin(&declared, &path, &due.address, &self.address);
            let origin = origin.map_err(|error| unfit(&error.to_string()))?;
            let what = Reference::commit(&entry.blob);
            let mut parents = due.parents.clone();
            parents.push(due.address.clone());
            let one = Due {
                address: origin.address,
                what: what.map_err(|error| unfit(&error.to_string()))?,
                access: origin.access,
                path: below(&due.path, &entry.path),
                parents,
            };
            one.is_not_too_deep()?;
            inside.push(one);
        }
        Ok(inside)
    }

    /// What git has fetched is not needed once its files are there; they must not find it beside them.
    pub fn forget_repository(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.repository) {
            tracing::debug!(%error, "the fetched repository goes with the job");
        }
    }
}

impl Due {
    /// A repository that has itself as a submodule ends here, too.
    fn is_not_too_deep(&self) -> Result<(), Stop> {
        if self.parents.len() <= MAX_DEPTH {
            return Ok(());
        }
        let (path, address) = (&self.path, &self.address);
        Err(unfit(&if self.parents.contains(address) {
            format!(
                "{address} contains itself as a submodule ({path}); take that away, or leave submodules out"
            )
        } else {
            format!(
                "submodules lie at most {MAX_DEPTH} deep in one another, and {path} lies deeper"
            )
        }))
    }

    /// Of which repository something is said.
    fn told(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Failed { reason, message } if !self.path.is_empty() => {
                Stop::failed(reason, format!("the submodule {}: {message}", self.path))
            }
            stop => stop,
        }
    }
}

/// What the commit's `.gitmodules` says. It is read from the commit itself, and only where it is a file there.
async fn declared(
    errand: &Errand<'_>,
    repository: &Repository<'_>,
) -> Result<Vec<Submodule>, Stop> {
    let listed = repository.run(errand, submodule::file()).await?;
    let file = git::listed(&listed).into_iter().next();
    match file {
        None => return Ok(Vec::new()),
        Some(file) if matches!(file.kind, Kind::File(_)) && file.bytes <= submodule::MAX_FILE => {}
        Some(_) => {
            return Err(unfit(&format!(
                "{} of the commit is no file of at most {} KiB",
                submodule::FILE,
                submodule::MAX_FILE / 1024
            )));
        }
    }
    let printed = repository.run(errand, submodule::declarations()).await;
    let printed = printed.map_err(|stop| match stop {
        Stop::Failed {
            reason: FailureReason::SourceUnavailable,
            ..
        } => unfit(&format!(
            "{} of the commit names no submodule",
            submodule::FILE
        )),
        stop => stop,
    })?;
    submodule::declared(&printed).map_err(|error| unfit(&error.to_string()))
}
