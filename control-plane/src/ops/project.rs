//! Making a project: the team's plugins may veto it.

use super::OpsError;
use super::plugin::{about_project, ask};
use super::template::{FromTemplate, begin_from};
use crate::domain::names::check_name;
use crate::egress::Egress;
use crate::store::{Beginning, Project, Store, StoreError, Tenant};

/// Makes a project, empty or from a template, if the team's plugins let it.
pub async fn create_project(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    name: &str,
    from: Option<&FromTemplate>,
) -> Result<Project, OpsError> {
    check_name("name", name).map_err(StoreError::from)?;
    let beginning = match from {
        Some(from) => begin_from(store, tenant, name, from).await?,
        None => Beginning::default(),
    };
    let asked = ask(store, egress, tenant, about_project(tenant, name)).await;
    if let Err(why @ (OpsError::Vetoed { .. } | OpsError::PluginUnavailable { .. })) = &asked {
        store
            .note_refused_project(tenant, name, &why.to_string())
            .await?;
    }
    let said = asked?;
    let made = store.create_allowed_project(tenant, name, &beginning, &said);
    Ok(made.await?)
}
