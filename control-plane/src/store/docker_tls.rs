//! Targets whose engines are reached over TLS, without an agent on their hosts.
//!
//! The client's files are sealed; what people may see of the certificates stands beside them in clear. One server at a time
//! has the agent of such a target beside it: it holds the target's lease, on the database's clock.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use towline_pki::EnrollToken;
use towline_pki::docker::CertificateFacts;
use towline_shared::ids::{AgentId, EnrolmentTokenId, TargetId};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::{Zeroize as _, Zeroizing};

use super::audit::Entry;
use super::db::{Tx, all, execute, now, optional};
use super::enrolment_tokens::MAX_TTL;
use super::{Resource, Result, Store, StoreError, Target, Tenant, audit, installation, stored};
use crate::domain::docker_tls::{EngineAddress, Guard};
use crate::domain::names::check_name;
use crate::vault::Place;

/// How long a server has a target without saying so again. Its restart takes less, so that no other begins anew what it can
/// go on with.
pub const LEASE: TimeDelta = TimeDelta::minutes(3);
/// A lease is renewed when so much of it is left.
const RENEW: TimeDelta = TimeDelta::minutes(2);
/// The most characters of a trouble that are kept.
const MAX_TROUBLE: usize = 500;

/// A certificate as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShownCertificate {
    /// Whose it is.
    #[schema(example = "CN=client")]
    pub subject: String,
    /// SHA-256 of it, in hex.
    pub fingerprint: String,
    /// When it ends.
    pub not_after: DateTime<Utc>,
}

/// What is known of an engine that is reached over TLS. Keys are never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DockerTls {
    /// Where it is.
    #[schema(example = "tcp://10.0.0.5:2376")]
    pub host: String,
    /// The certificate that the control plane proves itself by.
    pub client: ShownCertificate,
    /// The authority of that and of the engine's.
    pub authority: ShownCertificate,
    /// The engine's own, as it was last seen.
    pub server: ShownCertificate,
    /// Whether the engine refuses who has no certificate.
    pub guard: Guard,
    /// When the engine was last asked, and answered.
    pub checked_at: DateTime<Utc>,
}

/// The files of a client, as they are sealed.
#[derive(Serialize, Deserialize)]
pub struct ClientPems {
    /// `ca.pem`.
    pub ca: String,
    /// `cert.pem`.
    pub cert: String,
    /// `key.pem`.
    pub key: String,
}

impl fmt::Debug for ClientPems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientPems")
    }
}

impl Drop for ClientPems {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// What was found out of an engine.
#[derive(Clone, Debug)]
pub struct SeenEngine {
    /// Its certificate.
    pub server: CertificateFacts,
    /// Whether it refuses who has none.
    pub guard: Guard,
}

/// What was checked of an engine before it is kept.
pub struct CheckedEngine {
    /// Where it is.
    pub address: EngineAddress,
    /// By what it is reached.
    pub pems: ClientPems,
    /// The client's certificate.
    pub client: CertificateFacts,
    /// The authority.
    pub authority: CertificateFacts,
    /// What the engine has shown.
    pub seen: SeenEngine,
}

/// A target whose agent this server has beside it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct HeldEngine {
    /// The target.
    #[sqlx(try_from = "Uuid")]
    pub id: TargetId,
    /// Where the engine is.
    pub host: String,
    /// Its agent, once it has enrolled.
    pub agent_id: Option<Uuid>,
    /// The server in whose folder the agent's identity is.
    pub home: Option<Uuid>,
    /// Goes up with the client's files.
    pub revision: i64,
    /// Until when it is held.
    pub lease_expires_at: DateTime<Utc>,
    /// Who holds it.
    pub holder: Option<Uuid>,
}

/// The columns of a [`DockerTls`], where a target has one.
#[derive(sqlx::FromRow)]
pub(super) struct EndpointRow {
    host: String,
    client_subject: Option<String>,
    client_fingerprint: Option<String>,
    client_not_after: Option<DateTime<Utc>>,
    authority_subject: Option<String>,
    authority_fingerprint: Option<String>,
    authority_not_after: Option<DateTime<Utc>>,
    server_subject: Option<String>,
    server_fingerprint: Option<String>,
    server_not_after: Option<DateTime<Utc>>,
    guard: Option<String>,
    checked_at: Option<DateTime<Utc>>,
    pub(super) trouble: Option<String>,
}

impl EndpointRow {
    pub(super) fn read(self) -> Option<DockerTls> {
        let shown = |subject: Option<String>, fingerprint: Option<String>, not_after| {
            Some(ShownCertificate {
                subject: subject?,
                fingerprint: fingerprint?,
                not_after: not_after?,
            })
        };
        Some(DockerTls {
            host: self.host,
            client: shown(
                self.client_subject,
                self.client_fingerprint,
                self.client_not_after,
            )?,
            authority: shown(
                self.authority_subject,
                self.authority_fingerprint,
                self.authority_not_after,
            )?,
            server: shown(
                self.server_subject,
                self.server_fingerprint,
                self.server_not_after,
            )?,
            guard: self.guard?.parse().ok()?,
            checked_at: self.checked_at?,
        })
    }
}

const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "deployment_targets",
        id,
        version: 1,
    }
}

macro_rules! held {
    ($which:literal) => {
        concat!(
            "SELECT d.id, t.host, t.agent_id, d.home, d.revision, d.lease_expires_at, d.holder
             FROM docker_tls_targets d JOIN deployment_targets t ON t.id = d.id WHERE ",
            $which
        )
    };
}

impl Store {
    /// Keeps a target that was checked.
    pub async fn add_docker_tls(
        &self,
        tenant: &Tenant,
        name: &str,
        engine: &CheckedEngine,
    ) -> Result<Target> {
        check_name("name", name)?;
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let id = insert_target(&mut tx, tenant, name, engine, now).await?;
        self.keep_pems(&mut tx, id, engine, now).await?;
        insert_endpoint(&mut tx, tenant, id, engine, now).await?;
        write_audit(&mut tx, tenant, "target.add", id, engine, now).await?;
        tx.commit().await?;
        self.wake().docker_tls();
        self.target(tenant, id.into()).await
    }

    /// Replaces the files by which a target is reached, which were checked.
    pub async fn replace_docker_tls(
        &self,
        tenant: &Tenant,
        target: TargetId,
        engine: &CheckedEngine,
    ) -> Result<Target> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let id = target.uuid();
        let sql = "UPDATE deployment_targets SET host = $3, updated_at = $4 WHERE id = $1 AND team_id = $2";
        let host = engine.address.to_string();
        let found = execute!(tx.conn(), sql, id, tenant.team().uuid(), host.as_str(), now)?;
        let sql = "UPDATE docker_tls_targets SET revision = revision + 1, trouble = NULL, updated_at = $2 WHERE id = $1";
        if found == 0 || execute!(tx.conn(), sql, id, now)? == 0 {
            return Err(StoreError::NotFound(Resource::Target));
        }
        self.keep_pems(&mut tx, id, engine, now).await?;
        execute!(
            tx.conn(),
            "UPDATE docker_tls_targets SET client_subject = $2, client_fingerprint = $3, client_not_after = $4,
                authority_subject = $5, authority_fingerprint = $6, authority_not_after = $7 WHERE id = $1",
            id,
            engine.client.subject.as_str(),
            engine.client.fingerprint.to_string(),
            engine.client.not_after,
            engine.authority.subject.as_str(),
            engine.authority.fingerprint.to_string(),
            engine.authority.not_after
        )?;
        note_seen(&mut tx, id, &engine.seen, now).await?;
        write_audit(&mut tx, tenant, "target.rotate", id, engine, now).await?;
        tx.commit().await?;
        self.wake().docker_tls();
        self.target(tenant, target).await
    }

    async fn keep_pems(
        &self,
        tx: &mut Tx,
        id: Uuid,
        engine: &CheckedEngine,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let text = serde_json::to_vec(&engine.pems)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        let text = Zeroizing::new(text);
        let sealed = self.seal(tx, place(id), &text).await?;
        execute!(
            tx.conn(),
            "UPDATE deployment_targets SET auth = $2, key_version = $3, updated_at = $4 WHERE id = $1",
            id,
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        Ok(())
    }

    /// The files by which a target is reached; none when they were taken away.
    pub async fn docker_tls_pems(&self, target: TargetId) -> Result<Option<ClientPems>> {
        let row = {
            let mut reader = self.main().read().await?;
            let sql = "SELECT auth, key_version FROM deployment_targets WHERE id = $1 AND auth IS NOT NULL";
            optional!(reader.conn(), (Vec<u8>, i64), sql, target.uuid())?
        };
        let Some((sealed, key_version)) = row else {
            return Ok(None);
        };
        let opened = self.unseal(place(target.uuid()), key_version, &sealed);
        let opened = opened.await?;
        let damaged = |_| StoreError::Damaged("the files of a target are unreadable".to_owned());
        serde_json::from_slice(&opened).map(Some).map_err(damaged)
    }

    /// The targets whose agents a server has beside it: those it has, and those that nobody has any more. What it has is its
    /// own for [`LEASE`] from now on, or for longer than [`RENEW`].
    pub(crate) async fn hold_docker_tls(&self, server: Uuid) -> Result<Vec<HeldEngine>> {
        let found = {
            let mut reader = self.main().read().await?;
            let now = now(reader.conn()).await?;
            let sql = held!("d.holder = $1");
            let own = all!(reader.conn(), HeldEngine, sql, server)?;
            let sql = held!("d.lease_expires_at < $1");
            let free = all!(reader.conn(), HeldEngine, sql, now)?;
            let is_short = |held: &HeldEngine| held.lease_expires_at < now + RENEW;
            if free.is_empty() && !own.iter().any(is_short) {
                return Ok(own);
            }
            own.into_iter().chain(free).collect::<Vec<_>>()
        };
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        for held in found {
            execute!(
                tx.conn(),
                "UPDATE docker_tls_targets SET holder = $2, lease_expires_at = $3
                 WHERE id = $1 AND (holder = $2 OR lease_expires_at < $4)",
                held.id.uuid(),
                server,
                now + LEASE,
                now
            )?;
        }
        let held = all!(tx.conn(), HeldEngine, held!("d.holder = $1"), server)?;
        tx.commit().await?;
        Ok(held)
    }

    /// Writes down what an engine has shown.
    pub(crate) async fn note_docker_tls_seen(
        &self,
        target: TargetId,
        seen: &SeenEngine,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        note_seen(&mut tx, target.uuid(), seen, now).await?;
        tx.commit().await
    }

    /// Writes down why an agent beside a server cannot work, or that it can.
    pub(crate) async fn note_docker_tls_trouble(
        &self,
        target: TargetId,
        trouble: Option<&str>,
    ) -> Result<()> {
        let trouble: Option<String> =
            trouble.map(|trouble| trouble.chars().take(MAX_TROUBLE).collect());
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let sql = "UPDATE docker_tls_targets SET trouble = $2, updated_at = $3 WHERE id = $1";
        execute!(tx.conn(), sql, target.uuid(), trouble.as_deref(), now)?;
        tx.commit().await
    }

    /// Makes the token by which the agent of a target enrols. Only the server that has the target may.
    pub(crate) async fn docker_tls_token(
        &self,
        server: Uuid,
        target: TargetId,
        address: &str,
    ) -> Result<EnrollToken> {
        let ca = self.server_authority().await?.fingerprint();
        let token = EnrollToken::mint(address, ca).map_err(|error| StoreError::Invalid {
            field: "address",
            message: error.to_string(),
            remedy: "set the server's public URL (--public-url)".to_owned(),
        })?;
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        execute!(
            tx.conn(),
            "INSERT INTO enrolment_tokens (id, team_id, name, token_hash, created_by, expires_at, created_at, updated_at, target_id)
             SELECT $1, t.team_id, t.name, $2, d.created_by, $3, $4, $4, t.id
             FROM docker_tls_targets d JOIN deployment_targets t ON t.id = d.id
             WHERE d.id = $5 AND d.holder = $6 AND d.lease_expires_at > $4",
            EnrolmentTokenId::new().uuid(),
            token.secret.hash(),
            now + MAX_TTL,
            now,
            target.uuid(),
            server
        )?;
        tx.commit().await?;
        Ok(token)
    }
}

async fn insert_target(
    tx: &mut Tx,
    tenant: &Tenant,
    name: &str,
    engine: &CheckedEngine,
    now: DateTime<Utc>,
) -> Result<Uuid> {
    let incarnation = installation::incarnation(tx).await?;
    let row = optional!(
        tx.conn(),
        (Uuid,),
        "INSERT INTO deployment_targets
            (id, team_id, name, type, host, fence_incarnation, fence_epoch, created_at, updated_at)
         VALUES ($1, $2, $3, 'docker_tls', $4, $5, 0, $6, $6)
         ON CONFLICT (team_id, name) DO UPDATE SET type = excluded.type, host = excluded.host, fence_epoch = 0,
            fence_incarnation = deployment_targets.fence_incarnation + 1, updated_at = excluded.updated_at
         WHERE (deployment_targets.agent_id IS NULL AND deployment_targets.auth IS NULL)
            OR EXISTS (SELECT 1 FROM agents a WHERE a.id = deployment_targets.agent_id AND a.revoked_at IS NOT NULL)
         RETURNING id",
        TargetId::new().uuid(),
        tenant.team().uuid(),
        name,
        engine.address.to_string(),
        stored(incarnation.into()),
        now
    )?;
    row.map(|(id,)| id).ok_or_else(|| StoreError::Conflict {
        message: format!("a target named {name:?} exists already"),
        remedy: "choose another name, or remove that one first".to_owned(),
    })
}

async fn insert_endpoint(
    tx: &mut Tx,
    tenant: &Tenant,
    id: Uuid,
    engine: &CheckedEngine,
    now: DateTime<Utc>,
) -> Result<()> {
    let (client, authority, server) = (&engine.client, &engine.authority, &engine.seen.server);
    execute!(
        tx.conn(),
        "INSERT INTO docker_tls_targets (id, client_subject, client_fingerprint, client_not_after, authority_subject,
            authority_fingerprint, authority_not_after, server_subject, server_fingerprint, server_not_after, guard,
            first_not_after, revision, checked_at, lease_expires_at, created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $14, $15, $13, $13)",
        id,
        client.subject.as_str(),
        client.fingerprint.to_string(),
        client.not_after,
        authority.subject.as_str(),
        authority.fingerprint.to_string(),
        authority.not_after,
        server.subject.as_str(),
        server.fingerprint.to_string(),
        server.not_after,
        engine.seen.guard.as_str(),
        client
            .not_after
            .min(authority.not_after)
            .min(server.not_after),
        now,
        // Nobody has it yet.
        now - LEASE,
        tenant.user().uuid()
    )?;
    Ok(())
}

async fn note_seen(tx: &mut Tx, id: Uuid, seen: &SeenEngine, now: DateTime<Utc>) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE docker_tls_targets SET server_subject = $2, server_fingerprint = $3, server_not_after = $4, guard = $5,
            checked_at = $6, trouble = NULL, updated_at = $6 WHERE id = $1",
        id,
        seen.server.subject.as_str(),
        seen.server.fingerprint.to_string(),
        seen.server.not_after,
        seen.guard.as_str(),
        now
    )?;
    let conn = tx.conn();
    let sql = conn.pick(
        "UPDATE docker_tls_targets SET first_not_after = MIN(client_not_after, authority_not_after, server_not_after)
         WHERE id = $1",
        "UPDATE docker_tls_targets SET first_not_after = LEAST(client_not_after, authority_not_after, server_not_after)
         WHERE id = $1",
    );
    execute!(conn, sql, id)?;
    Ok(())
}

/// Into the target's own chain, which its jobs go on with.
async fn write_audit(
    tx: &mut Tx,
    tenant: &Tenant,
    action: &str,
    id: Uuid,
    engine: &CheckedEngine,
    now: DateTime<Utc>,
) -> Result<()> {
    let detail = json!({
        "host": engine.address.to_string(),
        "client": engine.client.fingerprint,
        "authority": engine.authority.fingerprint,
        "server": engine.seen.server.fingerprint,
        "guard": engine.seen.guard,
    });
    let entry = Entry {
        chain: id,
        team: Some(tenant.team()),
        actor: tenant.actor(),
        action,
        subject: ("target", Some(id)),
        detail,
    };
    audit::append(tx, &entry, now).await
}

/// Takes away by what the targets of an agent are reached, if they are reached over TLS.
pub(crate) async fn forget(tx: &mut Tx, agent: AgentId, now: DateTime<Utc>) -> Result<()> {
    let sql = "SELECT id FROM deployment_targets WHERE agent_id = $1 AND type = 'docker_tls'";
    for (target,) in all!(tx.conn(), (Uuid,), sql, agent.uuid())? {
        let sql = "DELETE FROM docker_tls_targets WHERE id = $1";
        execute!(tx.conn(), sql, target)?;
        let sql = "UPDATE deployment_targets SET auth = NULL, key_version = NULL, updated_at = $2 WHERE id = $1";
        execute!(tx.conn(), sql, target, now)?;
    }
    Ok(())
}

/// Takes away by what a target without an agent is reached: nothing was ever deployed to it. Tells whether it was one.
pub(crate) async fn forget_unserved(
    tx: &mut Tx,
    tenant: &Tenant,
    target: TargetId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "UPDATE deployment_targets SET auth = NULL, key_version = NULL, updated_at = $3
         WHERE id = $1 AND team_id = $2 AND type = 'docker_tls' AND agent_id IS NULL";
    let forgotten = execute!(tx.conn(), sql, target.uuid(), tenant.team().uuid(), now)?;
    if forgotten > 0 {
        let sql = "DELETE FROM docker_tls_targets WHERE id = $1";
        execute!(tx.conn(), sql, target.uuid())?;
        let (subject, detail) = (("target", target.uuid()), serde_json::Value::Null);
        audit::append_of(tx, tenant, "target.remove", subject, detail, now).await?;
    }
    Ok(forgotten > 0)
}

/// Gives a target the agent that has enrolled for it; the one before, if it has one, is to end. The server that has the
/// target has the agent's identity in its folder.
pub(crate) async fn serve_by(
    tx: &mut Tx,
    target: TargetId,
    agent: AgentId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "UPDATE docker_tls_targets SET home = holder, trouble = NULL, updated_at = $2 WHERE id = $1";
    if execute!(tx.conn(), sql, target.uuid(), now)? == 0 {
        return Ok(false);
    }
    execute!(
        tx.conn(),
        "UPDATE deployment_targets SET agent_id = $2, fence_epoch = 0, fence_incarnation = fence_incarnation + 1,
            updated_at = $3 WHERE id = $1",
        target.uuid(),
        agent.uuid(),
        now
    )?;
    let sql = "UPDATE agents SET kind = 'docker_tls' WHERE id = $1";
    execute!(tx.conn(), sql, agent.uuid())?;
    Ok(true)
}

/// The agent of a target that may connect, if it has one.
pub(crate) async fn live_agent(tx: &mut Tx, target: TargetId) -> Result<Option<AgentId>> {
    let row = optional!(
        tx.conn(),
        (Uuid,),
        "SELECT a.id FROM deployment_targets t JOIN agents a ON a.id = t.agent_id WHERE t.id = $1 AND a.revoked_at IS NULL",
        target.uuid()
    )?;
    Ok(row.map(|(agent,)| agent.into()))
}
