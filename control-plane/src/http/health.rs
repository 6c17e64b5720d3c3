//! Whether the process lives, whether it is ready, and what it counts.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::problem::{Kind, Problem};
use super::state::Api;
use crate::telemetry::{MEDIA_TYPE, Readings};

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "process", operation_id = "show_health", responses((status = OK, body = String)))]
pub async fn alive() -> &'static str {
    "ok\n"
}

/// Whether the process takes work: its database answers and it is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "process", operation_id = "show_readiness", responses((status = OK, body = String)))]
pub async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    if api.stopping.is_cancelled() {
        return Err(Problem::stopping());
    }
    api.store.ping().await?;
    Ok("ready\n")
}

/// Metrics of the control plane's own process, in the OpenMetrics text form.
#[utoipa::path(get, path = "/metrics", tag = "process", operation_id = "show_process_metrics",
    responses((status = OK, body = String, content_type = "application/openmetrics-text")))]
pub async fn process_metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let readings = Readings {
        agents: api.agents.counts(),
        jobs: api.store.count_jobs().await?,
    };
    let text = api
        .metrics
        .encode(&readings)
        .map_err(|_| Problem::new(Kind::Internal, "the metrics cannot be written"))?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
