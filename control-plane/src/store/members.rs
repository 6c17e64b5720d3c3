//! Who is in a team, and by which role.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::db::{Tx, all, execute, local_now, one, optional};
use super::docker_access;
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Tenant, project_members, quota};
use crate::domain::membership::{self, Holds, Is, Refusal};
use crate::domain::permission::Role;

/// Somebody in the team.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Member {
    /// The person's id.
    #[schema(value_type = Uuid)]
    pub id: UserId,
    /// The person's name.
    pub name: String,
    /// The person's e-mail address.
    pub email: String,
    /// What the person may do.
    pub role: Role,
    /// Whether the team is this person's: its plan is theirs.
    pub holds_the_team: bool,
    /// When the person joined.
    pub joined_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: Uuid,
    name: String,
    email: String,
    role: String,
    owner_id: Uuid,
    joined_at: DateTime<Utc>,
}

impl Row {
    fn into_member(self) -> Result<Member> {
        Ok(Member {
            id: self.user_id.into(),
            name: self.name,
            email: self.email,
            role: self.role.parse()?,
            holds_the_team: self.owner_id == self.user_id,
            joined_at: self.joined_at,
        })
    }
}

impl Store {
    /// The team's members.
    pub async fn list_members(&self, tenant: &Tenant, page: Page) -> Result<Listed<Member>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT m.user_id, u.name, u.email, m.role, t.owner_id, m.joined_at FROM team_members m
             JOIN users u ON u.id = m.user_id JOIN teams t ON t.id = m.team_id
             WHERE m.team_id = $1 AND m.user_id < $2 ORDER BY m.user_id DESC LIMIT $3",
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let members = rows.into_iter().map(Row::into_member);
        Ok(page.cut(members.collect::<Result<_>>()?, |member| member.id.uuid()))
    }

    /// Gives a member another role.
    pub async fn change_role(&self, tenant: &Tenant, user: UserId, to: Role) -> Result<Member> {
        let mut tx = self.main().begin().await?;
        let (mut member, asker) = lock(&mut tx, tenant, user).await?;
        allow(membership::may_change(asker, seen(tenant, &member), to))?;
        let now = local_now();
        execute!(
            tx.conn(),
            "UPDATE team_members SET role = $3, updated_at = $4 WHERE team_id = $1 AND user_id = $2",
            tenant.team().uuid(),
            user.uuid(),
            to.as_str(),
            now
        )?;
        let detail = json!({ "from": member.role, "to": to });
        let subject = ("user", user.uuid());
        audit::append_of(&mut tx, tenant, "member.change_role", subject, detail, now).await?;
        tx.commit().await?;
        member.role = to;
        Ok(member)
    }

    /// Takes a member out, or lets the tenant's person leave. Their keys for this team end with it.
    pub async fn remove_member(&self, tenant: &Tenant, user: UserId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let (member, asker) = lock(&mut tx, tenant, user).await?;
        allow(membership::may_remove(asker, seen(tenant, &member)))?;
        let (team, now) = (tenant.team().uuid(), local_now());
        project_members::end_keys(&mut tx, tenant.team(), user, now).await?;
        project_members::remove_all(&mut tx, tenant.team(), user).await?;
        let hosts = docker_access::end_all(&mut tx, tenant.team(), user, now).await?;
        execute!(
            tx.conn(),
            "DELETE FROM team_members WHERE team_id = $1 AND user_id = $2",
            team,
            user.uuid()
        )?;
        let action = match seen(tenant, &member).is {
            Is::Oneself => "member.leave",
            Is::Another => "member.remove",
        };
        let (subject, detail) = (("user", user.uuid()), json!({ "role": member.role }));
        audit::append_of(&mut tx, tenant, action, subject, detail, now).await?;
        tx.commit().await?;
        for host in hosts {
            self.wake().docker(host);
        }
        Ok(())
    }

    /// Gives the team to a member, whose plan counts from now on. The giver stays an owner.
    pub async fn give_team(&self, tenant: &Tenant, user: UserId) -> Result<Member> {
        let mut tx = self.main().begin().await?;
        let (mut member, asker) = lock(&mut tx, tenant, user).await?;
        allow(membership::may_change(
            asker,
            seen(tenant, &member),
            Role::Owner,
        ))?;
        if !member.holds_the_team {
            quota::check_teams(&mut tx, user).await?;
        }
        let (team, now) = (tenant.team().uuid(), local_now());
        execute!(
            tx.conn(),
            "UPDATE team_members SET role = 'owner', updated_at = $3 WHERE team_id = $1 AND user_id = $2",
            team,
            user.uuid(),
            now
        )?;
        execute!(
            tx.conn(),
            "UPDATE teams SET owner_id = $2, updated_at = $3 WHERE id = $1",
            team,
            user.uuid(),
            now
        )?;
        let (subject, detail) = (("user", user.uuid()), json!({ "role_before": member.role }));
        audit::append_of(&mut tx, tenant, "team.give", subject, detail, now).await?;
        tx.commit().await?;
        (member.role, member.holds_the_team) = (Role::Owner, true);
        Ok(member)
    }
}

/// Locks the team's memberships, and reads the member and the role of the one who asks as they are
/// now: it may have been taken since the request was authorized.
async fn lock(tx: &mut Tx, tenant: &Tenant, user: UserId) -> Result<(Member, Role)> {
    lock_team(tx, tenant.team()).await?;
    let row = optional!(
        tx.conn(),
        Row,
        "SELECT m.user_id, u.name, u.email, m.role, t.owner_id, m.joined_at FROM team_members m
         JOIN users u ON u.id = m.user_id JOIN teams t ON t.id = m.team_id
         WHERE m.team_id = $1 AND m.user_id = $2",
        tenant.team().uuid(),
        user.uuid()
    )?;
    let member = row.ok_or(StoreError::NotFound(Resource::Member))?;
    Ok((member.into_member()?, role_now(tx, tenant).await?))
}

/// Locks the team's row until the commit: two who change its memberships, or race for the last of its
/// quota, take turns.
pub(super) async fn lock_team(tx: &mut Tx, team: TeamId) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT 1 FROM teams WHERE id = $1",
        "SELECT CAST(1 AS BIGINT) FROM teams WHERE id = $1 FOR NO KEY UPDATE",
    );
    one!(conn, (i64,), sql, team.uuid())?;
    Ok(())
}

/// The role of the one who asks, in this transaction.
pub(super) async fn role_now(tx: &mut Tx, tenant: &Tenant) -> Result<Role> {
    let role = optional!(
        tx.conn(),
        (String,),
        "SELECT role FROM team_members WHERE team_id = $1 AND user_id = $2",
        tenant.team().uuid(),
        tenant.user().uuid()
    )?;
    let (role,) = role.ok_or_else(|| StoreError::Forbidden {
        message: "you are not in this team any more".to_owned(),
        remedy: "ask an owner or admin of the team".to_owned(),
    })?;
    Ok(role.parse()?)
}

fn seen(tenant: &Tenant, member: &Member) -> membership::Member {
    membership::Member {
        role: member.role,
        is: if member.id == tenant.user() {
            Is::Oneself
        } else {
            Is::Another
        },
        holds: if member.holds_the_team {
            Holds::Team
        } else {
            Holds::Place
        },
    }
}

/// A refusal in words.
pub(super) fn allow(judged: std::result::Result<(), Refusal>) -> Result<()> {
    judged.map_err(|refusal| match refusal {
        Refusal::Needs(permission) => StoreError::Forbidden {
            message: format!(
                "your role in this team does not allow to {}",
                permission.words()
            ),
            remedy: format!("it needs the role {} or more", permission.least()),
        },
        Refusal::HoldsTheTeam => StoreError::Conflict {
            message: "the team is this person's, and its plan theirs".to_owned(),
            remedy: "give the team to another member first (`towline members give MEMBER`)"
                .to_owned(),
        },
    })
}
