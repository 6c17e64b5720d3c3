//! The audit log of a team, for those who guard it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, Stream};
use http::header;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::activity::action;
use super::input::Query;
use super::page::{page, span};
use super::problem::Problem;
use super::state::Api;
use crate::store::{AuditEntry, AuditExport, AuditFilter, Listed, Store, StoreError, Tenant};

/// A JSON document a line (<https://github.com/ndjson/ndjson-spec>).
const JSON_LINES: &str = "application/x-ndjson";

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Of this person only.
    user: Option<Uuid>,
    /// Done to this only: the id of a project, a deployment, an agent, …
    subject: Option<Uuid>,
    /// Of this kind only (`agent.revoke`).
    #[param(max_length = 100)]
    action: Option<String>,
    /// From then on.
    since: Option<DateTime<Utc>>,
    /// Before then.
    until: Option<DateTime<Utc>>,
    /// How many items at most, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; left out for the first page.
    cursor: Option<Uuid>,
}

/// Which part of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// From then on.
    since: Option<DateTime<Utc>>,
    /// Before then.
    until: Option<DateTime<Utc>>,
}

/// The team's entries of the audit log, newest first. For owners and admins of the team.
#[utoipa::path(get, path = "/audit", tag = "activity", operation_id = "list_audit", params(AuditQuery),
    responses((status = OK, body = Listed<AuditEntry>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Listed<AuditEntry>>, Problem> {
    let filter = AuditFilter {
        user: query.user.map(Into::into),
        subject: query.subject,
        action: action(query.action)?,
        span: span(query.since, query.until)?,
    };
    let page = page(query.limit, query.cursor)?;
    Ok(Json(api.store.list_audit(&tenant, &filter, page).await?))
}

/// The team's entries of the audit log, oldest first, as JSON, one a line. For owners and admins of the team.
#[utoipa::path(get, path = "/audit/export", tag = "activity", operation_id = "export_audit", params(ExportQuery),
    responses((status = OK, body = AuditEntry, content_type = "application/x-ndjson")))]
pub async fn export(
    State(api): State<Api>,
    tenant: Tenant,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let export = AuditExport::of_team(&tenant, span(query.since, query.until)?);
    let lines = Body::from_stream(lines(api.store.clone(), export));
    Ok(([(header::CONTENT_TYPE, JSON_LINES)], lines).into_response())
}

/// A failure breaks the answer off, so that nobody takes a part for the whole.
fn lines(
    store: Store,
    export: AuditExport,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
    stream::try_unfold((store, export), async |(store, mut export)| {
        let entries = store.export_audit(&mut export).await?;
        if entries.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::new();
        for entry in &entries {
            entry.write_line(&mut text)?;
        }
        Ok(Some((Bytes::from(text), (store, export))))
    })
}
