//! Who may use the engine of a target's host, and by which certificates.
//!
//! A grant is what counts; a certificate only says whose it is. Whoever loses the grant, the team or the account is out at
//! the next request, and open connections are told by a wake-up.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use towline_pki::IssuedLeaf;
use towline_shared::ids::{CertificateId, TargetId, TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, local_now, optional};
use super::members::{allow, role_now};
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Target, Tenant, audit};
use crate::domain::membership::Refusal;
use crate::domain::permission::Permission;

/// How long a certificate that has ended is kept, so that whoever comes by it is told what it was.
const KEPT: TimeDelta = TimeDelta::days(7);

/// Somebody who may use a host's engine.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct DockerGrant {
    /// The person's id.
    #[schema(value_type = Uuid)]
    pub user_id: Uuid,
    /// The person's name.
    pub name: String,
    /// The person's e-mail address.
    pub email: String,
    /// The name of who has granted it; absent when that person is gone.
    pub granted_by: Option<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A certificate for a host's engine that counts.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct DockerCertificate {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The person's name.
    pub name: String,
    /// When it ends.
    pub not_after: DateTime<Utc>,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
}

const GRANTS: &str =
    "SELECT g.user_id, u.name, u.email, b.name AS granted_by, g.created_at FROM docker_grants g
     JOIN users u ON u.id = g.user_id LEFT JOIN users b ON b.id = g.granted_by
     WHERE g.target_id = $1 AND g.user_id < $2 ORDER BY g.user_id DESC LIMIT $3";
const GRANT: &str =
    "SELECT g.user_id, u.name, u.email, b.name AS granted_by, g.created_at FROM docker_grants g
     JOIN users u ON u.id = g.user_id LEFT JOIN users b ON b.id = g.granted_by
     WHERE g.target_id = $1 AND g.user_id = $2";

impl Store {
    /// Who may use a host's engine.
    pub async fn list_docker_grants(
        &self,
        tenant: &Tenant,
        target: TargetId,
        page: Page,
    ) -> Result<Listed<DockerGrant>> {
        self.target(tenant, target).await?;
        let mut reader = self.main().read().await?;
        let (before, fetch) = (page.before(), page.fetch());
        let grants = all!(
            reader.conn(),
            DockerGrant,
            GRANTS,
            target.uuid(),
            before,
            fetch
        )?;
        Ok(page.cut(grants, |grant| grant.user_id))
    }

    /// Lets a member of the team use a host's engine.
    pub async fn grant_docker(
        &self,
        tenant: &Tenant,
        target: TargetId,
        user: UserId,
    ) -> Result<DockerGrant> {
        self.target(tenant, target).await?;
        let mut tx = self.main().begin().await?;
        let member = optional!(
            tx.conn(),
            (String,),
            "SELECT role FROM team_members WHERE team_id = $1 AND user_id = $2",
            tenant.team().uuid(),
            user.uuid()
        )?;
        member.ok_or(StoreError::NotFound(Resource::Member))?;
        let now = local_now();
        let written = execute!(
            tx.conn(),
            "INSERT INTO docker_grants (target_id, user_id, granted_by, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (target_id, user_id) DO NOTHING",
            target.uuid(),
            user.uuid(),
            tenant.user().uuid(),
            now
        )?;
        let grant = optional!(tx.conn(), DockerGrant, GRANT, target.uuid(), user.uuid())?;
        if written > 0 {
            let (subject, detail) = (("target", target.uuid()), json!({ "user": user }));
            audit::append_of(&mut tx, tenant, "docker.grant", subject, detail, now).await?;
        }
        tx.commit().await?;
        grant.ok_or(StoreError::NotFound(Resource::DockerGrant))
    }

    /// Lets somebody use a host's engine no longer; their certificates for it end with it.
    pub async fn end_docker_grant(
        &self,
        tenant: &Tenant,
        target: TargetId,
        user: UserId,
    ) -> Result<()> {
        self.target(tenant, target).await?;
        let mut tx = self.main().begin().await?;
        let now = local_now();
        if take(&mut tx, target, user, now).await? == 0 {
            return Err(StoreError::NotFound(Resource::DockerGrant));
        }
        let (subject, detail) = (("target", target.uuid()), json!({ "user": user }));
        audit::append_of(&mut tx, tenant, "docker.end_grant", subject, detail, now).await?;
        tx.commit().await?;
        self.wake().docker(target);
        Ok(())
    }

    /// The certificates for a host's engine that count.
    pub async fn list_docker_certificates(
        &self,
        tenant: &Tenant,
        target: TargetId,
        page: Page,
    ) -> Result<Listed<DockerCertificate>> {
        self.target(tenant, target).await?;
        let mut reader = self.main().read().await?;
        let certificates = all!(
            reader.conn(),
            DockerCertificate,
            "SELECT c.id, c.user_id, u.name, c.not_after, c.created_at FROM docker_certificates c
             JOIN users u ON u.id = c.user_id
             WHERE c.target_id = $1 AND c.id < $2 AND c.revoked_at IS NULL AND c.not_after > $3
             ORDER BY c.id DESC LIMIT $4",
            target.uuid(),
            page.before(),
            local_now(),
            page.fetch()
        )?;
        Ok(page.cut(certificates, |certificate| certificate.id))
    }

    /// Ends a certificate: one's own, or, for those who manage hosts, anybody's.
    pub async fn revoke_docker_certificate(
        &self,
        tenant: &Tenant,
        target: TargetId,
        certificate: CertificateId,
    ) -> Result<()> {
        self.target(tenant, target).await?;
        let mut tx = self.main().begin().await?;
        let owner = optional!(
            tx.conn(),
            (Uuid,),
            "SELECT user_id FROM docker_certificates WHERE id = $1 AND target_id = $2 AND revoked_at IS NULL",
            certificate.uuid(),
            target.uuid()
        )?;
        let (owner,) = owner.ok_or(StoreError::NotFound(Resource::DockerCertificate))?;
        if owner != tenant.user().uuid() {
            let role = role_now(&mut tx, tenant).await?;
            let needed = Permission::ManageHosts;
            allow(role.may(needed).then_some(()).ok_or(Refusal::Needs(needed)))?;
        }
        let now = local_now();
        let sql = "UPDATE docker_certificates SET revoked_at = $2 WHERE id = $1";
        execute!(tx.conn(), sql, certificate.uuid(), now)?;
        let subject = ("target", target.uuid());
        let detail = json!({ "certificate": certificate, "user": owner });
        let action = "docker.revoke_certificate";
        audit::append_of(&mut tx, tenant, action, subject, detail, now).await?;
        tx.commit().await?;
        self.wake().docker(target);
        Ok(())
    }
}

/// Writes a certificate down, if its person may use the host's engine now.
pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: &Tenant,
    target: &Target,
    (certificate, leaf): (CertificateId, &IssuedLeaf),
    now: DateTime<Utc>,
) -> Result<()> {
    let user = tenant.user().uuid();
    let grant = optional!(tx.conn(), DockerGrant, GRANT, target.id.uuid(), user)?;
    grant.ok_or_else(|| StoreError::Forbidden {
        message: format!("you may not use the Docker engine of {}", target.name),
        remedy: format!(
            "ask an owner or admin of the team for `towline docker grant {} YOUR-ADDRESS`; it is root on that host",
            target.name
        ),
    })?;
    // What has ended long ago is in the audit log.
    execute!(
        tx.conn(),
        "DELETE FROM docker_certificates WHERE user_id = $1 AND target_id = $2 AND not_after < $3",
        user,
        target.id.uuid(),
        now - KEPT
    )?;
    execute!(
        tx.conn(),
        "INSERT INTO docker_certificates (id, target_id, user_id, spki, not_after, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        certificate.uuid(),
        target.id.uuid(),
        user,
        leaf.spki.to_string(),
        leaf.not_after,
        now
    )?;
    let detail = json!({ "certificate": certificate, "not_after": leaf.not_after });
    let subject = ("target", target.id.uuid());
    audit::append_of(tx, tenant, "docker.certificate", subject, detail, now).await
}

/// The hosts whose engines somebody may use, of whatever team.
pub(super) async fn hosts_of(tx: &mut Tx, user: UserId) -> Result<Vec<TargetId>> {
    let sql = "SELECT target_id FROM docker_grants WHERE user_id = $1";
    let targets = all!(tx.conn(), (Uuid,), sql, user.uuid())?;
    Ok(targets.into_iter().map(|(target,)| target.into()).collect())
}

/// Takes from somebody who leaves a team what they have of its hosts; who came back later would have it again.
pub(super) async fn end_all(
    tx: &mut Tx,
    team: TeamId,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<TargetId>> {
    let targets = all!(
        tx.conn(),
        (Uuid,),
        "SELECT g.target_id FROM docker_grants g JOIN deployment_targets t ON t.id = g.target_id
         WHERE g.user_id = $1 AND t.team_id = $2",
        user.uuid(),
        team.uuid()
    )?;
    let targets: Vec<TargetId> = targets.into_iter().map(|(target,)| target.into()).collect();
    for target in &targets {
        take(tx, *target, user, now).await?;
    }
    Ok(targets)
}

/// Takes a grant, if there is one, and the certificates that came of it; tells how many grants that were.
async fn take(tx: &mut Tx, target: TargetId, user: UserId, now: DateTime<Utc>) -> Result<u64> {
    let sql = "DELETE FROM docker_grants WHERE target_id = $1 AND user_id = $2";
    let taken = execute!(tx.conn(), sql, target.uuid(), user.uuid())?;
    execute!(
        tx.conn(),
        "UPDATE docker_certificates SET revoked_at = $3
         WHERE user_id = $1 AND target_id = $2 AND revoked_at IS NULL",
        user.uuid(),
        target.uuid(),
        now
    )?;
    Ok(taken)
}
