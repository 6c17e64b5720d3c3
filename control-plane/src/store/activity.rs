//! What people see of what was done in their team: written beside the audit log, in the transaction of the action.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use towline_shared::ids::{ProjectId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::{Actor, Row};
use super::db::{Tx, all, execute};
use super::deployments::Named;
use super::page::{Listed, Page, Span};
use super::{Result, Store, StoreError, Tenant};
use crate::domain::activity::is_seen;

/// Something that was done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Activity {
    /// The id of its entry in the audit log, too.
    pub id: Uuid,
    /// What was done (`deployment.create`).
    pub action: String,
    /// Who did it; absent where an agent or the control plane did it by itself, and when that person is gone.
    pub user: Option<Named>,
    /// The project that it concerns; absent when it concerns none, and when the project is gone.
    pub project: Option<Named>,
    /// What it was done to.
    pub subject: Subject,
    /// What else is worth knowing, by action.
    pub metadata: Value,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What something was done to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Subject {
    /// What it is (`deployment`).
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: Option<Uuid>,
}

/// Which activity is wanted.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    /// That concerns this project.
    pub project: Option<ProjectId>,
    /// Of this person.
    pub user: Option<UserId>,
    /// Of this kind.
    pub action: Option<String>,
    /// In this range of time.
    pub span: Span,
}

#[derive(sqlx::FromRow)]
struct Seen {
    id: Uuid,
    action: String,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    project_id: Option<Uuid>,
    project_name: Option<String>,
    subject_type: String,
    subject_id: Option<Uuid>,
    metadata: String,
    created_at: DateTime<Utc>,
}

/// The statement with the condition whose index is entered: neither database would choose one by parameters that may
/// be absent.
macro_rules! select_activity {
    ($first:literal) => {
        concat!(
            "SELECT l.id, l.action, l.user_id, u.name AS user_name, l.project_id, p.name AS project_name,
                l.subject_type, l.subject_id, l.metadata, l.created_at
             FROM activity_logs l LEFT JOIN users u ON u.id = l.user_id LEFT JOIN projects p ON p.id = l.project_id
             WHERE l.team_id = $1 AND ",
            $first,
            " AND l.id < $2 AND l.id >= $3 AND ($4 IS NULL OR l.project_id = $4) AND ($5 IS NULL OR l.user_id = $5)
                AND ($6 IS NULL OR l.action = $6) AND ($7 IS NULL OR l.created_at >= $7)
                AND ($8 IS NULL OR l.created_at < $8)
             ORDER BY l.id DESC LIMIT $9"
        )
    };
}

impl ActivityFilter {
    pub(super) const fn statement(&self) -> &'static str {
        match self {
            Self {
                project: Some(_), ..
            } => select_activity!("l.project_id = $4"),
            Self { user: Some(_), .. } => select_activity!("l.user_id = $5"),
            Self {
                action: Some(_), ..
            } => select_activity!("l.action = $6"),
            _ => select_activity!("TRUE"),
        }
    }
}

impl Store {
    /// What was done in the team.
    pub async fn list_activity(
        &self,
        tenant: &Tenant,
        filter: &ActivityFilter,
        page: Page,
    ) -> Result<Listed<Activity>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Seen,
            filter.statement(),
            tenant.team().uuid(),
            page.before().min(filter.span.id_behind()),
            filter.span.first_id(),
            filter.project.map(ProjectId::uuid),
            filter.user.map(UserId::uuid),
            filter.action.as_deref(),
            filter.span.since,
            filter.span.until,
            page.fetch()
        )?;
        let items = rows
            .into_iter()
            .map(Activity::try_from)
            .collect::<Result<Vec<_>>>()?;
        Ok(page.cut(items, |activity| activity.id))
    }
}

impl TryFrom<Seen> for Activity {
    type Error = StoreError;

    fn try_from(row: Seen) -> Result<Self> {
        Ok(Self {
            id: row.id,
            action: row.action,
            user: Named::both(row.user_id, row.user_name),
            project: Named::both(row.project_id, row.project_name),
            subject: Subject {
                kind: row.subject_type,
                id: row.subject_id,
            },
            metadata: parse_detail(&row.metadata)?,
            created_at: row.created_at,
        })
    }
}

/// The detail of an entry, as it was written.
pub(super) fn parse_detail(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Damaged(format!("the detail of an audit entry: {error}")))
}

/// Writes what people see of an entry of the audit log. The subject tells the project.
pub(super) async fn append(tx: &mut Tx, entry: &Row, actor: Actor) -> Result<()> {
    let Some(team) = entry.team_id.filter(|_| is_seen(&entry.action)) else {
        return Ok(());
    };
    let user = match actor {
        Actor::User { user, .. } => Some(user.uuid()),
        Actor::Agent(_) | Actor::System | Actor::Anonymous => None,
    };
    execute!(
        tx.conn(),
        "INSERT INTO activity_logs (id, team_id, user_id, project_id, action, subject_type, subject_id, metadata, created_at)
         VALUES ($1, $2, $3, COALESCE((SELECT id FROM projects WHERE id = $6), (SELECT project_id FROM deployments WHERE id = $6)),
            $4, $5, $6, $7, $8)",
        entry.id,
        team,
        user,
        entry.action.as_str(),
        entry.subject_type.as_str(),
        entry.subject_id,
        entry.detail.as_str(),
        entry.created_at
    )?;
    Ok(())
}
