//! The log of a container as a stream of pieces.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use towline_shared::query::{Follow, StreamRequest};

use super::engine::{Engine, EngineError, LogPiece, LogQuery};
use super::labels;
use super::watch::LineReader;
use crate::executor::BoxStream;
use crate::executor::pieces::encoded;
use crate::mask::Masker;

/// How many pieces of the engine's are looked at for one of ours.
const READY_PIECES: usize = 256;

type Pieces = Pin<Box<dyn Stream<Item = Vec<Result<LogPiece, EngineError>>> + Send>>;

/// Opens a stream. Each of its pieces is a payload of [`LogChunk`], read by
/// [`towline_shared::log::decode_payload`].
pub(super) fn open(engine: Engine, request: StreamRequest) -> BoxStream<Result<Vec<u8>, String>> {
    let StreamRequest::ContainerLog {
        container,
        tail,
        follow,
    } = request;
    let query = LogQuery {
        since_s: 0,
        tail,
        follow: follow == Follow::Yes,
    };
    let opened = stream::once(async move {
        match start(&engine, &container, query).await {
            Ok((pieces, source)) => lines(pieces, &source).boxed(),
            Err(error) => stream::once(async move { Err(explain(&container, &error)) }).boxed(),
        }
    });
    Box::pin(opened.flatten())
}

async fn start(
    engine: &Engine,
    container: &str,
    query: LogQuery,
) -> Result<(Pieces, String), EngineError> {
    let known = engine.inspect(container).await?;
    let source = if known.service.is_empty() {
        labels::source(container, "1")
    } else {
        known.source
    };
    let pieces = engine.logs(&known.id, query).await?;
    Ok((Box::pin(pieces.ready_chunks(READY_PIECES)), source))
}

fn explain(container: &str, error: &EngineError) -> String {
    if error.is_absent() {
        format!(
            "there is no container `{container}` on this host; `towline ps` lists those there are"
        )
    } else {
        error.to_string()
    }
}

fn lines(
    pieces: Pieces,
    source: &str,
) -> impl Stream<Item = Result<Vec<u8>, String>> + Send + use<> {
    // Project secrets are unknown here; what a container prints later is read by those who may.
    let reader = LineReader::new(source, &Masker::default());
    stream::unfold(Some((pieces, reader)), |state| async move {
        let (mut pieces, mut reader) = state?;
        let mut lines = Vec::new();
        let Some(ready) = pieces.next().await else {
            reader.finish(&mut lines);
            return Some((encoded(&lines), None));
        };
        let mut failed = None;
        for piece in ready {
            match piece {
                Ok(piece) => reader.take(&piece, &mut lines),
                Err(error) => failed = Some(error.to_string()),
            }
        }
        let mut out = encoded(&lines);
        let next = match failed {
            Some(why) => {
                out.push(Err(why));
                None
            }
            None => Some((pieces, reader)),
        };
        Some((out, next))
    })
    .flat_map(stream::iter)
}
