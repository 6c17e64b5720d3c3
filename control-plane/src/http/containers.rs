//! The containers of a target and their logs, asked of its agent.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, Stream};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use towline_shared::ids::{AgentId, TargetId};
use towline_shared::log::{LogLine, decode_payload};
use towline_shared::metrics::Health;
use towline_shared::query::{ContainerSummary, Follow, Query as AgentQuery, Reply, StreamRequest};
use utoipa::{IntoParams, ToSchema};

use super::input::{Id, Query, Segment};
use super::log_line::Line;
use super::page::{PageQuery, whole};
use super::problem::{Kind, Problem};
use super::sse::{self, Events};
use super::state::Api;
use crate::agents::{AgentStream, StreamBroken, Unreachable};
use crate::store::{Listed, Tenant};

/// The most lines of one answer, and how many one has when the request does not say.
const MAX_LINES: u32 = 10_000;
const DEFAULT_LINES: u32 = 1000;
/// The most bytes of all lines of one answer, which is made in memory.
const MAX_TEXT: usize = 8 << 20;
/// The longest name or id of a container that is passed on: a cluster's has the namespace, the pod and the container.
const MAX_NAME: usize = 63 + 1 + 253 + 1 + 63;
/// How long a stream may say nothing.
const SILENCE: Duration = Duration::from_secs(15);
/// An error that comes so soon (no such container) is the answer itself.
const FIRST_PIECE: Duration = Duration::from_millis(300);
/// How long an agent may take for the next piece of a log that exists already.
const PATIENCE: Duration = Duration::from_secs(20);

/// One container.
#[derive(Debug, Serialize, ToSchema)]
pub struct Container {
    /// The engine's full id; in a cluster `namespace/pod/container`.
    id: String,
    /// Its name; in a cluster `pod/container`.
    name: String,
    /// Its image as named.
    image: String,
    /// The compose project it belongs to, or empty.
    project: String,
    /// The compose service it belongs to, or empty; in a cluster the object that its pod comes from.
    service: String,
    /// The engine's word for its state (`running`, `exited`, …).
    state: String,
    /// The engine's sentence about its state.
    status: String,
    /// `none`, `starting`, `healthy` or `unhealthy`.
    #[schema(value_type = String)]
    health: Health,
    /// Its published ports, as `127.0.0.1:8080->80/tcp`.
    ports: Vec<String>,
    /// When it was created.
    created_at: DateTime<Utc>,
}

impl From<ContainerSummary> for Container {
    fn from(summary: ContainerSummary) -> Self {
        Self {
            id: summary.id,
            name: summary.name,
            image: summary.image,
            project: summary.project,
            service: summary.service,
            state: summary.state,
            status: summary.status,
            health: summary.health,
            ports: summary.ports,
            created_at: DateTime::from_timestamp(summary.created_s, 0).unwrap_or_default(),
        }
    }
}

/// Which lines of a container's log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContainerLogQuery {
    /// How many of the last lines, at most 10000; 1000 when left out.
    #[param(maximum = 10000)]
    tail: Option<u32>,
    /// Whether to go on with what is written from now on, by Server-Sent Events.
    #[serde(default)]
    follow: bool,
}

/// All containers of a target, stopped ones too.
#[utoipa::path(get, path = "/targets/{id}/containers", tag = "targets", operation_id = "list_containers",
    params(("id" = Uuid, Path, description = "The target"), PageQuery),
    responses((status = OK, body = Listed<Container>)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<Container>>, Problem> {
    query.page()?;
    let agent = agent_of(&api, &tenant, target).await?;
    match api
        .agents
        .ask(agent, AgentQuery::Containers)
        .await
        .map_err(unreachable)?
    {
        Reply::Containers(containers) => Ok(Json(whole(
            containers.into_iter().map(Container::from).collect(),
        ))),
        Reply::Failed(why) => Err(unanswered(why)),
        _ => Err(unanswered("the agent answered another question")),
    }
}

/// The log of a container: its last lines as JSON, or as it grows by Server-Sent Events (`line`, and
/// `end` when the container's log ends).
#[utoipa::path(get, path = "/targets/{id}/containers/{name}/logs", tag = "targets", operation_id = "read_container_log",
    params(("id" = Uuid, Path, description = "The target"), ("name" = String, Path, description = "Name or id; slashes in it are written as %2F"),
        ContainerLogQuery),
    responses((status = OK, body = Listed<Line>)))]
pub async fn logs(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Segment(container): Segment,
    Query(query): Query<ContainerLogQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tail = query.tail.unwrap_or(DEFAULT_LINES);
    if tail > MAX_LINES {
        return Err(Problem::invalid(
            "tail",
            format!("{tail} is more than {MAX_LINES}"),
        ));
    }
    if container.len() > MAX_NAME {
        return Err(Problem::not_found("container"));
    }
    let agent = agent_of(&api, &tenant, target).await?;
    let follow = query.follow || sse::is_asked_for(&headers);
    let request = StreamRequest::ContainerLog {
        container,
        tail: Some(tail),
        follow: if follow { Follow::Yes } else { Follow::No },
    };
    let mut stream = api
        .agents
        .open_stream(agent, request)
        .map_err(unreachable)?;
    if !follow {
        return Ok(Json(whole(collect(stream).await?)).into_response());
    }
    let first = timeout(FIRST_PIECE, stream.next()).await.ok();
    if let Some(Some(Err(broken))) = first {
        return Err(unanswered(broken.to_string()));
    }
    Ok(sse::answer(events(stream, first, api.stopping.clone())))
}

pub(super) async fn agent_of(
    api: &Api,
    tenant: &Tenant,
    target: TargetId,
) -> Result<AgentId, Problem> {
    let target = api.store.target(tenant, target).await?;
    target
        .agent_id
        .ok_or_else(|| Problem::new(Kind::Conflict, "the target has no agent to ask"))
}

pub(super) fn unreachable(error: Unreachable) -> Problem {
    let (kind, after) = match error {
        Unreachable::Offline => (Kind::Unavailable, 10),
        Unreachable::Busy => (Kind::Unavailable, 1),
        Unreachable::TimedOut => (Kind::Timeout, 1),
    };
    Problem::new(kind, error.to_string()).retry_after(Duration::from_secs(after))
}

fn unanswered(why: impl Into<String>) -> Problem {
    Problem::new(Kind::Unavailable, why).remedy("see that the engine runs on the target's host")
}

async fn collect(mut stream: AgentStream) -> Result<Vec<Line>, Problem> {
    let (mut lines, mut text) = (Vec::new(), 0);
    loop {
        let piece = timeout(PATIENCE, stream.next())
            .await
            .map_err(|_| Problem::new(Kind::Timeout, "the agent stopped sending the log"))?;
        match piece {
            None => return Ok(lines),
            Some(Err(broken)) => return Err(unanswered(broken.to_string())),
            Some(Ok(piece)) => {
                for line in decode(&piece)? {
                    text += line.text.len();
                    lines.push(Line::from(line));
                }
            }
        }
        if lines.len() > 2 * MAX_LINES as usize {
            return Err(Problem::new(
                Kind::Unavailable,
                "the agent sent more lines than were asked for",
            ));
        }
        if text > MAX_TEXT {
            let detail = format!("so many of the last lines have more than {MAX_TEXT} bytes");
            return Err(Problem::invalid("tail", detail)
                .remedy("ask for fewer, or follow the log, which comes line by line"));
        }
    }
}

/// A piece of a container's log is a chunk's payload that stands on its own.
fn decode(piece: &[u8]) -> Result<Vec<LogLine>, Problem> {
    decode_payload(piece).map_err(Problem::internal)
}

type Piece = Option<Result<Vec<u8>, StreamBroken>>;

/// The stream's pieces as events. When the agent's connection ends, so does the stream, without an
/// `end`: the client comes back.
fn events(
    stream: AgentStream,
    first: Option<Piece>,
    stopping: CancellationToken,
) -> impl Stream<Item = Events> + Send + 'static {
    stream::unfold(Some((stream, first)), move |state| {
        let stopping = stopping.clone();
        async move {
            let (mut stream, first) = state?;
            let piece = if let Some(piece) = first {
                Ok(piece)
            } else {
                tokio::select! {
                    () = stopping.cancelled() => return None,
                    piece = timeout(SILENCE, stream.next()) => piece,
                }
            };
            let mut events = Events::default();
            let goes_on = match piece {
                Err(_) => {
                    events.keep_alive();
                    true
                }
                Ok(piece) => tell(piece, &mut events)?,
            };
            Some((events, goes_on.then_some((stream, None))))
        }
    })
}

/// Whether the stream goes on; nothing when it must end here and now.
fn tell(piece: Piece, events: &mut Events) -> Option<bool> {
    match piece {
        Some(Ok(piece)) => {
            for line in decode(&piece).ok()? {
                events.event("line", None, &Line::from(line)).ok()?;
            }
            Some(true)
        }
        Some(Err(StreamBroken::Disconnected)) => None,
        Some(Err(broken)) => {
            let error = StreamError {
                detail: broken.to_string(),
            };
            events.event("error", None, &error).ok()?;
            Some(false)
        }
        None => {
            events.event("end", None, &serde_json::json!({})).ok()?;
            Some(false)
        }
    }
}

/// Why a container's log broke off.
#[derive(Debug, Serialize)]
struct StreamError {
    detail: String,
}
