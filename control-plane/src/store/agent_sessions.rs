//! Agents as their connections see them: who may connect, and who speaks for whom.

use sqlx::types::Json;
use towline_pki::PeerIdentity;
use towline_shared::ids::{AgentId, TeamId};
use towline_shared::protocol::v1::{Capabilities, Hello};
use uuid::Uuid;

use super::db::{execute, optional};
use super::{Result, Store};

/// What becomes of a connection whose certificate was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is the agent's.
    Admitted {
        /// The agent.
        agent: AgentId,
        /// Its team.
        team: TeamId,
        /// Its name.
        name: String,
    },
    /// The agent or its certificate was revoked.
    Revoked,
    /// The certificate is ours, but nobody's we know: the database was restored or replaced.
    Unknown,
}

/// Whether a session still speaks for its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Current,
    /// A newer connection does.
    Superseded,
    /// Nobody does any more.
    Revoked,
}

impl Store {
    /// Decides about a connection, by its verified certificate alone.
    pub async fn handshake(&self, peer: &PeerIdentity) -> Result<Admission> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Uuid, String, i64),
            "SELECT a.team_id, a.name,
                CAST(CASE WHEN a.revoked_at IS NULL AND c.revoked_at IS NULL THEN 0 ELSE 1 END AS BIGINT)
             FROM certificates c JOIN agents a ON a.id = c.agent_id
             WHERE c.serial = $1 AND c.agent_id = $2 AND c.spki = $3",
            peer.serial.as_str(),
            peer.agent,
            peer.spki.to_string()
        )?;
        Ok(match row {
            None => Admission::Unknown,
            Some((team, name, 0)) => Admission::Admitted {
                agent: peer.agent.into(),
                team: team.into(),
                name,
            },
            Some(_) => Admission::Revoked,
        })
    }

    /// A session begins to speak for its agent; an older one is superseded, and woken to see it.
    pub async fn agent_connected(
        &self,
        agent: AgentId,
        session: Uuid,
        hello: &Hello,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        execute!(
            tx.conn(),
            "UPDATE agents SET session_id = $2, connected_at = $3, last_seen_at = $3, version = $4, hostname = $5,
                capabilities = $6, updated_at = $3
             WHERE id = $1 AND revoked_at IS NULL",
            agent.uuid(),
            session,
            now,
            hello.version.as_str(),
            hello.capabilities.hostname.as_str(),
            Json(&hello.capabilities)
        )?;
        tx.commit().await?;
        self.wake().agent(agent);
        Ok(())
    }

    /// Whether a session still speaks for its agent. To be asked when it is woken.
    pub async fn standing(&self, agent: AgentId, session: Uuid) -> Result<Standing> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Option<Uuid>, i64),
            "SELECT session_id, CAST(CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END AS BIGINT) FROM agents WHERE id = $1",
            agent.uuid()
        )?;
        Ok(match row {
            None | Some((_, 1)) => Standing::Revoked,
            Some((Some(current), _)) if current == session => Standing::Current,
            Some(_) => Standing::Superseded,
        })
    }

    /// A session has ended. Its jobs keep their leases: the agent may be back before they end.
    pub async fn agent_disconnected(&self, agent: AgentId, session: Uuid) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let ended = execute!(
            tx.conn(),
            "UPDATE agents SET session_id = NULL, last_seen_at = $3, updated_at = $3 WHERE id = $1 AND session_id = $2",
            agent.uuid(),
            session,
            now
        )?;
        if ended == 1 {
            tx.commit().await
        } else {
            Ok(())
        }
    }

    /// An agent's capabilities have changed.
    pub async fn agent_capabilities(
        &self,
        agent: AgentId,
        capabilities: &Capabilities,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        execute!(
            tx.conn(),
            "UPDATE agents SET capabilities = $2, hostname = $3, updated_at = $4 WHERE id = $1",
            agent.uuid(),
            Json(capabilities),
            capabilities.hostname.as_str(),
            now
        )?;
        tx.commit().await
    }

    /// These agents are alive: one write for all of them, at most once a minute.
    pub async fn agents_seen(&self, agents: &[AgentId]) -> Result<()> {
        if agents.is_empty() {
            return Ok(());
        }
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        for agent in agents {
            let sql =
                "UPDATE agents SET last_seen_at = $2 WHERE id = $1 AND session_id IS NOT NULL";
            execute!(tx.conn(), sql, agent.uuid(), now)?;
        }
        tx.commit().await
    }

    /// At the start on SQLite nobody is connected, whatever the last process wrote. On PostgreSQL
    /// other replicas have sessions; those of a dead one end by their time.
    pub(super) async fn forget_sessions_of_the_dead(&self) -> Result<()> {
        if matches!(self.main(), super::db::Db::Postgres(_)) {
            return Ok(());
        }
        let mut tx = self.main().begin().await?;
        execute!(
            tx.conn(),
            "UPDATE agents SET session_id = NULL WHERE session_id IS NOT NULL"
        )?;
        tx.commit().await
    }
}
