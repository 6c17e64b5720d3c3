//! Making a project: the team's plugins may veto it.

use super::OpsError;
use super::plugin::{about_project, ask};
use crate::domain::names::check_name;
use crate::egress::Egress;
use crate::store::{Project, Store, StoreError, Tenant};

/// Makes a project without files, if the team's plugins let it.
pub async fn create_project(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    name: &str,
) -> Result<Project, OpsError> {
    check_name("name", name).map_err(StoreError::from)?;
    let asked = ask(store, egress, tenant, about_project(tenant, name)).await;
    if let Err(why @ (OpsError::Vetoed { .. } | OpsError::PluginUnavailable { .. })) = &asked {
        store
            .note_refused_project(tenant, name, &why.to_string())
            .await?;
    }
    let said = asked?;
    let made = store.create_allowed_project(tenant, name, &said);
    Ok(made.await?)
}
