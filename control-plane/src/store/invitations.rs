//! Invitations into a team: a link that works once, for one address, for a week.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use towline_pki::{hash_token, random_token};
use towline_shared::ids::{InvitationId, TeamId};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::api_keys::{self, FIRST, NewApiKey};
use super::audit::{self, Actor, Entry};
use super::db::{Tx, all, execute, local_now, one, optional};
use super::members::{allow, lock_team, role_now};
use super::page::{Listed, Page};
use super::people::{self, NewUser, SetUp, Team, User, check_email, check_person_name};
use super::{
    Named, Project, Resource, Result, Store, StoreError, Tenant, notification_events,
    project_members,
};
use crate::domain::membership::may_invite;
use crate::domain::password::PasswordHash;
use crate::domain::permission::Role;

/// The prefix of an invitation's secret.
const PREFIX: &str = "twli";
/// How long an invitation stands.
const LASTS: TimeDelta = TimeDelta::days(7);

/// An invitation, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Invitation {
    /// The invitation's id.
    #[schema(value_type = Uuid)]
    pub id: InvitationId,
    /// Who is invited.
    pub email: String,
    /// The role they will have.
    pub role: Role,
    /// The one project that it is for; null when it is for the whole team.
    pub project: Option<Named>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// A new invitation and its secret, which is given out this once.
pub struct MintedInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// The secret of its link.
    pub token: Zeroizing<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    role: String,
    project_id: Option<Uuid>,
    project_name: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Open {
    id: Uuid,
    team_id: Uuid,
    team_name: String,
    email: String,
    role: String,
    project_id: Option<Uuid>,
}

impl Row {
    fn into_invitation(self) -> Result<Invitation> {
        Ok(Invitation {
            id: self.id.into(),
            email: self.email,
            role: self.role.parse()?,
            project: Named::both(self.project_id, self.project_name),
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

impl Store {
    /// Invites somebody into the team, or to one project of it. An open invitation of the same person ends with it.
    pub async fn invite(
        &self,
        tenant: &Tenant,
        email: &str,
        role: Role,
        project: Option<&Project>,
    ) -> Result<MintedInvitation> {
        check_email(email)?;
        if project.is_some() {
            project_members::check_role(role)?;
        }
        let token = random_token(PREFIX)?;
        let mut tx = self.main().begin().await?;
        lock_team(&mut tx, tenant.team()).await?;
        allow(may_invite(role_now(&mut tx, tenant).await?, role))?;
        refuse_member(&mut tx, tenant.team(), email).await?;
        let (id, now) = (InvitationId::new(), local_now());
        let invitation = Invitation {
            id,
            email: email.to_owned(),
            role,
            project: project.map(|project| Named {
                id: project.id.uuid(),
                name: project.name.clone(),
            }),
            created_at: now,
            expires_at: now + LASTS,
        };
        execute!(
            tx.conn(),
            "UPDATE invitations SET revoked_at = $3, updated_at = $3
             WHERE team_id = $1 AND lower(email) = lower($2) AND accepted_at IS NULL AND revoked_at IS NULL",
            tenant.team().uuid(),
            email,
            now
        )?;
        execute!(
            tx.conn(),
            "INSERT INTO invitations (id, team_id, email, role, project_id, token_hash, invited_by, expires_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $9, $5, $6, $7, $8, $8)",
            id.uuid(),
            tenant.team().uuid(),
            email,
            role.as_str(),
            hash_token(&token),
            tenant.user().uuid(),
            invitation.expires_at,
            now,
            project.map(|project| project.id.uuid())
        )?;
        let (subject, detail) = (
            ("invitation", id.uuid()),
            json!({ "email": email, "role": role, "project": project.map(|project| project.id) }),
        );
        audit::append_of(&mut tx, tenant, "invitation.create", subject, detail, now).await?;
        tx.commit().await?;
        Ok(MintedInvitation { invitation, token })
    }

    /// The team's open invitations.
    pub async fn list_invitations(
        &self,
        tenant: &Tenant,
        page: Page,
    ) -> Result<Listed<Invitation>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT i.id, i.email, i.role, i.project_id, p.name AS project_name, i.created_at, i.expires_at FROM invitations i
             LEFT JOIN projects p ON p.id = i.project_id
             WHERE i.team_id = $1 AND i.id < $2 AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > $4
             ORDER BY i.id DESC LIMIT $3",
            tenant.team().uuid(),
            page.before(),
            page.fetch(),
            local_now()
        )?;
        let invitations = rows.into_iter().map(Row::into_invitation);
        Ok(page.cut(invitations.collect::<Result<_>>()?, |one| one.id.uuid()))
    }

    /// Takes an open invitation back.
    pub async fn revoke_invitation(&self, tenant: &Tenant, id: InvitationId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let revoked = execute!(
            tx.conn(),
            "UPDATE invitations SET revoked_at = $3, updated_at = $3
             WHERE id = $1 AND team_id = $2 AND accepted_at IS NULL AND revoked_at IS NULL",
            id.uuid(),
            tenant.team().uuid(),
            now
        )?;
        if revoked == 0 {
            return Err(StoreError::NotFound(Resource::Invitation));
        }
        let (subject, detail) = (("invitation", id.uuid()), serde_json::Value::Null);
        audit::append_of(&mut tx, tenant, "invitation.revoke", subject, detail, now).await?;
        tx.commit().await
    }

    /// Somebody new accepts: makes the person, a team of their own, and a key for the team that
    /// invited them.
    ///
    /// # Errors
    /// `Conflict` when there is a user with the address already: a link is no sign-in.
    pub async fn accept_invitation(
        &self,
        token: &str,
        name: &str,
        password: Option<&PasswordHash>,
        address: IpAddr,
    ) -> Result<SetUp> {
        check_person_name(name)?;
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let open = consume(&mut tx, token, now).await?;
        let new = NewUser {
            email: &open.email,
            name,
            password,
            role: people::UserRole::User,
            plan: people::NEWCOMERS_PLAN,
        };
        let (user, _) = people::insert_user(&mut tx, &new, now).await?;
        let actor = Actor::User {
            user: user.id,
            address: Some(address),
        };
        let joined = enter(&mut tx, &open, user, actor, now).await?;
        tx.commit().await?;
        self.wake().outbox();
        Ok(joined)
    }

    /// The tenant's person joins another team, with a key for it.
    ///
    /// # Errors
    /// `Conflict` when the invitation is for another address, or the person is in the team already.
    pub async fn join_team(&self, tenant: &Tenant, token: &str) -> Result<SetUp> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let open = consume(&mut tx, token, now).await?;
        let user = people::user(&mut tx, tenant.user()).await?;
        if user.email.to_lowercase() != open.email.to_lowercase() {
            return Err(StoreError::Conflict {
                message: format!(
                    "the invitation is for {}, and you are {}",
                    open.email, user.email
                ),
                remedy: "ask for an invitation of your own address".to_owned(),
            });
        }
        lock_team(&mut tx, open.team_id.into()).await?;
        refuse_member(&mut tx, open.team_id.into(), &user.email).await?;
        let joined = enter(&mut tx, &open, user, tenant.actor(), now).await?;
        tx.commit().await?;
        self.wake().outbox();
        Ok(joined)
    }
}

/// Uses an invitation up. Of any number of racers one gets it: the row is changed once.
async fn consume(tx: &mut Tx, token: &str, now: DateTime<Utc>) -> Result<Open> {
    let open = optional!(
        tx.conn(),
        Open,
        "UPDATE invitations SET accepted_at = $2, updated_at = $2
         WHERE token_hash = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2
         RETURNING id, team_id, (SELECT t.name FROM teams t WHERE t.id = team_id) AS team_name, email, role, project_id",
        hash_token(token),
        now
    )?;
    open.ok_or(StoreError::NotFound(Resource::Invitation))
}

/// The person is in the team, and gets a key for it.
async fn enter(
    tx: &mut Tx,
    open: &Open,
    user: User,
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<SetUp> {
    let team = TeamId::from(open.team_id);
    let place = open
        .project_id
        .map_or("the team", |_| "a project of the team");
    let newcomer = (user.name.as_str(), user.email.as_str(), open.role.as_str());
    notification_events::member_joins(tx, team, place, newcomer, now).await?;
    let role = open.role.parse()?;
    match open.project_id {
        None => people::insert_member(tx, team, user.id, role, now).await?,
        Some(project) => project_members::insert(tx, project.into(), user.id, role, now).await?,
    }
    let api_key = api_keys::insert(tx, team, user.id, NewApiKey::named(FIRST), now).await?;
    let entry = Entry {
        chain: team.uuid(),
        team: Some(team),
        actor,
        action: "invitation.accept",
        subject: ("invitation", Some(open.id)),
        detail: json!({ "role": open.role, "project": open.project_id }),
    };
    audit::append(tx, &entry, now).await?;
    Ok(SetUp {
        user,
        team: Team {
            id: team,
            name: open.team_name.clone(),
        },
        api_key,
    })
}

async fn refuse_member(tx: &mut Tx, team: TeamId, email: &str) -> Result<()> {
    let (there,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM team_members m JOIN users u ON u.id = m.user_id
         WHERE m.team_id = $1 AND lower(u.email) = lower($2)",
        team.uuid(),
        email
    )?;
    if there == 0 {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("{email} is in the team already"),
        remedy: "change the role with `towline members role`, which gives one on a project, too"
            .to_owned(),
    })
}
