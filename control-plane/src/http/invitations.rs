//! Invitations into a team: made by its administrators, accepted by whom they are for.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use towline_shared::ids::InvitationId;
use utoipa::ToSchema;

use super::auth::may_try;
use super::input::{Body, From, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::projects::project_named;
use super::state::Api;
use crate::domain::password::Password;
use crate::domain::permission::Role;
use crate::store::people::SetUp;
use crate::store::{Invitation, Listed, Resource, StoreError, Tenant};

/// Whom to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// The person's e-mail address.
    email: String,
    /// The role they will have.
    role: Role,
    /// The one project that it is for, by id or name; the whole team when left out.
    project: Option<String>,
}

/// An invitation with its link, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct Invited {
    #[serde(flatten)]
    invitation: Invitation,
    /// To be handed to the person. What stands behind the `#` is a secret.
    link: String,
}

/// What somebody new says of themselves.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// The secret of the invitation's link.
    #[schema(write_only)]
    token: String,
    /// The person's name.
    name: String,
    /// The password to sign in with in a browser, of at least 12 characters; without one there is only the API key.
    #[schema(write_only, value_type = Option<String>)]
    password: Option<Password>,
}

/// An invitation for somebody who has an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTeam {
    /// The secret of the invitation's link.
    #[schema(write_only)]
    token: String,
}

/// The team's open invitations.
#[utoipa::path(get, path = "/invitations", tag = "team", operation_id = "list_invitations", params(PageQuery),
    responses((status = OK, body = Listed<Invitation>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Invitation>>, Problem> {
    let page = query.page()?;
    Ok(Json(api.store.list_invitations(&tenant, page).await?))
}

/// Invites somebody into the team, or to one project of it, for a week. An open invitation of the same address ends with it.
#[utoipa::path(post, path = "/invitations", tag = "team", operation_id = "invite", request_body = Invite,
    responses((status = CREATED, body = Invited)))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Body(new): Body<Invite>,
) -> Result<(StatusCode, Json<Invited>), Problem> {
    let project = project_named(&api, &tenant, new.project.as_deref()).await?;
    let minted = api
        .store
        .invite(&tenant, &new.email, new.role, project.as_ref())
        .await?;
    let link = api.link("/join", &minted.token).await?;
    let invitation = minted.invitation;
    Ok((StatusCode::CREATED, Json(Invited { invitation, link })))
}

/// Takes an invitation back.
#[utoipa::path(delete, path = "/invitations/{id}", tag = "team", operation_id = "revoke_invitation",
    params(("id" = Uuid, Path, description = "The invitation")), responses((status = NO_CONTENT)))]
pub async fn revoke(
    State(api): State<Api>,
    tenant: Tenant,
    Id(invitation): Id<InvitationId>,
) -> Result<StatusCode, Problem> {
    api.store.revoke_invitation(&tenant, invitation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Accepts an invitation as somebody new: makes the user, a team of their own, and an API key for the
/// team that invited them. The link is used up by it.
#[utoipa::path(post, path = "/invitations/accept", tag = "team", operation_id = "accept_invitation", request_body = AcceptInvitation,
    responses((status = CREATED, body = SetUp)))]
pub async fn accept(
    State(api): State<Api>,
    From(address): From,
    Body(request): Body<AcceptInvitation>,
) -> Result<(StatusCode, Json<SetUp>), Problem> {
    may_try(&api.sign_in, address)?;
    let AcceptInvitation {
        token,
        name,
        password,
    } = request;
    let password = api.passwords.chosen("password", password, "").await?;
    let accepted = api
        .store
        .accept_invitation(&token, &name, password.as_ref(), address);
    match accepted.await {
        Ok(joined) => Ok((StatusCode::CREATED, Json(joined))),
        Err(error) => {
            if is_unknown(&error) {
                api.sign_in.failed(address, Instant::now());
            }
            Err(in_words(error))
        }
    }
}

/// Joins a team as somebody who has an account: gives an API key for that team. The invitation must be
/// for the account's address.
#[utoipa::path(post, path = "/invitations/join", tag = "team", operation_id = "join_team", request_body = JoinTeam,
    responses((status = CREATED, body = SetUp)))]
pub async fn join(
    State(api): State<Api>,
    tenant: Tenant,
    Body(request): Body<JoinTeam>,
) -> Result<(StatusCode, Json<SetUp>), Problem> {
    let joined = api.store.join_team(&tenant, &request.token).await;
    Ok((StatusCode::CREATED, Json(joined.map_err(in_words)?)))
}

const fn is_unknown(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound(Resource::Invitation))
}

/// Used, replaced, taken back, outdated and guessed links are one answer.
fn in_words(error: StoreError) -> Problem {
    let unknown = is_unknown(&error);
    let problem = Problem::from(error);
    if unknown {
        problem.remedy("a link works once, for a week; ask whoever invited you for a new one")
    } else {
        problem
    }
}
