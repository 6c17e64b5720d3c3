//! Agents, as people see them.

use axum::Json;
use axum::extract::State;
use towline_shared::ids::AgentId;

use super::input::{Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::ops;
use crate::store::{Agent, Listed, Tenant};

/// The team's agents.
#[utoipa::path(get, path = "/agents", tag = "agents", operation_id = "list_agents", params(PageQuery), responses((status = OK, body = Listed<Agent>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Agent>>, Problem> {
    Ok(Json(api.store.list_agents(&tenant, query.page()?).await?))
}

/// An agent.
#[utoipa::path(get, path = "/agents/{id}", tag = "agents", operation_id = "show_agent", params(("id" = Uuid, Path, description = "The agent")),
    responses((status = OK, body = Agent)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(agent): Id<AgentId>,
) -> Result<Json<Agent>, Problem> {
    Ok(Json(api.store.agent(&tenant, agent).await?))
}

/// Ends an agent's right to connect, at once and for ever; its live connection is cut.
#[utoipa::path(post, path = "/agents/{id}/revoke", tag = "agents", operation_id = "revoke_agent",
    params(("id" = Uuid, Path, description = "The agent")), responses((status = OK, body = Agent)))]
pub async fn revoke(
    State(api): State<Api>,
    tenant: Tenant,
    Id(agent): Id<AgentId>,
) -> Result<Json<Agent>, Problem> {
    let revoked = ops::revoke(&api.store, &tenant, agent).await?;
    // Other replicas hear of it by the store's wake; here it need not wait for that.
    api.agents.revoke(agent);
    Ok(Json(revoked))
}
