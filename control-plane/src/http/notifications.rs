//! What a person was told in the product.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use towline_shared::ids::NotificationId;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::input::{Body, Id, Query};
use super::page::page;
use super::problem::Problem;
use super::state::Api;
use crate::store::{Listed, Notification, Person, Wanted};

/// Which notifications.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NotificationQuery {
    /// Only those that were not read.
    unread: Option<bool>,
    /// How many items at most, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; left out for the first page.
    cursor: Option<Uuid>,
}

/// Which notifications were read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadAll {
    /// The newest that was seen; all when left out.
    #[schema(value_type = Option<Uuid>)]
    up_to: Option<Uuid>,
}

/// How many notifications were not read.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unread {
    unread: u64,
}

/// How many notifications have become read.
#[derive(Debug, Serialize, ToSchema)]
pub struct MarkedRead {
    read: u64,
}

/// What you were told in the last 90 days, the newest 1000.
#[utoipa::path(get, path = "/notifications", tag = "notifications", operation_id = "list_notifications",
    params(NotificationQuery), responses((status = OK, body = Listed<Notification>)))]
pub async fn list(
    State(api): State<Api>,
    person: Person,
    Query(query): Query<NotificationQuery>,
) -> Result<Json<Listed<Notification>>, Problem> {
    let page = page(query.limit, query.cursor)?;
    let wanted = if query.unread.unwrap_or_default() {
        Wanted::Unread
    } else {
        Wanted::All
    };
    let listed = api.store.list_notifications(&person, wanted, page).await?;
    Ok(Json(listed))
}

/// How many you have not read.
#[utoipa::path(get, path = "/notifications/unread", tag = "notifications", operation_id = "count_unread_notifications",
    responses((status = OK, body = Unread)))]
pub async fn unread(State(api): State<Api>, person: Person) -> Result<Json<Unread>, Problem> {
    let unread = api.store.count_unread(&person).await?;
    Ok(Json(Unread { unread }))
}

/// You have read one.
#[utoipa::path(post, path = "/notifications/{id}/read", tag = "notifications", operation_id = "read_notification",
    params(("id" = Uuid, Path, description = "The notification")), responses((status = OK, body = Notification)))]
pub async fn read(
    State(api): State<Api>,
    person: Person,
    Id(notification): Id<NotificationId>,
) -> Result<Json<Notification>, Problem> {
    Ok(Json(
        api.store.read_notification(&person, notification).await?,
    ))
}

/// You have read all of them, or all up to one.
#[utoipa::path(post, path = "/notifications/read", tag = "notifications", operation_id = "read_notifications",
    request_body = ReadAll, responses((status = OK, body = MarkedRead)))]
pub async fn read_all(
    State(api): State<Api>,
    person: Person,
    Body(request): Body<ReadAll>,
) -> Result<Json<MarkedRead>, Problem> {
    let up_to = request.up_to.map(Into::into);
    let read = api.store.read_notifications(&person, up_to).await?;
    Ok(Json(MarkedRead { read }))
}
