//! Where a forge tells of pushes to a project's repository, and what is deployed of them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{ProjectId, PushHookId, TargetId};
use towline_shared::spec::OnFailure;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Conn, Tx, all, execute, local_now, optional};
use super::deployments::{Named, on_failure_name};
use super::webhooks::signing_secret;
use super::{Resource, Result, Store, StoreError, Tenant, audit, projects, pushes};
use crate::domain::forge::Forge;
use crate::domain::glob::Glob;
use crate::domain::names::InvalidName;
use crate::domain::push::{MAX_TARGETS, PushFilter};
use crate::domain::repository::invalid;
use crate::domain::secrets::check_environment;
use crate::vault::Place;

/// Where a forge tells of pushes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PushHook {
    /// The hook's id.
    #[schema(value_type = Uuid)]
    pub id: PushHookId,
    /// The project that is deployed.
    #[schema(value_type = Uuid)]
    pub project_id: ProjectId,
    /// Who tells: `github` (also Gitea and Forgejo), `gitlab`, `bitbucket` or `generic`.
    pub forge: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// Where is deployed.
    pub targets: Vec<Named>,
    /// To which branches pushes are deployed; none: to the source's own.
    pub branches: Vec<String>,
    /// Pushes are deployed that change something among these paths; none: among all.
    pub include_paths: Vec<String>,
    /// And that is not among these.
    pub exclude_paths: Vec<String>,
    /// For which environment.
    pub environment: Option<String>,
    /// What happens when it does not come up: `leave` or `roll_back`.
    pub on_failure: String,
    /// The repository in which Towline has installed it at the forge; absent where somebody enters it there by hand.
    pub installed_in: Option<String>,
    /// By whose right it deploys; absent when that person is gone, and nothing is deployed.
    pub set_by: Option<Named>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A hook to set.
#[derive(Clone, Debug)]
pub struct NewPushHook {
    /// Who tells.
    pub forge: Forge,
    /// Whether anything is deployed.
    pub state: PushState,
    /// Where, by ids or names.
    pub targets: Vec<String>,
    /// What.
    pub filter: PushFilter,
    /// For which environment.
    pub environment: Option<String>,
    /// What happens when it does not come up.
    pub on_failure: OnFailure,
}

/// Whether pushes are deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushState {
    /// They are.
    Enabled,
    /// They are written down, and that is all.
    Disabled,
}

impl PushState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// What a forge's messages are verified by.
#[derive(Debug)]
pub struct PushSecret {
    /// Who tells.
    pub forge: Forge,
    /// The secret that it shares with the hook.
    pub secret: Zeroizing<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    project_id: Uuid,
    forge: String,
    state: String,
    branches: String,
    include_paths: String,
    exclude_paths: String,
    environment: Option<String>,
    on_failure: String,
    repository: Option<String>,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct SecretRow {
    forge: String,
    secret: Vec<u8>,
    key_version: i64,
}

const TARGETS: &str =
    "SELECT t.id, t.name FROM push_hook_targets h JOIN deployment_targets t ON t.id = h.target_id
     WHERE h.hook_id = $1 ORDER BY t.name LIMIT $2";

/// Where a hook's secret stands.
const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "push_hooks",
        id,
        version: 1,
    }
}

impl Store {
    /// The hook of a project.
    pub async fn push_hook(&self, tenant: &Tenant, project: ProjectId) -> Result<PushHook> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let hook = find(reader.conn(), tenant, project).await?;
        hook.ok_or(StoreError::NotFound(Resource::PushHook))
    }

    /// Sets the hook of a project. Its secret is given when it is new, and stays otherwise.
    pub async fn set_push_hook(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        new: NewPushHook,
    ) -> Result<(PushHook, Option<Zeroizing<String>>)> {
        check_environment(new.environment.as_deref())?;
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        require_source(&mut tx, project).await?;
        let targets = targets_of(&mut tx, tenant, &new.targets).await?;
        let now = local_now();
        let known = lock_of(&mut tx, project).await?;
        let id = known.unwrap_or_else(PushHookId::new);
        let secret = if known.is_some() {
            update(&mut tx, tenant, id, &new, now).await?;
            None
        } else {
            let made = self.insert_hook(&mut tx, tenant, project, (id, &new), now);
            Some(made.await?)
        };
        let sql = "DELETE FROM push_hook_targets WHERE hook_id = $1";
        execute!(tx.conn(), sql, id.uuid())?;
        for target in &targets {
            execute!(
                tx.conn(),
                "INSERT INTO push_hook_targets (id, hook_id, target_id, created_at) VALUES ($1, $2, $3, $4)",
                Uuid::now_v7(),
                id.uuid(),
                target.uuid(),
                now
            )?;
        }
        if new.state == PushState::Disabled {
            pushes::supersede(&mut tx, id, "the hook was switched off", now).await?;
        }
        let hook = find(tx.conn(), tenant, project).await?;
        let hook = hook.ok_or(StoreError::NotFound(Resource::PushHook))?;
        let mut detail = json!({
            "hook": id, "forge": hook.forge, "state": hook.state, "branches": hook.branches,
            "include_paths": hook.include_paths, "exclude_paths": hook.exclude_paths,
            "environment": hook.environment, "on_failure": hook.on_failure,
        });
        detail["targets"] = hook
            .targets
            .iter()
            .map(|target| target.name.as_str())
            .collect();
        write_audit(&mut tx, tenant, "push_hook.set", project, detail, now).await?;
        tx.commit().await?;
        Ok((hook, secret))
    }

    /// Gives the hook of a project another secret. The former one is worth nothing any more.
    pub async fn rotate_push_secret(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<(PushHook, Zeroizing<String>)> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let id = lock_of(&mut tx, project).await?;
        let id = id.ok_or(StoreError::NotFound(Resource::PushHook))?;
        let (now, secret) = (local_now(), signing_secret()?);
        let sealed = self
            .seal(&mut tx, place(id.uuid()), secret.as_bytes())
            .await?;
        execute!(
            tx.conn(),
            "UPDATE push_hooks SET secret = $2, key_version = $3, updated_at = $4 WHERE id = $1",
            id.uuid(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        let hook = find(tx.conn(), tenant, project).await?;
        let hook = hook.ok_or(StoreError::NotFound(Resource::PushHook))?;
        let detail = json!({ "hook": id });
        write_audit(
            &mut tx,
            tenant,
            "push_hook.rotate_secret",
            project,
            detail,
            now,
        )
        .await?;
        tx.commit().await?;
        Ok((hook, secret))
    }

    /// Forgets the hook of a project, with all that it was told.
    pub async fn delete_push_hook(&self, tenant: &Tenant, project: ProjectId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let id = lock_of(&mut tx, project).await?;
        let id = id.ok_or(StoreError::NotFound(Resource::PushHook))?;
        let sql = "DELETE FROM push_hooks WHERE id = $1";
        execute!(tx.conn(), sql, id.uuid())?;
        let detail = json!({ "hook": id });
        write_audit(
            &mut tx,
            tenant,
            "push_hook.delete",
            project,
            detail,
            local_now(),
        )
        .await?;
        tx.commit().await
    }

    /// What the messages to a hook are verified by. Whoever asks is nobody yet: nothing of it may be shown.
    pub async fn push_secret(&self, hook: PushHookId) -> Result<Option<PushSecret>> {
        let mut reader = self.main().read().await?;
        let sql = "SELECT forge, secret, key_version FROM push_hooks WHERE id = $1";
        let row = optional!(reader.conn(), SecretRow, sql, hook.uuid())?;
        drop(reader);
        let Some(row) = row else {
            return Ok(None);
        };
        let opened = self
            .unseal(place(hook.uuid()), row.key_version, &row.secret)
            .await?;
        let damaged = |_| StoreError::Damaged("the secret of a push hook is no text".to_owned());
        let secret = std::str::from_utf8(&opened).map_err(damaged)?.to_owned();
        Ok(Some(PushSecret {
            forge: forge(&row.forge)?,
            secret: Zeroizing::new(secret),
        }))
    }

    async fn insert_hook(
        &self,
        tx: &mut Tx,
        tenant: &Tenant,
        project: ProjectId,
        (id, new): (PushHookId, &NewPushHook),
        now: DateTime<Utc>,
    ) -> Result<Zeroizing<String>> {
        let secret = signing_secret()?;
        let sealed = self.seal(tx, place(id.uuid()), secret.as_bytes()).await?;
        execute!(
            tx.conn(),
            "INSERT INTO push_hooks (id, project_id, user_id, forge, state, branches, include_paths, exclude_paths,
                environment, on_failure, secret, key_version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)",
            id.uuid(),
            project.uuid(),
            tenant.user().uuid(),
            new.forge.as_str(),
            new.state.as_str(),
            list(&new.filter.branches),
            list(&new.filter.include),
            list(&new.filter.exclude),
            new.environment.as_deref(),
            on_failure_name(new.on_failure),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        Ok(secret)
    }
}

async fn update(
    tx: &mut Tx,
    tenant: &Tenant,
    id: PushHookId,
    new: &NewPushHook,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE push_hooks SET user_id = $2, forge = $3, state = $4, branches = $5, include_paths = $6,
            exclude_paths = $7, environment = $8, on_failure = $9, updated_at = $10 WHERE id = $1",
        id.uuid(),
        tenant.user().uuid(),
        new.forge.as_str(),
        new.state.as_str(),
        list(&new.filter.branches),
        list(&new.filter.include),
        list(&new.filter.exclude),
        new.environment.as_deref(),
        on_failure_name(new.on_failure),
        now
    )?;
    Ok(())
}

async fn require_source(tx: &mut Tx, project: ProjectId) -> Result<()> {
    let sql = "SELECT id FROM project_sources WHERE project_id = $1";
    match optional!(tx.conn(), (Uuid,), sql, project.uuid())? {
        Some(_) => Ok(()),
        None => Err(StoreError::Conflict {
            message: "the project comes from no repository".to_owned(),
            remedy: "set its repository first (`towline source set`)".to_owned(),
        }),
    }
}

async fn targets_of(tx: &mut Tx, tenant: &Tenant, named: &[String]) -> Result<Vec<TargetId>> {
    if named.is_empty() || named.len() > MAX_TARGETS {
        let message = format!("a push is deployed to 1 to {MAX_TARGETS} targets");
        return Err(invalid("targets", message).into());
    }
    let mut found = Vec::new();
    for name in named {
        let row = optional!(
            tx.conn(),
            (Uuid,),
            "SELECT t.id FROM deployment_targets t WHERE t.team_id = $1 AND (t.id = $2 OR t.name = $3)
             ORDER BY t.id LIMIT 1",
            tenant.team().uuid(),
            Uuid::try_parse(name).unwrap_or_default(),
            name.as_str()
        )?;
        let (id,) = row.ok_or_else(|| InvalidName {
            field: "targets",
            message: format!("there is no target {name:?}"),
            remedy: "see `towline targets ls` for those of the team".to_owned(),
        })?;
        found.push(TargetId::from(id));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Locks the hook of a project, if it has one.
async fn lock_of(tx: &mut Tx, project: ProjectId) -> Result<Option<PushHookId>> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM push_hooks WHERE project_id = $1",
        "SELECT id FROM push_hooks WHERE project_id = $1 FOR UPDATE",
    );
    let row = optional!(conn, (Uuid,), sql, project.uuid())?;
    Ok(row.map(|(id,)| id.into()))
}

async fn find(mut conn: Conn<'_>, tenant: &Tenant, project: ProjectId) -> Result<Option<PushHook>> {
    let row = optional!(
        conn.again(),
        Row,
        "SELECT h.id, h.project_id, h.forge, h.state, h.branches, h.include_paths, h.exclude_paths, h.environment,
            h.on_failure, h.repository, u.id AS user_id, u.name AS user_name, h.created_at, h.updated_at
         FROM push_hooks h JOIN projects p ON p.id = h.project_id LEFT JOIN users u ON u.id = h.user_id
         WHERE h.project_id = $1 AND p.team_id = $2",
        project.uuid(),
        tenant.team().uuid()
    )?;
    let Some(row) = row else {
        return Ok(None);
    };
    let most = super::stored(MAX_TARGETS as u64);
    let targets = all!(conn, (Uuid, String), TARGETS, row.id, most)?;
    let targets = targets.into_iter().map(|(id, name)| Named { id, name });
    Ok(Some(PushHook {
        id: row.id.into(),
        project_id: row.project_id.into(),
        forge: row.forge,
        state: row.state,
        targets: targets.collect(),
        branches: texts(&row.branches)?,
        include_paths: texts(&row.include_paths)?,
        exclude_paths: texts(&row.exclude_paths)?,
        environment: row.environment,
        on_failure: row.on_failure,
        installed_in: row.repository,
        set_by: Named::both(row.user_id, row.user_name),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }))
}

async fn write_audit(
    tx: &mut Tx,
    tenant: &Tenant,
    action: &str,
    project: ProjectId,
    detail: serde_json::Value,
    now: DateTime<Utc>,
) -> Result<()> {
    let subject = ("project", project.uuid());
    audit::append_of(tx, tenant, action, subject, detail, now).await
}

/// Patterns as the columns have them.
fn list(globs: &[Glob]) -> String {
    let texts = globs.iter().map(Glob::as_str);
    texts.collect::<serde_json::Value>().to_string()
}

fn texts(stored: &str) -> Result<Vec<String>> {
    serde_json::from_str(stored)
        .map_err(|error| StoreError::Damaged(format!("the patterns of a push hook: {error}")))
}

/// Patterns as they are compared.
pub(super) fn globs(stored: &str) -> Result<Vec<Glob>> {
    let read = texts(stored)?.into_iter().map(|text| Glob::parse(&text));
    read.collect::<std::result::Result<_, _>>()
        .map_err(|error| StoreError::Damaged(error.to_string()))
}

pub(super) fn forge(stored: &str) -> Result<Forge> {
    stored
        .parse()
        .map_err(|_| StoreError::Damaged(format!("{stored:?} is no forge")))
}
