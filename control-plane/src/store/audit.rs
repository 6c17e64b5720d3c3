//! The audit log: who did what, written in the transaction that does it, and chained by hashes so
//! that a row that was changed, added or taken away later shows.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use towline_shared::ids::{AgentId, TeamId, UserId};
use uuid::Uuid;

use super::activity;
use super::db::{Tx, execute, optional};
use super::{Result, Tenant};

/// The hash before the first row of a chain.
pub(super) const GENESIS: [u8; 32] = [0; 32];

/// Who did it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    /// A person.
    User {
        user: UserId,
        address: Option<IpAddr>,
    },
    /// An agent.
    Agent(AgentId),
    /// The control plane by itself.
    System,
    /// Somebody unknown.
    Anonymous,
}

impl Actor {
    const fn kind(self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Agent(_) => "agent",
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }

    const fn id(self) -> Option<Uuid> {
        match self {
            Self::User { user, .. } => Some(user.uuid()),
            Self::Agent(agent) => Some(agent.uuid()),
            Self::System | Self::Anonymous => None,
        }
    }

    fn address(self) -> Option<String> {
        match self {
            Self::User { address, .. } => address.map(|address| address.to_string()),
            Self::Agent(_) | Self::System | Self::Anonymous => None,
        }
    }
}

/// What is to be written down.
pub(crate) struct Entry<'a> {
    /// The chain: the target's id for what concerns a target, the person's for what concerns their
    /// account, else the team's, else the installation's.
    pub(crate) chain: Uuid,
    /// The team that may read it.
    pub(crate) team: Option<TeamId>,
    /// Who did it.
    pub(crate) actor: Actor,
    /// What was done (`agent.revoke`).
    pub(crate) action: &'a str,
    /// What it was done to.
    pub(crate) subject: (&'a str, Option<Uuid>),
    /// What else is worth knowing. Never a secret.
    pub(crate) detail: Value,
}

/// A row as it is hashed and stored.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) chain: Uuid,
    pub(super) seq: i64,
    pub(super) team_id: Option<Uuid>,
    pub(super) actor_type: String,
    pub(super) actor_id: Option<Uuid>,
    pub(super) address: Option<String>,
    pub(super) action: String,
    pub(super) subject_type: String,
    pub(super) subject_id: Option<Uuid>,
    pub(super) detail: String,
    pub(super) hash: Vec<u8>,
    pub(super) created_at: DateTime<Utc>,
}

impl Row {
    /// SHA-256 over the hash before and every field, each with its length so that no two rows run
    /// together to the same bytes.
    pub(super) fn hash(&self, previous: &[u8]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut field = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => {
                hasher.update([1]);
                hasher.update((bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            }
            None => hasher.update([0]),
        };
        field(Some(previous));
        field(Some(self.id.as_bytes()));
        field(Some(self.chain.as_bytes()));
        field(Some(&self.seq.to_le_bytes()));
        field(self.team_id.as_ref().map(|id| id.as_bytes().as_slice()));
        field(Some(self.actor_type.as_bytes()));
        field(self.actor_id.as_ref().map(|id| id.as_bytes().as_slice()));
        field(self.address.as_deref().map(str::as_bytes));
        field(Some(self.action.as_bytes()));
        field(Some(self.subject_type.as_bytes()));
        field(self.subject_id.as_ref().map(|id| id.as_bytes().as_slice()));
        field(Some(self.detail.as_bytes()));
        field(Some(&self.created_at.timestamp_micros().to_le_bytes()));
        hasher.finalize().into()
    }
}

/// Writes what a person of a team did into the team's chain. To be called last in a transaction.
pub(crate) async fn append_of(
    tx: &mut Tx,
    tenant: &Tenant,
    action: &str,
    (kind, id): (&str, Uuid),
    detail: Value,
    now: DateTime<Utc>,
) -> Result<()> {
    let entry = Entry {
        chain: tenant.team().uuid(),
        team: Some(tenant.team()),
        actor: tenant.actor(),
        action,
        subject: (kind, Some(id)),
        detail,
    };
    append(tx, &entry, now).await
}

/// Writes what was done with a person's account into the person's chain. To be called last in a
/// transaction.
pub(crate) async fn append_to_account(
    tx: &mut Tx,
    user: UserId,
    actor: Actor,
    action: &str,
    (kind, id): (&str, Uuid),
    detail: Value,
    now: DateTime<Utc>,
) -> Result<()> {
    let entry = Entry {
        chain: user.uuid(),
        team: None,
        actor,
        action,
        subject: (kind, Some(id)),
        detail,
    };
    append(tx, &entry, now).await
}

/// Writes an entry at the end of its chain. To be called last in a transaction: on PostgreSQL the
/// chain's head stays locked until the commit.
pub(crate) async fn append(tx: &mut Tx, entry: &Entry<'_>, now: DateTime<Utc>) -> Result<()> {
    let (seq, previous) = lock_head(tx, entry.chain, now).await?;
    let mut row = Row {
        id: Uuid::now_v7(),
        chain: entry.chain,
        seq: seq + 1,
        team_id: entry.team.map(TeamId::uuid),
        actor_type: entry.actor.kind().to_owned(),
        actor_id: entry.actor.id(),
        address: entry.actor.address(),
        action: entry.action.to_owned(),
        subject_type: entry.subject.0.to_owned(),
        subject_id: entry.subject.1,
        detail: entry.detail.to_string(),
        hash: Vec::new(),
        created_at: now,
    };
    row.hash = row.hash(&previous).to_vec();
    execute!(
        tx.conn(),
        "INSERT INTO audit_logs (id, chain, seq, team_id, actor_type, actor_id, address, action, subject_type,
            subject_id, detail, hash, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        row.id,
        row.chain,
        row.seq,
        row.team_id,
        row.actor_type.as_str(),
        row.actor_id,
        row.address.as_deref(),
        row.action.as_str(),
        row.subject_type.as_str(),
        row.subject_id,
        row.detail.as_str(),
        row.hash.as_slice(),
        row.created_at
    )?;
    activity::append(tx, &row, entry.actor).await?;
    execute!(
        tx.conn(),
        "UPDATE audit_heads SET seq = $2, hash = $3, updated_at = $4 WHERE id = $1",
        row.chain,
        row.seq,
        row.hash.as_slice(),
        now
    )?;
    Ok(())
}

async fn lock_head(tx: &mut Tx, chain: Uuid, now: DateTime<Utc>) -> Result<(i64, Vec<u8>)> {
    if let Some(head) = head(tx, chain).await? {
        return Ok(head);
    }
    execute!(
        tx.conn(),
        "INSERT INTO audit_heads (id, seq, hash, created_at, updated_at) VALUES ($1, 0, $2, $3, $3)
         ON CONFLICT (id) DO NOTHING",
        chain,
        GENESIS.as_slice(),
        now
    )?;
    let head = head(tx, chain).await?;
    Ok(head.unwrap_or((0, GENESIS.to_vec())))
}

async fn head(tx: &mut Tx, chain: Uuid) -> Result<Option<(i64, Vec<u8>)>> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT seq, hash FROM audit_heads WHERE id = $1",
        "SELECT seq, hash FROM audit_heads WHERE id = $1 FOR UPDATE",
    );
    Ok(optional!(conn, (i64, Vec<u8>), sql, chain)?)
}
