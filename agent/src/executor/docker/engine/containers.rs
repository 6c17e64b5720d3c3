//! Containers as this executor sees them.

use std::collections::HashMap;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary as Listed, HealthConfig,
    HealthStatusEnum, MountPoint, PortSummary, RestartPolicyNameEnum,
};
use bollard::query_parameters::ListContainersOptionsBuilder;
use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::metrics::Health;
use towline_shared::query::ContainerSummary;

use super::super::labels;
use super::{Engine, EngineError};

/// A container in a list.
#[derive(Clone, Debug)]
pub(in crate::executor::docker) struct Container {
    pub summary: ContainerSummary,
    pub labels: HashMap<String, String>,
}

/// A container in detail.
#[derive(Clone, Debug)]
pub(in crate::executor::docker) struct Observed {
    pub id: String,
    pub service: String,
    /// `web-1`: what its lines are called in the log.
    pub source: String,
    /// Compose's hash of the configuration it was made from.
    pub config_hash: String,
    /// Towline's project, if it is Towline's.
    pub owner: String,
    pub phase: Phase,
    pub exit_code: i64,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub restarts: i64,
    pub restart_policy: RestartPolicy,
    pub health: Health,
    /// What the health check printed last.
    pub health_output: String,
    /// How long a container that has just started may take to become healthy, by its check.
    pub health_patience: TimeDelta,
    pub is_out_of_memory: bool,
    pub image_id: String,
    /// How many volumes it has that were made for it alone.
    pub unnamed_volumes: usize,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) enum Phase {
    Created,
    Running,
    Paused,
    Restarting,
    Exited,
    /// On its way out, or broken.
    Gone,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Created => "not started",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Gone => "being removed",
        })
    }
}

/// What the engine does when a container exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) enum RestartPolicy {
    Never,
    /// After a failure, at most so many times (0: without end).
    OnFailure(i64),
    Always,
}

/// What will become of a container that has exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) enum Fate {
    /// It has done its work.
    Done,
    /// It has failed.
    Failed,
    /// The engine starts it again.
    ComesBack,
}

impl Observed {
    /// Whether a deploy that began then has found it unhealthy, and has not touched it.
    pub fn was_unhealthy_before(&self, began: DateTime<Utc>) -> bool {
        self.phase == Phase::Running && self.health == Health::Unhealthy && self.started_at < began
    }

    /// What will become of it, given that it has exited.
    pub const fn fate(&self) -> Fate {
        match (self.restart_policy, self.exit_code) {
            (RestartPolicy::Always, _) => Fate::ComesBack,
            (_, 0) => Fate::Done,
            (RestartPolicy::OnFailure(0), _) => Fate::ComesBack,
            (RestartPolicy::OnFailure(most), _) if self.restarts < most => Fate::ComesBack,
            (RestartPolicy::Never | RestartPolicy::OnFailure(_), _) => Fate::Failed,
        }
    }
}

impl Engine {
    /// All containers, stopped ones too; of one compose project, if it is named.
    pub async fn containers(&self, project: Option<&str>) -> Result<Vec<Container>, EngineError> {
        let mut options = ListContainersOptionsBuilder::new().all(true);
        if let Some(project) = project {
            options = options.filters(&HashMap::from([(
                "label",
                vec![labels::of_project(project)],
            )]));
        }
        let client = self.client().await?;
        let listed = self
            .call(client.list_containers(Some(options.build())))
            .await?;
        Ok(listed.into_iter().map(container).collect())
    }

    /// All containers that compose made for a project, in detail.
    pub async fn observe(&self, project: &str) -> Result<Vec<Observed>, EngineError> {
        let listed = self.containers(Some(project)).await?;
        let services = listed.iter().filter(|container| {
            container
                .labels
                .get(labels::ONE_OFF)
                .is_none_or(|flag| flag != "True")
        });
        let details = services.map(|container| self.inspect(&container.summary.id));
        let mut observed = Vec::new();
        for detail in futures_util::future::join_all(details).await {
            match detail {
                Ok(container) => observed.push(container),
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error),
            }
        }
        observed.sort_by(|one, other| one.source.cmp(&other.source));
        Ok(observed)
    }

    pub async fn inspect(&self, id: &str) -> Result<Observed, EngineError> {
        let client = self.client().await?;
        let detail = self.call(client.inspect_container(id, None)).await?;
        Ok(observed(detail))
    }
}

fn container(listed: Listed) -> Container {
    let labels = listed.labels.unwrap_or_default();
    let status = listed.status.unwrap_or_default();
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let names = listed.names.unwrap_or_default();
    // A container that others link to has further names, `/other/alias`.
    let own = names
        .iter()
        .find(|name| name.matches('/').count() == 1)
        .or(names.first());
    let summary = ContainerSummary {
        id: listed.id.unwrap_or_default(),
        name: own
            .map(|name| name.trim_start_matches('/').to_owned())
            .unwrap_or_default(),
        image: listed.image.unwrap_or_default(),
        project: label(labels::PROJECT),
        service: label(labels::SERVICE),
        state: listed
            .state
            .map(|state| state.to_string())
            .unwrap_or_default(),
        health: health_of_status(&status),
        status,
        created_s: listed.created.unwrap_or_default(),
        ports: listed.ports.unwrap_or_default().iter().map(port).collect(),
    };
    Container { summary, labels }
}

fn port(port: &PortSummary) -> String {
    let kind = port.typ.map(|kind| kind.to_string()).unwrap_or_default();
    let inside = format!("{}/{kind}", port.private_port);
    let Some(public) = port.public_port else {
        return inside;
    };
    let address = port.ip.as_deref().unwrap_or("0.0.0.0");
    let address = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    format!("{address}:{public}->{inside}")
}

/// Lists tell health in their sentence only, up to the newest engines.
fn health_of_status(status: &str) -> Health {
    if status.contains("(healthy)") {
        Health::Healthy
    } else if status.contains("(unhealthy)") {
        Health::Unhealthy
    } else if status.contains("(health: starting)") {
        Health::Starting
    } else {
        Health::None
    }
}

fn observed(detail: ContainerInspectResponse) -> Observed {
    let state = detail.state.unwrap_or_default();
    let config = detail.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let time = |text: Option<String>| {
        text.and_then(|text| text.parse::<DateTime<Utc>>().ok())
            .unwrap_or_default()
    };
    let (health, health_output) = state
        .health
        .map_or((Health::None, String::new()), |health| {
            let last = health
                .log
                .unwrap_or_default()
                .pop()
                .and_then(|result| result.output)
                .unwrap_or_default();
            (health_state(health.status), last.trim().to_owned())
        });
    Observed {
        id: detail.id.unwrap_or_default(),
        source: labels::source(&label(labels::SERVICE), &label(labels::NUMBER)),
        service: label(labels::SERVICE),
        config_hash: label(labels::CONFIG_HASH),
        owner: label(labels::OWNER),
        phase: phase(state.status),
        exit_code: state.exit_code.unwrap_or_default(),
        started_at: time(state.started_at),
        finished_at: time(state.finished_at),
        restarts: detail.restart_count.unwrap_or_default(),
        restart_policy: detail
            .host_config
            .and_then(|host| host.restart_policy)
            .map_or(RestartPolicy::Never, |policy| match policy.name {
                Some(RestartPolicyNameEnum::ALWAYS | RestartPolicyNameEnum::UNLESS_STOPPED) => {
                    RestartPolicy::Always
                }
                Some(RestartPolicyNameEnum::ON_FAILURE) => {
                    RestartPolicy::OnFailure(policy.maximum_retry_count.unwrap_or_default())
                }
                _ => RestartPolicy::Never,
            }),
        health,
        health_output,
        health_patience: health_patience(&config.healthcheck.unwrap_or_default()),
        is_out_of_memory: state.oom_killed.unwrap_or_default(),
        image_id: detail.image.unwrap_or_default(),
        unnamed_volumes: detail
            .mounts
            .iter()
            .flatten()
            .filter(|mount| is_unnamed(mount))
            .count(),
    }
}

/// The engine gives a volume without a name a random one, of 64 hexadecimal digits.
fn is_unnamed(mount: &MountPoint) -> bool {
    let name = mount.name.as_deref().unwrap_or_default();
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The engine's own defaults stand where a check says nothing.
fn health_patience(check: &HealthConfig) -> TimeDelta {
    let time = |nanoseconds: Option<i64>, default_s: i64| match nanoseconds {
        None | Some(0) => TimeDelta::seconds(default_s),
        Some(nanoseconds) => TimeDelta::nanoseconds(nanoseconds),
    };
    let retries = match check.retries {
        None | Some(0) => 3,
        Some(retries) => i32::try_from(retries).unwrap_or(i32::MAX),
    };
    let round = time(check.interval, 30) + time(check.timeout, 30);
    let rounds = round.checked_mul(retries).unwrap_or(TimeDelta::MAX);
    time(check.start_period, 0)
        .checked_add(&rounds)
        .unwrap_or(TimeDelta::MAX)
}

const fn phase(status: Option<ContainerStateStatusEnum>) -> Phase {
    match status {
        Some(ContainerStateStatusEnum::CREATED) => Phase::Created,
        Some(ContainerStateStatusEnum::RUNNING) => Phase::Running,
        Some(ContainerStateStatusEnum::PAUSED) => Phase::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => Phase::Restarting,
        Some(ContainerStateStatusEnum::EXITED) => Phase::Exited,
        _ => Phase::Gone,
    }
}

const fn health_state(status: Option<HealthStatusEnum>) -> Health {
    match status {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        _ => Health::None,
    }
}
