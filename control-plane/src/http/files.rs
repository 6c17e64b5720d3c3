//! The files of a project.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, header};
use serde::Serialize;
use towline_shared::cluster::ClusterTerms;
use towline_shared::compose::{self, find_compose_file};
use towline_shared::ids::ProjectId;
use towline_shared::manifest::{self, find_manifests};
use towline_shared::spec::ProjectFile;
use utoipa::ToSchema;

use super::findings::Finding;
use super::input::{Id, whole};
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::archive::{self, ArchiveError, MAX_ARCHIVE_BYTES};
use crate::domain::policy::{any_cluster, any_host};
use crate::store::{FileEntry, FileSet, Tenant};

const TAR: &str = "application/x-tar";

/// The files of a project and what is to be said about them.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
pub struct Files {
    /// The files.
    files: Vec<FileEntry>,
    /// Which of them is the compose file; null when there is none.
    compose_file: Option<String>,
    /// Where its Kubernetes manifests are: a folder, or `.` where they lie at the top; null when there are none.
    manifests: Option<String>,
    /// What was found in them, whatever the host or the cluster. With an error in what a target reads of them, they cannot be
    /// deployed there.
    findings: Vec<Finding>,
}

/// The files of a project.
#[utoipa::path(get, path = "/projects/{id}/files", tag = "projects", operation_id = "list_files",
    params(("id" = Uuid, Path, description = "The project")), responses((status = OK, body = Files)))]
pub async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
) -> Result<Json<Files>, Problem> {
    examined(&api, &tenant, project).await.map(Json)
}

/// The files as they are, and what is to be said about them.
pub(super) async fn examined(
    api: &Api,
    tenant: &Tenant,
    project: ProjectId,
) -> Result<Files, Problem> {
    let files = api.store.read_files(tenant, project).await?;
    let set = api.store.list_files(tenant, project).await?;
    Ok(told(set, &files))
}

/// Replaces all files of a project by those of an uncompressed tar archive.
#[utoipa::path(put, path = "/projects/{id}/files", tag = "projects", operation_id = "replace_files",
    params(("id" = Uuid, Path, description = "The project")),
    request_body(content = Vec<u8>, content_type = "application/x-tar"), responses((status = OK, body = Files)))]
pub async fn replace(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Files>, Problem> {
    let is_tar = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().eq_ignore_ascii_case(TAR.as_bytes()));
    if !is_tar {
        return Err(
            Problem::new(Kind::UnsupportedMedia, "the body must be a tar archive")
                .field("Content-Type")
                .remedy(format!("send Content-Type: {TAR}")),
        );
    }
    let files = archive::read(&whole(body, MAX_ARCHIVE_BYTES).await?).map_err(refused)?;
    let set = api.store.put_files(&tenant, project, files.clone()).await?;
    Ok(Json(told(set, &files)))
}

fn refused(error: ArchiveError) -> Problem {
    match error {
        ArchiveError::TooMany | ArchiveError::TooLarge => {
            Problem::new(Kind::TooLarge, error.to_string())
        }
        ArchiveError::Path { ref path, .. } | ArchiveError::Kind { ref path, .. } => {
            Problem::invalid(format!("files.{path}"), error.to_string())
        }
        other => Problem::new(Kind::Malformed, other.to_string()),
    }
}

/// Where the files will go is not known yet, so no host's policy, and no cluster's, can be held against them; the deploy does
/// that.
fn told(set: FileSet, files: &[ProjectFile]) -> Files {
    let manifests = find_manifests(files);
    let mut findings = find_compose_file(files)
        .map(|compose_file| compose::examine(files, compose_file, &any_host()))
        .unwrap_or_default();
    if let Some(entry) = manifests {
        let (anywhere, allowed) = (ClusterTerms::default(), (&any_host(), &any_cluster()));
        findings.extend(manifest::examine(files, entry, &anywhere, "", allowed));
    }
    Files {
        files: set.files,
        compose_file: set.compose_file,
        manifests: manifests.map(str::to_owned),
        findings: findings.into_iter().map(Finding::from).collect(),
    }
}
