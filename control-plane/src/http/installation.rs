//! The installation as a whole, for its administrators.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::input::Query;
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::store::{AgentOfTeam, Listed, Storage, TeamOverview};

/// What the server that answers runs with.
#[derive(Serialize, ToSchema)]
pub struct EffectiveConfiguration {
    /// The version of its program.
    version: &'static str,
    /// What came of flags, environment, file and defaults, under the names of the file. What is secret is
    /// hidden.
    #[schema(value_type = Object)]
    configuration: Value,
}

/// All teams of the installation, for its administrators.
#[utoipa::path(get, path = "/installation/teams", tag = "installation", operation_id = "list_all_teams", params(PageQuery),
    responses((status = OK, body = Listed<TeamOverview>)))]
pub async fn teams(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<TeamOverview>>, Problem> {
    Ok(Json(api.store.list_all_teams(query.page()?).await?))
}

/// The agents of all teams, for administrators of the installation.
#[utoipa::path(get, path = "/installation/agents", tag = "installation", operation_id = "list_all_agents", params(PageQuery),
    responses((status = OK, body = Listed<AgentOfTeam>)))]
pub async fn agents(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<AgentOfTeam>>, Problem> {
    Ok(Json(api.store.list_all_agents(query.page()?).await?))
}

/// How much room everything takes and how much there is, for administrators of the installation.
#[utoipa::path(get, path = "/installation/storage", tag = "installation", operation_id = "show_storage",
    responses((status = OK, body = Storage)))]
pub async fn storage(State(api): State<Api>) -> Result<Json<Storage>, Problem> {
    Ok(Json(api.store.storage().await?))
}

/// The configuration of the server that answers, secrets hidden, for administrators of the installation.
#[utoipa::path(get, path = "/installation/configuration", tag = "installation", operation_id = "show_configuration",
    responses((status = OK, body = EffectiveConfiguration)))]
pub async fn configuration(State(api): State<Api>) -> Json<EffectiveConfiguration> {
    Json(EffectiveConfiguration {
        version: env!("CARGO_PKG_VERSION"),
        configuration: api.configuration.clone(),
    })
}
