//! Plugins of the team, and what they were asked and told.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::{PluginId, PluginRunId};
use utoipa::ToSchema;

use super::auth::may_test;
use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use super::webhooks::address;
use crate::domain::plugin::{FailurePolicy, Hook};
use crate::ops;
use crate::store::{
    Listed, NewPlugin, Plugin, PluginChange, PluginExchange, PluginRun, PluginWithSecret, Tenant,
};

/// A plugin to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePlugin {
    /// Small letters, digits and dashes, at most 63, beginning with a letter or digit; unique in the team.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    name: String,
    /// Where it is called: `https://…`, at most 2048 bytes.
    url: String,
    /// When: some of `before_deploy`, `after_deploy`, `failed_deploy`, `before_build`, `after_build`, `failed_build`,
    /// `before_project`, `after_project`, `failed_project`.
    hooks: Vec<String>,
    /// How long it may take, 1 to 30 seconds; 5 when left out.
    #[schema(minimum = 1, maximum = 30)]
    timeout_s: Option<u32>,
    /// What becomes of what it is asked about when it gives no answer: `closed`, the default, it is refused, or `open`, it
    /// goes on.
    failure_policy: Option<String>,
}

/// What shall change of a plugin; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePlugin {
    /// Where it is called.
    url: Option<String>,
    /// When.
    hooks: Option<Vec<String>>,
    /// How long it may take, in seconds.
    #[schema(minimum = 1, maximum = 30)]
    timeout_s: Option<u32>,
    /// `open` or `closed`.
    failure_policy: Option<String>,
    /// Whether it is called at all. What waits is given up when it is switched off.
    enabled: Option<bool>,
}

/// The team's plugins.
#[utoipa::path(get, path = "/plugins", tag = "plugins", operation_id = "list_plugins", params(PageQuery),
    responses((status = OK, body = Listed<Plugin>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Plugin>>, Problem> {
    Ok(Json(api.store.list_plugins(&tenant, query.page()?).await?))
}

/// Makes a plugin. Its secret is shown this once.
#[utoipa::path(post, path = "/plugins", tag = "plugins", operation_id = "create_plugin", request_body = CreatePlugin,
    responses((status = CREATED, body = PluginWithSecret)))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<CreatePlugin>,
) -> Result<(StatusCode, Json<PluginWithSecret>), Problem> {
    let policy = new.failure_policy.as_deref().map(policy).transpose()?;
    let new = NewPlugin {
        name: new.name,
        address: address(&api.egress, &new.url)?,
        hooks: hooks(&new.hooks)?,
        timeout_s: new.timeout_s,
        failure_policy: policy.unwrap_or(FailurePolicy::Closed),
    };
    let made = api.store.create_plugin(&tenant, new).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// A plugin.
#[utoipa::path(get, path = "/plugins/{id}", tag = "plugins", operation_id = "show_plugin",
    params(("id" = Uuid, Path, description = "The plugin")), responses((status = OK, body = Plugin)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(plugin): Id<PluginId>,
) -> Result<Json<Plugin>, Problem> {
    Ok(Json(api.store.plugin(&tenant, plugin).await?))
}

/// Changes a plugin, or switches it on or off.
#[utoipa::path(patch, path = "/plugins/{id}", tag = "plugins", operation_id = "change_plugin",
    params(("id" = Uuid, Path, description = "The plugin")), request_body = ChangePlugin,
    responses((status = OK, body = Plugin)))]
pub async fn change(
    State(api): State<Api>,
    tenant: Tenant,
    Id(plugin): Id<PluginId>,
    Body(change): Body<ChangePlugin>,
) -> Result<Json<Plugin>, Problem> {
    let url = change.url.as_deref();
    let change = PluginChange {
        address: url.map(|url| address(&api.egress, url)).transpose()?,
        hooks: change.hooks.as_deref().map(hooks).transpose()?,
        timeout_s: change.timeout_s,
        failure_policy: change.failure_policy.as_deref().map(policy).transpose()?,
        enabled: change.enabled,
    };
    Ok(Json(
        api.store.change_plugin(&tenant, plugin, change).await?,
    ))
}

/// Deletes a plugin with its runs.
#[utoipa::path(delete, path = "/plugins/{id}", tag = "plugins", operation_id = "delete_plugin",
    params(("id" = Uuid, Path, description = "The plugin")), responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(plugin): Id<PluginId>,
) -> Result<StatusCode, Problem> {
    api.store.delete_plugin(&tenant, plugin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a plugin another secret, which is shown this once. The former one signs nothing any more.
#[utoipa::path(post, path = "/plugins/{id}/rotate-secret", tag = "plugins", operation_id = "rotate_plugin_secret",
    params(("id" = Uuid, Path, description = "The plugin")), responses((status = OK, body = PluginWithSecret)))]
pub async fn rotate_secret(
    State(api): State<Api>,
    tenant: Tenant,
    Id(plugin): Id<PluginId>,
) -> Result<Json<PluginWithSecret>, Problem> {
    Ok(Json(api.store.rotate_plugin_secret(&tenant, plugin).await?))
}

/// Calls a plugin now, to see whether it works; nothing comes of its answer.
#[utoipa::path(post, path = "/plugins/{id}/test", tag = "plugins", operation_id = "test_plugin",
    params(("id" = Uuid, Path, description = "The plugin")), responses((status = OK, body = PluginExchange)))]
pub async fn test(
    State(api): State<Api>,
    tenant: Tenant,
    Id(plugin): Id<PluginId>,
) -> Result<Json<PluginExchange>, Problem> {
    api.store.plugin(&tenant, plugin).await?;
    may_test(&api, tenant.user(), "plugins")?;
    let tested = ops::test_plugin(&api.store, &api.egress, &tenant, plugin);
    Ok(Json(tested.await?))
}

/// What a plugin was asked and told in the last 30 days.
#[utoipa::path(get, path = "/plugins/{id}/runs", tag = "plugins", operation_id = "list_plugin_runs",
    params(("id" = Uuid, Path, description = "The plugin"), PageQuery),
    responses((status = OK, body = Listed<PluginRun>)))]
pub async fn runs(
    State(api): State<Api>,
    tenant: Tenant,
    Id(plugin): Id<PluginId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<PluginRun>>, Problem> {
    let listed = api
        .store
        .list_plugin_runs(&tenant, plugin, query.page()?)
        .await?;
    Ok(Json(listed))
}

/// One call: what was sent, and what came back.
#[utoipa::path(get, path = "/plugin-runs/{id}", tag = "plugins", operation_id = "show_plugin_run",
    params(("id" = Uuid, Path, description = "The run")), responses((status = OK, body = PluginExchange)))]
pub async fn run(
    State(api): State<Api>,
    tenant: Tenant,
    Id(run): Id<PluginRunId>,
) -> Result<Json<PluginExchange>, Problem> {
    Ok(Json(api.store.plugin_run(&tenant, run).await?))
}

fn hooks(names: &[String]) -> Result<Vec<Hook>, Problem> {
    let parse = |name: &String| {
        name.parse::<Hook>()
            .map_err(|error| Problem::invalid("hooks", error.to_string()))
    };
    names.iter().map(parse).collect()
}

fn policy(name: &str) -> Result<FailurePolicy, Problem> {
    name.parse()
        .map_err(|error| Problem::invalid("failure_policy", format!("{error}")))
}
