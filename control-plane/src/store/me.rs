//! Who asks, in full.

use chrono::{DateTime, Utc};
use serde::Serialize;
use towline_shared::ids::ProjectId;
use utoipa::ToSchema;

use super::db::{one, optional};
use super::people::{Team, User};
use super::tenant::{Credential, Tenant};
use super::{ApiKey, Resource, Result, Session, Store, StoreError, api_keys};
use crate::domain::permission::Role;

/// Who somebody is who has a credential.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// The person.
    pub user: User,
    /// The team that is asked for: a key's own, or the one that the request names.
    pub team: Team,
    /// What the person may do in the whole team; null for whoever is there for single projects, and for a key that
    /// is for one.
    pub role: Option<Role>,
    /// What the person may do on single projects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<ProjectRole>,
    /// The key, if the person came with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<ApiKey>,
    /// The session, if the person signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

/// What somebody may do on a project.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProjectRole {
    /// The project's id.
    #[schema(value_type = Uuid)]
    pub id: ProjectId,
    /// The role that counts there.
    pub role: Role,
}

#[derive(sqlx::FromRow)]
struct Row {
    email: String,
    user_name: String,
    user_role: String,
    user_created_at: DateTime<Utc>,
    team_name: String,
}

impl Store {
    /// Who the tenant is, in full.
    pub async fn me(&self, tenant: &Tenant) -> Result<Me> {
        let mut reader = self.main().read().await?;
        let row = one!(
            reader.conn(),
            Row,
            "SELECT u.email, u.name AS user_name, u.role AS user_role, u.created_at AS user_created_at, t.name AS team_name
             FROM users u CROSS JOIN teams t WHERE u.id = $1 AND t.id = $2",
            tenant.user().uuid(),
            tenant.team().uuid()
        )?;
        let (mut key, mut session) = (None, None);
        match tenant.credential() {
            Credential::Key(id) => {
                let team = tenant.team().uuid();
                key = optional!(reader.conn(), ApiKey, api_keys::ONE, id.uuid(), team)?;
                key.as_ref().ok_or(StoreError::NotFound(Resource::ApiKey))?;
            }
            Credential::Session(id) => {
                let sql = "SELECT id, user_agent, address, created_at, last_used_at, expires_at FROM sessions
                    WHERE id = $1 AND user_id = $2";
                let user = tenant.user().uuid();
                session = optional!(reader.conn(), Session, sql, id.uuid(), user)?;
                session
                    .as_ref()
                    .ok_or(StoreError::NotFound(Resource::Session))?;
            }
            // No person is there to be told.
            Credential::Push(_) => {}
        }
        Ok(Me {
            user: User {
                id: tenant.user(),
                email: row.email,
                name: row.user_name,
                role: row.user_role.parse()?,
                created_at: row.user_created_at,
            },
            team: Team {
                id: tenant.team(),
                name: row.team_name,
            },
            role: tenant.role(),
            projects: on_projects(tenant),
            key,
            session,
        })
    }
}

fn on_projects(tenant: &Tenant) -> Vec<ProjectRole> {
    let roles = tenant.access().on_projects();
    roles.map(|(id, role)| ProjectRole { id, role }).collect()
}
