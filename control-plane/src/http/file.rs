//! One file of a project.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use towline_shared::ids::ProjectId;
use towline_shared::spec::{FileMode, ProjectFile};
use utoipa::{IntoParams, ToSchema};

use super::files::{self, Files};
use super::input::{Body, Id, Query};
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::store::{Replaces, StoredFile, Tenant, tag_of};

/// The most bytes of a body that is one file: its content may be twice as long in JSON, and Base64 adds a third.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    /// Its path in the project.
    #[param(example = "nginx/nginx.conf")]
    path: String,
}

/// Which file goes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeletedFileQuery {
    /// Its path in the project.
    #[param(example = "nginx/nginx.conf")]
    path: String,
    /// The `etag` that it has, so that nothing is lost that somebody has written meanwhile.
    replaces: Option<String>,
}

/// A file with its content.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileContent {
    /// Its path in the project.
    path: String,
    /// `regular` or `executable`.
    mode: &'static str,
    /// What tells this content from others.
    etag: String,
    /// Whether it is as it was generated.
    is_generated: bool,
    /// Its text; null when it is no UTF-8.
    content: Option<String>,
    /// Its bytes in Base64, when they are no UTF-8.
    content_base64: Option<String>,
}

/// A file to write. One of `content` and `content_base64` is needed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// Its text.
    content: Option<String>,
    /// Its bytes in Base64.
    content_base64: Option<String>,
    /// Whether containers may run it.
    #[serde(default)]
    mode: WrittenMode,
    /// The `etag` of what it replaces, so that nothing is lost that somebody has written meanwhile; empty for a file that
    /// must be new. Without it whatever is there is replaced.
    replaces: Option<String>,
}

/// Whether containers may run a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WrittenMode {
    /// They may not.
    #[default]
    Regular,
    /// They may.
    Executable,
}

/// A file of a project, with its content.
#[utoipa::path(get, path = "/projects/{id}/file", tag = "projects", operation_id = "read_file",
    params(("id" = Uuid, Path, description = "The project"), FileQuery), responses((status = OK, body = FileContent)))]
pub async fn read(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<FileQuery>,
) -> Result<Json<FileContent>, Problem> {
    let found = api.store.read_file(&tenant, project, &query.path).await?;
    Ok(Json(shown(found)))
}

/// Writes a file of a project, whether it is there or not; the others stay.
#[utoipa::path(put, path = "/projects/{id}/file", tag = "projects", operation_id = "write_file", request_body = WriteFile,
    params(("id" = Uuid, Path, description = "The project"), FileQuery), responses((status = OK, body = Files)))]
pub async fn write(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<FileQuery>,
    Body(new): Body<WriteFile>,
) -> Result<Json<Files>, Problem> {
    let content = match (new.content, new.content_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => decoded(&text)?,
        _ => {
            let message = "one of `content` and `content_base64` is needed";
            return Err(Problem::invalid("content", message));
        }
    };
    let file = ProjectFile {
        path: query.path,
        content,
        mode: match new.mode {
            WrittenMode::Regular => FileMode::Regular,
            WrittenMode::Executable => FileMode::Executable,
        },
    };
    let replaces = replaces(new.replaces.as_deref());
    api.store
        .write_file(&tenant, project, &file, replaces)
        .await?;
    files::examined(&api, &tenant, project).await.map(Json)
}

/// Deletes a file of a project; the others stay.
#[utoipa::path(delete, path = "/projects/{id}/file", tag = "projects", operation_id = "delete_file",
    params(("id" = Uuid, Path, description = "The project"), DeletedFileQuery), responses((status = OK, body = Files)))]
pub async fn delete(
    State(api): State<Api>,
    tenant: Tenant,
    Id(project): Id<ProjectId>,
    Query(query): Query<DeletedFileQuery>,
) -> Result<Json<Files>, Problem> {
    let replaces = replaces(query.replaces.as_deref());
    let deleted = api
        .store
        .delete_file(&tenant, project, &query.path, replaces);
    deleted.await?;
    files::examined(&api, &tenant, project).await.map(Json)
}

fn replaces(etag: Option<&str>) -> Replaces<'_> {
    match etag {
        None => Replaces::Anything,
        Some("") => Replaces::Nothing,
        Some(etag) => Replaces::Tagged(etag),
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    let bytes = data_encoding::BASE64.decode(text.as_bytes());
    bytes.map_err(|error| {
        Problem::new(Kind::Invalid, format!("it is no Base64: {error}"))
            .field("content_base64")
            .remedy("encode the bytes with the usual alphabet and padding (RFC 4648 §4), or send a text as `content`")
    })
}

fn shown(StoredFile { file, is_generated }: StoredFile) -> FileContent {
    let etag = tag_of(&file);
    let (content, content_base64) = match String::from_utf8(file.content) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(data_encoding::BASE64.encode(error.as_bytes()))),
    };
    FileContent {
        path: file.path,
        mode: match file.mode {
            FileMode::Regular => "regular",
            FileMode::Executable => "executable",
        },
        etag,
        is_generated,
        content,
        content_base64,
    }
}
