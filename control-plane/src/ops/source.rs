//! Projects that come from a repository: setting it, and looking at the commit that is to be deployed.

use std::collections::HashSet;
use std::time::Duration;

use towline_shared::git::{GitAddress, Kind, Reference};
use towline_shared::ids::ProjectId;
use towline_shared::spec::{GitSource, ProjectFile, Submodules};
use zeroize::Zeroizing;

use super::OpsError;
use super::submit::Commit;
use crate::domain::repository::{self, check_folder, check_login};
use crate::egress::Egress;
use crate::repository::{Limits, Login, Repositories, RepositoryError, Snapshot};
use crate::store::releases::Release;
use crate::store::{
    NewSource, Project, ProjectSource, SourceIntegration, Store, StoreError, Tenant,
};

/// What a person waits for is answered within a minute.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(45),
    disk: 512 * 1024 * 1024,
    entries: 50_000,
};

/// What to do when a repository cannot be read.
pub const UNREAD: &str = "nothing was changed; try again when that is mended";

/// Where a project is to come from.
#[derive(Debug)]
pub struct WantedSource {
    /// The repository's address.
    pub url: String,
    /// The branch, or the repository's own.
    pub branch: Option<String>,
    /// The folder in it; empty: all of it.
    pub folder: String,
    /// Who reads it, and by which password or token.
    pub login: Option<(String, Zeroizing<String>)>,
    /// By whose token it is read, where that is an integration's.
    pub integration: Option<SourceIntegration>,
}

/// Which commit is to be deployed.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<'a> {
    /// The last one of a branch: this, or the source's own.
    Branch(Option<&'a str>),
    /// This very one.
    Commit(&'a str),
}

impl<'a> At<'a> {
    /// A commit says more than a branch.
    pub(super) const fn of(commit: Option<&'a str>, branch: Option<&'a str>) -> Self {
        match commit {
            Some(commit) => Self::Commit(commit),
            None => Self::Branch(branch),
        }
    }
}

/// A commit, looked at.
pub(super) struct Sourced {
    pub(super) commit: Commit,
    /// All that the agent will have, the project's own files over the commit's. What is large is there by name alone.
    pub(super) view: Vec<ProjectFile>,
}

/// Reads a repository, and has a project come from it if it can be.
pub async fn set_source(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
    wanted: WantedSource,
) -> Result<ProjectSource, OpsError> {
    let project = store.project(tenant, project).await?;
    let address = address(&wanted.url)?;
    let reference = reference(At::Branch(wanted.branch.as_deref()))?;
    check_folder(&wanted.folder).map_err(StoreError::from)?;
    if let Some((user, password)) = &wanted.login {
        check_login(user, password).map_err(StoreError::from)?;
    }
    let read = read(
        egress,
        &address,
        wanted.login.as_ref(),
        &reference,
        &wanted.folder,
    );
    let snapshot = read.await?;
    let new = NewSource {
        url: address.to_string(),
        branch: wanted.branch,
        folder: wanted.folder,
        login: wanted.login.filter(|_| wanted.integration.is_none()),
        integration: wanted.integration,
        commit: snapshot.commit,
        title: snapshot.title,
    };
    Ok(store.set_source(tenant, project.id, new).await?)
}

/// Looks at the commit that is to be deployed, where a project comes from a repository.
pub(super) async fn look(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: &Project,
    own: &[ProjectFile],
    at: At<'_>,
) -> Result<Option<Sourced>, OpsError> {
    let Some(source) = store.source(tenant, project.id).await? else {
        return match at {
            At::Branch(None) => Ok(None),
            At::Branch(Some(_)) | At::Commit(_) => Err(no_source(project)),
        };
    };
    let at = match at {
        At::Branch(branch) => At::Branch(branch.or(source.branch.as_deref())),
        At::Commit(_) => at,
    };
    let from = Place {
        login: store.source_login(tenant, project.id).await?,
        url: source.url,
        folder: source.folder,
    };
    from.look(egress, own, at).await.map(Some)
}

/// Looks at the commit of a release once more, where it has one: in the repository that it came from, whichever the
/// project comes from by now. What that one is read by is given to no other.
pub(super) async fn again(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: &Project,
    release: &Release,
) -> Result<Option<Sourced>, OpsError> {
    let Some(source) = &release.source else {
        return Ok(None);
    };
    let present = store.source(tenant, project.id).await?;
    let login = if present.is_some_and(|present| present.url == source.url) {
        store.source_login(tenant, project.id).await?
    } else {
        None
    };
    let from = Place {
        url: source.url.clone(),
        folder: source.folder.clone(),
        login,
    };
    let at = At::Commit(&source.commit);
    from.look(egress, &release.files, at).await.map(Some)
}

/// Where a project is in which repository, and by what that is read.
struct Place {
    url: String,
    folder: String,
    login: Option<(String, Zeroizing<String>)>,
}

impl Place {
    async fn look(
        self,
        egress: &Egress,
        own: &[ProjectFile],
        at: At<'_>,
    ) -> Result<Sourced, OpsError> {
        let (address, what) = (address(&self.url)?, reference(at)?);
        let read = read(egress, &address, self.login.as_ref(), &what, &self.folder);
        let snapshot = read.await?;
        let view = view(&snapshot, own);
        let git = GitSource {
            url: self.url,
            user: self.login.map(|(user, _)| user).unwrap_or_default(),
            commit: snapshot.commit,
            folder: self.folder,
            submodules: Submodules::Leave,
            host_keys: Vec::new(),
        };
        let branch = match at {
            At::Branch(branch) => branch.map(str::to_owned),
            At::Commit(_) => None,
        };
        let commit = Commit {
            source: git,
            branch,
            title: snapshot.title,
        };
        Ok(Sourced { commit, view })
    }
}

async fn read(
    egress: &Egress,
    address: &GitAddress,
    login: Option<&(String, Zeroizing<String>)>,
    what: &Reference,
    folder: &str,
) -> Result<Snapshot, OpsError> {
    let login = login.map(|(user, password)| Login {
        user: user.clone(),
        password: password.clone(),
    });
    let repositories = Repositories::new(egress.clone(), LIMITS);
    let read = repositories.read(address, login.as_ref(), what, folder);
    read.await.map_err(|error| unread(&error))
}

fn view(snapshot: &Snapshot, own: &[ProjectFile]) -> Vec<ProjectFile> {
    let paths = |files: &[ProjectFile]| -> HashSet<String> {
        files.iter().map(|file| file.path.clone()).collect()
    };
    let (owned, known) = (paths(own), paths(&snapshot.files));
    let is_own = |path: &str| owned.contains(path);
    let is_read = |path: &str| known.contains(path);
    let read = snapshot.files.iter().filter(|file| !is_own(&file.path));
    let named = snapshot
        .entries
        .iter()
        .filter_map(|entry| match entry.kind {
            Kind::File(mode) if !is_own(&entry.path) && !is_read(&entry.path) => {
                Some(ProjectFile {
                    path: entry.path.clone(),
                    content: Vec::new(),
                    mode,
                })
            }
            _ => None,
        });
    own.iter().chain(read).cloned().chain(named).collect()
}

fn address(url: &str) -> Result<GitAddress, OpsError> {
    url.parse()
        .map_err(|error: towline_shared::git::AddressError| {
            StoreError::from(repository::invalid("url", error.to_string())).into()
        })
}

fn reference(at: At<'_>) -> Result<Reference, OpsError> {
    let (read, field) = match at {
        At::Branch(None) => return Ok(Reference::head()),
        At::Branch(Some(branch)) => (Reference::branch(branch), "branch"),
        At::Commit(commit) => (Reference::commit(commit), "commit"),
    };
    let says = match at {
        At::Commit(_) => "a commit is meant by its whole name: 40 hexadecimal digits".to_owned(),
        At::Branch(_) => "this is no name that a branch may have".to_owned(),
    };
    read.map_err(|_| StoreError::from(repository::invalid(field, says)).into())
}

fn no_source(project: &Project) -> OpsError {
    OpsError::Refused {
        message: format!("the project {} comes from no repository", project.name),
        remedy: "leave the branch and the commit away, or set its repository first".to_owned(),
        field: Some("commit"),
    }
}

fn unread(error: &RepositoryError) -> OpsError {
    let field = match error {
        RepositoryError::NoFolder(_) => "folder",
        RepositoryError::Git(towline_shared::git::Complaint::NoReference) => "branch",
        _ => "url",
    };
    let message = error.to_string();
    if error.may_pass() {
        return OpsError::Unread { message, field };
    }
    OpsError::Refused {
        message,
        remedy: UNREAD.to_owned(),
        field: Some(field),
    }
}
