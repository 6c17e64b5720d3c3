//! Calls of plugins: each with its request, its attempts, and what came back.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{PluginId, PluginRunId, ProjectId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, local_now, optional};
use super::outbox::kept;
use super::page::{Listed, Page};
use super::text::storable;
use super::{Attempted, Resource, Result, Store, StoreError, Tenant, audit, counted, outbox};
use crate::domain::retry::GIVE_UP_AFTER;

/// A call of a plugin.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PluginRun {
    /// The run's id, by which the plugin knows the request (`webhook-id`): the same when it is sent again.
    #[schema(value_type = Uuid)]
    pub id: PluginRunId,
    /// The plugin.
    #[schema(value_type = Uuid)]
    pub plugin_id: PluginId,
    /// The hook (`before_deploy`), or `test`.
    pub hook: String,
    /// The project that it was about; it may be gone.
    #[schema(value_type = Option<Uuid>)]
    pub project_id: Option<ProjectId>,
    /// `waiting`, `sending`, `delivered`, `vetoed`, or `failed`: there is no answer that can be used.
    pub state: String,
    /// What came of it: `allowed` or `refused`; `told` where it had happened already.
    pub effect: String,
    /// How many attempts were begun.
    pub attempts: u64,
    /// When the next one is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last answer.
    pub response_status: Option<i64>,
    /// How long the last attempt took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Why the last attempt was none.
    pub error: Option<String>,
    /// What the plugin says: its message, or the reason of its veto.
    pub message: Option<String>,
    /// When it was asked or told first.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A call with what was sent and what came back.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PluginExchange {
    /// The run.
    #[serde(flatten)]
    pub run: PluginRun,
    /// What is sent, the bytes that are signed.
    pub request_body: String,
    /// The first 4 KiB of the last answer.
    pub response_body: Option<String>,
    /// When the last attempt that has ended began.
    pub attempted_at: Option<DateTime<Utc>>,
}

/// What came of a plugin that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What it was asked about goes on.
    Allowed,
    /// It does not.
    Refused,
    /// It was not asked about anything.
    Told,
}

/// Where a call that has ended is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is an answer.
    Delivered,
    /// There is one that says no.
    Vetoed,
    /// There is none that can be used.
    Failed,
}

/// A call that has ended, to be written down.
#[derive(Clone, Debug)]
pub struct AskedRun {
    /// By which the plugin knows the request.
    pub id: PluginRunId,
    /// The plugin.
    pub plugin: PluginId,
    /// The hook, or `test`.
    pub hook: &'static str,
    /// The project that it was about.
    pub project: Option<ProjectId>,
    /// What was sent.
    pub body: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What came back.
    pub attempted: Attempted,
    /// What the plugin says.
    pub message: Option<String>,
    /// Where it is.
    pub ended: Ended,
    /// What came of it.
    pub effect: Effect,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    plugin_id: Uuid,
    hook: String,
    project_id: Option<Uuid>,
    state: String,
    effect: String,
    attempts: i64,
    next_attempt_at: Option<DateTime<Utc>>,
    response_status: Option<i64>,
    duration_ms: Option<i64>,
    error: Option<String>,
    message: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct ExchangeRow {
    #[sqlx(flatten)]
    run: Row,
    request_body: String,
    response_body: Option<String>,
    attempted_at: Option<DateTime<Utc>>,
}

macro_rules! select_runs {
    ($more:literal where $condition:literal) => {
        concat!(
            "SELECT r.id, r.plugin_id, r.hook, r.project_id, r.state, r.effect, r.attempts, r.next_attempt_at,
                r.response_status, r.duration_ms, r.error, r.message, r.created_at, r.finished_at",
            $more,
            " FROM plugin_runs r JOIN custom_plugins c ON c.id = r.plugin_id WHERE ",
            $condition
        )
    };
}

impl From<Row> for PluginRun {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            plugin_id: row.plugin_id.into(),
            hook: row.hook,
            project_id: row.project_id.map(Into::into),
            state: row.state,
            effect: row.effect,
            attempts: counted(row.attempts),
            next_attempt_at: row.next_attempt_at,
            response_status: row.response_status,
            duration_ms: row.duration_ms,
            error: row.error,
            message: row.message,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

impl Effect {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Told => "told",
        }
    }
}

impl Ended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Vetoed => "vetoed",
            Self::Failed => "failed",
        }
    }
}

impl Store {
    /// What a plugin was asked and told.
    pub async fn list_plugin_runs(
        &self,
        tenant: &Tenant,
        plugin: PluginId,
        page: Page,
    ) -> Result<Listed<PluginRun>> {
        self.plugin(tenant, plugin).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_runs!("" where "r.plugin_id = $1 AND c.team_id = $2 AND r.id < $3 ORDER BY r.id DESC LIMIT $4"),
            plugin.uuid(),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let runs = rows.into_iter().map(PluginRun::from).collect();
        Ok(page.cut(runs, |run| run.id.uuid()))
    }

    /// One call with what was sent and what came back.
    pub async fn plugin_run(&self, tenant: &Tenant, id: PluginRunId) -> Result<PluginExchange> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            ExchangeRow,
            select_runs!(", r.request_body, r.response_body, r.attempted_at" where "r.id = $1 AND c.team_id = $2"),
            id.uuid(),
            tenant.team().uuid()
        )?;
        let row = row.ok_or(StoreError::NotFound(Resource::PluginRun))?;
        Ok(PluginExchange {
            run: row.run.into(),
            request_body: row.request_body,
            response_body: row.response_body,
            attempted_at: row.attempted_at,
        })
    }

    /// Writes down what plugins of the team were asked. Nothing is kept of one that was deleted meanwhile.
    pub async fn note_asked(&self, tenant: &Tenant, runs: &[AskedRun]) -> Result<()> {
        let mut tx = self.main().begin().await?;
        for run in runs {
            insert_asked(&mut tx, tenant, run).await?;
        }
        tx.commit().await
    }

    /// Writes down how somebody has tried a plugin.
    pub async fn note_plugin_test(
        &self,
        tenant: &Tenant,
        run: &AskedRun,
    ) -> Result<PluginExchange> {
        let mut tx = self.main().begin().await?;
        insert_asked(&mut tx, tenant, run).await?;
        let (subject, now) = (("plugin", run.plugin.uuid()), local_now());
        let detail = json!({ "run": run.id, "state": run.ended.as_str() });
        audit::append_of(&mut tx, tenant, "plugin.test", subject, detail, now).await?;
        tx.commit().await?;
        self.plugin_run(tenant, run.id).await
    }
}

async fn insert_asked(tx: &mut Tx, tenant: &Tenant, run: &AskedRun) -> Result<()> {
    let (conn, now) = (tx.conn(), local_now());
    let sql = conn.pick(INSERT_ASKED[0], INSERT_ASKED[1]);
    let answer = run.attempted.answer.as_ref();
    execute!(
        conn,
        sql,
        run.id.uuid(),
        run.plugin.uuid(),
        tenant.team().uuid(),
        run.hook,
        run.project.map(ProjectId::uuid),
        run.ended.as_str(),
        run.effect.as_str(),
        run.body.as_str(),
        run.at,
        answer.map(|(status, _)| i64::from(*status)),
        answer.map(|(_, body)| kept(body)),
        run.attempted.took.num_milliseconds(),
        run.attempted.error.as_deref().map(storable),
        run.message.as_deref(),
        now
    )?;
    Ok(())
}

macro_rules! insert_asked {
    ($lock:literal) => {
        concat!(
            "INSERT INTO plugin_runs (id, plugin_id, hook, project_id, state, effect, attempts, give_up_at, request_body,
                attempted_at, response_status, response_body, duration_ms, error, message, finished_at, created_at,
                updated_at)
             SELECT $1, id, $4, $5, $6, $7, 1, $9, $8, $9, $10, $11, $12, $13, $14, $15, $9, $15
             FROM custom_plugins WHERE id = $2 AND team_id = $3",
            $lock
        )
    };
}

/// A plugin that is being deleted is waited for, and then there is none.
const INSERT_ASKED: [&str; 2] = [insert_asked!(""), insert_asked!(" FOR KEY SHARE")];

/// Queues a telling of what has happened.
pub(super) async fn queue(
    tx: &mut Tx,
    plugin: Uuid,
    hook: &str,
    project: Option<ProjectId>,
    body: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO plugin_runs (id, plugin_id, hook, project_id, state, effect, attempts, next_attempt_at, give_up_at,
            request_body, created_at, updated_at)
         VALUES ($1, $2, $3, $4, 'waiting', 'told', 0, $5, $6, $7, $5, $5)",
        PluginRunId::new().uuid(),
        plugin,
        hook,
        project.map(ProjectId::uuid),
        now,
        now + GIVE_UP_AFTER,
        body
    )?;
    Ok(())
}

/// Ends all that waits for a plugin, whose row has been locked.
pub(super) async fn give_up(
    tx: &mut Tx,
    plugin: PluginId,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = outbox::give_up!("plugin_runs" by "plugin_id");
    execute!(tx.conn(), sql, plugin.uuid(), why, now)?;
    Ok(())
}
