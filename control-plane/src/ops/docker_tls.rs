//! Targets that are reached over TLS, without an agent on their hosts: what is kept was checked before.

use std::path::Path;

use chrono::Utc;
use towline_pki::docker::{ClientFile, ClientFiles, ClientFilesError};
use towline_shared::ids::TargetId;

use super::{OpsError, revoke};
use crate::docker_tls::{CheckError, check, locate};
use crate::domain::docker_tls::EngineAddress;
use crate::egress::Egress;
use crate::store::docker_tls::{CheckedEngine, ClientPems};
use crate::store::{Store, StoreError, Target, Tenant, docker_tls};

/// What somebody gives of an engine: it fits together, and nobody was asked yet.
#[derive(Debug)]
pub struct GivenEngine {
    address: Option<EngineAddress>,
    pems: ClientPems,
    files: ClientFiles,
}

impl GivenEngine {
    /// Reads where the engine is, if that is given, and the three files.
    ///
    /// # Errors
    /// When one of it is not what it should be, or they do not fit together.
    pub fn read(host: Option<&str>, pems: ClientPems) -> Result<Self, OpsError> {
        let address = host.map(EngineAddress::parse).transpose();
        let address = address.map_err(StoreError::from)?;
        let files = ClientFiles::read(&pems.ca, &pems.cert, &pems.key, Utc::now());
        let files = files.map_err(|error| unfit(&error))?;
        Ok(Self {
            address,
            pems,
            files,
        })
    }

    /// Asks the engine.
    async fn check(self, egress: &Egress, known: Option<&str>) -> Result<CheckedEngine, OpsError> {
        let address = match (self.address, known) {
            (Some(address), _) => address,
            (None, known) => {
                EngineAddress::parse(known.unwrap_or_default()).map_err(StoreError::from)?
            }
        };
        let at = locate(egress, &address)
            .await
            .map_err(|error| unreached(&error))?;
        let seen = check(&address, at, &self.files)
            .await
            .map_err(|error| unreached(&error))?;
        Ok(CheckedEngine {
            client: self.files.certificate.clone(),
            authority: self.files.authority.clone(),
            address,
            pems: self.pems,
            seen,
        })
    }
}

/// Keeps a target, once its engine has answered.
pub async fn add_docker_tls(
    store: &Store,
    egress: &Egress,
    program: &Path,
    tenant: &Tenant,
    name: &str,
    engine: GivenEngine,
) -> Result<Target, OpsError> {
    if !program.is_file() {
        return Err(OpsError::Refused {
            message: format!(
                "this server has no agent to work for such a target: there is no {}",
                program.display()
            ),
            remedy: "have its operator put towline-agent beside towline-server, or name it by --agent-program"
                .to_owned(),
            field: Some("type"),
        });
    }
    let engine = engine.check(egress, None).await?;
    Ok(store.add_docker_tls(tenant, name, &engine).await?)
}

/// Replaces the files by which a target is reached, and where it is, if that is said; once its engine has answered to them.
pub async fn replace_docker_tls(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    target: TargetId,
    engine: GivenEngine,
) -> Result<Target, OpsError> {
    let known = store.target(tenant, target).await?;
    let Some(endpoint) = &known.docker_tls else {
        return Err(not_over_tls(&known));
    };
    let engine = engine.check(egress, Some(&endpoint.host)).await?;
    Ok(store.replace_docker_tls(tenant, target, &engine).await?)
}

/// Takes a target away: its keys, and the agent that works for it. What runs there goes on.
pub async fn forget_docker_tls(
    store: &Store,
    tenant: &Tenant,
    target: TargetId,
) -> Result<(), OpsError> {
    let known = store.target(tenant, target).await?;
    if known.r#type != "docker_tls" {
        return Err(not_over_tls(&known));
    }
    if let Some(agent) = known.agent_id {
        revoke(store, tenant, agent).await?;
        return Ok(());
    }
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    let is_gone = docker_tls::forget_unserved(&mut tx, tenant, target, now).await?;
    tx.commit().await?;
    store.wake().docker_tls();
    if is_gone {
        Ok(())
    } else {
        // Its agent has enrolled in this moment.
        Err(StoreError::Conflict {
            message: format!("the agent of {} is just beginning", known.name),
            remedy: "ask once more".to_owned(),
        }
        .into())
    }
}

fn unfit(error: &ClientFilesError) -> OpsError {
    let field = match error.file() {
        ClientFile::Authority => "ca",
        ClientFile::Certificate => "cert",
        ClientFile::Key => "key",
    };
    OpsError::Refused {
        message: error.to_string(),
        remedy: "give ca.pem, cert.pem and key.pem of one client, as `towline-agent docker-tls enable` or `towline pki docker` \
                 makes them"
            .to_owned(),
        field: Some(field),
    }
}

fn unreached(error: &CheckError) -> OpsError {
    OpsError::Refused {
        message: error.to_string(),
        remedy: "nothing was kept; see docs/docker-tls.md, \"Deploy to it without an agent\""
            .to_owned(),
        field: Some(if error.is_about_host() {
            "host"
        } else {
            "cert"
        }),
    }
}

fn not_over_tls(target: &Target) -> OpsError {
    OpsError::Refused {
        message: format!(
            "{} is not reached over TLS: an agent on its host serves it",
            target.name
        ),
        remedy: "revoke its agent (`towline agents revoke`) to take it away".to_owned(),
        field: None,
    }
}
