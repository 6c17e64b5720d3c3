//! Agents as their connections see them: who may connect, and who speaks for whom.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use towline_pki::PeerIdentity;
use towline_shared::failpoint::reach;
use towline_shared::ids::{AgentId, TeamId};
use towline_shared::protocol::v1::{Capabilities, Hello};
use uuid::Uuid;

use super::db::{all, execute, id_list, optional};
use super::text::{storable, storable_json};
use super::{Result, Store, notification_events, target_platforms};

/// Sessions noted by one statement, so that no other write waits long.
const SEEN_AT_ONCE: usize = 500;

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
        /// Its last connection before this one, for [`Store::agent_connected`].
        before: Before,
    },
    /// The agent or its certificate was revoked.
    Revoked,
    /// The certificate is ours, but nobody's we know: the database was restored or replaced.
    Unknown,
}

/// The connection of an agent that was the last when another one began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before(Option<DateTime<Utc>>);

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
        let mut reader = self.read_in_turn().await?;
        let row = optional!(
            reader.conn(),
            (Uuid, String, Option<DateTime<Utc>>, i64),
            "SELECT a.team_id, a.name, a.connected_at,
                CAST(CASE WHEN a.revoked_at IS NULL AND c.revoked_at IS NULL THEN 0 ELSE 1 END AS BIGINT)
             FROM certificates c JOIN agents a ON a.id = c.agent_id
             WHERE c.serial = $1 AND c.agent_id = $2 AND c.spki = $3",
            peer.serial.as_str(),
            peer.agent,
            peer.spki.to_string()
        )?;
        Ok(match row {
            None => Admission::Unknown,
            Some((team, name, connected_at, 0)) => Admission::Admitted {
                agent: peer.agent.into(),
                team: team.into(),
                name,
                before: Before(connected_at),
            },
            Some(_) => Admission::Revoked,
        })
    }

    /// A session begins to speak for its agent; an older one is superseded, and woken to see it. It
    /// does not, if the agent was revoked since its handshake, or if another connection has begun
    /// since: an agent dials again only when it has given the former connection up, so a hello that
    /// comes late on that one tells of the past, and would take jobs away that the agent has.
    pub async fn agent_connected(
        &self,
        agent: AgentId,
        session: Uuid,
        before: Before,
        hello: &Hello,
    ) -> Result<Standing> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let connected = optional!(
            tx.conn(),
            (Uuid, String, Option<DateTime<Utc>>),
            "UPDATE agents SET session_id = $2, connected_at = $3, last_seen_at = $3, version = $4, hostname = $5,
                capabilities = $6, updated_at = $3
             WHERE id = $1 AND revoked_at IS NULL AND connected_at IS NOT DISTINCT FROM $7
             RETURNING team_id, name, away_since",
            agent.uuid(),
            session,
            now,
            storable(&hello.version),
            storable(&hello.capabilities.hostname),
            Json(storable_json(&hello.capabilities)?),
            before.0
        )?;
        let Some((team, name, away_since)) = connected else {
            tx.roll_back().await?;
            return self.standing(agent, session).await;
        };
        target_platforms::follow(&mut tx, agent, &hello.capabilities, now).await?;
        if away_since.is_some() {
            notification_events::agent_back(&mut tx, team.into(), agent, &name, now).await?;
        }
        tx.commit().await?;
        reach("plane: committed a session");
        self.wake().agent(agent);
        if away_since.is_some() {
            self.wake().outbox();
        }
        Ok(Standing::Current)
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
            Json(storable_json(capabilities)?),
            storable(&capabilities.hostname),
            now
        )?;
        target_platforms::follow(&mut tx, agent, capabilities, now).await?;
        tx.commit().await
    }

    /// These sessions are alive: a few writes for all of them, at most once a minute. Gives the
    /// agents for which another session speaks by now, or none: their wake-up was lost.
    pub async fn sessions_seen(&self, sessions: &[(AgentId, Uuid)]) -> Result<Vec<AgentId>> {
        let mut outdated = Vec::new();
        for some in sessions.chunks(SEEN_AT_ONCE) {
            let seen = self.note_seen(some).await?;
            let agents = some.iter().map(|(agent, _)| *agent);
            outdated.extend(agents.filter(|agent| !seen.contains(&agent.uuid())));
        }
        Ok(outdated)
    }

    async fn note_seen(&self, sessions: &[(AgentId, Uuid)]) -> Result<HashSet<Uuid>> {
        let agents: Vec<_> = sessions.iter().map(|(agent, _)| agent.uuid()).collect();
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let conn = tx.conn();
        let sql = conn.pick(
            "UPDATE agents SET last_seen_at = $3 WHERE id IN (SELECT unhex(value, '-') FROM json_each($1))
                AND session_id IN (SELECT unhex(value, '-') FROM json_each($2)) RETURNING id",
            "UPDATE agents SET last_seen_at = $3
             WHERE id IN (SELECT value::uuid FROM json_array_elements_text($1::json))
                AND session_id IN (SELECT value::uuid FROM json_array_elements_text($2::json)) RETURNING id",
        );
        let seen = all!(
            conn,
            (Uuid,),
            sql,
            id_list(&agents),
            id_list(sessions.iter().map(|(_, session)| session)),
            now
        )?;
        tx.commit().await?;
        Ok(seen.into_iter().map(|(agent,)| agent).collect())
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
