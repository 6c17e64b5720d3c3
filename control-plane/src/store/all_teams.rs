//! All teams of the installation, for its administrators.

use chrono::{DateTime, Utc};
use serde::Serialize;
use towline_shared::ids::{TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::billing::plan_of;
use super::db::{all, local_now};
use super::page::{Listed, Page};
use super::people::Team;
use super::{Result, Store, counted};

/// A team as administrators of the installation see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TeamOverview {
    /// What it is.
    #[serde(flatten)]
    pub team: Team,
    /// Whose team it is.
    #[schema(value_type = Uuid)]
    pub owner_id: UserId,
    /// Their address.
    pub owner: String,
    /// The name of the plan that holds for it, which is its owner's.
    pub plan: String,
    /// How many people are in it.
    pub members: u64,
    /// How many projects it has.
    pub projects: u64,
    /// How many agents it has that are not revoked.
    pub agents: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    owner_id: Uuid,
    owner: String,
    plan: String,
    members: i64,
    projects: i64,
    agents: i64,
    created_at: DateTime<Utc>,
}

impl From<Row> for TeamOverview {
    fn from(row: Row) -> Self {
        Self {
            team: Team {
                id: TeamId::from(row.id),
                name: row.name,
            },
            owner_id: row.owner_id.into(),
            owner: row.owner,
            plan: row.plan,
            members: counted(row.members),
            projects: counted(row.projects),
            agents: counted(row.agents),
            created_at: row.created_at,
        }
    }
}

impl Store {
    /// All teams. To be called only for administrators of the installation.
    pub async fn list_all_teams(&self, page: Page) -> Result<Listed<TeamOverview>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            concat!(
                "SELECT t.id, t.name, t.owner_id, u.email AS owner, p.name AS plan, t.created_at,
                (SELECT COUNT(*) FROM team_members m WHERE m.team_id = t.id) AS members,
                (SELECT COUNT(*) FROM projects o WHERE o.team_id = t.id) AS projects,
                (SELECT COUNT(*) FROM agents a WHERE a.team_id = t.id AND a.revoked_at IS NULL) AS agents
             FROM teams t JOIN users u ON u.id = t.owner_id JOIN plans p ON p.id = ",
                plan_of!("u", "$3"),
                " WHERE t.id < $1 ORDER BY t.id DESC LIMIT $2"
            ),
            page.before(),
            page.fetch(),
            local_now()
        )?;
        let teams = rows.into_iter().map(TeamOverview::from).collect();
        Ok(page.cut(teams, |overview: &TeamOverview| overview.team.id.uuid()))
    }
}
