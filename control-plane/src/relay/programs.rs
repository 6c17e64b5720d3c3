//! The program that an agent is to become, as it fetches it.

use std::io::SeekFrom;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use tokio::fs::File;
use tokio::io::AsyncSeekExt as _;
use tokio_util::io::ReaderStream;

use super::requests::{Asker, From};

/// How much of it is in memory for each that fetches it.
const PIECE: usize = 1 << 16;

/// Bytes from an offset on of a program that is handed out. Nothing of it is secret: the install script's is the same.
pub(super) async fn get_program(
    State(asker): State<Asker>,
    Path(sha256): Path<String>,
    Query(from): Query<From>,
) -> Response {
    let binaries = asker.binaries.clone();
    let found = tokio::task::spawn_blocking(move || binaries.by_digest(&sha256)).await;
    let path = match found {
        Ok(Ok(Some(binary))) => binary.path,
        Ok(Ok(None)) => {
            let words =
                "no agent of this digest is handed out (any more); ask for the upgrade again";
            return (StatusCode::NOT_FOUND, words).into_response();
        }
        failed => return unreadable(&format!("{failed:?}")),
    };
    match open(path, from.offset).await {
        Ok((file, length)) => {
            let body = Body::from_stream(ReaderStream::with_capacity(file, PIECE));
            ([(header::CONTENT_LENGTH, length)], body).into_response()
        }
        Err(error) => unreadable(&error),
    }
}

async fn open(path: std::path::PathBuf, offset: u64) -> std::io::Result<(File, u64)> {
    let mut file = File::open(path).await?;
    let length = file.metadata().await?.len();
    file.seek(SeekFrom::Start(offset.min(length))).await?;
    Ok((file, length.saturating_sub(offset)))
}

fn unreadable(error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, "an agent could not be handed out");
    let words = "the control plane cannot read its agents; try again";
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}
