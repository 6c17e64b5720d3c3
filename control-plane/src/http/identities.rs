//! What a person is at providers of identities, and may sign in by.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::IdentityId;
use utoipa::ToSchema;

use super::auth::Attempt;
use super::input::{Body, From, Id};
use super::page::whole;
use super::problem::{Kind, Problem};
use super::sessions::settle;
use super::sign_in_providers::{ToProvider, find, go, pay};
use super::state::Api;
use crate::domain::password::Password;
use crate::ops;
use crate::store::{Identity, Listed, Person};

/// What somebody links to their account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkIdentity {
    /// The provider's id.
    #[schema(example = "acme")]
    provider: String,
    /// The password of who has one.
    #[schema(write_only, value_type = Option<String>)]
    password: Option<Password>,
}

/// The person's identities at providers, newest first.
#[utoipa::path(get, path = "/me/identities", tag = "sign-in", operation_id = "list_identities",
    responses((status = OK, body = Listed<Identity>)))]
pub async fn list(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<Listed<Identity>>, Problem> {
    Ok(Json(whole(api.store.list_identities(&person).await?)))
}

/// Begins to link an identity at a provider to the account of who is signed in. The answer says where the browser goes
/// now, and sets a cookie without which it cannot come back. An API key cannot: it is for one team, an identity opens
/// all.
#[utoipa::path(post, path = "/me/identities", tag = "sign-in", operation_id = "link_identity", request_body = LinkIdentity,
    responses((status = OK, body = ToProvider)))]
pub async fn link(
    State(api): State<Api>,
    person: Person,
    From(address): From,
    Body(LinkIdentity { provider, password }): Body<LinkIdentity>,
) -> Result<Response, Problem> {
    if person.session().is_none() {
        let detail = "an identity is linked by who is signed in, not by an API key";
        return Err(Problem::new(Kind::Conflict, detail)
            .remedy("sign in on the page /sign-in, and link it there"));
    }
    let Ok(provider) = find(&api, &provider) else {
        return Err(Problem::invalid("provider", "there is no such provider")
            .remedy("give the id of one that GET /sign-in/providers lists"));
    };
    pay(&api, address)?;
    let email = api.store.account(&person).await?.email;
    let attempt = Attempt::at(&api, &email, address)?;
    let confirmed = ops::confirm_to_link(&api.store, &api.passwords, &person, password).await;
    settle(attempt, &confirmed);
    confirmed?;
    go(ops::send_to_link(&api.store, provider, &person).await?)
}

/// Takes an identity from the person's account. The last way to sign in is not taken. Sessions that it began go on.
#[utoipa::path(delete, path = "/me/identities/{id}", tag = "sign-in", operation_id = "unlink_identity",
    params(("id" = Uuid, Path, description = "The identity")), responses((status = NO_CONTENT)))]
pub async fn unlink(
    State(api): State<Api>,
    person: Person,
    Id(identity): Id<IdentityId>,
) -> Result<StatusCode, Problem> {
    let known = api.providers.all().iter();
    let known: Vec<_> = known.map(|provider| provider.id.clone()).collect();
    api.store.unlink_identity(&person, identity, &known).await?;
    Ok(StatusCode::NO_CONTENT)
}
