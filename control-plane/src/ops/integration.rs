//! Accounts at forges: connected once, then asked for repositories and branches, and used as a project's source.

use towline_shared::ids::{IntegrationId, ProjectId};
use zeroize::Zeroizing;

use super::source::{WantedSource, set_source};
use super::{OpsError, UNREAD};
use crate::domain::forge::Forge;
use crate::domain::integration::{
    ForgeAccess, ForgeSite, MAX_PAGE, RepositoryPath, check_token, invalid,
};
use crate::domain::names::check_name;
use crate::domain::permission::Permission;
use crate::domain::push::kept;
use crate::domain::repository::Submodules;
use crate::domain::scope::{Area, Scope, Verb};
use crate::egress::Egress;
use crate::forges::{Branch, ForgeClient, Part, Repository};
use crate::store::{
    Integration, NewIntegration, ProjectSource, Resource, SourceIntegration, Store, StoreError,
    Tenant,
};

/// The longest name of an account that is kept.
const MAX_LOGIN: usize = 255;
/// The most scopes that are kept.
const MAX_SCOPES: usize = 100;

/// A token, and who says it.
#[derive(Debug)]
pub struct WantedToken {
    /// The token.
    pub token: Zeroizing<String>,
    /// Who says it, where the forge asks for that.
    pub user: Option<String>,
}

/// A repository that a project is to come from, by an integration.
#[derive(Debug)]
pub struct FromIntegration {
    /// The integration.
    pub id: IntegrationId,
    /// What its forge calls the repository.
    pub repository: String,
    /// The branch, or the repository's own.
    pub branch: Option<String>,
    /// The folder in it; empty: all of it.
    pub folder: String,
    /// What becomes of its submodules.
    pub submodules: Submodules,
}

/// Connects an account, whose token the forge has taken.
pub async fn connect_integration(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    name: &str,
    (forge, url): (Forge, Option<&str>),
    token: WantedToken,
) -> Result<Integration, OpsError> {
    check_name("name", name).map_err(StoreError::from)?;
    if let Some(url) = url {
        let checked = egress.check(url);
        checked.map_err(|error| StoreError::from(invalid("url", error.to_string())))?;
    }
    let site = ForgeSite::new(forge, url).map_err(StoreError::from)?;
    let new = tried(egress, site, token).await?;
    Ok(store.connect_integration(tenant, name, &new).await?)
}

/// Gives an integration another token, which the forge has taken.
pub async fn replace_token(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    id: IntegrationId,
    token: WantedToken,
) -> Result<Integration, OpsError> {
    let site = store.integration_access(tenant, id).await?.site;
    let new = tried(egress, site, token).await?;
    Ok(store.replace_token(tenant, id, &new).await?)
}

/// Asks the forge whose token it is.
async fn tried(
    egress: &Egress,
    site: ForgeSite,
    token: WantedToken,
) -> Result<NewIntegration, OpsError> {
    check_token(token.user.as_deref(), &token.token).map_err(StoreError::from)?;
    let url = egress.check(&site.api());
    let url = url.map_err(|error| StoreError::from(invalid("url", error.to_string())))?;
    let access = ForgeAccess {
        site,
        user: token.user,
        token: token.token,
    };
    let account = ForgeClient::new(egress, access.clone()).account().await?;
    let scopes = account.scopes.map(|scopes| {
        let kept_scopes = scopes.iter().take(MAX_SCOPES);
        kept_scopes.map(|scope| kept(scope, MAX_LOGIN)).collect()
    });
    Ok(NewIntegration {
        host: url.host_str().unwrap_or_default().to_owned(),
        account: kept(&account.id, MAX_LOGIN),
        login: kept(&account.login, MAX_LOGIN),
        scopes,
        access,
    })
}

/// Calls the forge of an integration.
pub(super) async fn client(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    id: IntegrationId,
) -> Result<ForgeClient, OpsError> {
    let access = store.integration_access(tenant, id).await?;
    Ok(ForgeClient::new(egress, access))
}

/// The repositories that an integration reaches.
pub async fn list_repositories(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    id: IntegrationId,
    page: Option<u32>,
    workspace: Option<&str>,
) -> Result<Part<Repository>, OpsError> {
    let page = checked_page(page)?;
    let client = client(store, egress, tenant, id).await?;
    Ok(bounded(client.repositories(page, workspace).await?))
}

/// The branches of one of them.
pub async fn list_branches(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    id: IntegrationId,
    page: Option<u32>,
    repository: &str,
) -> Result<Part<Branch>, OpsError> {
    let page = checked_page(page)?;
    let access = store.integration_access(tenant, id).await?;
    let path = RepositoryPath::parse(access.site.forge(), repository).map_err(StoreError::from)?;
    let client = ForgeClient::new(egress, access);
    Ok(bounded(client.branches(&path, page).await?))
}

/// Has a project come from a repository that an integration reaches. Whoever does so reads it by the team's token, and
/// must be of the team.
pub async fn set_source_from(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
    from: FromIntegration,
) -> Result<ProjectSource, OpsError> {
    may_use(tenant)?;
    store.project(tenant, project).await?;
    let access = store.integration_access(tenant, from.id).await?;
    let site = access.site.clone();
    let path = RepositoryPath::parse(site.forge(), &from.repository).map_err(StoreError::from)?;
    let git_user = site.git_user(access.user.as_deref());
    let login = access.clone().login();
    let found = ForgeClient::new(egress, access).repository(&path).await?;
    // As the forge writes it, if it is the same one: it may have another name by now.
    let told = RepositoryPath::parse(site.forge(), &found.name);
    let repository = told.map_err(|_| OpsError::Refused {
        message: "the forge calls the repository by a name that cannot be used".to_owned(),
        remedy: UNREAD.to_owned(),
        field: Some("repository"),
    })?;
    let wanted = WantedSource {
        url: site.clone_url(&repository),
        branch: from.branch,
        folder: from.folder,
        submodules: from.submodules,
        login: Some(login),
        integration: Some(SourceIntegration {
            id: from.id,
            repository,
            git_user,
        }),
    };
    set_source(store, egress, tenant, project, wanted).await
}

/// What the team's tokens reach is no business of whoever is there for single projects, or comes with a key for something
/// else.
pub(super) fn may_use(tenant: &Tenant) -> Result<(), OpsError> {
    let role = tenant.access().in_team();
    let scope = Scope {
        area: Area::Integrations,
        verb: Verb::Read,
    };
    if role.is_some_and(|role| role.may(Permission::ChangeProjects)) && tenant.scopes().has(scope) {
        return Ok(());
    }
    let refused = StoreError::Forbidden {
        message: "integrations are the whole team's, and you may not use them".to_owned(),
        remedy:
            "ask a developer, admin or owner of the team; a key needs the scope integrations:read"
                .to_owned(),
    };
    Err(refused.into())
}

/// By which integration the repository of an address is reached, and what it is called there: by the one that is named, the one that a
/// project's source is read by, or the only one of the team whose forge is where the address is.
pub(super) async fn reaching(
    store: &Store,
    tenant: &Tenant,
    project: ProjectId,
    url: &str,
    named: Option<IntegrationId>,
) -> Result<(IntegrationId, RepositoryPath), OpsError> {
    if named.is_none()
        && let Some(found) = store.source_integration(tenant, project).await?
    {
        return Ok(found);
    }
    let address = super::source::address(url)?;
    let sites = store.integration_sites(tenant).await?;
    if let Some(named) = named {
        let site = sites.into_iter().find(|(id, ..)| *id == named);
        let (id, _, site) = site.ok_or(StoreError::NotFound(Resource::Integration))?;
        // Forges take ssh at other names, too, as ssh.github.com: who names one knows.
        let path = site.repository_named(&address);
        return Ok((id, path.ok_or_else(|| unreached(url))?));
    }
    let found = sites.into_iter();
    let mut found: Vec<_> = found
        .filter_map(|(id, name, site)| Some((id, name, site.repository_at(&address)?)))
        .collect();
    match found.as_slice() {
        [] => Err(unreached(url)),
        [_] => {
            let (id, _, path) = found.remove(0);
            Ok((id, path))
        }
        several => {
            let all: Vec<_> = several.iter().map(|(_, name, _)| name.as_str()).collect();
            Err(OpsError::Refused {
                message: format!("several integrations are with this forge: {}", all.join(", ")),
                remedy: "set the source from one of them (`towline source set PROJECT --from INTEGRATION:owner/repo`), or name one \
                         where that is taken"
                    .to_owned(),
                field: Some("integration"),
            })
        }
    }
}

fn unreached(url: &str) -> OpsError {
    OpsError::Refused {
        message: format!("no integration of the team reaches {url}"),
        remedy: "connect one with its forge (`towline integrations connect`), or do it at the forge by hand"
            .to_owned(),
        field: None,
    }
}

fn checked_page(page: Option<u32>) -> Result<u32, OpsError> {
    match page.unwrap_or(1) {
        page @ 1..=MAX_PAGE => Ok(page),
        other => {
            let message = format!("{other} is not between 1 and {MAX_PAGE}");
            Err(StoreError::from(invalid("page", message)).into())
        }
    }
}

/// There is a last page, whatever a forge says.
fn bounded<T>(mut part: Part<T>) -> Part<T> {
    part.next_page = part.next_page.filter(|page| *page <= MAX_PAGE);
    part
}
