//! The description of the API as pages for people: everything it needs comes from this server.

use axum::response::{Html, IntoResponse as _, Response};
use http::header::CONTENT_TYPE;

use super::setup::POLICY;

/// The reference of the API.
#[utoipa::path(get, path = "/reference", tag = "process", operation_id = "show_reference",
    responses((status = OK, body = String, content_type = "text/html")))]
pub async fn page() -> Response {
    ([POLICY], Html(include_str!("reference/page.html"))).into_response()
}

/// Its script, which reads `/api/v1/openapi.json`.
#[utoipa::path(get, path = "/reference.js", tag = "process", operation_id = "show_reference_script",
    responses((status = OK, body = String, content_type = "text/javascript")))]
pub async fn script() -> Response {
    let kind = [(CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("reference/script.js")).into_response()
}

/// Its style.
#[utoipa::path(get, path = "/reference.css", tag = "process", operation_id = "show_reference_style",
    responses((status = OK, body = String, content_type = "text/css")))]
pub async fn style() -> Response {
    let kind = [(CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("reference/style.css")).into_response()
}
