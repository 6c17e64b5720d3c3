//! The log of a deployment: by range, by its end, and as it grows.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream::{self, Stream};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use towline_shared::ids::DeploymentId;
use utoipa::{IntoParams, ToSchema};

use super::deployments::Deployment;
use super::input::{Id, Query};
use super::log_line::Line;
use super::problem::Problem;
use super::sse::{self, Events};
use super::state::Api;
use crate::logs::{Follower, News};
use crate::store::{self, LogEnd, LogPage, Tenant};

/// The most lines of one answer.
const MAX_LINES: u32 = 10_000;
const DEFAULT_LINES: u32 = 1000;
/// How long a stream may say nothing.
const SILENCE: Duration = Duration::from_secs(15);

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// The first line, from 0.
    from: Option<u64>,
    /// The line behind the last one; the log's end, when left out.
    to: Option<u64>,
    /// How many lines at most, 1 to 10000; 1000 when left out.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u32>,
    /// The last lines instead: how many.
    #[param(minimum = 1, maximum = 10000)]
    tail: Option<u32>,
}

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// The first line, from 0. `Last-Event-ID` outdoes it.
    from: Option<u64>,
}

/// Lines of a log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogLines {
    /// The lines.
    lines: Vec<Line>,
    /// The number of the line behind these.
    next: u64,
    /// Whether nothing is to be expected at `next`: the deployment has ended and its log is whole, or `next` is `to`.
    complete: bool,
}

impl From<LogPage> for LogLines {
    fn from(page: LogPage) -> Self {
        Self {
            lines: page
                .lines
                .into_iter()
                .map(|(n, line)| Line::numbered(n, line))
                .collect(),
            next: page.next,
            complete: matches!(page.end, LogEnd::Complete),
        }
    }
}

/// Lines of a deployment's log, by range or from its end.
#[utoipa::path(get, path = "/deployments/{id}/log", tag = "deployments", operation_id = "read_deployment_log",
    params(("id" = Uuid, Path, description = "The deployment"), LogQuery), responses((status = OK, body = LogLines)))]
pub async fn range(
    State(api): State<Api>,
    tenant: Tenant,
    Id(deployment): Id<DeploymentId>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogLines>, Problem> {
    let page = match query.tail {
        Some(_) if query.from.is_some() || query.to.is_some() || query.limit.is_some() => {
            return Err(Problem::invalid(
                "tail",
                "it stands alone, without from, to and limit",
            ));
        }
        Some(tail) => {
            api.store
                .log_tail(&tenant, deployment, lines("tail", tail)?)
                .await?
        }
        None => {
            let limit = lines("limit", query.limit.unwrap_or(DEFAULT_LINES))?;
            let (from, to) = (query.from.unwrap_or(0), query.to.unwrap_or(u64::MAX));
            if to < from {
                return Err(Problem::invalid("to", "it is before from"));
            }
            let page = api.store.log_range(&tenant, deployment, from, limit);
            page.await?.before(to)
        }
    };
    Ok(Json(page.into()))
}

/// A deployment's log as it grows, by Server-Sent Events: `line` (its id is the line's number), `status`
/// (the deployment, whenever it changes) and at last `end` (the deployment as it ended).
#[utoipa::path(get, path = "/deployments/{id}/log/stream", tag = "deployments", operation_id = "follow_deployment_log",
    params(("id" = Uuid, Path, description = "The deployment"), StreamQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The last line seen; the stream goes on behind it")),
    responses((status = OK, body = String, content_type = "text/event-stream")))]
pub async fn stream(
    State(api): State<Api>,
    tenant: Tenant,
    Id(deployment): Id<DeploymentId>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = sse::last_event_id(&headers).map(|last| last.saturating_add(1));
    let from = seen.or(query.from).unwrap_or(0);
    let follower = Follower::start(api.store.clone(), tenant, deployment, from).await?;
    Ok(sse::answer(events(follower, api.stopping.clone())))
}

fn lines(field: &'static str, count: u32) -> Result<u32, Problem> {
    if (1..=MAX_LINES).contains(&count) {
        Ok(count)
    } else {
        Err(Problem::invalid(
            field,
            format!("{count} is not between 1 and {MAX_LINES}"),
        ))
    }
}

/// A follower's news as events. It ends with the log, when the process stops, and when the store
/// fails: the client comes back with the last line it has seen.
fn events(
    follower: Follower,
    stopping: CancellationToken,
) -> impl Stream<Item = Events> + Send + 'static {
    let teller = Teller {
        follower,
        stopping,
        last_status: None,
    };
    stream::unfold(teller, |mut teller| async move {
        let events = teller.next().await?;
        Some((events, teller))
    })
}

struct Teller {
    follower: Follower,
    stopping: CancellationToken,
    /// The status told last, without the log's length, which the lines tell.
    last_status: Option<String>,
}

impl Teller {
    async fn next(&mut self) -> Option<Events> {
        loop {
            let mut events = Events::default();
            match timeout(SILENCE, self.follower.next(&self.stopping)).await {
                Err(_) => events.keep_alive(),
                Ok(Ok(Some(news))) => self.tell(news, &mut events)?,
                Ok(Ok(None)) => return None,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a log stream was given up");
                    return None;
                }
            }
            if !events.is_empty() {
                return Some(events);
            }
        }
    }

    fn tell(&mut self, news: News, events: &mut Events) -> Option<()> {
        match news {
            News::Lines(lines) => {
                for (n, line) in lines {
                    events
                        .event("line", Some(n), &Line::numbered(n, line))
                        .ok()?;
                }
            }
            News::Status(deployment) => {
                let status = store::Deployment {
                    log_lines: None,
                    ..(*deployment).clone()
                };
                let status = serde_json::to_string(&status).ok();
                if status != self.last_status {
                    events
                        .event("status", None, &Deployment::from(*deployment))
                        .ok()?;
                    self.last_status = status;
                }
            }
            News::End(deployment) => {
                events
                    .event("end", None, &Deployment::from(*deployment))
                    .ok()?;
            }
        }
        Some(())
    }
}
