//! Enrolment tokens: a single-use right to become an agent, for at most a quarter of an hour.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use towline_pki::EnrollToken;
use towline_shared::failpoint::reach;
use towline_shared::ids::{AgentId, EnrolmentTokenId, TargetId, TeamId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::db::{Tx, all, execute, local_now, one, optional};
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Tenant};
use crate::domain::names::check_name;

/// The longest that a token may live.
pub const MAX_TTL: TimeDelta = TimeDelta::minutes(15);

/// What a new token is for.
#[derive(Clone, Debug)]
pub struct NewEnrolmentToken {
    /// The name the agent will have; unique in the team.
    pub name: String,
    /// How long it may be used; at most [`MAX_TTL`].
    pub ttl: TimeDelta,
    /// The public listener, as `https://host:port`: the token carries it to the host.
    pub address: String,
}

/// A new token: the only time that its secret is shown.
#[derive(Clone, Debug)]
pub struct MintedToken {
    /// The token's id.
    pub id: EnrolmentTokenId,
    /// The name the agent will have.
    pub name: String,
    /// What to paste on the host; its `Display` tells the secret.
    pub token: EnrollToken,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EnrolmentToken {
    /// The token's id.
    #[schema(value_type = Uuid)]
    pub id: EnrolmentTokenId,
    /// The name the agent will have.
    pub name: String,
    /// What became of it.
    pub status: EnrolmentTokenStatus,
    /// The agent that used it.
    #[schema(value_type = Option<Uuid>)]
    pub agent_id: Option<AgentId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnrolmentTokenStatus {
    /// It can be used.
    Pending,
    /// It was used.
    Used,
    /// Nobody used it in time.
    Expired,
    /// Somebody took it back.
    Revoked,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    agent_id: Option<Uuid>,
    used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl Row {
    fn status(&self, now: DateTime<Utc>) -> EnrolmentTokenStatus {
        if self.used_at.is_some() {
            EnrolmentTokenStatus::Used
        } else if self.revoked_at.is_some() {
            EnrolmentTokenStatus::Revoked
        } else if self.expires_at <= now {
            EnrolmentTokenStatus::Expired
        } else {
            EnrolmentTokenStatus::Pending
        }
    }

    fn into_token(self, now: DateTime<Utc>) -> EnrolmentToken {
        EnrolmentToken {
            status: self.status(now),
            id: self.id.into(),
            name: self.name,
            agent_id: self.agent_id.map(Into::into),
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

impl Store {
    /// Makes a token for an agent of this name.
    pub async fn create_enrolment_token(
        &self,
        tenant: &Tenant,
        new: NewEnrolmentToken,
    ) -> Result<MintedToken> {
        check_name("name", &new.name)?;
        if new.ttl <= TimeDelta::zero() || new.ttl > MAX_TTL {
            return Err(StoreError::Invalid {
                field: "ttl_minutes",
                message: format!("a token lives for 1 to {} minutes", MAX_TTL.num_minutes()),
                remedy: "make another one when this has ended".to_owned(),
            });
        }
        let ca = self.server_authority().await?.fingerprint();
        let token = EnrollToken::mint(&new.address, ca).map_err(|error| StoreError::Invalid {
            field: "address",
            message: error.to_string(),
            remedy: "set the server's public URL (--public-url)".to_owned(),
        })?;
        let mut tx = self.main().begin().await?;
        refuse_taken_name(&mut tx, tenant.team(), &new.name).await?;
        let (id, now) = (EnrolmentTokenId::new(), tx.now().await?);
        let expires_at = now + new.ttl;
        execute!(
            tx.conn(),
            "INSERT INTO enrolment_tokens (id, team_id, name, token_hash, created_by, expires_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            id.uuid(),
            tenant.team().uuid(),
            new.name.as_str(),
            token.secret.hash(),
            tenant.user().uuid(),
            expires_at,
            now
        )?;
        let subject = ("enrolment_token", id.uuid());
        let action = "enrolment_token.create";
        audit::append_of(&mut tx, tenant, action, subject, Value::Null, now).await?;
        tx.commit().await?;
        reach("plane: committed an enrolment token");
        Ok(MintedToken {
            id,
            name: new.name,
            token,
            expires_at,
        })
    }

    /// The team's tokens.
    pub async fn list_enrolment_tokens(
        &self,
        tenant: &Tenant,
        page: Page,
    ) -> Result<Listed<EnrolmentToken>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT id, name, agent_id, used_at, revoked_at, created_at, expires_at FROM enrolment_tokens
             WHERE team_id = $1 AND id < $2 AND target_id IS NULL ORDER BY id DESC LIMIT $3",
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let now = local_now();
        let tokens = rows.into_iter().map(|row| row.into_token(now)).collect();
        Ok(page.cut(tokens, |token: &EnrolmentToken| token.id.uuid()))
    }

    /// Takes a token back that was not used.
    pub async fn revoke_enrolment_token(
        &self,
        tenant: &Tenant,
        id: EnrolmentTokenId,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let revoked = execute!(
            tx.conn(),
            "UPDATE enrolment_tokens SET revoked_at = $3, updated_at = $3
             WHERE id = $1 AND team_id = $2 AND target_id IS NULL AND used_at IS NULL AND revoked_at IS NULL",
            id.uuid(),
            tenant.team().uuid(),
            now
        )?;
        if revoked == 0 {
            return Err(StoreError::NotFound(Resource::EnrolmentToken));
        }
        let subject = ("enrolment_token", id.uuid());
        let action = "enrolment_token.revoke";
        audit::append_of(&mut tx, tenant, action, subject, Value::Null, now).await?;
        tx.commit().await
    }
}

/// A token that was used up by this very transaction.
pub(crate) struct Consumed {
    pub(crate) id: EnrolmentTokenId,
    pub(crate) team: TeamId,
    pub(crate) name: String,
    /// The target that it is for, where its engine is reached over TLS.
    pub(crate) target: Option<TargetId>,
}

/// Uses a token up for an agent. Of any number of racers one gets it: the row is changed once.
pub(crate) async fn consume(
    tx: &mut Tx,
    hash: &str,
    now: DateTime<Utc>,
) -> Result<Option<Consumed>> {
    let row = optional!(
        tx.conn(),
        (Uuid, Uuid, String, Option<Uuid>),
        "UPDATE enrolment_tokens SET used_at = $2, updated_at = $2
         WHERE token_hash = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2
         RETURNING id, team_id, name, target_id",
        hash,
        now
    )?;
    Ok(row.map(|(id, team, name, target)| Consumed {
        id: id.into(),
        team: team.into(),
        name,
        target: target.map(Into::into),
    }))
}

/// Notes which agent a consumed token became.
pub(crate) async fn note_agent(tx: &mut Tx, token: EnrolmentTokenId, agent: AgentId) -> Result<()> {
    let sql = "UPDATE enrolment_tokens SET agent_id = $2 WHERE id = $1";
    execute!(tx.conn(), sql, token.uuid(), agent.uuid())?;
    Ok(())
}

/// A token that exists, and may not be usable.
pub(crate) struct Found {
    pub(crate) id: EnrolmentTokenId,
    pub(crate) team: TeamId,
    pub(crate) status: EnrolmentTokenStatus,
}

/// Why a token could not be used: what its row says.
pub(crate) async fn find(tx: &mut Tx, hash: &str, now: DateTime<Utc>) -> Result<Option<Found>> {
    let row = optional!(
        tx.conn(),
        FoundRow,
        "SELECT team_id, id, name, agent_id, used_at, revoked_at, created_at, expires_at FROM enrolment_tokens
         WHERE token_hash = $1",
        hash
    )?;
    Ok(row.map(|row| Found {
        id: row.token.id.into(),
        team: row.team_id.into(),
        status: row.token.status(now),
    }))
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    team_id: Uuid,
    #[sqlx(flatten)]
    token: Row,
}

async fn refuse_taken_name(tx: &mut Tx, team: TeamId, name: &str) -> Result<()> {
    let (taken,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM agents WHERE team_id = $1 AND name = $2 AND revoked_at IS NULL",
        team.uuid(),
        name
    )?;
    if taken == 0 {
        Ok(())
    } else {
        Err(name_taken(name))
    }
}

/// An agent of this name exists.
pub(crate) fn name_taken(name: &str) -> StoreError {
    StoreError::Conflict {
        message: format!("an agent named {name:?} exists already"),
        remedy: "choose another name, or revoke that agent first to enrol its host again"
            .to_owned(),
    }
}
