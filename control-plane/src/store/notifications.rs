//! What a person was told in the product.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use towline_shared::ids::{NotificationId, ProjectId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, local_now, one, optional};
use super::deployments::Named;
use super::page::{Listed, Page};
use super::{Person, Resource, Result, Store, StoreError, counted};
use crate::domain::notification::NoticeSubject;

/// How long a notification stays.
const KEPT_FOR: TimeDelta = TimeDelta::days(90);
/// How many of a person stay, the newest.
pub(super) const MOST: i64 = 1000;

/// Something that a person was told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Notification {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: NotificationId,
    /// What happened (`deployment.failed`).
    pub r#type: String,
    /// The same in one line.
    pub message: String,
    /// What else there is to say.
    pub detail: Option<String>,
    /// In which team; absent for what concerns the account alone.
    pub team: Option<Named>,
    /// The project.
    #[schema(value_type = Option<Uuid>)]
    pub project_id: Option<ProjectId>,
    /// What it is about.
    pub subject: Option<NoticeSubject>,
    /// Whether it was read.
    pub is_read: bool,
    /// When it was read.
    pub read_at: Option<DateTime<Utc>>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
}

/// Which notifications are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    #[default]
    All,
    /// Those that were not read.
    Unread,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    r#type: String,
    message: String,
    detail: Option<String>,
    team_id: Option<Uuid>,
    team_name: Option<String>,
    project_id: Option<Uuid>,
    subject_type: Option<String>,
    subject_id: Option<Uuid>,
    is_read: i64,
    read_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<Row> for Notification {
    fn from(row: Row) -> Self {
        let subject = row.subject_type.zip(row.subject_id);
        Self {
            id: row.id.into(),
            r#type: row.r#type,
            message: row.message,
            detail: row.detail,
            team: Named::both(row.team_id, row.team_name),
            project_id: row.project_id.map(Into::into),
            subject: subject.map(|(kind, id)| NoticeSubject { kind, id }),
            is_read: row.is_read != 0,
            read_at: row.read_at,
            created_at: row.created_at,
        }
    }
}

/// Those of a person ($1), as far as the person may see what they tell of: who has left a team reads nothing of it.
macro_rules! of_person {
    ($select:literal, $rest:literal) => {
        concat!(
            $select,
            " WHERE n.user_id = $1 AND (n.team_id IS NULL
                OR EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = n.team_id AND m.user_id = n.user_id)
                OR EXISTS (SELECT 1 FROM project_members o WHERE o.project_id = n.project_id AND o.user_id = n.user_id))",
            $rest
        )
    };
}

macro_rules! select_notifications {
    ($rest:literal) => {
        of_person!(
            "SELECT n.id, n.type, n.message, n.detail, n.team_id, t.name AS team_name, n.project_id, n.subject_type,
                n.subject_id, n.is_read, n.read_at, n.created_at
             FROM notifications n LEFT JOIN teams t ON t.id = n.team_id",
            $rest
        )
    };
}

impl Store {
    /// What the person was told.
    pub async fn list_notifications(
        &self,
        person: &Person,
        wanted: Wanted,
        page: Page,
    ) -> Result<Listed<Notification>> {
        let mut reader = self.main().read().await?;
        let sql = match wanted {
            Wanted::All => select_notifications!(" AND n.id < $2 ORDER BY n.id DESC LIMIT $3"),
            Wanted::Unread => {
                select_notifications!(
                    " AND n.id < $2 AND n.is_read = 0 ORDER BY n.id DESC LIMIT $3"
                )
            }
        };
        let (user, before) = (person.user().uuid(), page.before());
        let rows = all!(reader.conn(), Row, sql, user, before, page.fetch())?;
        let listed = rows.into_iter().map(Into::into).collect();
        Ok(page.cut(listed, |one: &Notification| one.id.uuid()))
    }

    /// How many the person has not read.
    pub async fn count_unread(&self, person: &Person) -> Result<u64> {
        let mut reader = self.main().read().await?;
        let sql = of_person!("SELECT COUNT(*) FROM notifications n", " AND n.is_read = 0");
        let (count,) = one!(reader.conn(), (i64,), sql, person.user().uuid())?;
        Ok(counted(count))
    }

    /// The person has read one.
    pub async fn read_notification(
        &self,
        person: &Person,
        id: NotificationId,
    ) -> Result<Notification> {
        let mut tx = self.main().begin().await?;
        execute!(
            tx.conn(),
            "UPDATE notifications SET is_read = 1, read_at = COALESCE(read_at, $3) WHERE id = $1 AND user_id = $2",
            id.uuid(),
            person.user().uuid(),
            local_now()
        )?;
        let sql = select_notifications!(" AND n.id = $2");
        let row = optional!(tx.conn(), Row, sql, person.user().uuid(), id.uuid())?;
        let row = row.ok_or(StoreError::NotFound(Resource::Notification))?;
        tx.commit().await?;
        Ok(row.into())
    }

    /// The person has read all of them, or those up to one. Gives how many that were.
    pub async fn read_notifications(
        &self,
        person: &Person,
        up_to: Option<NotificationId>,
    ) -> Result<u64> {
        let mut tx = self.main().begin().await?;
        let read = execute!(
            tx.conn(),
            "UPDATE notifications SET is_read = 1, read_at = $3 WHERE user_id = $1 AND id <= $2 AND is_read = 0",
            person.user().uuid(),
            up_to.map_or(Uuid::max(), NotificationId::uuid),
            local_now()
        )?;
        tx.commit().await?;
        Ok(read)
    }
}

/// Forgets what is old, and of each person what is more than [`MOST`].
pub(super) async fn prune(tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
    let sql = "DELETE FROM notifications WHERE created_at < $1";
    execute!(tx.conn(), sql, now - KEPT_FOR)?;
    let full = all!(
        tx.conn(),
        (Uuid,),
        "SELECT user_id FROM notifications GROUP BY user_id HAVING COUNT(*) > $1",
        MOST
    )?;
    for (user,) in full {
        execute!(
            tx.conn(),
            "DELETE FROM notifications WHERE user_id = $1 AND id <
                (SELECT id FROM notifications WHERE user_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
            user,
            MOST - 1
        )?;
    }
    Ok(())
}
