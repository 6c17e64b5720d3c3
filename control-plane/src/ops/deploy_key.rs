//! The keys by which repositories are read over ssh: made here, given to nobody but git, and told to people as the
//! forge takes them.

use towline_shared::git::{GitAddress, PublicKey, Scheme};
use towline_shared::ids::ProjectId;

use super::OpsError;
use super::source::{LIMITS, address, unread};
use crate::domain::deploy_key::{self, settings_page};
use crate::domain::repository::invalid;
use crate::egress::Egress;
use crate::repository::{Access, Repositories, SshKey};
use crate::store::deploy_keys::WholeKey;
use crate::store::{DeployKey, Former, NewDeployKey, Project, Store, StoreError, Tenant};

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
    let host_keys = match store.deploy_key(tenant, project.id, &url).await? {
        Some(former) => former.host_keys,
        None => ask(egress, &address).await?,
    };
    let new = new(&project, &address, host_keys)?;
    let kept = store.keep_deploy_key(tenant, project.id, new, Former::Replaced);
    Ok(kept.await?)
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
