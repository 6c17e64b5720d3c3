//! Push hooks at forges: installed by the integration that a project's source is read by, and taken away again.

use towline_shared::ids::{ProjectId, PushHookId};

use super::OpsError;
use super::integration::{client, may_use};
use crate::egress::Egress;
use crate::forges::Hook;
use crate::store::{InstalledHook, Store, Tenant};

/// Has the forge tell a project's hook of pushes. Doing it again mends what was changed there.
pub async fn install_push_hook(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
    url: impl Fn(PushHookId) -> String,
) -> Result<(), OpsError> {
    may_use(tenant)?;
    let wanted = store.push_installation(tenant, project).await?;
    let Some((integration, repository)) = wanted.source else {
        return Err(OpsError::Refused {
            message: "the project's source is read by no integration".to_owned(),
            remedy: "set it from one (`towline source set PROJECT --from INTEGRATION:owner/repo`), or enter the hook at \
                     the forge by hand"
                .to_owned(),
            field: None,
        });
    };
    let access = store.integration_access(tenant, integration).await?;
    let forge = access.site.forge();
    if forge != wanted.forge {
        return Err(OpsError::Refused {
            message: format!(
                "the hook is for {}, and the integration with {forge}",
                wanted.forge
            ),
            remedy: format!("set the hook for it first (`towline pushes on --forge {forge}`)"),
            field: None,
        });
    }
    let is_there =
        |one: &InstalledHook| one.integration == integration && one.repository == repository;
    let (here, elsewhere) = match wanted.installed {
        Some(one) if is_there(&one) => (Some(one.forge_hook), None),
        other => (None, other),
    };
    if let Some(former) = elsewhere {
        // The project comes from elsewhere by now. Its former forge may be gone, or its token.
        if let Err(error) = remove_at(store, egress, tenant, &former).await {
            tracing::warn!(%project, %error, "a push hook stays at the forge that a project came from before");
        }
    }
    let url = url(wanted.hook);
    let hook = Hook {
        url: &url,
        secret: &wanted.secret,
    };
    let forge = client(store, egress, tenant, integration).await?;
    let forge_hook = forge
        .install_hook(&repository, here.as_deref(), hook)
        .await?;
    let installed = InstalledHook {
        integration,
        repository,
        forge_hook,
    };
    let noted = store.note_push_installation(tenant, project, Some(&installed));
    Ok(noted.await?)
}

/// Takes a project's hook away from the forge; nothing is to do when it is not there.
pub async fn uninstall_push_hook(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
) -> Result<(), OpsError> {
    let known = store.push_installation(tenant, project).await?;
    if let Some(installed) = known.installed {
        may_use(tenant)?;
        remove_at(store, egress, tenant, &installed).await?;
        store.note_push_installation(tenant, project, None).await?;
    }
    Ok(())
}

async fn remove_at(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    installed: &InstalledHook,
) -> Result<(), OpsError> {
    let forge = client(store, egress, tenant, installed.integration).await?;
    let (repository, hook) = (&installed.repository, &installed.forge_hook);
    Ok(forge.remove_hook(repository, hook).await?)
}
