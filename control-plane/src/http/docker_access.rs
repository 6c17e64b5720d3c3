//! Who may use the Docker engines of hosts through the control plane, and certificates for that.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use towline_shared::ids::{CertificateId, TargetId};
use utoipa::ToSchema;

use super::input::{Body, Id, MemberId, Query, Second};
use super::page::PageQuery;
use super::platform::{OfEngines, refuse_cluster};
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::ops;
use crate::store::{DockerCertificate, DockerGrant, Listed, Tenant};

/// The longest signing request that is read.
const MAX_CSR: usize = 8 * 1024;

/// A certificate to issue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDockerCertificate {
    /// A signing request, PEM: ECDSA P-256, without names and wishes. The key never leaves whoever made it.
    csr: String,
    /// How long it counts, in seconds: 300 to 43200, which it is when left out.
    #[schema(minimum = 300, maximum = 43200)]
    valid_s: Option<u32>,
}

/// A certificate that was issued, and how it is used.
#[derive(Debug, Serialize, ToSchema)]
pub struct IssuedDockerCertificate {
    /// Its id.
    #[schema(value_type = Uuid)]
    id: CertificateId,
    /// The host's name.
    target: String,
    /// Where clients of Docker connect: `DOCKER_HOST`.
    #[schema(example = "tcp://towline.example.com:2376")]
    docker_host: String,
    /// The certificate, PEM: `cert.pem`.
    certificate: String,
    /// The roots to trust, PEM: `ca.pem`.
    ca: String,
    /// When it ends.
    not_after: DateTime<Utc>,
}

/// Who may use the Docker engine of the target's host.
#[utoipa::path(get, path = "/targets/{id}/docker/grants", tag = "docker", operation_id = "list_docker_grants",
    params(("id" = Uuid, Path, description = "The target"), PageQuery), responses((status = OK, body = Listed<DockerGrant>)))]
pub async fn list_grants(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<DockerGrant>>, Problem> {
    let page = query.page()?;
    Ok(Json(
        api.store.list_docker_grants(&tenant, target, page).await?,
    ))
}

/// Lets a member of the team use the Docker engine of the target's host, which is to be root there. The host's own policy
/// must allow it, too.
#[utoipa::path(put, path = "/targets/{id}/docker/grants/{member}", tag = "docker", operation_id = "grant_docker",
    params(("id" = Uuid, Path, description = "The target"), ("member" = Uuid, Path, description = "The person")),
    responses((status = OK, body = DockerGrant)))]
pub async fn grant(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    MemberId(user): MemberId,
) -> Result<Json<DockerGrant>, Problem> {
    refuse_cluster(&api, &tenant, target, OfEngines::DockerApi).await?;
    Ok(Json(api.store.grant_docker(&tenant, target, user).await?))
}

/// Lets somebody use the Docker engine of the target's host no longer. Their certificates for it end at once, and what they
/// have open there.
#[utoipa::path(delete, path = "/targets/{id}/docker/grants/{member}", tag = "docker", operation_id = "end_docker_grant",
    params(("id" = Uuid, Path, description = "The target"), ("member" = Uuid, Path, description = "The person")),
    responses((status = NO_CONTENT)))]
pub async fn end_grant(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    MemberId(user): MemberId,
) -> Result<StatusCode, Problem> {
    api.store.end_docker_grant(&tenant, target, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The certificates for the Docker engine of the target's host that count.
#[utoipa::path(get, path = "/targets/{id}/docker/certificates", tag = "docker", operation_id = "list_docker_certificates",
    params(("id" = Uuid, Path, description = "The target"), PageQuery), responses((status = OK, body = Listed<DockerCertificate>)))]
pub async fn list_certificates(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listed<DockerCertificate>>, Problem> {
    let page = query.page()?;
    let listed = api.store.list_docker_certificates(&tenant, target, page);
    Ok(Json(listed.await?))
}

/// Issues a certificate for the Docker engine of the target's host to whoever asks, if they were granted it: at most
/// twelve hours, by which unmodified clients of Docker reach that engine through the control plane.
#[utoipa::path(post, path = "/targets/{id}/docker/certificates", tag = "docker", operation_id = "issue_docker_certificate",
    params(("id" = Uuid, Path, description = "The target")), request_body = NewDockerCertificate,
    responses((status = CREATED, body = IssuedDockerCertificate)))]
pub async fn issue(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Body(new): Body<NewDockerCertificate>,
) -> Result<(StatusCode, Json<IssuedDockerCertificate>), Problem> {
    refuse_cluster(&api, &tenant, target, OfEngines::DockerApi).await?;
    let address = api.docker_address.as_ref().ok_or_else(|| {
        Problem::new(
            Kind::Conflict,
            "this control plane has no listener for the Docker API",
        )
        .remedy("start it with --docker-listen, such as --docker-listen [::]:2376")
    })?;
    if new.csr.len() > MAX_CSR {
        return Err(Problem::invalid("csr", "longer than any signing request"));
    }
    let lifetime = new.valid_s.map(|valid| TimeDelta::seconds(valid.into()));
    let issued = ops::issue_docker_certificate(&api.store, &tenant, target, &new.csr, lifetime);
    let issued = issued.await?;
    let answer = IssuedDockerCertificate {
        id: issued.id,
        target: issued.target.name,
        docker_host: format!("tcp://{address}"),
        certificate: issued.certificate,
        ca: issued.roots,
        not_after: issued.not_after,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Ends a certificate at once, and what is open by it: one's own, or, for those who manage hosts, anybody's.
#[utoipa::path(delete, path = "/targets/{id}/docker/certificates/{certificate}", tag = "docker",
    operation_id = "revoke_docker_certificate",
    params(("id" = Uuid, Path, description = "The target"), ("certificate" = Uuid, Path, description = "The certificate")),
    responses((status = NO_CONTENT)))]
pub async fn revoke(
    State(api): State<Api>,
    tenant: Tenant,
    Id(target): Id<TargetId>,
    Second(certificate): Second<CertificateId>,
) -> Result<StatusCode, Problem> {
    let revoked = api
        .store
        .revoke_docker_certificate(&tenant, target, certificate);
    revoked.await?;
    Ok(StatusCode::NO_CONTENT)
}
