//! Roles on single projects: of people in the team, whose role there they lift, and of others, who see
//! nothing else of the team.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{ProjectId, TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::db::{Conn, Tx, all, execute, local_now, one, optional};
use super::members::{allow, lock_team};
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Tenant};
use crate::domain::access::Access;
use crate::domain::membership::Refusal;
use crate::domain::permission::{Permission, Role};

/// The most single projects of a team that a person has a role on; with more, a role in the team is meant.
const MOST: i64 = 200;

/// Counts a person's roles on single projects of a team, in a statement that has the two as `u` and `t`.
macro_rules! single_projects {
    () => {
        "(SELECT COUNT(*) FROM project_members o JOIN projects op ON op.id = o.project_id
            WHERE o.user_id = u.id AND op.team_id = t.id)"
    };
}
pub(super) use single_projects;

/// What a credential's row tells of its person in a team.
pub(super) struct Standing<'a> {
    /// The role in the team.
    pub(super) role: Option<&'a str>,
    /// How many roles on single projects there are.
    pub(super) single_projects: i64,
}

const LIST: &str = "SELECT o.user_id, u.name, u.email, o.role, m.role AS team_role, o.created_at FROM project_members o
     JOIN projects p ON p.id = o.project_id JOIN users u ON u.id = o.user_id
     LEFT JOIN team_members m ON m.team_id = p.team_id AND m.user_id = o.user_id
     WHERE o.project_id = $1 AND p.team_id = $2 AND o.user_id < $3 ORDER BY o.user_id DESC LIMIT $4";
const ONE: &str = "SELECT u.id AS user_id, u.name, u.email, o.role, m.role AS team_role, o.created_at FROM users u
     LEFT JOIN project_members o ON o.user_id = u.id AND o.project_id = $1
     LEFT JOIN team_members m ON m.team_id = $2 AND m.user_id = u.id WHERE u.id = $3";

/// Somebody with a role on a single project.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProjectMember {
    /// The person's id.
    #[schema(value_type = Uuid)]
    pub id: UserId,
    /// The person's name.
    pub name: String,
    /// The person's e-mail address.
    pub email: String,
    /// The role on the project.
    pub role: Role,
    /// The role in the team; null for whoever is not in it. The higher one counts.
    pub team_role: Option<Role>,
    /// When the person was given a role on the project.
    pub added_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: Uuid,
    name: String,
    email: String,
    role: Option<String>,
    team_role: Option<String>,
    created_at: Option<DateTime<Utc>>,
}

impl Row {
    /// Nothing for whoever has no role on the project.
    fn into_member(self) -> Result<Option<ProjectMember>> {
        let (Some(role), Some(added_at)) = (self.role, self.created_at) else {
            return Ok(None);
        };
        Ok(Some(ProjectMember {
            id: self.user_id.into(),
            name: self.name,
            email: self.email,
            role: role.parse()?,
            team_role: self.team_role.as_deref().map(str::parse).transpose()?,
            added_at,
        }))
    }
}

impl Store {
    /// What a person may in a team; nothing for whoever has no part in it. Most have no role on a single project,
    /// and cost no further query.
    pub(super) async fn access(
        &self,
        team: TeamId,
        user: UserId,
        standing: Standing<'_>,
    ) -> Result<Option<Access>> {
        let role = standing.role.map(str::parse).transpose()?;
        let projects = match standing.single_projects {
            0 => Vec::new(),
            _ => roles(self.main().read().await?.conn(), team, user).await?,
        };
        let access = Access::new(role, projects);
        Ok(access.anywhere().is_some().then_some(access))
    }

    /// Who has a role on a project by itself.
    pub async fn list_project_members(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        page: Page,
    ) -> Result<Listed<ProjectMember>> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let team = tenant.team().uuid();
        let (before, fetch) = (page.before(), page.fetch());
        let rows = all!(
            reader.conn(),
            Row,
            LIST,
            project.uuid(),
            team,
            before,
            fetch
        )?;
        let members = rows
            .into_iter()
            .filter_map(|row| row.into_member().transpose());
        Ok(page.cut(members.collect::<Result<_>>()?, |member| member.id.uuid()))
    }

    /// Gives somebody of the team, or somebody who has a project of it, a role on a project.
    pub async fn set_project_role(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        user: UserId,
        role: Role,
    ) -> Result<ProjectMember> {
        check_role(role)?;
        let mut tx = self.main().begin().await?;
        lock(&mut tx, tenant, project).await?;
        allow_managing(&mut tx, tenant, project).await?;
        if access(&mut tx, tenant.team(), user)
            .await?
            .anywhere()
            .is_none()
        {
            return Err(StoreError::NotFound(Resource::Member));
        }
        let now = local_now();
        insert(&mut tx, project, user, role, now).await?;
        let detail = json!({ "user": user, "role": role });
        audit::append_of(
            &mut tx,
            tenant,
            "project.set_role",
            ("project", project.uuid()),
            detail,
            now,
        )
        .await?;
        let member = find(&mut tx, tenant, project, user).await?;
        tx.commit().await?;
        Ok(member)
    }

    /// Takes somebody's role on a project, or gives up one's own. Who then has nothing of the team any more
    /// loses their keys for it.
    pub async fn remove_project_member(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        user: UserId,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        lock(&mut tx, tenant, project).await?;
        if user != tenant.user() {
            allow_managing(&mut tx, tenant, project).await?;
        }
        let member = find(&mut tx, tenant, project, user).await?;
        let sql = "DELETE FROM project_members WHERE project_id = $1 AND user_id = $2";
        execute!(tx.conn(), sql, project.uuid(), user.uuid())?;
        let now = local_now();
        if access(&mut tx, tenant.team(), user)
            .await?
            .anywhere()
            .is_none()
        {
            end_keys(&mut tx, tenant.team(), user, now).await?;
        }
        let detail = json!({ "user": user, "role": member.role });
        audit::append_of(
            &mut tx,
            tenant,
            "project.remove_member",
            ("project", project.uuid()),
            detail,
            now,
        )
        .await?;
        tx.commit().await
    }
}

/// Ends a person's keys for a team.
pub(super) async fn end_keys(
    tx: &mut Tx,
    team: TeamId,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE api_keys SET revoked_at = $3, updated_at = $3 WHERE team_id = $1 AND user_id = $2 AND revoked_at IS NULL",
        team.uuid(),
        user.uuid(),
        now
    )?;
    Ok(())
}

/// Takes all of a person's roles on single projects of a team.
pub(super) async fn remove_all(tx: &mut Tx, team: TeamId, user: UserId) -> Result<()> {
    execute!(
        tx.conn(),
        "DELETE FROM project_members WHERE user_id = $2 AND project_id IN (SELECT id FROM projects WHERE team_id = $1)",
        team.uuid(),
        user.uuid()
    )?;
    Ok(())
}

/// A person's roles on single projects of a team.
pub(super) async fn roles(
    conn: Conn<'_>,
    team: TeamId,
    user: UserId,
) -> Result<Vec<(ProjectId, Role)>> {
    let rows = all!(
        conn,
        (Uuid, String),
        "SELECT o.project_id, o.role FROM project_members o JOIN projects p ON p.id = o.project_id
         WHERE o.user_id = $1 AND p.team_id = $2 LIMIT $3",
        user.uuid(),
        team.uuid(),
        MOST
    )?;
    let parsed = rows
        .into_iter()
        .map(|(project, role)| Ok((project.into(), role.parse()?)));
    parsed.collect()
}

/// The role that somebody may be given on a project.
pub(super) fn check_role(role: Role) -> Result<()> {
    if role != Role::Owner {
        return Ok(());
    }
    Err(StoreError::Invalid {
        field: "role",
        message: "a project has no owner but its team".to_owned(),
        remedy: "give admin, developer or viewer".to_owned(),
    })
}

/// Gives somebody a role on a project, in place of any other.
pub(super) async fn insert(
    tx: &mut Tx,
    project: ProjectId,
    user: UserId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<()> {
    refuse_too_many(tx, project, user).await?;
    execute!(
        tx.conn(),
        "INSERT INTO project_members (id, project_id, user_id, role, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (project_id, user_id) DO UPDATE SET role = $4, updated_at = $5",
        Uuid::now_v7(),
        project.uuid(),
        user.uuid(),
        role.as_str(),
        now
    )?;
    Ok(())
}

async fn refuse_too_many(tx: &mut Tx, project: ProjectId, user: UserId) -> Result<()> {
    let (others,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM project_members o JOIN projects p ON p.id = o.project_id
         WHERE o.user_id = $2 AND o.project_id <> $1 AND p.team_id = (SELECT team_id FROM projects WHERE id = $1)",
        project.uuid(),
        user.uuid()
    )?;
    if others < MOST {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("the person has roles on {MOST} single projects of the team"),
        remedy: "give them a role in the team".to_owned(),
    })
}

/// Locks the team's memberships, and makes sure that the project is the team's.
async fn lock(tx: &mut Tx, tenant: &Tenant, project: ProjectId) -> Result<()> {
    lock_team(tx, tenant.team()).await?;
    super::projects::lock(tx, tenant, project).await
}

/// What somebody may in a team, as it is now.
async fn access(tx: &mut Tx, team: TeamId, user: UserId) -> Result<Access> {
    let sql = "SELECT role FROM team_members WHERE team_id = $1 AND user_id = $2";
    let role = optional!(tx.conn(), (String,), sql, team.uuid(), user.uuid())?;
    let role = role.map(|(role,)| role.parse()).transpose()?;
    Ok(Access::new(role, roles(tx.conn(), team, user).await?))
}

/// Refuses whose role, in the team or on the project, does not allow it any more.
async fn allow_managing(tx: &mut Tx, tenant: &Tenant, project: ProjectId) -> Result<()> {
    let role = access(tx, tenant.team(), tenant.user()).await?.on(project);
    let may = role.is_some_and(|role| role.may(Permission::ManageMembers));
    allow(if may {
        Ok(())
    } else {
        Err(Refusal::Needs(Permission::ManageMembers))
    })
}

async fn find(
    tx: &mut Tx,
    tenant: &Tenant,
    project: ProjectId,
    user: UserId,
) -> Result<ProjectMember> {
    let team = tenant.team().uuid();
    let row = optional!(tx.conn(), Row, ONE, project.uuid(), team, user.uuid())?;
    let member = row.map(Row::into_member).transpose()?.flatten();
    member.ok_or(StoreError::NotFound(Resource::Member))
}
