//! Accounts at forges: connecting them, and what they reach.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::IntegrationId;
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use super::auth::may_test;
use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::domain::forge::Forge;
use crate::forges::{Branch, Part, Repository};
use crate::ops::{self, WantedToken};
use crate::store::{CommitStatus, Integration, Listed, Tenant};

/// An account to connect.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectIntegration {
    /// Small letters, digits and dashes, at most 63, beginning with a letter or digit; unique in the team.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$", example = "github")]
    name: String,
    /// `github`, `gitlab` or `bitbucket`.
    #[schema(example = "github")]
    forge: String,
    /// Where the forge is, when it is not at its own address: as a browser has it, without a path of its API.
    #[schema(example = "https://gitlab.example.org")]
    url: Option<String>,
    /// The token. It is never shown again.
    #[schema(write_only)]
    token: String,
    /// Who says the token: for Bitbucket's API tokens, the address of the account.
    token_user: Option<String>,
}

/// Another token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceToken {
    /// The token. It is never shown again.
    #[schema(write_only)]
    token: String,
    /// Who says the token: for Bitbucket's API tokens, the address of the account.
    token_user: Option<String>,
}

/// Which part of the repositories.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RepositoryQuery {
    /// `next_page` of the part before; left out for the first.
    #[param(minimum = 1, maximum = 200)]
    page: Option<u32>,
    /// At Bitbucket, the workspace, where the account is in several.
    workspace: Option<String>,
}

/// Which part of the branches of which repository.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BranchQuery {
    /// The repository: `owner/name`.
    repository: String,
    /// `next_page` of the part before; left out for the first.
    #[param(minimum = 1, maximum = 200)]
    page: Option<u32>,
}

/// The team's accounts at forges.
#[utoipa::path(get, path = "/integrations", tag = "integrations", operation_id = "list_integrations", params(PageQuery),
    responses((status = OK, body = Listed<Integration>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Integration>>, Problem> {
    let listed = api.store.list_integrations(&tenant, query.page()?);
    Ok(Json(listed.await?))
}

/// Connects an account. Its forge is asked whose token it is, and nothing is kept if it does not take it.
#[utoipa::path(post, path = "/integrations", tag = "integrations", operation_id = "connect_integration",
    request_body = ConnectIntegration, responses((status = CREATED, body = Integration)))]
pub async fn connect(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<ConnectIntegration>,
) -> Result<(StatusCode, Json<Integration>), Problem> {
    let forge = new.forge.parse::<Forge>();
    let forge = forge.map_err(|error| Problem::invalid("forge", error.to_string()))?;
    may_test(&api, tenant.user(), "tokens")?;
    let token = WantedToken {
        token: Zeroizing::new(new.token),
        user: new.token_user,
    };
    let at = (forge, new.url.as_deref());
    let made = ops::connect_integration(&api.store, &api.egress, &tenant, &new.name, at, token);
    Ok((StatusCode::CREATED, Json(made.await?)))
}

/// One of them.
#[utoipa::path(get, path = "/integrations/{id}", tag = "integrations", operation_id = "show_integration",
    params(("id" = Uuid, Path, description = "The integration")), responses((status = OK, body = Integration)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(integration): Id<IntegrationId>,
) -> Result<Json<Integration>, Problem> {
    Ok(Json(api.store.integration(&tenant, integration).await?))
}

/// Gives it another token, which its forge is asked about first.
#[utoipa::path(put, path = "/integrations/{id}/token", tag = "integrations", operation_id = "replace_integration_token",
    params(("id" = Uuid, Path, description = "The integration")), request_body = ReplaceToken,
    responses((status = OK, body = Integration)))]
pub async fn replace_token(
    State(api): State<Api>,
    tenant: Tenant,
    Id(integration): Id<IntegrationId>,
    Body(new): Body<ReplaceToken>,
) -> Result<Json<Integration>, Problem> {
    api.store.integration(&tenant, integration).await?;
    may_test(&api, tenant.user(), "tokens")?;
    let token = WantedToken {
        token: Zeroizing::new(new.token),
        user: new.token_user,
    };
    let changed = ops::replace_token(&api.store, &api.egress, &tenant, integration, token);
    Ok(Json(changed.await?))
}

/// Forgets it and its token. Refused while projects come from it.
#[utoipa::path(delete, path = "/integrations/{id}", tag = "integrations", operation_id = "delete_integration",
    params(("id" = Uuid, Path, description = "The integration")), responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(integration): Id<IntegrationId>,
) -> Result<StatusCode, Problem> {
    api.store.delete_integration(&tenant, integration).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The repositories that it reaches, private ones too, those that were used last first.
#[utoipa::path(get, path = "/integrations/{id}/repositories", tag = "integrations", operation_id = "list_repositories",
    params(("id" = Uuid, Path, description = "The integration"), RepositoryQuery),
    responses((status = OK, body = Part<Repository>)))]
pub async fn repositories(
    State(api): State<Api>,
    tenant: Tenant,
    Id(integration): Id<IntegrationId>,
    Query(query): Query<RepositoryQuery>,
) -> Result<Json<Part<Repository>>, Problem> {
    let (store, workspace) = (&api.store, query.workspace.as_deref());
    let listed = ops::list_repositories(
        store,
        &api.egress,
        &tenant,
        integration,
        query.page,
        workspace,
    );
    Ok(Json(listed.await?))
}

/// The branches of one of them.
#[utoipa::path(get, path = "/integrations/{id}/branches", tag = "integrations", operation_id = "list_branches",
    params(("id" = Uuid, Path, description = "The integration"), BranchQuery),
    responses((status = OK, body = Part<Branch>)))]
pub async fn branches(
    State(api): State<Api>,
    tenant: Tenant,
    Id(integration): Id<IntegrationId>,
    query: Result<Query<BranchQuery>, Problem>,
) -> Result<Json<Part<Branch>>, Problem> {
    api.store.integration(&tenant, integration).await?;
    let Query(query) = query?;
    let store = &api.store;
    let listed = ops::list_branches(
        store,
        &api.egress,
        &tenant,
        integration,
        query.page,
        &query.repository,
    );
    Ok(Json(listed.await?))
}

/// What its forge was told of commits in the last 30 days, and is to be told.
#[utoipa::path(get, path = "/integrations/{id}/statuses", tag = "integrations", operation_id = "list_commit_statuses",
    params(("id" = Uuid, Path, description = "The integration"), PageQuery),
    responses((status = OK, body = Listed<CommitStatus>)))]
pub async fn statuses(
    State(api): State<Api>,
    tenant: Tenant,
    Id(integration): Id<IntegrationId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<CommitStatus>>, Problem> {
    let listed = api
        .store
        .list_commit_statuses(&tenant, integration, query.page()?);
    Ok(Json(listed.await?))
}
