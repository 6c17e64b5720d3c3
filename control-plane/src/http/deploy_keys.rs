//! The keys by which repositories are read over ssh.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use towline_shared::git::{GitAddress, PublicKey};
use towline_shared::ids::{IntegrationId, ProjectId};
use utoipa::ToSchema;

use super::input::{Body, Id};
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::deploy_key::{published, settings_page};
use crate::ops;
use crate::store::{DeployKey, Tenant};

/// The key by which a repository is read over ssh. Its private half is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownDeployKey {
    /// The repository's address.
    #[schema(example = "ssh://git@git.example.org/team/shop.git")]
    url: String,
    /// What the forge is to be given as a read-only deploy key.
    #[schema(example = "ssh-ed25519 AAAA… towline-shop")]
    public_key: String,
    /// What forges show of it.
    #[schema(example = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU")]
    fingerprint: String,
    /// The page at which it is added, where the forge is one that we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings_page: Option<String>,
    /// The keys by which the repository's server is known.
    host_keys: Vec<HostKey>,
    /// `published`: they are those that the forge publishes. `seen`: the server has shown them when it was asked.
    #[schema(example = "seen")]
    host_keys_from: &'static str,
    /// The repository in which Towline has installed it at the forge, by an integration; null: people add it there.
    #[schema(example = "ada/shop")]
    installed_in: Option<String>,
    /// When the key was made.
    created_at: DateTime<Utc>,
}

/// A key of a server.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostKey {
    /// Its kind.
    #[schema(example = "ssh-ed25519")]
    kind: &'static str,
    /// What its operator can compare.
    fingerprint: String,
}

/// Which address a key is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewDeployKey {
    /// The repository's address over ssh; the one that the project comes from, when left out.
    #[schema(example = "ssh://git@git.example.org/team/shop.git")]
    url: Option<String>,
}

/// Which server's keys are accepted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptHostKeys {
    /// The repository's address over ssh; the one that the project comes from, when left out.
    url: Option<String>,
    /// What one of the keys must have; whatever is shown is accepted, when left out.
    #[schema(example = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU")]
    fingerprint: Option<String>,
}

/// Which key is installed, and by what.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstallDeployKey {
    /// The repository's address over ssh; the one that the project comes from, when left out.
    #[schema(example = "ssh://git@github.com/ada/shop.git")]
    url: Option<String>,
    /// The integration that reaches it; the only one with the forge at that host, when left out.
    #[schema(value_type = Option<Uuid>)]
    integration: Option<IntegrationId>,
}

impl From<DeployKey> for ShownDeployKey {
    fn from(key: DeployKey) -> Self {
        let address = key.url.parse::<GitAddress>().ok();
        let from_forge = address.as_ref().and_then(published);
        let lines = key.host_keys.iter();
        let keys = lines.filter_map(|line| PublicKey::of_known_host(line).ok());
        let fingerprint = key.public_key.parse::<PublicKey>();
        Self {
            fingerprint: fingerprint.map_or_else(|_| String::new(), |key| key.fingerprint()),
            settings_page: address.as_ref().and_then(settings_page),
            host_keys_from: match from_forge {
                Some(lines) if lines == key.host_keys => "published",
                _ => "seen",
            },
            host_keys: keys
                .map(|key| HostKey {
                    kind: key.kind(),
                    fingerprint: key.fingerprint(),
                })
                .collect(),
            installed_in: key.installed.map(|one| one.repository.as_str().to_owned()),
            url: key.url,
            public_key: key.public_key,
            created_at: key.created_at,
        }
    }
}

/// The key by which a project's repository is read over ssh; the one that was made last, while it comes from none.
#[utoipa::path(get, path = "/projects/{id}/source/key", tag = "projects", operation_id = "show_deploy_key",
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ShownDeployKey)))]
pub async fn show(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<ShownDeployKey>, Problem> {
    api.store.project(&tenant, project).await?;
    let found = api.store.shown_deploy_key(&tenant, project).await?;
    found.map(|key| Json(key.into())).ok_or_else(|| {
        Problem::new(Kind::NotFound, "the project has no deploy key")
            .remedy("set its repository by an address over ssh, or have a key made by POST")
    })
}

/// Makes a new key for reading a project's repository over ssh. A former one is replaced at once: until the forge knows
/// the new one, nothing is read. Where Towline has installed the former one, it installs the new one first, and then takes the former away.
#[utoipa::path(post, path = "/projects/{id}/source/key", tag = "projects", operation_id = "renew_deploy_key", request_body = RenewDeployKey,
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ShownDeployKey)))]
pub async fn renew(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(wish): Body<RenewDeployKey>,
) -> Result<Json<ShownDeployKey>, Problem> {
    let url = wish.url.as_deref();
    let made = ops::renew_deploy_key(&api.store, &api.egress, &tenant, project, url);
    Ok(Json(made.await?.into()))
}

/// Has the forge let the key read the repository, and nothing more, by an integration. The key is made if there is none yet; what was changed
/// at the forge is mended.
#[utoipa::path(put, path = "/projects/{id}/source/key/installation", tag = "projects", operation_id = "install_deploy_key",
    request_body = InstallDeployKey, params(("id" = Uuid, Path, description = "The project")),
    responses((status = OK, body = ShownDeployKey)))]
pub async fn install(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(wish): Body<InstallDeployKey>,
) -> Result<Json<ShownDeployKey>, Problem> {
    let (url, by) = (wish.url.as_deref(), wish.integration);
    let installed = ops::install_deploy_key(&api.store, &api.egress, &tenant, project, url, by);
    Ok(Json(installed.await?.into()))
}

/// Takes the project's keys away from the forges where Towline has installed them. They stay the project's.
#[utoipa::path(delete, path = "/projects/{id}/source/key/installation", tag = "projects", operation_id = "uninstall_deploy_key",
    params(("id" = Uuid, Path, description = "The project")), responses((status = NO_CONTENT)))]
pub async fn uninstall(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<StatusCode, Problem> {
    ops::uninstall_deploy_key(&api.store, &api.egress, &tenant, project).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a repository's server be known by the keys that it shows now, in place of those that were kept for it.
#[utoipa::path(post, path = "/projects/{id}/source/host-keys", tag = "projects", operation_id = "accept_host_keys", request_body = AcceptHostKeys,
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = ShownDeployKey)))]
pub async fn accept_host_keys(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Body(wish): Body<AcceptHostKeys>,
) -> Result<Json<ShownDeployKey>, Problem> {
    let (url, fingerprint) = (wish.url.as_deref(), wish.fingerprint.as_deref());
    let accepted =
        ops::accept_host_keys(&api.store, &api.egress, &tenant, project, url, fingerprint);
    Ok(Json(accepted.await?.into()))
}
