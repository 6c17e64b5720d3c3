//! The teams of a person.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::api_keys::{self, FIRST, MintedApiKey, NewApiKey};
use super::audit::{self, Entry};
use super::db::{Tx, all, execute, local_now, one};
use super::members::lock_team;
use super::people::{Team, insert_member};
use super::tenant::{Credential, Person};
use super::{Result, Store, StoreError, Tenant, accounts, quota};
use crate::domain::names::check_label;
use crate::domain::permission::Role;

/// The most teams that are listed; nobody is in nearly so many.
const MOST: i64 = 1000;

/// A team of a person.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OwnTeam {
    /// What it is.
    #[serde(flatten)]
    pub team: Team,
    /// What the person may do there; null for whoever is there for single projects.
    pub role: Option<Role>,
    /// Whether the team is this person's: its plan is theirs.
    pub holds_the_team: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A team that was just made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MadeTeam {
    /// What it is.
    #[serde(flatten)]
    pub team: Team,
    /// A key for it, for whoever came with a key. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<MintedApiKey>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    owner_id: Uuid,
    role: Option<String>,
    created_at: DateTime<Utc>,
}

impl Row {
    fn into_team(self, person: &Person) -> Result<OwnTeam> {
        Ok(OwnTeam {
            team: Team {
                id: self.id.into(),
                name: self.name,
            },
            role: self.role.as_deref().map(str::parse).transpose()?,
            holds_the_team: self.owner_id == person.user().uuid(),
            created_at: self.created_at,
        })
    }
}

impl Store {
    /// The teams that a person is in, or has a project in, the oldest first.
    pub async fn list_teams(&self, person: &Person) -> Result<Vec<OwnTeam>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT t.id, t.name, t.owner_id, m.role, t.created_at FROM teams t
             LEFT JOIN team_members m ON m.team_id = t.id AND m.user_id = $1
             WHERE t.id IN (SELECT team_id FROM team_members WHERE user_id = $1
                UNION SELECT p.team_id FROM project_members o JOIN projects p ON p.id = o.project_id WHERE o.user_id = $1)
             ORDER BY t.id LIMIT $2",
            person.user().uuid(),
            MOST
        )?;
        rows.into_iter().map(|row| row.into_team(person)).collect()
    }

    /// Makes a further team, which is the person's: its plan is theirs.
    pub async fn create_team(&self, person: &Person, name: &str) -> Result<MadeTeam> {
        check_label("name", name)?;
        let made = self.insert_team(person, name).await;
        if let Err(StoreError::QuotaExceeded(exceeded)) = &made {
            let mut tx = self.main().begin().await?;
            let (user, actor) = (person.user(), person.actor());
            let (subject, detail) = (
                ("user", user.uuid()),
                json!({ "why": exceeded.to_string() }),
            );
            let now = local_now();
            audit::append_to_account(&mut tx, user, actor, "team.refuse", subject, detail, now)
                .await?;
            tx.commit().await?;
        }
        made
    }

    async fn insert_team(&self, person: &Person, name: &str) -> Result<MadeTeam> {
        let mut tx = self.main().begin().await?;
        let user = person.user();
        quota::check_teams(&mut tx, user).await?;
        let now = local_now();
        let team = insert(&mut tx, user, name, now).await?;
        let api_key = match person.credential() {
            Credential::Key(_) => {
                let key = NewApiKey::named(FIRST);
                Some(api_keys::insert(&mut tx, team.id, user, key, now).await?)
            }
            Credential::Session(_) | Credential::Push(_) => None,
        };
        let entry = Entry {
            chain: team.id.uuid(),
            team: Some(team.id),
            actor: person.actor(),
            action: "team.create",
            subject: ("team", Some(team.id.uuid())),
            detail: json!({ "name": name }),
        };
        audit::append(&mut tx, &entry, now).await?;
        tx.commit().await?;
        Ok(MadeTeam { team, api_key })
    }

    /// Gives the tenant's team another name.
    pub async fn rename_team(&self, tenant: &Tenant, name: &str) -> Result<Team> {
        check_label("name", name)?;
        let mut tx = self.main().begin().await?;
        lock_team(&mut tx, tenant.team()).await?;
        let (team, now) = (tenant.team().uuid(), local_now());
        let (before,) = one!(
            tx.conn(),
            (String,),
            "SELECT name FROM teams WHERE id = $1",
            team
        )?;
        let sql = "UPDATE teams SET name = $2, updated_at = $3 WHERE id = $1";
        execute!(tx.conn(), sql, team, name, now)?;
        let (subject, detail) = (("team", team), json!({ "before": before, "after": name }));
        audit::append_of(&mut tx, tenant, "team.rename", subject, detail, now).await?;
        tx.commit().await?;
        Ok(Team {
            id: tenant.team(),
            name: name.to_owned(),
        })
    }

    /// Deletes the tenant's team. What it deployed and its hosts must be gone before.
    pub async fn delete_team(&self, tenant: &Tenant) -> Result<()> {
        let mut tx = self.main().begin().await?;
        lock_team(&mut tx, tenant.team()).await?;
        refuse_in_use(&mut tx, tenant.team()).await?;
        let (team, now) = (tenant.team().uuid(), local_now());
        let (name,) = one!(
            tx.conn(),
            (String,),
            "SELECT name FROM teams WHERE id = $1",
            team
        )?;
        let (subject, detail) = (("team", team), json!({ "name": name }));
        audit::append_of(&mut tx, tenant, "team.delete", subject, detail, now).await?;
        execute!(tx.conn(), "DELETE FROM teams WHERE id = $1", team)?;
        tx.commit().await
    }
}

/// Makes a team with its first owner.
pub(super) async fn insert(
    tx: &mut Tx,
    owner: UserId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Team> {
    let team = Team {
        id: TeamId::new(),
        name: name.to_owned(),
    };
    execute!(
        tx.conn(),
        "INSERT INTO teams (id, name, owner_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
        team.id.uuid(),
        name,
        owner.uuid(),
        now
    )?;
    insert_member(tx, team.id, owner, Role::Owner, now).await?;
    Ok(team)
}

/// How many teams belong to a person, whose account stays locked until the commit.
pub(super) async fn count_of(tx: &mut Tx, owner: UserId) -> Result<i64> {
    accounts::lock(tx, owner).await?;
    let sql = "SELECT COUNT(*) FROM teams WHERE owner_id = $1";
    Ok(one!(tx.conn(), (i64,), sql, owner.uuid())?.0)
}

async fn refuse_in_use(tx: &mut Tx, team: TeamId) -> Result<()> {
    let projects = "SELECT COUNT(*) FROM projects WHERE team_id = $1";
    let agents = "SELECT COUNT(*) FROM agents WHERE team_id = $1 AND revoked_at IS NULL";
    for (sql, what, remedy) in [
        (
            projects,
            "projects",
            "delete them first: `towline projects rm`",
        ),
        (
            agents,
            "agents",
            "revoke them first: `towline agents revoke`",
        ),
    ] {
        let (there,) = one!(tx.conn(), (i64,), sql, team.uuid())?;
        if there > 0 {
            return Err(StoreError::Conflict {
                message: format!("the team still has {what}: {there}"),
                remedy: remedy.to_owned(),
            });
        }
    }
    Ok(())
}
