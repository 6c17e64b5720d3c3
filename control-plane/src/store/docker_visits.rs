//! Those who come to a host's engine by a certificate: whether they may, and what they did there.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::json;
use towline_pki::DockerClient;
use towline_shared::ids::{AgentId, CertificateId, TargetId, TeamId, UserId};
use uuid::Uuid;

use super::agents::{AgentStatus, Presence};
use super::audit::{self, Actor, Entry};
use super::db::{Conn, local_now, optional};
use super::{Result, Store};

/// Whether somebody with a certificate of ours may use the engine it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerStanding {
    /// They may.
    Granted(DockerVisitor),
    /// The certificate was revoked, or is none that this database knows.
    Revoked,
    /// The person may not (any more) use this host, by its name.
    NotGranted(String),
}

/// Somebody who may use a host's engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerVisitor {
    /// The certificate.
    pub certificate: CertificateId,
    /// The person.
    pub user: UserId,
    /// The host's team.
    pub team: TeamId,
    /// The host.
    pub target: TargetId,
    /// The host's name.
    pub name: String,
    /// The agent that reaches it.
    pub agent: Option<AgentId>,
    /// Whether that can be reached, as far as the database knows.
    pub status: AgentStatus,
    /// When it was last heard of, to the minute.
    pub last_seen_at: Option<DateTime<Utc>>,
}

/// What somebody asks of an engine, as far as it is written down: never a query or a body, in which secrets may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerRequest {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The container it is about.
    pub container: Option<String>,
    /// The network address it comes from.
    pub address: IpAddr,
}

#[derive(sqlx::FromRow)]
struct Row {
    spki: String,
    not_after: DateTime<Utc>,
    certificate_revoked_at: Option<DateTime<Utc>>,
    target_id: Uuid,
    user_id: Uuid,
    team_id: Uuid,
    name: String,
    agent_id: Option<Uuid>,
    granted: Option<Uuid>,
    member: Option<Uuid>,
    suspended_at: Option<DateTime<Utc>>,
    #[sqlx(flatten)]
    presence: Presence,
}

impl Row {
    fn standing(self, client: &DockerClient, now: DateTime<Utc>) -> DockerStanding {
        if self.certificate_revoked_at.is_some()
            || self.spki != client.spki.to_string()
            || self.not_after <= now
        {
            return DockerStanding::Revoked;
        }
        if self.granted.is_none() || self.member.is_none() || self.suspended_at.is_some() {
            return DockerStanding::NotGranted(self.name);
        }
        DockerStanding::Granted(DockerVisitor {
            certificate: client.certificate.into(),
            user: self.user_id.into(),
            team: self.team_id.into(),
            target: self.target_id.into(),
            agent: self.agent_id.map(Into::into),
            status: match self.agent_id {
                Some(_) => self.presence.status(now),
                None => AgentStatus::Offline,
            },
            last_seen_at: self.presence.last_seen_at,
            name: self.name,
        })
    }
}

impl Store {
    /// Whether this client may use the engine that its certificate is for.
    pub async fn docker_standing(&self, client: &DockerClient) -> Result<DockerStanding> {
        let mut reader = self.main().read().await?;
        standing(reader.conn(), client).await
    }

    /// The same, and writes down what is asked for where it is granted: before anything of it is done.
    pub async fn docker_request(
        &self,
        client: &DockerClient,
        asked: &DockerRequest,
    ) -> Result<DockerStanding> {
        let mut tx = self.main().begin().await?;
        let standing = standing(tx.conn(), client).await?;
        let DockerStanding::Granted(visitor) = &standing else {
            return Ok(standing);
        };
        let entry = Entry {
            chain: visitor.target.uuid(),
            team: Some(visitor.team),
            actor: Actor::User {
                user: visitor.user,
                address: Some(asked.address),
            },
            action: "docker.request",
            subject: ("target", Some(visitor.target.uuid())),
            detail: json!({
                "method": asked.method,
                "path": asked.path,
                "container": asked.container,
                "certificate": visitor.certificate,
            }),
        };
        audit::append(&mut tx, &entry, local_now()).await?;
        tx.commit().await?;
        Ok(standing)
    }
}

async fn standing(conn: Conn<'_>, client: &DockerClient) -> Result<DockerStanding> {
    let row = optional!(
        conn,
        Row,
        "SELECT c.spki, c.not_after, c.revoked_at AS certificate_revoked_at, c.target_id, c.user_id, t.team_id, t.name,
            t.agent_id, g.user_id AS granted, m.user_id AS member, u.suspended_at, a.session_id, a.last_seen_at,
            a.revoked_at
         FROM docker_certificates c JOIN deployment_targets t ON t.id = c.target_id JOIN users u ON u.id = c.user_id
         LEFT JOIN docker_grants g ON g.target_id = c.target_id AND g.user_id = c.user_id
         LEFT JOIN team_members m ON m.team_id = t.team_id AND m.user_id = c.user_id
         LEFT JOIN agents a ON a.id = t.agent_id WHERE c.id = $1",
        client.certificate
    )?;
    let now = local_now();
    Ok(row.map_or(DockerStanding::Revoked, |row| row.standing(client, now)))
}
