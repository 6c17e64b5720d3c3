//! What forges told of pushes: each message counts once, and stands in a list of the last ones with what became of it.
//!
//! All of a hook's messages are taken one after the other, by its row's lock: so one that is sent twice at once counts
//! once, and of a commit that is told of under two ids, only the first is deployed.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{ProjectId, PushHookId, PushId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::db::{Tx, all, execute, id_list, optional};
use super::deployments::Named;
use super::page::{Listed, Page};
use super::push_hooks::globs;
use super::{Resource, Result, Store, StoreError, Tenant};
use crate::domain::forge::{Delivery, Forge, Told};
use crate::domain::push::{Push, PushFilter, judge, kept};

/// How many of a hook's messages are kept.
const KEPT: i64 = 200;
/// The last commit of a branch is not taken again so soon.
const SAME_FOR: TimeDelta = TimeDelta::minutes(10);
/// How long it is tried to deploy a push: a forge may be out of reach, or not show its newest commit at once.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::minutes(15);
/// The longest name of a branch or tag that is kept.
const MAX_REFERENCE: usize = 300;
const LATER: &str = "a later push came before it was deployed";

/// What a forge told of a push, and what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordedPush {
    /// The push's id.
    #[schema(value_type = Uuid)]
    pub id: PushId,
    /// What the forge knows its message by.
    pub delivery_id: String,
    /// What the forge calls it.
    pub event: String,
    /// Whom the forge let push: its own word, and not the commit's.
    pub sender: Option<String>,
    /// What was pushed to, as git names it; null when the message is about no push.
    pub reference: Option<String>,
    /// The commit; null when the branch was deleted.
    pub commit_sha: Option<String>,
    /// The first line of its message.
    pub title: Option<String>,
    /// `taken` or `ignored`.
    pub outcome: String,
    /// Why it is ignored.
    pub reason: Option<String>,
    /// What became of it on each target.
    pub deploys: Vec<PushDeploy>,
    /// When it came.
    pub created_at: DateTime<Utc>,
}

/// What became of a push on a target.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PushDeploy {
    /// The target.
    pub target: Named,
    /// `waiting`, `starting`, `deployed` (a deployment is queued), `refused` or `superseded` by a later push.
    pub state: String,
    /// Its deployment.
    pub deployment_id: Option<Uuid>,
    /// Why there is none, or none yet.
    pub message: Option<String>,
}

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reception {
    /// It was known already.
    Repeated,
    /// It is new.
    New(Vec<Received>),
}

/// What came of one push of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its id.
    pub id: PushId,
    /// Why it is ignored; nothing when it is deployed.
    pub ignored: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Hook {
    project_id: Uuid,
    team_id: Uuid,
    forge: String,
    state: String,
    branches: String,
    include_paths: String,
    exclude_paths: String,
    environment: Option<String>,
    on_failure: String,
    source_branch: Option<String>,
    has_source: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    delivery_id: String,
    event: String,
    sender: Option<String>,
    reference: Option<String>,
    commit_sha: Option<String>,
    title: Option<String>,
    outcome: String,
    reason: Option<String>,
    created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct DeployRow {
    push_id: Uuid,
    target_id: Uuid,
    target_name: String,
    state: String,
    deployment_id: Option<Uuid>,
    message: Option<String>,
}

impl Store {
    /// Takes what a forge told. To be called only with what was verified by the hook's secret.
    pub async fn take_push(&self, hook: PushHookId, told: &Delivery) -> Result<Reception> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let settings = lock(&mut tx, hook).await?;
        if is_known(&mut tx, hook, &settings, told).await? {
            tx.roll_back().await?;
            return Ok(Reception::Repeated);
        }
        let message = Taking {
            hook,
            settings: &settings,
            told,
            now,
        };
        let received = match &told.told {
            Told::Nothing(why) => vec![message.ignore(&mut tx, why).await?],
            Told::Pushes(pushes) => {
                let mut received = Vec::new();
                for (part, push) in (0..).zip(pushes) {
                    received.push(message.take(&mut tx, part, push).await?);
                }
                received
            }
        };
        prune(&mut tx, hook).await?;
        message.write_audit(&mut tx, &received).await?;
        tx.commit().await?;
        self.wake().outbox();
        Ok(Reception::New(received))
    }

    /// The last pushes that the hook of a project was told of.
    pub async fn list_pushes(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        page: Page,
    ) -> Result<Listed<RecordedPush>> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT s.id, s.delivery_id, s.event, s.sender, s.reference, s.commit_sha, s.title, s.outcome, s.reason,
                s.created_at
             FROM push_hooks h JOIN projects p ON p.id = h.project_id JOIN pushes s ON s.hook_id = h.id
             WHERE h.project_id = $1 AND p.team_id = $2 AND s.id < $3 ORDER BY s.id DESC LIMIT $4",
            project.uuid(),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let ids = id_list(rows.iter().map(|row| &row.id));
        let conn = reader.conn();
        let sql = conn.pick(
            "SELECT d.push_id, d.target_id, t.name AS target_name, d.state, d.deployment_id, d.message
             FROM json_each($1) ids CROSS JOIN push_deploys d ON d.push_id = unhex(ids.value, '-')
             JOIN deployment_targets t ON t.id = d.target_id ORDER BY t.name",
            "SELECT d.push_id, d.target_id, t.name AS target_name, d.state, d.deployment_id, d.message
             FROM push_deploys d JOIN deployment_targets t ON t.id = d.target_id
             WHERE d.push_id IN (SELECT CAST(jsonb_array_elements_text($1::jsonb) AS uuid)) ORDER BY t.name",
        );
        let mut deploys: HashMap<Uuid, Vec<PushDeploy>> = HashMap::new();
        for row in all!(conn, DeployRow, sql, ids.as_str())? {
            deploys.entry(row.push_id).or_default().push(row.into());
        }
        let pushes = rows.into_iter().map(|row| {
            let deploys = deploys.remove(&row.id).unwrap_or_default();
            row.with(deploys)
        });
        Ok(page.cut(pushes.collect(), |push| push.id.uuid()))
    }
}

impl Row {
    fn with(self, deploys: Vec<PushDeploy>) -> RecordedPush {
        RecordedPush {
            id: self.id.into(),
            delivery_id: self.delivery_id,
            event: self.event,
            sender: self.sender,
            reference: self.reference,
            commit_sha: self.commit_sha,
            title: self.title,
            outcome: self.outcome,
            reason: self.reason,
            deploys,
            created_at: self.created_at,
        }
    }
}

impl From<DeployRow> for PushDeploy {
    fn from(row: DeployRow) -> Self {
        Self {
            target: Named {
                id: row.target_id,
                name: row.target_name,
            },
            state: row.state,
            deployment_id: row.deployment_id,
            message: row.message,
        }
    }
}

impl Hook {
    fn filter(&self) -> Result<PushFilter> {
        Ok(PushFilter {
            branches: globs(&self.branches)?,
            include: globs(&self.include_paths)?,
            exclude: globs(&self.exclude_paths)?,
        })
    }
}

/// A message that is being taken; the hook's row is locked.
struct Taking<'a> {
    hook: PushHookId,
    settings: &'a Hook,
    told: &'a Delivery,
    now: DateTime<Utc>,
}

impl Taking<'_> {
    async fn take(&self, tx: &mut Tx, part: i64, push: &Push) -> Result<Received> {
        let ignored = match self.judged(push)? {
            Ok(()) => self.lately(tx, push).await?,
            Err(why) => Some(why),
        };
        let id = self
            .insert(tx, part, Some(push), ignored.as_deref())
            .await?;
        if ignored.is_none() {
            supersede(tx, self.hook, LATER, self.now).await?;
            self.queue(tx, id).await?;
        }
        Ok(Received { id, ignored })
    }

    async fn ignore(&self, tx: &mut Tx, why: &str) -> Result<Received> {
        let why = kept(why, 500);
        let id = self.insert(tx, 0, None, Some(&why)).await?;
        Ok(Received {
            id,
            ignored: Some(why),
        })
    }

    fn judged(&self, push: &Push) -> Result<std::result::Result<(), String>> {
        if self.settings.state != "enabled" {
            return Ok(Err("the hook is switched off".to_owned()));
        }
        if self.settings.has_source == 0 {
            return Ok(Err(
                "the project comes from no repository any more".to_owned()
            ));
        }
        let source = self.settings.source_branch.as_deref();
        let filter = self.settings.filter()?;
        Ok(judge(&filter, source, push).map(|_| ()))
    }

    /// Why a commit is not taken that was taken as the branch's last one a moment ago.
    async fn lately(&self, tx: &mut Tx, push: &Push) -> Result<Option<String>> {
        let last = optional!(
            tx.conn(),
            (Option<String>, DateTime<Utc>),
            "SELECT commit_sha, created_at FROM pushes WHERE hook_id = $1 AND reference = $2 AND outcome = 'taken'
             ORDER BY id DESC LIMIT 1",
            self.hook.uuid(),
            kept(&push.reference, MAX_REFERENCE)
        )?;
        let Some((commit, at)) = last else {
            return Ok(None);
        };
        let is_again = commit == push.commit && self.now - at < SAME_FOR;
        Ok(is_again
            .then(|| "this commit was told of a moment ago, and is deployed once".to_owned()))
    }

    async fn insert(
        &self,
        tx: &mut Tx,
        part: i64,
        push: Option<&Push>,
        ignored: Option<&str>,
    ) -> Result<PushId> {
        let id = PushId::new();
        let commit = push.and_then(|push| push.commit.as_deref());
        execute!(
            tx.conn(),
            "INSERT INTO pushes (id, hook_id, delivery_id, part, digest, event, sender, reference, commit_sha, title,
                outcome, reason, environment, on_failure, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            id.uuid(),
            self.hook.uuid(),
            self.told.id.as_str(),
            part,
            self.told.digest.as_slice(),
            self.told.event.as_str(),
            push.and_then(Push::sender),
            push.map(|push| kept(&push.reference, MAX_REFERENCE)),
            commit.map(|commit| kept(commit, 64)),
            push.map(Push::title),
            if ignored.is_some() { "ignored" } else { "taken" },
            ignored,
            self.settings.environment.as_deref(),
            self.settings.on_failure.as_str(),
            self.now
        )?;
        Ok(id)
    }

    /// Has a push deployed to each of the hook's targets.
    async fn queue(&self, tx: &mut Tx, push: PushId) -> Result<()> {
        let sql = "SELECT target_id FROM push_hook_targets WHERE hook_id = $1 ORDER BY target_id LIMIT 100";
        for (target,) in all!(tx.conn(), (Uuid,), sql, self.hook.uuid())? {
            execute!(
                tx.conn(),
                "INSERT INTO push_deploys (id, push_id, hook_id, target_id, state, attempts, next_attempt_at, give_up_at,
                    created_at, updated_at)
                 VALUES ($1, $2, $3, $4, 'waiting', 0, $5, $6, $5, $5)",
                Uuid::now_v7(),
                push.uuid(),
                self.hook.uuid(),
                target,
                self.now,
                self.now + GIVE_UP_AFTER
            )?;
        }
        Ok(())
    }

    /// What is ignored changes nothing, and stands in the list alone.
    async fn write_audit(&self, tx: &mut Tx, received: &[Received]) -> Result<()> {
        for one in received.iter().filter(|one| one.ignored.is_none()) {
            let mut detail = about(tx, one.id).await?;
            detail["hook"] = json!(self.hook);
            let entry = Entry {
                chain: self.settings.team_id,
                team: Some(self.settings.team_id.into()),
                actor: Actor::System,
                action: "push.take",
                subject: ("project", Some(self.settings.project_id)),
                detail,
            };
            audit::append(tx, &entry, self.now).await?;
        }
        Ok(())
    }
}

/// A push, as the audit log tells of what came of it.
pub(crate) async fn about(tx: &mut Tx, push: PushId) -> Result<serde_json::Value> {
    let row = optional!(
        tx.conn(),
        (
            String,
            Option<String>,
            Option<String>,
            Option<String>,
            String
        ),
        "SELECT s.delivery_id, s.sender, s.reference, s.commit_sha, h.forge FROM pushes s
         JOIN push_hooks h ON h.id = s.hook_id WHERE s.id = $1",
        push.uuid()
    )?;
    let (delivery, sender, reference, commit, forge) =
        row.ok_or(StoreError::NotFound(Resource::PushHook))?;
    Ok(json!({
        "push": push, "delivery": delivery, "sender": sender, "reference": reference, "commit": commit, "forge": forge,
    }))
}

/// Ends all that waits for a hook, whose row is locked.
pub(super) async fn supersede(
    tx: &mut Tx,
    hook: PushHookId,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE push_deploys SET state = 'superseded', message = $2, next_attempt_at = NULL, finished_at = $3,
            updated_at = $3 WHERE hook_id = $1 AND state = 'waiting'",
        hook.uuid(),
        why,
        now
    )?;
    Ok(())
}

async fn lock(tx: &mut Tx, hook: PushHookId) -> Result<Hook> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT h.project_id, p.team_id, h.forge, h.state, h.branches, h.include_paths, h.exclude_paths, h.environment,
            h.on_failure, s.branch AS source_branch,
            CASE WHEN s.id IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END AS has_source
         FROM push_hooks h JOIN projects p ON p.id = h.project_id LEFT JOIN project_sources s ON s.project_id = h.project_id
         WHERE h.id = $1",
        "SELECT h.project_id, p.team_id, h.forge, h.state, h.branches, h.include_paths, h.exclude_paths, h.environment,
            h.on_failure, s.branch AS source_branch,
            CASE WHEN s.id IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END AS has_source
         FROM push_hooks h JOIN projects p ON p.id = h.project_id LEFT JOIN project_sources s ON s.project_id = h.project_id
         WHERE h.id = $1 FOR UPDATE OF h",
    );
    let row = optional!(conn, Hook, sql, hook.uuid())?;
    row.ok_or(StoreError::NotFound(Resource::PushHook))
}

async fn is_known(tx: &mut Tx, hook: PushHookId, settings: &Hook, told: &Delivery) -> Result<bool> {
    let sql = "SELECT id FROM pushes WHERE hook_id = $1 AND delivery_id = $2 LIMIT 1";
    let known = optional!(tx.conn(), (Uuid,), sql, hook.uuid(), told.id.as_str())?;
    let forge: Forge = super::push_hooks::forge(&settings.forge)?;
    if known.is_some() || !forge.tells_in_new_words() {
        return Ok(known.is_some());
    }
    let sql = "SELECT id FROM pushes WHERE hook_id = $1 AND digest = $2 LIMIT 1";
    let known = optional!(tx.conn(), (Uuid,), sql, hook.uuid(), told.digest.as_slice())?;
    Ok(known.is_some())
}

/// Forgets what came before the last ones.
async fn prune(tx: &mut Tx, hook: PushHookId) -> Result<()> {
    execute!(
        tx.conn(),
        "DELETE FROM pushes WHERE hook_id = $1
            AND id <= (SELECT o.id FROM pushes o WHERE o.hook_id = $1 ORDER BY o.id DESC LIMIT 1 OFFSET $2)",
        hook.uuid(),
        KEPT
    )?;
    Ok(())
}
