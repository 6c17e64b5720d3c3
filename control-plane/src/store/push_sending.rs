//! Deploying's side of pushes: who takes which, by whose right, and what became of it.
//!
//! A push is taken like a message of an outbox, by a lease; its deployment is asked for under a key of its own, so that
//! it is made once, whoever dies. Pushes to one target are deployed in the order in which they came: one that is under
//! way holds up the next, and one that waits for another attempt is given up when a later one is there.

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::ids::{DeploymentId, ProjectId, PushHookId, PushId, TargetId};
use towline_shared::spec::OnFailure;
use uuid::Uuid;

use super::billing::plan_of;
use super::db::{Tx, execute, local_now, optional};
use super::deployments::on_failure;
use super::outbox::next_due;
use super::project_members::{Standing, single_projects};
use super::tenant::{Credential, Grant, Person, RateLimits, Tenant};
use super::text::storable;
use super::{Result, Store, StoreError};
use crate::domain::retry::{Pace, Verdict};
use crate::domain::scope::Scopes;

/// How long a worker has until it is taken for dead: more than reading a repository and asking plugins may take.
const LEASE: TimeDelta = TimeDelta::minutes(4);
const NEXT: &str = next_due!("push_deploys");

const CLAIM: [&str; 2] = [
    "UPDATE push_deploys SET state = 'starting', attempts = attempts + 1, next_attempt_at = $2, updated_at = $1
     WHERE id = (
        SELECT d.id FROM push_deploys d WHERE d.next_attempt_at <= $1 AND NOT EXISTS (
            SELECT 1 FROM push_deploys e WHERE e.hook_id = d.hook_id AND e.target_id = d.target_id AND e.id < d.id
                AND e.state IN ('waiting', 'starting'))
        ORDER BY d.next_attempt_at LIMIT 1)
     RETURNING id",
    "UPDATE push_deploys SET state = 'starting', attempts = attempts + 1, next_attempt_at = $2, updated_at = $1
     WHERE id = (
        SELECT d.id FROM push_deploys d WHERE d.next_attempt_at <= $1 AND NOT EXISTS (
            SELECT 1 FROM push_deploys e WHERE e.hook_id = d.hook_id AND e.target_id = d.target_id AND e.id < d.id
                AND e.state IN ('waiting', 'starting'))
        ORDER BY d.next_attempt_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
     RETURNING id",
];

/// A push to deploy to a target now.
#[derive(Clone, Debug)]
pub struct DuePush {
    /// Which deploying this is; the deployment's key is made of it.
    pub id: Uuid,
    /// The push.
    pub push: PushId,
    /// Its project.
    pub project: ProjectId,
    /// Where it is deployed.
    pub target: TargetId,
    /// The commit.
    pub commit: String,
    /// The branch that it was pushed to.
    pub branch: Option<String>,
    /// For which environment.
    pub environment: Option<String>,
    /// What happens when it does not come up.
    pub on_failure: OnFailure,
    hook: PushHookId,
    attempt: i64,
    give_up_at: DateTime<Utc>,
}

/// What an attempt to deploy a push came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEnd {
    /// This deployment is queued.
    Deployed(DeploymentId),
    /// It is not allowed, or cannot work.
    Refused(String),
    /// It may work another time.
    Again(String),
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    push_id: Uuid,
    hook_id: Uuid,
    project_id: Uuid,
    target_id: Uuid,
    commit_sha: Option<String>,
    reference: Option<String>,
    environment: Option<String>,
    on_failure: String,
    attempts: i64,
    give_up_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Owner {
    team_id: Uuid,
    user_id: Uuid,
    user_role: String,
    role: Option<String>,
    single_projects: i64,
    max_requests_per_minute: Option<i64>,
}

impl DuePush {
    /// Whether its time was over long ago: the control plane was away, or a backup was put back. What the forge has told
    /// since, nobody knows.
    pub fn is_late(&self, now: DateTime<Utc>) -> bool {
        now > self.give_up_at + LEASE
    }
}

impl Store {
    /// When the next push is to be deployed.
    pub async fn next_push(&self) -> Result<Option<DateTime<Utc>>> {
        self.next_due(NEXT).await
    }

    /// Takes the push that has waited for longest.
    pub async fn claim_push(&self) -> Result<Option<DuePush>> {
        if !self.may_be_due(NEXT).await? {
            return Ok(None);
        }
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let conn = tx.conn();
        let sql = conn.pick(CLAIM[0], CLAIM[1]);
        let Some((id,)) = optional!(conn, (Uuid,), sql, now, now + LEASE)? else {
            tx.roll_back().await?;
            return Ok(None);
        };
        let row = optional!(
            tx.conn(),
            Row,
            "SELECT d.id, d.push_id, d.hook_id, h.project_id, d.target_id, s.commit_sha, s.reference, s.environment,
                s.on_failure, d.attempts, d.give_up_at
             FROM push_deploys d JOIN pushes s ON s.id = d.push_id JOIN push_hooks h ON h.id = d.hook_id WHERE d.id = $1",
            id
        )?;
        let row = row.ok_or_else(|| StoreError::Damaged(format!("{id} deploys no push")))?;
        tx.commit().await?;
        Ok(Some(row.into()))
    }

    /// By whose right a push is deployed: that of who has set its hook, as far as they may today.
    pub async fn push_tenant(&self, due: &DuePush) -> Result<Option<Tenant>> {
        let now = local_now();
        let mut reader = self.main().read().await?;
        let owner = optional!(
            reader.conn(),
            Owner,
            concat!(
                "SELECT t.id AS team_id, u.id AS user_id, u.role AS user_role, m.role, p.max_requests_per_minute, ",
                single_projects!(),
                " AS single_projects
                 FROM push_hooks h JOIN projects pr ON pr.id = h.project_id JOIN teams t ON t.id = pr.team_id
                 JOIN users u ON u.id = h.user_id
                 LEFT JOIN team_members m ON m.team_id = t.id AND m.user_id = u.id
                 JOIN users w ON w.id = t.owner_id JOIN plans p ON p.id = ",
                plan_of!("w", "$2"),
                " WHERE h.id = $1 AND u.suspended_at IS NULL"
            ),
            due.hook.uuid(),
            now
        )?;
        drop(reader);
        let Some(owner) = owner else {
            return Ok(None);
        };
        let credential = Credential::Push(due.push);
        let person = Person::new(owner.user_id.into(), owner.user_role.parse()?, credential);
        let standing = Standing {
            role: owner.role.as_deref(),
            single_projects: owner.single_projects,
        };
        let team = owner.team_id.into();
        let Some(access) = self.access(team, person.user(), standing).await? else {
            return Ok(None);
        };
        let grant = Grant {
            access: access.only(Some(due.project)),
            scopes: Scopes::All,
            rates: RateLimits::stored(None, owner.max_requests_per_minute),
        };
        Ok(Some(Tenant::new(person, team, grant)))
    }

    /// Writes down what an attempt came to. Gives false when it was another worker's by then.
    pub async fn push_attempted(&self, due: &DuePush, end: &PushEnd) -> Result<bool> {
        let mut tx = self.main().begin().await?;
        lock_hook(&mut tx, due.hook).await?;
        let now = tx.now().await?;
        let attempts = u32::try_from(due.attempt).unwrap_or(u32::MAX);
        let has_later = has_later(&mut tx, due).await?;
        let (state, deployment, message, next) = match end {
            PushEnd::Deployed(deployment) => ("deployed", Some(*deployment), None, None),
            PushEnd::Refused(why) => ("refused", None, Some(why.as_str()), None),
            PushEnd::Again(why) => {
                let (give_up_at, pace) = (due.give_up_at, Pace::after(None));
                match Verdict::Again.next_attempt(attempts, now, give_up_at, pace) {
                    _ if has_later => ("superseded", None, Some(why.as_str()), None),
                    None => ("refused", None, Some(why.as_str()), None),
                    next => ("waiting", None, Some(why.as_str()), next),
                }
            }
        };
        let written = execute!(
            tx.conn(),
            "UPDATE push_deploys SET state = $3, deployment_id = $4, message = $5, next_attempt_at = $6, finished_at = $7,
                updated_at = $8 WHERE id = $1 AND attempts = $2 AND state = 'starting'",
            due.id,
            due.attempt,
            state,
            deployment.map(DeploymentId::uuid),
            message.map(storable),
            next,
            next.is_none().then_some(now),
            now
        )?;
        if written == 0 {
            tx.roll_back().await?;
            return Ok(false);
        }
        tx.commit().await?;
        // The next push to this target may be deployed now.
        self.wake().outbox();
        Ok(true)
    }
}

impl From<Row> for DuePush {
    fn from(row: Row) -> Self {
        let branch = row.reference.as_deref();
        let branch = branch.and_then(|name| name.strip_prefix("refs/heads/"));
        Self {
            id: row.id,
            push: row.push_id.into(),
            project: row.project_id.into(),
            target: row.target_id.into(),
            commit: row.commit_sha.unwrap_or_default(),
            branch: branch.map(str::to_owned),
            environment: row.environment,
            on_failure: on_failure(&row.on_failure),
            hook: row.hook_id.into(),
            attempt: row.attempts,
            give_up_at: row.give_up_at,
        }
    }
}

/// Locks a hook, so that no push comes meanwhile.
async fn lock_hook(tx: &mut Tx, hook: PushHookId) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM push_hooks WHERE id = $1",
        "SELECT id FROM push_hooks WHERE id = $1 FOR UPDATE",
    );
    optional!(conn, (Uuid,), sql, hook.uuid())?;
    Ok(())
}

async fn has_later(tx: &mut Tx, due: &DuePush) -> Result<bool> {
    let later = optional!(
        tx.conn(),
        (Uuid,),
        "SELECT id FROM push_deploys WHERE hook_id = $1 AND target_id = $2 AND id > $3 LIMIT 1",
        due.hook.uuid(),
        due.target.uuid(),
        due.id
    )?;
    Ok(later.is_some())
}
