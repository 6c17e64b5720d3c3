//! The logs of deployments.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, EventStream};
use crate::exit::Failure;

/// How many lines one page has at most; the most that the API gives.
const PAGE: u32 = 10_000;

/// One line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line {
    /// Its number in a deployment's log, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// When it was written, on the host's clock.
    pub at: DateTime<Utc>,
    /// Which stream it was written to.
    pub stream: Stream,
    /// Who wrote it.
    pub source: String,
    /// The text.
    pub text: String,
}

/// The stream of a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A note of Towline's own.
    Note,
    /// Lines were dropped here; the text says how many.
    Gap,
    /// A word of a newer control plane.
    #[serde(untagged)]
    Other(String),
}

/// Some lines of a log.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The lines.
    pub lines: Vec<Line>,
    /// The number of the line after these.
    pub next: u64,
}

/// The lines from a number on, as many as fit a page.
pub async fn page(client: &Client, deployment: Uuid, from: u64) -> Result<Page, Failure> {
    page_before(client, deployment, from, None).await
}

/// The lines from a number on and before another one, as many as fit a page.
pub async fn page_before(
    client: &Client,
    deployment: Uuid,
    from: u64,
    to: Option<u64>,
) -> Result<Page, Failure> {
    let mut query = vec![("from", from.to_string()), ("limit", PAGE.to_string())];
    query.extend(to.map(|to| ("to", to.to_string())));
    client
        .get(&["deployments", &deployment.to_string(), "log"], &query)
        .await
}

/// The last lines.
pub async fn tail(client: &Client, deployment: Uuid, count: u32) -> Result<Page, Failure> {
    let query = [("tail", count.to_string())];
    client
        .get(&["deployments", &deployment.to_string(), "log"], &query)
        .await
}

/// The log as it grows, from a line on. `seen` is the last line that is known already.
pub async fn stream(
    client: &Client,
    deployment: Uuid,
    from: u64,
    seen: Option<u64>,
) -> Result<EventStream, Failure> {
    let query = [("from", from.to_string())];
    let path = ["deployments", &deployment.to_string(), "log", "stream"];
    client.events(&path, &query, seen).await
}
