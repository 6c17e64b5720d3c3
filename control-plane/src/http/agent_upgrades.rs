//! Upgrades of agents, asked of the agents themselves: what they say is what is so.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use towline_shared::ids::AgentId;
use towline_shared::query::Reply;
use towline_shared::upgrade::{UpgradeReport, UpgradeState, UpgradeWish};
use utoipa::ToSchema;

use super::containers::unreachable;
use super::input::Id;
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::agents::Unreachable;
use crate::install::{Architecture, SignedAgent, Unsigned};
use crate::ops;
use crate::store::{Agent, AgentStatus, Tenant};

/// How far an agent is with the last upgrade that it was told of.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentUpgrade {
    /// The version that it runs.
    running: String,
    /// The version that was asked for; absent when none was since it started.
    version: Option<String>,
    /// How far it is.
    state: AgentUpgradeState,
    /// Why it was refused or taken back, and what to do.
    why: Option<String>,
}

/// How far an upgrade is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentUpgradeState {
    /// None is known.
    Idle,
    /// The new agent is fetched, verified and tried on the host.
    Preparing,
    /// It is good, and waits until the host's jobs have ended; none begins meanwhile.
    Waiting,
    /// It has started, and was not welcomed yet.
    Proving,
    /// It runs.
    Done,
    /// Nothing was changed.
    Refused,
    /// The former agent runs again.
    RolledBack,
}

/// Tells an agent to become the agent that this control plane has for its architecture. The host verifies by its own
/// release keys who has signed it, and takes nothing else.
#[utoipa::path(post, path = "/agents/{id}/upgrade", tag = "agents", operation_id = "upgrade_agent",
    params(("id" = Uuid, Path, description = "The agent")), responses((status = OK, body = AgentUpgrade)))]
pub async fn begin(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<AgentId>,
) -> Result<Json<AgentUpgrade>, Problem> {
    let agent = api.store.agent(&tenant, id).await?;
    let signed = signed_for(&api, &agent).await?;
    let sha256 = signed.upgrade.sha256.hex();
    ops::note_upgrade(&api.store, &tenant, id, &signed.version, &sha256).await?;
    ask(&api, agent, UpgradeWish::Begin(signed.upgrade)).await
}

/// How far an agent is with its last upgrade.
#[utoipa::path(get, path = "/agents/{id}/upgrade", tag = "agents", operation_id = "show_agent_upgrade",
    params(("id" = Uuid, Path, description = "The agent")), responses((status = OK, body = AgentUpgrade)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(id): Id<AgentId>,
) -> Result<Json<AgentUpgrade>, Problem> {
    let agent = api.store.agent(&tenant, id).await?;
    ask(&api, agent, UpgradeWish::Show).await
}

async fn ask(api: &Api, agent: Agent, wish: UpgradeWish) -> Result<Json<AgentUpgrade>, Problem> {
    match api.agents.ask_upgrade(agent.id, wish).await {
        Ok(Reply::Upgrade(report)) => Ok(Json(AgentUpgrade::of(agent.version, report))),
        Ok(Reply::Failed(why)) => Err(Problem::new(Kind::Conflict, why)),
        Ok(_) => Err(Problem::internal("the agent answered another question")),
        Err(Unreachable::TimedOut) => Err(unreachable(Unreachable::TimedOut).remedy(format!(
            "an agent of a version that knows nothing of upgrades (it is {}) does not answer; upgrade that one by the install script",
            agent.version
        ))),
        Err(error) => Err(unreachable(error)),
    }
}

async fn signed_for(api: &Api, agent: &Agent) -> Result<SignedAgent, Problem> {
    if agent.status == AgentStatus::Revoked {
        return Err(Problem::new(Kind::Conflict, "the agent was revoked"));
    }
    if agent.kind == "docker_tls" {
        let why = "the agent runs beside the control plane, and becomes another version with it";
        return Err(Problem::new(Kind::Conflict, why));
    }
    if agent.kind == "kubernetes" {
        let why = "the agent runs in a cluster, and becomes another version by its image";
        return Err(Problem::new(Kind::Conflict, why).remedy(
            "`kubectl set image --namespace towline deployment/towline-agent agent=IMAGE`, or upgrade its chart",
        ));
    }
    let architecture = architecture_of(agent).ok_or_else(|| {
        let known = agent.arch.as_deref().unwrap_or("not known yet");
        Problem::new(
            Kind::Conflict,
            format!("there are no agents for the host's architecture, which is {known}"),
        )
    })?;
    let binaries = api.binaries.clone();
    let signed = tokio::task::spawn_blocking(move || binaries.signed(architecture)).await;
    signed
        .map_err(Problem::internal)?
        .map_err(|error| match error {
            Unsigned::Io(error) => Problem::internal(error),
            other => Problem::new(Kind::Conflict, other.to_string()),
        })
}

/// Agents say it in the engine's words.
fn architecture_of(agent: &Agent) -> Option<Architecture> {
    match agent.arch.as_deref()? {
        "amd64" => Some(Architecture::X86_64),
        "arm64" => Some(Architecture::Aarch64),
        _ => None,
    }
}

impl AgentUpgrade {
    fn of(running: String, report: UpgradeReport) -> Self {
        let (state, why) = match report.state {
            UpgradeState::Idle => (AgentUpgradeState::Idle, None),
            UpgradeState::Preparing => (AgentUpgradeState::Preparing, None),
            UpgradeState::Waiting => (AgentUpgradeState::Waiting, None),
            UpgradeState::Proving => (AgentUpgradeState::Proving, None),
            UpgradeState::Done => (AgentUpgradeState::Done, None),
            UpgradeState::Refused(why) => (AgentUpgradeState::Refused, Some(why)),
            UpgradeState::RolledBack(why) => (AgentUpgradeState::RolledBack, Some(why)),
        };
        Self {
            running,
            version: Some(report.version).filter(|version| !version.is_empty()),
            state,
            why,
        }
    }
}
