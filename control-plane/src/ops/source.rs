//! Projects that come from a repository: setting it, and looking at the commit that is to be deployed.

use std::collections::HashSet;
use std::time::Duration;

use towline_shared::git::{Complaint, GitAddress, Kind, Reference, Scheme};
use towline_shared::ids::ProjectId;
use towline_shared::spec::{self, GitSource, ProjectFile};
use zeroize::Zeroizing;

use super::submit::Commit;
use super::{OpsError, deploy_key};
use crate::domain::named::UnknownName;
use crate::domain::repository::{self, Submodules, check_folder, check_login};
use crate::egress::Egress;
use crate::repository::{Access, Limits, Login, Repositories, RepositoryError, Snapshot};
use crate::store::releases::Release;
use crate::store::{
    NewSource, Project, ProjectSource, SourceIntegration, Store, StoreError, Tenant,
};

/// What a person waits for is answered within a minute.
pub(super) const LIMITS: Limits = Limits {
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
    /// What becomes of its submodules.
    pub submodules: Submodules,
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
    let access = match (address.scheme(), &wanted.login) {
        (Scheme::Ssh, Some(_)) => return Err(no_login()),
        (Scheme::Ssh, None) => {
            deploy_key::ensure(store, egress, tenant, &project, &address).await?
        }
        (Scheme::Https | Scheme::Http, login) => of_login(login.clone()),
    };
    let read = read(egress, &address, &access, &reference, &wanted.folder);
    let snapshot = read.await?;
    let new = NewSource {
        url: address.to_string(),
        branch: wanted.branch,
        folder: wanted.folder,
        submodules: wanted.submodules,
        login: wanted.login.filter(|_| wanted.integration.is_none()),
        integration: wanted.integration,
        commit: snapshot.commit,
        title: snapshot.title,
    };
    let keys = store.installed_deploy_keys(tenant, project.id).await?;
    let set = store.set_source(tenant, project.id, new).await?;
    deploy_key::sweep(store, egress, tenant, project.id, keys).await?;
    Ok(set)
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
        access: access(store, tenant, project, &source.url).await?,
        submodules: submodules(&source)?.into(),
        url: source.url,
        folder: source.folder,
    };
    from.look(egress, own, at).await.map(Some)
}

/// Reads the repository that a project comes from.
pub(super) async fn snapshot(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: &Project,
    source: &ProjectSource,
    at: At<'_>,
) -> Result<Snapshot, OpsError> {
    let access = access(store, tenant, project, &source.url).await?;
    let (address, what) = (address(&source.url)?, reference(at)?);
    read(egress, &address, &access, &what, &source.folder).await
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
    let access = if present.is_some_and(|present| present.url == source.url) {
        access(store, tenant, project, &source.url).await?
    } else if address(&source.url)?.scheme() == Scheme::Ssh {
        return Err(deploy_key::no_key(&source.url));
    } else {
        Access::Public
    };
    let from = Place {
        url: source.url.clone(),
        folder: source.folder.clone(),
        submodules: source.submodules,
        access,
    };
    let at = At::Commit(&source.commit);
    from.look(egress, &release.files, at).await.map(Some)
}

fn submodules(source: &ProjectSource) -> Result<Submodules, StoreError> {
    let stored = source.submodules.parse();
    stored.map_err(|error: UnknownName| StoreError::Damaged(error.to_string()))
}

/// By what the repository that a project comes from is read.
async fn access(
    store: &Store,
    tenant: &Tenant,
    project: &Project,
    url: &str,
) -> Result<Access, OpsError> {
    if address(url)?.scheme() == Scheme::Ssh {
        return deploy_key::of(store, tenant, project.id, url).await;
    }
    Ok(of_login(store.source_login(tenant, project.id).await?))
}

fn of_login(login: Option<(String, Zeroizing<String>)>) -> Access {
    match login {
        None => Access::Public,
        Some((user, password)) => Access::Login(Login { user, password }),
    }
}

/// Where a project is in which repository, and by what that is read.
struct Place {
    url: String,
    folder: String,
    submodules: spec::Submodules,
    access: Access,
}

impl Place {
    async fn look(
        self,
        egress: &Egress,
        own: &[ProjectFile],
        at: At<'_>,
    ) -> Result<Sourced, OpsError> {
        let (address, what) = (address(&self.url)?, reference(at)?);
        let read = read(egress, &address, &self.access, &what, &self.folder);
        let snapshot = read.await?;
        let view = view(&snapshot, own);
        let (user, host_keys) = match self.access {
            Access::Public => (String::new(), Vec::new()),
            Access::Login(login) => (login.user, Vec::new()),
            Access::Key(key) => (String::new(), key.host_keys),
        };
        let git = GitSource {
            url: self.url,
            user,
            commit: snapshot.commit,
            folder: self.folder,
            submodules: self.submodules,
            host_keys,
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
    access: &Access,
    what: &Reference,
    folder: &str,
) -> Result<Snapshot, OpsError> {
    let repositories = Repositories::new(egress.clone(), LIMITS);
    let read = repositories.read(address, access, what, folder).await;
    read.map_err(|error| unread(&error, access, &address.to_string()))
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

pub(super) fn address(url: &str) -> Result<GitAddress, OpsError> {
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

fn no_login() -> OpsError {
    OpsError::Refused {
        message: "over ssh a repository is read by a key that Towline makes, and by no password"
            .to_owned(),
        remedy: "leave the login away, or give the address over https".to_owned(),
        field: Some("login"),
    }
}

pub(super) fn unread(error: &RepositoryError, access: &Access, url: &str) -> OpsError {
    let field = match error {
        RepositoryError::NoFolder(_) => "folder",
        RepositoryError::Git(Complaint::NoReference) => "branch",
        _ => "url",
    };
    let message = error.to_string();
    if error.may_pass() {
        return OpsError::Unread { message, field };
    }
    let remedy = match (error, access) {
        (RepositoryError::Git(Complaint::Key), Access::Key(key)) => deploy_key::remedy(key, url),
        _ => UNREAD.to_owned(),
    };
    OpsError::Refused {
        message,
        remedy,
        field: Some(field),
    }
}
