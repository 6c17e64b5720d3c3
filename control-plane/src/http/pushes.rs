//! What forges tell of pushes, and what is deployed of them.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use chrono::Utc;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use towline_shared::ids::{ProjectId, PushHookId};
use towline_shared::spec::OnFailure;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::input::{Body, Id, Query, body_refused};
use super::page::PageQuery;
use super::problem::{Kind, Problem};
use super::router::API;
use super::state::Api;
use crate::domain::forge::{Forge, HEADERS, Message};
use crate::domain::push::{PushFilter, patterns};
use crate::ops::{self, OpsError};
use crate::store::{
    Listed, NewPushHook, PushHook, PushState, Received, Reception, RecordedPush, Resource,
    StoreError, Tenant,
};

/// What is to be deployed of pushes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPushHook {
    /// Who tells: `github` (also Gitea and Forgejo), `gitlab`, `bitbucket` or `generic`.
    #[schema(example = "github")]
    forge: String,
    /// Where is deployed: ids or names of 1 to 10 targets.
    #[schema(example = json!(["web-1"]))]
    targets: Vec<String>,
    /// To which branches pushes are deployed, as patterns; to the source's own branch, when left out.
    #[schema(example = json!(["main", "release/*"]))]
    branches: Option<Vec<String>>,
    /// Pushes are deployed that change something among these paths; among all, when left out.
    #[schema(example = json!(["apps/web/**"]))]
    include_paths: Option<Vec<String>>,
    /// And that is not among these.
    #[schema(example = json!(["**/*.md"]))]
    exclude_paths: Option<Vec<String>>,
    /// For which environment (`production`).
    environment: Option<String>,
    /// What happens on the host when it does not come up: `leave`, the default, or `roll_back`.
    #[schema(value_type = Option<String>)]
    on_failure: Option<OnFailure>,
    /// Whether pushes are deployed; they are written down either way.
    enabled: Option<bool>,
}

/// A hook, with where the forge is to send its messages.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownPushHook {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "the fields of the hook describe themselves")]
    pub hook: PushHook,
    /// Where the forge is to send its messages.
    url: String,
    /// What it is to sign them with; told when the hook is new, and when the secret is.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Why the forge has not been told of the new secret, where Towline has installed the hook there.
    #[serde(skip_serializing_if = "Option::is_none")]
    install_error: Option<String>,
}

/// What became of a message.
#[derive(Debug, Serialize, ToSchema)]
pub struct PushReceipt {
    /// `taken`, `ignored` or `repeated`.
    #[schema(example = "taken")]
    outcome: &'static str,
    /// Why it is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What is deployed of pushes to a project's repository.
#[utoipa::path(get, path = "/projects/{id}/push-hook", tag = "pushes", operation_id = "show_push_hook",
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ShownPushHook)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<ShownPushHook>, Problem> {
    let hook = api.store.push_hook(&tenant, project).await;
    let hook = hook.map_err(|error| match error {
        StoreError::NotFound(Resource::PushHook) => Problem::new(
            Kind::NotFound,
            "nothing is deployed of pushes to this project's repository",
        )
        .remedy("set what is by PUT (`towline pushes on`)"),
        other => other.into(),
    })?;
    Ok(Json(shown(&api, hook, None)))
}

/// Sets what is deployed of pushes, all of it anew. The hook deploys by the right of who sets it. Its secret is shown
/// when it is new, and stays otherwise.
#[utoipa::path(put, path = "/projects/{id}/push-hook", tag = "pushes", operation_id = "set_push_hook", request_body = SetPushHook,
    params(("id" = Uuid, Path, description = "The project")),
    responses((status = OK, body = ShownPushHook)))]
pub async fn set(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(new): Body<SetPushHook>,
) -> Result<Json<ShownPushHook>, Problem> {
    api.store.project(&tenant, project).await?;
    let read = |field, texts: Option<Vec<String>>| {
        let read = patterns(field, &texts.unwrap_or_default());
        read.map_err(|error| Problem::from(StoreError::from(error)))
    };
    let forge = new.forge.parse::<Forge>();
    let new = NewPushHook {
        forge: forge.map_err(|error| Problem::invalid("forge", error.to_string()))?,
        state: match new.enabled {
            None | Some(true) => PushState::Enabled,
            Some(false) => PushState::Disabled,
        },
        targets: new.targets,
        filter: PushFilter {
            branches: read("branches", new.branches)?,
            include: read("include_paths", new.include_paths)?,
            exclude: read("exclude_paths", new.exclude_paths)?,
        },
        environment: new.environment,
        on_failure: new.on_failure.unwrap_or(OnFailure::Leave),
    };
    let (hook, secret) = api.store.set_push_hook(&tenant, project, new).await?;
    Ok(Json(shown(&api, hook, secret)))
}

/// Deploys nothing of pushes any more, and forgets what there was.
#[utoipa::path(delete, path = "/projects/{id}/push-hook", tag = "pushes", operation_id = "delete_push_hook",
    params(("id" = Uuid, Path, description = "The project")), responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<StatusCode, Problem> {
    // Nobody is kept from switching it off: what stays at the forge finds nothing here any more.
    let removed = ops::uninstall_push_hook(&api.store, &api.egress, &tenant, project).await;
    if let Err(OpsError::Forge(error)) = &removed {
        tracing::warn!(%project, %error, "a push hook that is deleted stays at its forge");
    } else {
        removed?;
    }
    api.store.delete_push_hook(&tenant, project).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has the forge tell this hook of pushes, by the integration that the project's source is read by. Doing it again mends
/// what was changed there.
#[utoipa::path(put, path = "/projects/{id}/push-hook/installation", tag = "pushes", operation_id = "install_push_hook",
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ShownPushHook)))]
pub async fn install(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<ShownPushHook>, Problem> {
    let url = |hook| address(&api, hook);
    ops::install_push_hook(&api.store, &api.egress, &tenant, project, url).await?;
    let hook = api.store.push_hook(&tenant, project).await?;
    Ok(Json(shown(&api, hook, None)))
}

/// Takes the hook away from the forge. What it deploys stays set, for a hook that is entered there by hand.
#[utoipa::path(delete, path = "/projects/{id}/push-hook/installation", tag = "pushes", operation_id = "uninstall_push_hook",
    params(("id" = Uuid, Path, description = "The project")), responses((status = NO_CONTENT)))]
pub async fn uninstall(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<StatusCode, Problem> {
    ops::uninstall_push_hook(&api.store, &api.egress, &tenant, project).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives the hook another secret, which is shown this once; the forge is told of it where the hook is installed. Messages that are signed with the former one are refused.
#[utoipa::path(post, path = "/projects/{id}/push-hook/rotate-secret", tag = "pushes", operation_id = "rotate_push_secret",
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ShownPushHook)))]
pub async fn rotate_secret(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<ShownPushHook>, Problem> {
    let (hook, secret) = api.store.rotate_push_secret(&tenant, project).await?;
    let is_installed = hook.installed_in.is_some();
    let mut shown = shown(&api, hook, Some(secret));
    if is_installed {
        let url = |hook| address(&api, hook);
        let told = ops::install_push_hook(&api.store, &api.egress, &tenant, project, url).await;
        shown.install_error = told.err().map(|error| error.to_string());
    }
    Ok(Json(shown))
}

/// The last 200 messages about pushes, newest first, and what became of each.
#[utoipa::path(get, path = "/projects/{id}/pushes", tag = "pushes", operation_id = "list_pushes",
    params(("id" = Uuid, Path, description = "The project"), PageQuery), responses((status = OK, body = Listed<RecordedPush>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<RecordedPush>>, Problem> {
    let listed = api.store.list_pushes(&tenant, project, query.page()?);
    Ok(Json(listed.await?))
}

/// What a forge tells of a push. The credential is its signature; without it there seems to be no hook.
#[utoipa::path(post, path = "/hooks/{id}", tag = "pushes", operation_id = "take_push",
    params(("id" = Uuid, Path, description = "The hook")),
    request_body(content = serde_json::Value, description = "What happened, as the forge sends it; of a generic hook these fields, of which `branch` and `commit` are needed",
        example = json!({"branch": "main", "commit": "0123456789abcdef0123456789abcdef01234567", "message": "Open the shop",
            "sender": "ada", "paths": ["apps/web/page.html"]})),
    responses((status = ACCEPTED, body = PushReceipt)))]
pub async fn take(
    State(api): State<Api>,
    hook: Result<Id<PushHookId>, Problem>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<PushReceipt>), Problem> {
    let body = body.map_err(body_refused)?;
    let Id(hook) = hook.map_err(|_| unknown())?;
    let message = Message {
        headers: told(&headers),
        body: &body,
    };
    let verified = ops::verify_push(&api.store, hook, &message, Utc::now()).await?;
    let verified = verified.ok_or_else(unknown)?;
    // Only what is the forge's counts: forges have few addresses, and nobody may use up a hook's budget for it.
    api.pushes.attempt(hook, Instant::now()).map_err(|wait| {
        Problem::new(
            Kind::TooManyRequests,
            "the forge tells this hook too much at once",
        )
        .remedy("send it again when Retry-After says")
        .retry_after(wait)
    })?;
    let taken = ops::take_push(&api.store, verified).await?;
    let receipt = receipt(taken.ok_or_else(unknown)?);
    Ok((StatusCode::ACCEPTED, Json(receipt)))
}

/// A wrong signature and an absent hook are one answer.
fn unknown() -> Problem {
    Problem::not_found(Resource::PushHook).remedy(
        "check the address, and that the forge has the hook's present secret (`towline pushes rotate-secret` makes a new one)",
    )
}

fn told(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let text = |name: &'static str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name, value.to_owned()))
    };
    HEADERS.into_iter().filter_map(text).collect()
}

fn receipt(reception: Reception) -> PushReceipt {
    let received = match reception {
        Reception::Repeated => {
            return PushReceipt {
                outcome: "repeated",
                reason: None,
            };
        }
        Reception::New(received) => received,
    };
    let is_taken = |one: &Received| one.ignored.is_none();
    if received.iter().any(is_taken) {
        return PushReceipt {
            outcome: "taken",
            reason: None,
        };
    }
    PushReceipt {
        outcome: "ignored",
        reason: received.into_iter().find_map(|one| one.ignored),
    }
}

fn address(api: &Api, hook: PushHookId) -> String {
    format!("{}{API}/hooks/{hook}", api.url)
}

fn shown(api: &Api, hook: PushHook, secret: Option<Zeroizing<String>>) -> ShownPushHook {
    ShownPushHook {
        url: address(api, hook.id),
        secret: secret.map(|secret| secret.as_str().to_owned()),
        install_error: None,
        hook,
    }
}
