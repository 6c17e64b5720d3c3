//! Reading the audit log: in pages for people, and whole, in the order of its writing, for export.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use towline_shared::ids::{TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::activity::{Subject, parse_detail};
use super::audit::Row;
use super::db::all;
use super::page::{Listed, Page, Span};
use super::{Result, Store, StoreError, Tenant, counted};
use crate::domain::hex::hex;

/// How many entries are read at once for an export.
const BATCH: i64 = 500;

/// An entry of the audit log, with all that its hash is of.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// The entry's id.
    pub id: Uuid,
    /// Which chain it is in: the id of a target, of the team or of the installation.
    pub chain: Uuid,
    /// Its place there, from 1 on.
    pub seq: u64,
    /// The team that it concerns; absent when it concerns the installation.
    pub team_id: Option<Uuid>,
    /// Who did it.
    pub actor: AuditActor,
    /// What was done (`agent.revoke`).
    pub action: String,
    /// What it was done to.
    pub subject: Subject,
    /// What else was written down, by action.
    pub detail: Value,
    /// SHA-256 over the hash of the chain's entry before and all fields, in hexadecimal.
    pub hash: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Who did something.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditActor {
    /// `user`, `agent`, `system` (the control plane by itself) or `anonymous`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The person's or agent's id.
    pub id: Option<Uuid>,
    /// From where, as far as it is known.
    pub address: Option<String>,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this person.
    pub user: Option<UserId>,
    /// Done to this.
    pub subject: Option<Uuid>,
    /// Of this kind.
    pub action: Option<String>,
    /// In this range of time.
    pub span: Span,
}

/// Where an export is.
#[derive(Clone, Copy, Debug)]
pub struct AuditExport {
    team: Option<TeamId>,
    span: Span,
    after: Uuid,
}

/// The statement with the condition whose index is entered.
macro_rules! select_entries {
    ($first:literal) => {
        concat!(
            "SELECT id, chain, seq, team_id, actor_type, actor_id, address, action, subject_type, subject_id, detail, hash,
                created_at FROM audit_logs
             WHERE team_id = $1 AND ",
            $first,
            " AND id < $2 AND id >= $3 AND ($4 IS NULL OR actor_id = $4) AND ($5 IS NULL OR subject_id = $5)
                AND ($6 IS NULL OR action = $6) AND ($7 IS NULL OR created_at >= $7) AND ($8 IS NULL OR created_at < $8)
             ORDER BY id DESC LIMIT $9"
        )
    };
}

impl AuditFilter {
    pub(super) const fn statement(&self) -> &'static str {
        match self {
            Self {
                subject: Some(_), ..
            } => select_entries!("subject_id = $5"),
            Self { user: Some(_), .. } => select_entries!("actor_id = $4"),
            _ => select_entries!("TRUE"),
        }
    }
}

impl Store {
    /// The team's entries, newest first.
    pub async fn list_audit(
        &self,
        tenant: &Tenant,
        filter: &AuditFilter,
        page: Page,
    ) -> Result<Listed<AuditEntry>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            filter.statement(),
            tenant.team().uuid(),
            page.before().min(filter.span.id_behind()),
            filter.span.first_id(),
            filter.user.map(UserId::uuid),
            filter.subject,
            filter.action.as_deref(),
            filter.span.since,
            filter.span.until,
            page.fetch()
        )?;
        let entries = rows
            .into_iter()
            .map(AuditEntry::try_from)
            .collect::<Result<Vec<_>>>()?;
        Ok(page.cut(entries, |entry| entry.id))
    }

    /// The next entries of an export, oldest first; none when all were read. What is written meanwhile comes, too.
    pub async fn export_audit(&self, export: &mut AuditExport) -> Result<Vec<AuditEntry>> {
        let mut reader = self.main().read().await?;
        let conn = reader.conn();
        let rows = match export.team {
            Some(team) => all!(
                conn,
                Row,
                "SELECT id, chain, seq, team_id, actor_type, actor_id, address, action, subject_type, subject_id, detail,
                    hash, created_at FROM audit_logs
                 WHERE team_id = $1 AND id > $2 AND id < $3 AND ($4 IS NULL OR created_at >= $4)
                    AND ($5 IS NULL OR created_at < $5)
                 ORDER BY id LIMIT $6",
                team.uuid(),
                export.after,
                export.span.id_behind(),
                export.span.since,
                export.span.until,
                BATCH
            )?,
            None => all!(
                conn,
                Row,
                "SELECT id, chain, seq, team_id, actor_type, actor_id, address, action, subject_type, subject_id, detail,
                    hash, created_at FROM audit_logs
                 WHERE id > $1 AND id < $2 AND ($3 IS NULL OR created_at >= $3) AND ($4 IS NULL OR created_at < $4)
                 ORDER BY id LIMIT $5",
                export.after,
                export.span.id_behind(),
                export.span.since,
                export.span.until,
                BATCH
            )?,
        };
        if let Some(last) = rows.last() {
            export.after = last.id;
        }
        rows.into_iter().map(AuditEntry::try_from).collect()
    }
}

impl AuditEntry {
    /// Appends the entry as a line of JSON.
    pub fn write_line(&self, text: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(&mut *text, self)
            .map_err(|error| StoreError::Damaged(format!("an audit entry: {error}")))?;
        text.push(b'\n');
        Ok(())
    }
}

impl AuditExport {
    /// Of a team's entries.
    pub fn of_team(tenant: &Tenant, span: Span) -> Self {
        Self::begin(Some(tenant.team()), span)
    }

    /// Of all entries of the installation.
    pub fn of_all(span: Span) -> Self {
        Self::begin(None, span)
    }

    fn begin(team: Option<TeamId>, span: Span) -> Self {
        Self {
            team,
            span,
            after: span.first_id(),
        }
    }
}

impl TryFrom<Row> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            chain: row.chain,
            seq: counted(row.seq),
            team_id: row.team_id,
            actor: AuditActor {
                kind: row.actor_type,
                id: row.actor_id,
                address: row.address,
            },
            action: row.action,
            subject: Subject {
                kind: row.subject_type,
                id: row.subject_id,
            },
            detail: parse_detail(&row.detail)?,
            hash: hex(&row.hash),
            created_at: row.created_at,
        })
    }
}
