//! Agents as people see them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::types::Json;
use towline_shared::ids::{AgentId, TargetId};
use towline_shared::protocol::v1::{Capabilities, Engine, Plugin};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, local_now, optional};
use super::page::{Listed, Page};
use super::people::Team;
use super::{Resource, Result, Store, StoreError, Tenant};

/// Sessions note at least once a minute that their agents live; who was not noted for this long is
/// offline, whatever its row says: its server was killed.
pub(crate) const SEEN_WITHIN: TimeDelta = TimeDelta::seconds(150);

/// A host that dials out and does jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Agent {
    /// The agent's id.
    #[schema(value_type = Uuid)]
    pub id: AgentId,
    /// Its name; unique in the team among those not revoked.
    pub name: String,
    /// Where it runs: `host`, `kubernetes` where it works on a cluster, or `docker_tls` for one beside the control plane, whose
    /// engine is reached over TLS.
    pub kind: String,
    /// Whether it can be reached.
    pub status: AgentStatus,
    /// The version of its program.
    pub version: String,
    /// What the host calls itself.
    pub hostname: String,
    /// The operating system.
    pub os: Option<String>,
    /// The architecture.
    pub arch: Option<String>,
    /// The number of cores.
    pub cores: Option<u16>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The version of the engine, or of the cluster; absent when there is none.
    pub engine: Option<String>,
    /// The compose plugin's version; absent when there is none.
    pub compose: Option<String>,
    /// Since when the present connection stands, or when the last one began.
    pub connected_at: Option<DateTime<Utc>>,
    /// When it was last heard of, to the minute.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When its newest certificate ends.
    pub certificate_expires_at: Option<DateTime<Utc>>,
    /// The target it serves.
    #[schema(value_type = Option<Uuid>)]
    pub target_id: Option<TargetId>,
    /// When it was enrolled.
    pub created_at: DateTime<Utc>,
}

/// An agent as administrators of the installation see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentOfTeam {
    /// The agent.
    #[serde(flatten)]
    pub agent: Agent,
    /// Whose it is.
    pub team: Team,
}

/// Whether an agent can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// It is connected.
    Online,
    /// It is not.
    Offline,
    /// It may not connect any more.
    Revoked,
}

/// What of an agent's row decides its status.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Presence {
    session_id: Option<Uuid>,
    pub(super) last_seen_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl Presence {
    pub(super) fn status(&self, now: DateTime<Utc>) -> AgentStatus {
        if self.revoked_at.is_some() {
            return AgentStatus::Revoked;
        }
        let was_seen = self.last_seen_at.is_some_and(|at| now - at <= SEEN_WITHIN);
        if self.session_id.is_some() && was_seen {
            AgentStatus::Online
        } else {
            AgentStatus::Offline
        }
    }
}

/// An agent's capabilities as stored; one that this version cannot read counts as not known.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct StoredCapabilities {
    capabilities: Option<Json<serde_json::Value>>,
}

impl StoredCapabilities {
    pub(crate) fn read(self) -> Option<Capabilities> {
        let Json(value) = self.capabilities?;
        serde_json::from_value(value).ok()
    }
}

/// The engine's version for people.
pub(super) fn engine_version(capabilities: &Capabilities) -> Option<String> {
    match &capabilities.engine {
        Engine::Docker { version, .. } => Some(version.clone()),
        Engine::Kubernetes(facts) => Some(facts.version.clone()),
        Engine::Missing(_) => None,
    }
}

/// The compose plugin's version for people.
pub(super) fn compose_version(capabilities: &Capabilities) -> Option<String> {
    match &capabilities.compose {
        Plugin::Version(version) => Some(version.clone()),
        Plugin::Missing(_) => None,
    }
}

/// The columns of [`Row`], before the condition.
macro_rules! select_agents {
    ($rest:literal) => {
        select_agents!("", $rest)
    };
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, a.name, a.kind, a.version, a.hostname, a.session_id, a.last_seen_at, a.revoked_at, a.capabilities,
                a.connected_at, a.created_at,
                (SELECT MAX(c.not_after) FROM certificates c WHERE c.agent_id = a.id AND c.revoked_at IS NULL)
                    AS certificate_expires_at,
                (SELECT t.id FROM deployment_targets t WHERE t.agent_id = a.id LIMIT 1) AS target_id",
            $more,
            " FROM agents a ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    kind: String,
    version: String,
    hostname: String,
    #[sqlx(flatten)]
    presence: Presence,
    #[sqlx(flatten)]
    capabilities: StoredCapabilities,
    connected_at: Option<DateTime<Utc>>,
    certificate_expires_at: Option<DateTime<Utc>>,
    target_id: Option<Uuid>,
    created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct RowOfTeam {
    #[sqlx(flatten)]
    agent: Row,
    team_id: Uuid,
    team_name: String,
}

impl Row {
    fn into_agent(self, now: DateTime<Utc>) -> Agent {
        let capabilities = self.capabilities.read();
        let known = capabilities.as_ref();
        Agent {
            id: self.id.into(),
            name: self.name,
            kind: match known.map(|known| &known.engine) {
                Some(Engine::Kubernetes(_)) => "kubernetes".to_owned(),
                _ => self.kind,
            },
            status: self.presence.status(now),
            version: self.version,
            hostname: known.map_or(self.hostname, |known| known.hostname.clone()),
            os: known.map(|known| known.os.clone()),
            arch: known.map(|known| known.arch.clone()),
            cores: known.map(|known| known.cores),
            memory: known.map(|known| known.memory),
            engine: known.and_then(engine_version),
            compose: known.and_then(compose_version),
            connected_at: self.connected_at,
            last_seen_at: self.presence.last_seen_at,
            certificate_expires_at: self.certificate_expires_at,
            target_id: self.target_id.map(Into::into),
            created_at: self.created_at,
        }
    }
}

impl Store {
    /// The team's agents, revoked ones too.
    pub async fn list_agents(&self, tenant: &Tenant, page: Page) -> Result<Listed<Agent>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_agents!("WHERE a.team_id = $1 AND a.id < $2 ORDER BY a.id DESC LIMIT $3"),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let now = local_now();
        let agents = rows.into_iter().map(|row| row.into_agent(now)).collect();
        Ok(page.cut(agents, |agent: &Agent| agent.id.uuid()))
    }

    /// The agents of all teams, revoked ones too. To be called only for administrators of the installation.
    pub async fn list_all_agents(&self, page: Page) -> Result<Listed<AgentOfTeam>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            RowOfTeam,
            select_agents!(
                ", t.id AS team_id, t.name AS team_name",
                "JOIN teams t ON t.id = a.team_id WHERE a.id < $1 ORDER BY a.id DESC LIMIT $2"
            ),
            page.before(),
            page.fetch()
        )?;
        let now = local_now();
        let agents = rows.into_iter().map(|row| AgentOfTeam {
            agent: row.agent.into_agent(now),
            team: Team {
                id: row.team_id.into(),
                name: row.team_name,
            },
        });
        Ok(page.cut(agents.collect(), |of: &AgentOfTeam| of.agent.id.uuid()))
    }

    /// One agent.
    pub async fn agent(&self, tenant: &Tenant, agent: AgentId) -> Result<Agent> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            select_agents!("WHERE a.team_id = $1 AND a.id = $2"),
            tenant.team().uuid(),
            agent.uuid()
        )?;
        let row = row.ok_or(StoreError::NotFound(Resource::Agent))?;
        Ok(row.into_agent(local_now()))
    }
}

/// A new agent's row.
pub(crate) struct NewAgent<'a> {
    pub(crate) id: AgentId,
    pub(crate) team: Uuid,
    pub(crate) name: &'a str,
    pub(crate) hostname: &'a str,
    pub(crate) version: &'a str,
}

/// Inserts an agent; false if the team has a live one of this name.
pub(crate) async fn insert(tx: &mut Tx, agent: &NewAgent<'_>, now: DateTime<Utc>) -> Result<bool> {
    let inserted = execute!(
        tx.conn(),
        "INSERT INTO agents (id, team_id, name, hostname, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (team_id, name) WHERE revoked_at IS NULL DO NOTHING",
        agent.id.uuid(),
        agent.team,
        agent.name,
        agent.hostname,
        agent.version,
        now
    )?;
    Ok(inserted == 1)
}

/// Revokes an agent and its certificates. False if it was revoked before.
pub(crate) async fn revoke(
    tx: &mut Tx,
    tenant: &Tenant,
    agent: AgentId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let row = optional!(
        tx.conn(),
        (Option<DateTime<Utc>>,),
        "SELECT revoked_at FROM agents WHERE id = $1 AND team_id = $2",
        agent.uuid(),
        tenant.team().uuid()
    )?;
    let (revoked_at,) = row.ok_or(StoreError::NotFound(Resource::Agent))?;
    if revoked_at.is_some() {
        return Ok(false);
    }
    end(tx, agent, now).await
}

/// Ends an agent and its certificates. False if it had ended before.
pub(crate) async fn end(tx: &mut Tx, agent: AgentId, now: DateTime<Utc>) -> Result<bool> {
    let sql = "UPDATE agents SET revoked_at = $2, session_id = NULL, updated_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    let revoked = execute!(tx.conn(), sql, agent.uuid(), now)?;
    let sql = "UPDATE certificates SET revoked_at = $2 WHERE agent_id = $1 AND revoked_at IS NULL";
    execute!(tx.conn(), sql, agent.uuid(), now)?;
    Ok(revoked == 1)
}
