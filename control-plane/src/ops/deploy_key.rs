//! The keys by which repositories are read over ssh: made here, given to nobody but git, and told to people as the
//! forge takes them.

use towline_shared::git::{GitAddress, PublicKey, Scheme};
use towline_shared::ids::{IntegrationId, ProjectId};

use super::OpsError;
use super::integration::{client, may_use, reaching};
use super::source::{LIMITS, address, unread};
use crate::domain::deploy_key::{self, settings_page};
use crate::domain::integration::RepositoryPath;
use crate::domain::repository::invalid;
use crate::egress::Egress;
use crate::repository::{Access, Repositories, SshKey};
use crate::store::deploy_keys::WholeKey;
use crate::store::{
    DeployKey, Former, InstalledKey, NewDeployKey, Project, Store, StoreError, Tenant,
};

/// Makes a new key for the address that a project comes from, or is to come from; a former one counts no longer.
pub async fn renew_deploy_key(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
    url: Option<&str>,
) -> Result<DeployKey, OpsError> {
    let project = store.project(tenant, project).await?;
    let address = meant(store, tenant, &project, url).await?;
    let url = address.to_string();
    let former = store.deploy_key(tenant, project.id, &url).await?;
    let (host_keys, installed) = match former {
        Some(former) => (former.host_keys, former.installed),
        None => (ask(egress, &address).await?, None),
    };
    let mut new = new(&project, &address, host_keys)?;
    // The forge knows the new one before it counts, so that there is no moment in which nothing can be read.
    if let Some(former) = installed {
        may_use(tenant)?;
        let placed = place(
            store,
            egress,
            tenant,
            &new.public_key,
            (former.integration, former.repository),
        );
        new.installed = Some(placed.await?);
    }
    let placed = new.installed.clone();
    let kept = store.keep_deploy_key(tenant, project.id, new, Former::Replaced);
    let kept = match kept.await {
        Ok(kept) => kept,
        Err(error) => {
            // Nobody has its private half.
            leave(store, egress, tenant, placed.as_ref()).await;
            return Err(error.into());
        }
    };
    let replaced = kept.replaced.and_then(|key| key.installed);
    leave(store, egress, tenant, replaced.as_ref()).await;
    Ok(kept.key)
}

/// Has a forge let a project's key read its repository, by an integration of the team. Doing it again mends what was changed there.
pub async fn install_deploy_key(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
    url: Option<&str>,
    integration: Option<IntegrationId>,
) -> Result<DeployKey, OpsError> {
    may_use(tenant)?;
    let project = store.project(tenant, project).await?;
    let address = meant(store, tenant, &project, url).await?;
    let url = address.to_string();
    let at = reaching(store, tenant, project.id, &url, integration).await?;
    ensure(store, egress, tenant, &project, &address).await?;
    let key = store.deploy_key(tenant, project.id, &url).await?;
    let key = key.ok_or_else(|| no_key(&url))?;
    let is_there = |one: &&InstalledKey| (one.integration, &one.repository) == (at.0, &at.1);
    let known = key.installed.as_ref().filter(is_there);
    let client = client(store, egress, tenant, at.0).await?;
    let known = known.map(|one| one.forge_key.as_str());
    let shown = (title(&key.public_key), key.public_key.as_str());
    let forge_key = client.install_key(&at.1, known, shown).await?;
    let installed = InstalledKey {
        integration: at.0,
        repository: at.1,
        forge_key,
    };
    let noted = store.note_installed_key(tenant, project.id, &key, Some(&installed));
    let noted = match noted.await {
        Ok(noted) => noted,
        Err(error) => {
            // It was replaced meanwhile.
            leave(store, egress, tenant, Some(&installed)).await;
            return Err(error.into());
        }
    };
    let elsewhere = key.installed.filter(|one| *one != installed);
    leave(store, egress, tenant, elsewhere.as_ref()).await;
    Ok(noted)
}

/// Takes a project's keys away from the forges where they are installed; nothing is to do where they are not.
pub async fn uninstall_deploy_key(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
) -> Result<(), OpsError> {
    store.project(tenant, project).await?;
    for key in store.installed_deploy_keys(tenant, project).await? {
        may_use(tenant)?;
        if let Some(installed) = &key.installed {
            let forge = client(store, egress, tenant, installed.integration).await?;
            forge
                .remove_key(&installed.repository, &installed.forge_key)
                .await?;
        }
        store
            .note_installed_key(tenant, project, &key, None)
            .await?;
    }
    Ok(())
}

/// Has a project consist of its own files alone again. Its keys go, also at the forges where they are installed.
pub async fn forget_source(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
) -> Result<(), OpsError> {
    let before = store.installed_deploy_keys(tenant, project).await?;
    store.forget_source(tenant, project).await?;
    sweep(store, egress, tenant, project, before).await
}

/// Takes those keys away from their forges that a project has no longer.
pub(super) async fn sweep(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
    before: Vec<DeployKey>,
) -> Result<(), OpsError> {
    if before.is_empty() {
        return Ok(());
    }
    let after = store.installed_deploy_keys(tenant, project).await?;
    let gone = before.into_iter().filter_map(|key| key.installed);
    for one in gone.filter(|one| !after.iter().any(|key| key.installed.as_ref() == Some(one))) {
        leave(store, egress, tenant, Some(&one)).await;
    }
    Ok(())
}

/// Has a forge let a key read a repository.
async fn place(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    public_key: &str,
    (integration, repository): (IntegrationId, RepositoryPath),
) -> Result<InstalledKey, OpsError> {
    let forge = client(store, egress, tenant, integration).await?;
    let shown = (title(public_key), public_key);
    let forge_key = forge.install_key(&repository, None, shown).await?;
    Ok(InstalledKey {
        integration,
        repository,
        forge_key,
    })
}

/// Takes a key away from a forge that is of no use any more. The forge may be gone, or its token: nobody has the private half, so that what
/// stays there harms nobody.
async fn leave(store: &Store, egress: &Egress, tenant: &Tenant, installed: Option<&InstalledKey>) {
    let Some(one) = installed else { return };
    let removed = async {
        let forge = client(store, egress, tenant, one.integration).await?;
        forge.remove_key(&one.repository, &one.forge_key).await?;
        Ok::<(), OpsError>(())
    };
    if let Err(error) = removed.await {
        tracing::warn!(%error, repository = one.repository.as_str(), key = one.forge_key, "a deploy key stays at the forge");
    }
}

/// What people at the forge see of a key: its comment.
fn title(public_key: &str) -> &str {
    public_key.rsplit(' ').next().unwrap_or("towline")
}

/// Has the server of a repository be known by the keys that it shows now, of which one is as the person says, if the
/// person says something.
pub async fn accept_host_keys(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
    url: Option<&str>,
    fingerprint: Option<&str>,
) -> Result<DeployKey, OpsError> {
    let project = store.project(tenant, project).await?;
    let address = meant(store, tenant, &project, url).await?;
    let url = address.to_string();
    if store.deploy_key(tenant, project.id, &url).await?.is_none() {
        return Err(no_key(&url));
    }
    let shown = ask(egress, &address).await?;
    if let Some(wanted) = fingerprint {
        let keys = shown.iter();
        let mut keys = keys.filter_map(|line| PublicKey::of_known_host(line).ok());
        if !keys.any(|key| key.fingerprint() == wanted) {
            return Err(OpsError::Refused {
                message: format!("the server of {url} shows no key with this fingerprint"),
                remedy: "ask its operator for the fingerprints of its keys; nothing was changed"
                    .to_owned(),
                field: Some("fingerprint"),
            });
        }
    }
    let accepted = store.accept_host_keys(tenant, project.id, &url, &shown);
    Ok(accepted.await?)
}

/// The key for an address; it is made when there is none yet.
pub(super) async fn ensure(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: &Project,
    address: &GitAddress,
) -> Result<Access, OpsError> {
    let url = address.to_string();
    if let Some(key) = store.whole_deploy_key(tenant, project.id, &url).await? {
        return Ok(Access::Key(key.into()));
    }
    let host_keys = ask(egress, address).await?;
    let new = new(project, address, host_keys)?;
    let kept = store.keep_deploy_key(tenant, project.id, new, Former::Kept);
    kept.await?;
    of(store, tenant, project.id, &url).await
}

/// The key for an address, which there must be.
pub(super) async fn of(
    store: &Store,
    tenant: &Tenant,
    project: ProjectId,
    url: &str,
) -> Result<Access, OpsError> {
    let key = store.whole_deploy_key(tenant, project, url).await?;
    let key = key.ok_or_else(|| no_key(url))?;
    Ok(Access::Key(key.into()))
}

/// What to do when the server does not know a key.
pub(super) fn remedy(key: &SshKey, url: &str) -> String {
    let page = url.parse().ok();
    let page = page.and_then(|address| settings_page(&address));
    let page = page.unwrap_or_else(|| "the repository's settings".to_owned());
    format!(
        "add this as a read-only deploy key at {page}, then do the same again: {}",
        key.public
    )
}

pub(super) fn no_key(url: &str) -> OpsError {
    OpsError::Refused {
        message: format!("the project has no deploy key for {url}"),
        remedy: "set its repository (`towline source set`), which makes one".to_owned(),
        field: Some("url"),
    }
}

impl From<WholeKey> for SshKey {
    fn from(key: WholeKey) -> Self {
        Self {
            public: key.public.public_key,
            private: key.private,
            host_keys: key.public.host_keys,
        }
    }
}

fn new(
    project: &Project,
    address: &GitAddress,
    host_keys: Vec<String>,
) -> Result<NewDeployKey, OpsError> {
    let made = deploy_key::make(&format!("towline-{}", project.name));
    let made = made.map_err(|error| OpsError::Refused {
        message: error.to_string(),
        remedy: "try again, and look at the control plane's machine if it stays so".to_owned(),
        field: None,
    })?;
    Ok(NewDeployKey {
        url: address.to_string(),
        public_key: made.public,
        private_key: made.private,
        host_keys,
        installed: None,
    })
}

async fn ask(egress: &Egress, address: &GitAddress) -> Result<Vec<String>, OpsError> {
    let repositories = Repositories::new(egress.clone(), LIMITS);
    let shown = repositories.host_keys(address).await;
    shown.map_err(|error| unread(&error, &Access::Public, &address.to_string()))
}

/// The address that a request is about: the one that it names, or the project's.
async fn meant(
    store: &Store,
    tenant: &Tenant,
    project: &Project,
    url: Option<&str>,
) -> Result<GitAddress, OpsError> {
    let address = match url {
        Some(url) => address(url)?,
        None => match store.source(tenant, project.id).await? {
            Some(source) => address(&source.url)?,
            None => {
                return Err(OpsError::Refused {
                    message: format!("the project {} comes from no repository", project.name),
                    remedy: "name the address that it is to come from (`url`)".to_owned(),
                    field: Some("url"),
                });
            }
        },
    };
    if address.scheme() == Scheme::Ssh {
        return Ok(address);
    }
    let says = "only what is read over ssh has a deploy key, as ssh://git@git.example.org/shop.git";
    Err(StoreError::from(invalid("url", says.to_owned())).into())
}
