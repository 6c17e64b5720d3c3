//! Webhooks of a project, and what was sent to them.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use towline_shared::ids::{ProjectId, WebhookDeliveryId, WebhookId};
use utoipa::ToSchema;

use super::input::{Body, Id, Query};
use super::page::PageQuery;
use super::problem::Problem;
use super::state::Api;
use crate::domain::webhook::WebhookEvent;
use crate::egress::Egress;
use crate::store::{
    Listed, NewWebhook, Tenant, Webhook, WebhookAddress, WebhookChange, WebhookDelivery,
    WebhookExchange, WebhookWithSecret,
};

/// A webhook to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// Where messages go: `https://…`, at most 2048 bytes.
    url: String,
    /// What it is told of: `deployment.created`, `deployment.succeeded`, `deployment.failed`, `deployment.cancelled`.
    event_types: Vec<String>,
}

/// What shall change of a webhook; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeWebhook {
    /// Where messages go.
    url: Option<String>,
    /// What it is told of.
    event_types: Option<Vec<String>>,
    /// Whether it is told at all. What waits is given up when it is switched off.
    enabled: Option<bool>,
}

/// The project's webhooks.
#[utoipa::path(get, path = "/projects/{id}/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    params(("id" = Uuid, Path, description = "The project"), PageQuery),
    responses((status = OK, body = Listed<Webhook>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Webhook>>, Problem> {
    let page = query.page()?;
    Ok(Json(api.store.list_webhooks(&tenant, project, page).await?))
}

/// Makes a webhook. Its secret is shown this once.
#[utoipa::path(post, path = "/projects/{id}/webhooks", tag = "webhooks", operation_id = "create_webhook",
    params(("id" = Uuid, Path, description = "The project")), request_body = CreateWebhook,
    responses((status = CREATED, body = WebhookWithSecret)))]
pub async fn create(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(new): Body<CreateWebhook>,
) -> Result<(StatusCode, Json<WebhookWithSecret>), Problem> {
    api.store.project(&tenant, project).await?;
    let new = NewWebhook {
        address: address(&api.egress, &new.url)?,
        events: events(&new.event_types)?,
    };
    let made = api.store.create_webhook(&tenant, project, new).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Changes a webhook, or switches it on or off.
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks", operation_id = "change_webhook",
    params(("id" = Uuid, Path, description = "The webhook")), request_body = ChangeWebhook,
    responses((status = OK, body = Webhook)))]
pub async fn change(
    State(api): State<Api>,
    tenant: Tenant,
    Id(webhook): Id<WebhookId>,
    Body(change): Body<ChangeWebhook>,
) -> Result<Json<Webhook>, Problem> {
    let url = change.url.as_deref();
    let change = WebhookChange {
        address: url.map(|url| address(&api.egress, url)).transpose()?,
        events: change.event_types.as_deref().map(events).transpose()?,
        enabled: change.enabled,
    };
    Ok(Json(
        api.store.change_webhook(&tenant, webhook, change).await?,
    ))
}

/// Deletes a webhook with all that was sent to it.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", operation_id = "delete_webhook",
    params(("id" = Uuid, Path, description = "The webhook")), responses((status = NO_CONTENT)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(webhook): Id<WebhookId>,
) -> Result<StatusCode, Problem> {
    api.store.delete_webhook(&tenant, webhook).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a message that says nothing but that it works.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks", operation_id = "test_webhook",
    params(("id" = Uuid, Path, description = "The webhook")), responses((status = ACCEPTED, body = WebhookExchange)))]
pub async fn test(
    State(api): State<Api>,
    tenant: Tenant,
    Id(webhook): Id<WebhookId>,
) -> Result<(StatusCode, Json<WebhookExchange>), Problem> {
    let queued = api.store.test_webhook(&tenant, webhook).await?;
    Ok((StatusCode::ACCEPTED, Json(queued)))
}

/// What was and is to be sent to a webhook in the last 30 days.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks", operation_id = "list_webhook_deliveries",
    params(("id" = Uuid, Path, description = "The webhook"), PageQuery),
    responses((status = OK, body = Listed<WebhookDelivery>)))]
pub async fn deliveries(
    State(api): State<Api>,
    tenant: Tenant,
    Id(webhook): Id<WebhookId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<WebhookDelivery>>, Problem> {
    let page = query.page()?;
    let listed = api
        .store
        .list_webhook_deliveries(&tenant, webhook, page)
        .await?;
    Ok(Json(listed))
}

/// One message: what was sent, and what came back.
#[utoipa::path(get, path = "/webhook-deliveries/{id}", tag = "webhooks", operation_id = "show_webhook_delivery",
    params(("id" = Uuid, Path, description = "The delivery")), responses((status = OK, body = WebhookExchange)))]
pub async fn delivery(
    State(api): State<Api>,
    tenant: Tenant,
    Id(delivery): Id<WebhookDeliveryId>,
) -> Result<Json<WebhookExchange>, Problem> {
    Ok(Json(api.store.webhook_delivery(&tenant, delivery).await?))
}

/// Sends a message once more, under the same `webhook-id`.
#[utoipa::path(post, path = "/webhook-deliveries/{id}/replay", tag = "webhooks", operation_id = "replay_webhook_delivery",
    params(("id" = Uuid, Path, description = "The delivery")), responses((status = ACCEPTED, body = WebhookExchange)))]
pub async fn replay(
    State(api): State<Api>,
    tenant: Tenant,
    Id(delivery): Id<WebhookDeliveryId>,
) -> Result<(StatusCode, Json<WebhookExchange>), Problem> {
    let queued = api.store.replay_webhook_delivery(&tenant, delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(queued)))
}

/// Checks an address that is to be called.
pub(super) fn address(egress: &Egress, url: &str) -> Result<WebhookAddress, Problem> {
    let url = egress.check(url).map_err(|error| {
        Problem::invalid("url", error.to_string()).remedy(
            "give an https:// address on the internet; private networks are allowed in the server's [egress] settings",
        )
    })?;
    Ok(WebhookAddress {
        host: url.host_str().unwrap_or_default().to_owned(),
        url: url.into(),
    })
}

fn events(names: &[String]) -> Result<Vec<WebhookEvent>, Problem> {
    let parse = |name: &String| {
        name.parse::<WebhookEvent>()
            .map_err(|error| Problem::invalid("event_types", error.to_string()))
    };
    names.iter().map(parse).collect()
}
