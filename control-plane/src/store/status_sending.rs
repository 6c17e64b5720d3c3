//! Sending's side of the statuses of commits.

use chrono::{DateTime, Utc};
use towline_shared::ids::DeploymentId;
use uuid::Uuid;

use super::db::{Tx, execute, optional};
use super::integrations::{TokenRow, token_columns};
use super::outbox::{self, After, Attempted, LEASE, Underway, claim, next_due, note_attempt};
use super::{Result, Store, StoreError};
use crate::domain::integration::{CommitState, ForgeAccess, RepositoryPath};

/// An earlier status of the same commit and context that has not ended holds up a later one.
const CLAIM: [&str; 2] = claim!("commit_statuses" for "github_integrations" by "integration_id"
    gives "id, integration_id, deployment_id, repository, commit_sha, context, commit_state, description, attempts, give_up_at"
    where "NOT EXISTS (
        SELECT 1 FROM commit_statuses e WHERE e.integration_id = d.integration_id AND e.repository = d.repository
            AND e.commit_sha = d.commit_sha AND e.context = d.context AND e.sequence < d.sequence
            AND e.next_attempt_at IS NOT NULL)");
const NEXT: &str = next_due!("commit_statuses");

/// A status to set now.
#[derive(Debug)]
pub struct DueStatus {
    /// The status.
    pub id: Uuid,
    /// Which attempt this is.
    pub attempt: i64,
    /// The host that is called.
    pub host: String,
    /// The deployment that it tells of.
    pub deployment: DeploymentId,
    /// The repository.
    pub repository: RepositoryPath,
    /// The commit.
    pub commit: String,
    /// By what it is told from others of the same commit.
    pub context: String,
    /// What becomes of it.
    pub state: CommitState,
    /// In words.
    pub description: String,
    /// The database's time.
    pub now: DateTime<Utc>,
    token: TokenRow,
    give_up_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    integration_id: Uuid,
    deployment_id: Uuid,
    repository: String,
    commit_sha: String,
    context: String,
    commit_state: String,
    description: String,
    attempts: i64,
    give_up_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct TargetRow {
    host: String,
    #[sqlx(flatten)]
    token: TokenRow,
}

impl Store {
    /// Takes the status that has been due for longest, but for hosts that are called enough already.
    pub async fn claim_commit_status(&self, busy: &[String]) -> Result<Option<DueStatus>> {
        if !self.may_be_due(NEXT).await? {
            return Ok(None);
        }
        let busy = serde_json::Value::from(busy).to_string();
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let conn = tx.conn();
        let sql = conn.pick(CLAIM[0], CLAIM[1]);
        let Some(row) = optional!(conn, Row, sql, now, now + LEASE, busy)? else {
            tx.roll_back().await?;
            return Ok(None);
        };
        let target = target_of(&mut tx, row.integration_id).await?;
        tx.commit().await?;
        let state = row.commit_state.parse();
        let damaged = |error| StoreError::Damaged(format!("the status of a commit: {error}"));
        Ok(Some(DueStatus {
            id: row.id,
            attempt: row.attempts,
            host: target.host,
            deployment: row.deployment_id.into(),
            repository: RepositoryPath::stored(row.repository),
            commit: row.commit_sha,
            context: row.context,
            state: state.map_err(damaged)?,
            description: row.description,
            now,
            token: target.token,
            give_up_at: row.give_up_at,
        }))
    }

    /// What it takes to call its forge.
    pub async fn status_access(&self, due: &DueStatus) -> Result<ForgeAccess> {
        self.open_token(&due.token).await
    }

    /// When the next status is due.
    pub async fn next_commit_status(&self) -> Result<Option<DateTime<Utc>>> {
        self.next_due(NEXT).await
    }

    /// Writes down what became of an attempt. Gives false when it was
    /// another sender's by then.
    pub async fn status_attempted(&self, due: &DueStatus, attempted: &Attempted) -> Result<bool> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let underway = Underway {
            id: due.id,
            attempt: due.attempt,
            taken_at: due.now,
            give_up_at: due.give_up_at,
        };
        let sql = note_attempt!("commit_statuses");
        match outbox::note(&mut tx, sql, &underway, attempted, now).await? {
            After::Superseded => {
                tx.roll_back().await?;
                return Ok(false);
            }
            After::Waiting => put_aside(&mut tx, due, now).await?,
            After::Delivered | After::Failed => {}
        }
        tx.commit().await?;
        // A later one of the same commit and context may go now.
        self.wake().outbox();
        Ok(true)
    }
}

async fn target_of(tx: &mut Tx, integration: Uuid) -> Result<TargetRow> {
    let row = optional!(
        tx.conn(),
        TargetRow,
        concat!(
            "SELECT i.host, ",
            token_columns!(),
            " FROM github_integrations i WHERE i.id = $1"
        ),
        integration
    )?;
    row.ok_or_else(|| StoreError::Damaged(format!("a status has no integration {integration}")))
}

/// What waits for another attempt is put aside if there is a later one.
async fn put_aside(tx: &mut Tx, due: &DueStatus, now: DateTime<Utc>) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE commit_statuses SET state = 'superseded', next_attempt_at = NULL, finished_at = $2
         WHERE id = $1 AND EXISTS (
            SELECT 1 FROM commit_statuses e WHERE e.integration_id = commit_statuses.integration_id
                AND e.repository = commit_statuses.repository AND e.commit_sha = commit_statuses.commit_sha
                AND e.context = commit_statuses.context AND e.sequence > commit_statuses.sequence)",
        due.id,
        now
    )?;
    Ok(())
}
