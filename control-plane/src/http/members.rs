//! The people of a team.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::UserId;
use utoipa::ToSchema;

use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::domain::permission::Role;
use crate::store::{Listed, Member, Tenant};

/// A role to give.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRole {
    /// The role from now on.
    role: Role,
}

impl ChangeRole {
    /// The role to give.
    pub const fn role(&self) -> Role {
        self.role
    }
}

/// The team's members.
#[utoipa::path(get, path = "/members", tag = "team", operation_id = "list_members", params(PageQuery),
    responses((status = OK, body = Listed<Member>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Member>>, Problem> {
    Ok(Json(api.store.list_members(&tenant, query.page()?).await?))
}

/// Gives a member another role. Owners are made and unmade by owners.
#[utoipa::path(put, path = "/members/{id}", tag = "team", operation_id = "change_role", request_body = ChangeRole,
    params(("id" = Uuid, Path, description = "The member")), responses((status = OK, body = Member)))]
pub async fn change(
    State(api): State<Api>,
    tenant: Tenant,
    Id(user): Id<UserId>,
    Body(to): Body<ChangeRole>,
) -> Result<Json<Member>, Problem> {
    Ok(Json(api.store.change_role(&tenant, user, to.role).await?))
}

/// Takes a member out, or leaves the team, which everybody may but the person it belongs to. The
/// member's API keys for this team end at once.
#[utoipa::path(delete, path = "/members/{id}", tag = "team", operation_id = "remove_member",
    params(("id" = Uuid, Path, description = "The member")), responses((status = NO_CONTENT)))]
pub async fn remove(
    State(api): State<Api>,
    tenant: Tenant,
    Id(user): Id<UserId>,
) -> Result<StatusCode, Problem> {
    api.store.remove_member(&tenant, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives the team to a member, who becomes an owner and whose plan counts from now on. The giver stays
/// an owner.
#[utoipa::path(post, path = "/members/{id}/ownership", tag = "team", operation_id = "give_team",
    params(("id" = Uuid, Path, description = "The member")), responses((status = OK, body = Member)))]
pub async fn give(
    State(api): State<Api>,
    tenant: Tenant,
    Id(user): Id<UserId>,
) -> Result<Json<Member>, Problem> {
    Ok(Json(api.store.give_team(&tenant, user).await?))
}
