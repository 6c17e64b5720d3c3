//! What agents measure: by range, the latest of all, and for Prometheus.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use towline_shared::ids::{AgentId, TargetId};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::exposition::{self, Scraped};
use super::input::{Id, Query};
use super::measures::{ContainerMeasures, HostMeasures};
use super::page::whole;
use super::problem::Problem;
use super::state::Api;
use crate::store::page::MAX_LIMIT;
use crate::store::{Agent, AgentStatus, Listed, MetricsRange, Page, StoredSample, Tenant};

/// The range when the request does not say.
const DEFAULT_RANGE: TimeDelta = TimeDelta::hours(1);
/// An agent that has measured nothing for longer has no present state to show to Prometheus.
const FRESH: TimeDelta = TimeDelta::minutes(1);

/// Which samples.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RangeQuery {
    /// From when on; an hour before `to` when left out.
    from: Option<DateTime<Utc>>,
    /// Until when; now when left out.
    to: Option<DateTime<Utc>>,
    /// Seconds between two points: at least so many. Chosen to fit the range when left out.
    #[param(minimum = 1)]
    step: Option<u32>,
}

/// What was measured on a target.
#[derive(Debug, Serialize, ToSchema)]
pub struct Measured {
    /// Seconds between two points.
    step_s: u32,
    /// The host, oldest first.
    host: Vec<HostPoint>,
    /// Its containers by name, oldest first.
    containers: BTreeMap<String, Vec<ContainerPoint>>,
}

/// The state of a host at a time.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostPoint {
    /// When.
    at: DateTime<Utc>,
    #[serde(flatten)]
    #[allow(
        missing_docs,
        reason = "the fields of the measures describe themselves"
    )]
    measures: HostMeasures,
}

/// The state of a container at a time.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContainerPoint {
    /// When.
    at: DateTime<Utc>,
    #[serde(flatten)]
    #[allow(
        missing_docs,
        reason = "the fields of the measures describe themselves"
    )]
    measures: ContainerMeasures,
}

/// The latest sample of an agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Latest {
    /// The agent.
    agent_id: Uuid,
    /// Its name.
    name: String,
    /// `online`, `offline` or `revoked`.
    #[schema(value_type = String)]
    status: AgentStatus,
    /// When it was taken.
    at: DateTime<Utc>,
    /// The host.
    host: HostMeasures,
    /// Its containers.
    containers: Vec<ContainerMeasures>,
}

/// What was measured on a target over a range of time.
#[utoipa::path(get, path = "/targets/{id}/metrics", tag = "metrics", operation_id = "read_metrics",
    params(("id" = Uuid, Path, description = "The target"), RangeQuery), responses((status = OK, body = Measured)))]
pub async fn range(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Query(query): Query<RangeQuery>,
) -> Result<Json<Measured>, Problem> {
    let to = query.to.unwrap_or_else(Utc::now);
    let from = query
        .from
        .or_else(|| to.checked_sub_signed(DEFAULT_RANGE))
        .unwrap_or(to);
    if from > to {
        return Err(Problem::invalid("from", "it lies behind `to`"));
    }
    if query.step == Some(0) {
        return Err(Problem::invalid("step", "it must be at least 1"));
    }
    let range = api
        .store
        .metrics_range(&tenant, target, from, to, query.step)
        .await?;
    Ok(Json(range.into()))
}

impl From<MetricsRange> for Measured {
    fn from(range: MetricsRange) -> Self {
        let mut measured = Self {
            step_s: range.step_s,
            host: Vec::with_capacity(range.samples.len()),
            containers: BTreeMap::new(),
        };
        for StoredSample { at, sample, .. } in range.samples {
            measured.host.push(HostPoint {
                at,
                measures: sample.host.into(),
            });
            for container in sample.containers {
                let points = measured
                    .containers
                    .entry(container.name.clone())
                    .or_default();
                points.push(ContainerPoint {
                    at,
                    measures: container.into(),
                });
            }
        }
        measured
    }
}

/// The latest sample of each of the team's agents.
#[utoipa::path(get, path = "/metrics/latest", tag = "metrics", operation_id = "list_latest_metrics", responses((status = OK, body = Listed<Latest>)))]
pub async fn latest(
    State(api): State<Api>,
    tenant: Tenant,
) -> Result<Json<Listed<Latest>>, Problem> {
    let mut samples = samples(&api, &tenant).await?;
    let agents = agents(&api, &tenant).await?;
    let items = agents.into_iter().filter_map(|agent| {
        let StoredSample { at, sample, .. } = samples.remove(&agent.id)?;
        Some(Latest {
            agent_id: agent.id.uuid(),
            name: agent.name,
            status: agent.status,
            at,
            host: sample.host.into(),
            containers: sample.containers.into_iter().map(Into::into).collect(),
        })
    });
    Ok(Json(whole(items.collect())))
}

/// The present state of all the team's hosts and containers for Prometheus, so that one scrape of the
/// control plane sees every host that nothing can connect to.
#[utoipa::path(get, path = "/metrics/prometheus", tag = "metrics", operation_id = "scrape_metrics",
    responses((status = OK, body = String, content_type = "text/plain")))]
pub async fn prometheus(State(api): State<Api>, tenant: Tenant) -> Result<Response, Problem> {
    let mut samples = samples(&api, &tenant).await?;
    let stale = Utc::now() - FRESH;
    let scraped: Vec<_> = agents(&api, &tenant)
        .await?
        .into_iter()
        .filter(|agent| agent.status != AgentStatus::Revoked)
        .map(|agent| Scraped {
            sample: samples
                .remove(&agent.id)
                .filter(|stored| stored.at >= stale),
            agent,
        })
        .collect();
    Ok((
        [(CONTENT_TYPE, exposition::MEDIA_TYPE)],
        exposition::write(&scraped),
    )
        .into_response())
}

async fn samples(api: &Api, tenant: &Tenant) -> Result<HashMap<AgentId, StoredSample>, Problem> {
    let samples = api.store.metrics_latest(tenant).await?;
    Ok(samples
        .into_iter()
        .map(|stored| (stored.agent, stored))
        .collect())
}

async fn agents(api: &Api, tenant: &Tenant) -> Result<Vec<Agent>, Problem> {
    let mut agents = Vec::new();
    let mut page = Page {
        limit: MAX_LIMIT,
        after: None,
    };
    loop {
        let listed = api.store.list_agents(tenant, page).await?;
        agents.extend(listed.items);
        match listed.next_cursor {
            Some(next) => page.after = Some(next),
            None => return Ok(agents),
        }
    }
}
