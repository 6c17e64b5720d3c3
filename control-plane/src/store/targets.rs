//! Targets: where deploys go.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use towline_shared::Fence;
use towline_shared::ids::{AgentId, TargetId, TeamId};
use towline_shared::protocol::v1::{Capabilities, Engine, Plugin};
use utoipa::ToSchema;
use uuid::Uuid;

use super::agents::{AgentStatus, Presence, StoredCapabilities, compose_version, engine_version};
use super::db::{Tx, all, execute, local_now, optional};
use super::docker_tls::{DockerTls, EndpointRow};
use super::page::{Listed, Page};
use super::target_platforms::TargetCluster;
use super::{Resource, Result, Store, StoreError, Tenant, counted, installation, stored};
use crate::domain::platform::Platform;

/// Where a deploy goes: a host with an engine, or a cluster.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Target {
    /// The target's id.
    #[schema(value_type = Uuid)]
    pub id: TargetId,
    /// Its name; unique in the team.
    pub name: String,
    /// What kind it is: `docker_agent`, `kubernetes_agent` where its agent works on a cluster, or `docker_tls` where the engine is
    /// reached over TLS.
    pub r#type: String,
    /// The agent that serves it.
    #[schema(value_type = Option<Uuid>)]
    pub agent_id: Option<AgentId>,
    /// Whether its agent can be reached.
    pub status: AgentStatus,
    /// The version of the engine, or of the cluster.
    pub engine: Option<String>,
    /// The compose plugin's version.
    pub compose: Option<String>,
    /// Whether a deploy would be taken.
    pub ready: Readiness,
    /// Why not, and what to do.
    pub reason: Option<String>,
    /// What its host is for, in words of the team; `builder` is one that builds for others.
    pub labels: Vec<String>,
    /// How the engine is reached, if it is over TLS.
    pub docker_tls: Option<DockerTls>,
    /// What its agent tells of its cluster, if it works on one.
    pub cluster: Option<TargetCluster>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Whether a target takes deploys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not.
    NotReady,
}

/// The columns of [`Row`], before the condition.
macro_rules! select_targets {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.name, t.type, t.agent_id, t.created_at, t.labels, a.session_id, a.last_seen_at, a.revoked_at,
                a.capabilities, t.host, d.client_subject, d.client_fingerprint,
                d.client_not_after, d.authority_subject, d.authority_fingerprint, d.authority_not_after, d.server_subject,
                d.server_fingerprint, d.server_not_after, d.guard, d.checked_at, d.trouble
             FROM deployment_targets t LEFT JOIN agents a ON a.id = t.agent_id
                LEFT JOIN docker_tls_targets d ON d.id = t.id
             ",
            $rest
        )
    };
}

macro_rules! labelled_targets {
    ($has:literal) => {
        concat!(
            "SELECT t.id, t.name, t.type, t.agent_id, t.created_at, t.labels, a.session_id, a.last_seen_at, a.revoked_at,
                a.capabilities, t.host, d.client_subject, d.client_fingerprint,
                d.client_not_after, d.authority_subject, d.authority_fingerprint, d.authority_not_after, d.server_subject,
                d.server_fingerprint, d.server_not_after, d.guard, d.checked_at, d.trouble, (SELECT COUNT(*) FROM jobs j WHERE j.target_id = t.id AND j.state = 'queued')
                + (SELECT COUNT(*) FROM jobs j WHERE j.target_id = t.id
                    AND j.state IN ('offered', 'accepted', 'running', 'unknown')) AS jobs
             FROM deployment_targets t LEFT JOIN agents a ON a.id = t.agent_id
                LEFT JOIN docker_tls_targets d ON d.id = t.id WHERE t.team_id = $1 AND ",
            $has,
            " ORDER BY t.name"
        )
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    r#type: String,
    agent_id: Option<Uuid>,
    #[sqlx(flatten)]
    presence: Presence,
    #[sqlx(flatten)]
    capabilities: StoredCapabilities,
    labels: Json<Vec<String>>,
    #[sqlx(flatten)]
    endpoint: EndpointRow,
    created_at: DateTime<Utc>,
}

/// A target with what its agent can do: what a deploy is judged by.
pub(crate) struct Servant {
    pub(crate) target: Target,
    pub(crate) capabilities: Option<Capabilities>,
}

impl Row {
    fn into_servant(self, now: DateTime<Utc>) -> Servant {
        let status = match self.agent_id {
            Some(_) => self.presence.status(now),
            None => AgentStatus::Offline,
        };
        let capabilities = self.capabilities.read();
        let trouble = self.endpoint.trouble.clone();
        let docker_tls = self.endpoint.read();
        let reason = match (&*self.r#type, &docker_tls, trouble) {
            ("docker_tls", None, _) => Some("its keys were taken away; add it again".to_owned()),
            ("docker_tls", Some(_), Some(trouble)) => Some(trouble),
            (target_type, ..) => unready(
                status,
                Platform::of_type(target_type),
                capabilities.as_ref(),
            ),
        };
        let target = Target {
            id: self.id.into(),
            name: self.name,
            r#type: self.r#type,
            agent_id: self.agent_id.map(Into::into),
            status,
            engine: capabilities.as_ref().and_then(engine_version),
            compose: capabilities.as_ref().and_then(compose_version),
            ready: if reason.is_none() {
                Readiness::Ready
            } else {
                Readiness::NotReady
            },
            reason,
            labels: self.labels.0,
            docker_tls,
            cluster: capabilities.as_ref().and_then(TargetCluster::of),
            created_at: self.created_at,
        };
        Servant {
            target,
            capabilities,
        }
    }
}

impl Servant {
    /// On what its agent works, as far as anything was deployed there or it is known.
    pub(crate) fn platform(&self) -> Platform {
        Platform::of_type(&self.target.r#type)
    }

    /// What it lacks for a deploy, in words that say what to do.
    pub(crate) fn lacks(&self) -> Option<String> {
        let capabilities = self.capabilities.as_ref()?;
        moved(self.platform(), capabilities).or_else(|| missing_tool(capabilities))
    }

    /// Why nothing of what was deployed there can be reached any more, if it cannot.
    pub(crate) fn moved(&self) -> Option<String> {
        moved(self.platform(), self.capabilities.as_ref()?)
    }
}

fn moved(platform: Platform, capabilities: &Capabilities) -> Option<String> {
    let works_on = Platform::of_engine(&capabilities.engine)?;
    (works_on != platform).then(|| {
        format!(
            "its agent works on {} now, and what was deployed there runs on {}; have it run where it was, and enrol the other \
             under a name of its own",
            works_on.words(),
            platform.words(),
        )
    })
}

fn unready(
    status: AgentStatus,
    platform: Platform,
    capabilities: Option<&Capabilities>,
) -> Option<String> {
    if status == AgentStatus::Revoked {
        return Some("its agent was revoked; enrol the host again".to_owned());
    }
    let missing = match capabilities {
        None => Some("its agent has not connected yet".to_owned()),
        Some(capabilities) => moved(platform, capabilities).or_else(|| missing_tool(capabilities)),
    };
    missing.or_else(|| {
        (status == AgentStatus::Offline)
            .then(|| "its agent is offline; deploys wait for it".to_owned())
    })
}

/// What a host lacks for a deploy, in its agent's words, which say what to install.
fn missing_tool(capabilities: &Capabilities) -> Option<String> {
    match (&capabilities.engine, &capabilities.compose) {
        (Engine::Missing(why), _) => Some(format!("no container engine: {why}")),
        (Engine::Docker { .. }, Plugin::Missing(why)) => Some(format!("no compose plugin: {why}")),
        (Engine::Docker { .. }, Plugin::Version(_)) | (Engine::Kubernetes(_), _) => None,
    }
}

impl Store {
    /// The team's targets.
    pub async fn list_targets(&self, tenant: &Tenant, page: Page) -> Result<Listed<Target>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_targets!("WHERE t.team_id = $1 AND t.id < $2 ORDER BY t.id DESC LIMIT $3"),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let now = local_now();
        let targets = rows
            .into_iter()
            .map(|row| row.into_servant(now).target)
            .collect();
        Ok(page.cut(targets, |target: &Target| target.id.uuid()))
    }

    /// One target.
    pub async fn target(&self, tenant: &Tenant, target: TargetId) -> Result<Target> {
        self.servant(tenant, &target.to_string())
            .await
            .map(|servant| servant.target)
    }

    /// One target, by its id or its name.
    pub async fn find_target(&self, tenant: &Tenant, id_or_name: &str) -> Result<Target> {
        self.servant(tenant, id_or_name)
            .await
            .map(|servant| servant.target)
    }

    pub(crate) async fn servant(&self, tenant: &Tenant, id_or_name: &str) -> Result<Servant> {
        let id = Uuid::try_parse(id_or_name).unwrap_or_default();
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            select_targets!(
                "WHERE t.team_id = $1 AND (t.id = $2 OR t.name = $3) ORDER BY t.id LIMIT 1"
            ),
            tenant.team().uuid(),
            id,
            id_or_name
        )?;
        let row = row.ok_or(StoreError::NotFound(Resource::Target))?;
        Ok(row.into_servant(local_now()))
    }
}

/// How busy a labelled target is: its jobs that have not ended.
#[derive(sqlx::FromRow)]
struct Labelled {
    #[sqlx(flatten)]
    row: Row,
    jobs: i64,
}

impl Store {
    /// The targets that have a label, the idlest first.
    pub(crate) async fn labelled(&self, tenant: &Tenant, label: &str) -> Result<Vec<Servant>> {
        let mut reader = self.main().read().await?;
        let conn = reader.conn();
        let sql = conn.pick(
            labelled_targets!("EXISTS (SELECT 1 FROM json_each(t.labels) l WHERE l.value = $2)"),
            labelled_targets!("t.labels @> to_jsonb(CAST($2 AS TEXT))"),
        );
        let rows = all!(conn, Labelled, sql, tenant.team().uuid(), label)?;
        drop(reader);
        let now = local_now();
        let mut found: Vec<(i64, Servant)> = rows
            .into_iter()
            .map(|found| (found.jobs, found.row.into_servant(now)))
            .collect();
        found.sort_by_key(|(jobs, servant)| (servant.target.ready, *jobs));
        Ok(found.into_iter().map(|(_, servant)| servant).collect())
    }

    /// Whether something that was deployed may run on a target.
    pub(crate) async fn runs_something(&self, tenant: &Tenant, target: TargetId) -> Result<bool> {
        let mut reader = self.main().read().await?;
        let found = optional!(
            reader.conn(),
            (Uuid,),
            "SELECT d.id FROM deployments d WHERE d.target_id = $1 AND d.team_id = $2 AND d.kind = 'deploy'
                AND d.status = 'succeeded' AND NOT EXISTS (SELECT 1 FROM deployments n WHERE n.project_id = d.project_id
                    AND n.target_id = d.target_id AND n.kind = 'remove' AND n.status = 'succeeded' AND n.id > d.id)
             LIMIT 1",
            target.uuid(),
            tenant.team().uuid()
        )?;
        Ok(found.is_some())
    }
}

/// Makes the target of a new agent, or gives it the one that a revoked agent of this name served:
/// its host was enrolled again. All earlier fences are outdated then, since the new agent has not
/// seen them. `None` if the name belongs to a target of another, live agent.
pub(crate) async fn serve_by(
    tx: &mut Tx,
    team: TeamId,
    name: &str,
    agent: AgentId,
    now: DateTime<Utc>,
) -> Result<Option<TargetId>> {
    let incarnation = installation::incarnation(tx).await?;
    let row = optional!(
        tx.conn(),
        (Uuid,),
        "INSERT INTO deployment_targets
            (id, team_id, name, type, host, agent_id, fence_incarnation, fence_epoch, created_at, updated_at)
         VALUES ($1, $2, $3, 'docker_agent', $3, $4, $5, 0, $6, $6)
         ON CONFLICT (team_id, name) DO UPDATE SET agent_id = excluded.agent_id, host = excluded.host,
            type = CASE WHEN deployment_targets.type = 'docker_tls' THEN excluded.type ELSE deployment_targets.type END,
            fence_epoch = 0,
            fence_incarnation = deployment_targets.fence_incarnation + 1, updated_at = excluded.updated_at
         WHERE (deployment_targets.agent_id IS NULL AND deployment_targets.auth IS NULL)
            OR EXISTS (SELECT 1 FROM agents a WHERE a.id = deployment_targets.agent_id AND a.revoked_at IS NOT NULL)
         RETURNING id",
        TargetId::new().uuid(),
        team.uuid(),
        name,
        agent.uuid(),
        stored(incarnation.into()),
        now
    )?;
    Ok(row.map(|(target,)| target.into()))
}

/// Whether an agent that is not revoked serves the target, and will until the commit: a revocation
/// waits, and then finds what was queued.
pub(crate) async fn hold_served(tx: &mut Tx, target: TargetId) -> Result<bool> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT a.id FROM deployment_targets t JOIN agents a ON a.id = t.agent_id
         WHERE t.id = $1 AND a.revoked_at IS NULL",
        "SELECT a.id FROM deployment_targets t JOIN agents a ON a.id = t.agent_id
         WHERE t.id = $1 AND a.revoked_at IS NULL FOR SHARE OF a",
    );
    Ok(optional!(conn, (Uuid,), sql, target.uuid())?.is_some())
}

/// The agent's targets with the highest fence given out on each.
pub(crate) async fn fences(tx: &mut Tx, agent: AgentId) -> Result<Vec<(TargetId, Fence)>> {
    let rows = all!(
        tx.conn(),
        (Uuid, i64, i64),
        "SELECT id, fence_incarnation, fence_epoch FROM deployment_targets WHERE agent_id = $1",
        agent.uuid()
    )?;
    rows.into_iter()
        .map(|(id, incarnation, epoch)| Ok((id.into(), fence(incarnation, epoch)?)))
        .collect()
}

/// Puts a target beyond every fence of an incarnation.
pub(crate) async fn raise_incarnation(
    tx: &mut Tx,
    target: TargetId,
    beyond: u32,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE deployment_targets SET fence_epoch = 0, updated_at = $3,
            fence_incarnation = CASE WHEN fence_incarnation > $2 THEN fence_incarnation ELSE $2 END + 1
         WHERE id = $1",
        target.uuid(),
        stored(beyond.into()),
        now
    )?;
    Ok(())
}

/// A fence as stored.
pub(crate) fn fence(incarnation: i64, epoch: i64) -> Result<Fence> {
    let incarnation = u32::try_from(incarnation)
        .map_err(|_| StoreError::Damaged(format!("{incarnation} is no incarnation of a fence")))?;
    Ok(Fence::new(incarnation, counted(epoch)))
}
