//! What a host fetches to become an agent. Nothing of it is secret; a token makes the agent.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use std::io;
use std::time::Duration;
use tokio::fs::File;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

use super::problem::{Kind, Problem};
use super::state::Api;
use crate::install::{Architecture, Script};

/// The most agents that are fetched at once: a fleet that enrols takes its turns.
const MOST_AT_ONCE: usize = 64;
const COME_BACK: Duration = Duration::from_secs(2);
/// How many bytes of an agent are in memory for each that is fetched.
const PIECE: usize = 1 << 16;

static PLACES: Semaphore = Semaphore::const_new(MOST_AT_ONCE);

/// The script that makes a host an agent: `sh install.sh --token TOKEN`.
#[utoipa::path(get, path = "/install.sh", tag = "agents", operation_id = "get_install_script",
    responses((status = OK, body = String, content_type = "text/x-shellscript")))]
pub async fn script(State(api): State<Api>) -> Result<Response, Problem> {
    let script = script_of(&api).await?;
    let etag = format!("\"{}\"", script.sha256());
    let headers = [
        (CONTENT_TYPE, "text/x-shellscript; charset=utf-8".to_owned()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (ETAG, etag),
    ];
    Ok((headers, script.into_text()).into_response())
}

/// The script for the agents that are there now.
pub(super) async fn script_of(api: &Api) -> Result<Script, Problem> {
    let binaries = api.binaries.clone();
    let read = move || Ok::<_, io::Error>((binaries.all()?, binaries.release_keys()?));
    let read = tokio::task::spawn_blocking(read).await;
    let (agents, keys) = read
        .map_err(Problem::internal)?
        .map_err(Problem::internal)?;
    Ok(Script::new(&api.url, &agents, &keys))
}

/// The agent for an architecture, as a program for Linux. Its SHA-256 is its `ETag`, and stands in the script.
#[utoipa::path(get, path = "/install/agent/{architecture}", tag = "agents", operation_id = "get_agent_binary",
    params(("architecture" = String, Path, description = "`x86_64` or `aarch64`, as `uname -m` says it")),
    responses((status = OK, body = Vec<u8>, content_type = "application/octet-stream")))]
pub async fn agent(
    State(api): State<Api>,
    Path(architecture): Path<String>,
) -> Result<Response, Problem> {
    let architecture: Architecture = architecture
        .parse()
        .map_err(|error| Problem::new(Kind::NotFound, format!("{error}")))?;
    let Ok(place) = PLACES.try_acquire() else {
        let detail = "many hosts fetch the agent at this moment";
        return Err(Problem::new(Kind::TooManyRequests, detail).retry_after(COME_BACK));
    };
    let binaries = api.binaries.clone();
    let found = tokio::task::spawn_blocking(move || binaries.find(architecture)).await;
    let found = found
        .map_err(Problem::internal)?
        .map_err(Problem::internal)?;
    let Some(binary) = found else {
        let detail = format!("this control plane has no agent for {architecture}");
        return Err(Problem::new(Kind::NotFound, detail).remedy(format!(
            "put towline-agent-{architecture} into its folder of agents (--agent-binaries)"
        )));
    };
    let file = File::open(&binary.path).await.map_err(Problem::internal)?;
    let bytes = file.metadata().await.map_err(Problem::internal)?.len();
    let pieces = ReaderStream::with_capacity(file, PIECE);
    // The place is given back when the last piece has gone, or nobody wants it any more.
    let pieces = futures_util::StreamExt::map(pieces, move |piece| {
        let _taken = &place;
        piece
    });
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, bytes.to_string()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (ETAG, format!("\"{}\"", binary.sha256)),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// The signature of the agent for an architecture, as the program `minisign` reads it.
#[utoipa::path(get, path = "/install/agent/{architecture}/signature", tag = "agents", operation_id = "get_agent_signature",
    params(("architecture" = String, Path, description = "`x86_64` or `aarch64`, as `uname -m` says it")),
    responses((status = OK, body = String, content_type = "text/plain")))]
pub async fn signature(
    State(api): State<Api>,
    Path(architecture): Path<String>,
) -> Result<Response, Problem> {
    let architecture: Architecture = architecture
        .parse()
        .map_err(|error| Problem::new(Kind::NotFound, format!("{error}")))?;
    let binaries = api.binaries.clone();
    let found = tokio::task::spawn_blocking(move || binaries.signature(architecture)).await;
    let found = found
        .map_err(Problem::internal)?
        .map_err(Problem::internal)?;
    let text = found.ok_or_else(|| {
        let detail = format!("nobody has signed an agent for {architecture}");
        Problem::new(Kind::NotFound, detail).remedy("sign it by `towline pki sign-agent`")
    })?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, text).into_response())
}
