//! The files of a project, as they were uploaded.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::compose::find_compose_file;
use towline_shared::ids::ProjectId;
use towline_shared::spec::{FileMode, MAX_PROJECT_BYTES, MAX_PROJECT_FILES, ProjectFile};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::db::{Tx, all, execute, local_now};
use super::{Result, Store, StoreError, Tenant, counted, projects};

/// The longest path of a file.
const MAX_PATH: usize = 255;

/// The files of a project, without their content.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FileSet {
    /// The files, by path.
    pub files: Vec<FileEntry>,
    /// Which of them is the compose file.
    pub compose_file: Option<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileEntry {
    /// Its path in the project.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// `regular` or `executable`.
    pub mode: String,
}

impl Store {
    /// Replaces all files of a project.
    pub async fn put_files(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        files: Vec<ProjectFile>,
    ) -> Result<FileSet> {
        check(&files)?;
        let compose_file = find_compose_file(&files);
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        execute!(
            tx.conn(),
            "DELETE FROM project_files WHERE project_id = $1",
            project.uuid()
        )?;
        insert(&mut tx, project, &files, now).await?;
        execute!(
            tx.conn(),
            "UPDATE projects SET compose_file = $2, status = $3, updated_at = $4 WHERE id = $1",
            project.uuid(),
            compose_file,
            if files.is_empty() { "empty" } else { "ready" },
            now
        )?;
        let bytes: usize = files.iter().map(|file| file.content.len()).sum();
        let detail = json!({ "files": files.len(), "bytes": bytes });
        let subject = ("project", project.uuid());
        audit::append_of(&mut tx, tenant, "project.put_files", subject, detail, now).await?;
        tx.commit().await?;
        Ok(FileSet {
            compose_file: compose_file.map(str::to_owned),
            files: entries(&files),
        })
    }

    /// What was generated last, by path, of the files that a project has; whatever people have made of it since.
    pub(crate) async fn generated_bases(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<HashMap<String, Vec<u8>>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (String, Vec<u8>),
            "SELECT f.path, f.generated_content FROM project_files f JOIN projects p ON p.id = f.project_id
             WHERE f.project_id = $1 AND p.team_id = $2 AND f.generated_content IS NOT NULL",
            project.uuid(),
            tenant.team().uuid()
        )?;
        Ok(rows.into_iter().collect())
    }

    /// What files a project has.
    pub async fn list_files(&self, tenant: &Tenant, project: ProjectId) -> Result<FileSet> {
        let found = self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (String, i64, String),
            "SELECT path, CAST(LENGTH(content) AS BIGINT), mode FROM project_files WHERE project_id = $1 ORDER BY path",
            project.uuid()
        )?;
        let files = rows.into_iter().map(|(path, bytes, mode)| FileEntry {
            path,
            bytes: counted(bytes),
            mode,
        });
        Ok(FileSet {
            files: files.collect(),
            compose_file: found.compose_file,
        })
    }

    /// The files of a project with their content.
    pub async fn read_files(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Vec<ProjectFile>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (String, Vec<u8>, String),
            "SELECT f.path, f.content, f.mode FROM project_files f JOIN projects p ON p.id = f.project_id
             WHERE f.project_id = $1 AND p.team_id = $2 ORDER BY f.path",
            project.uuid(),
            tenant.team().uuid()
        )?;
        Ok(rows.into_iter().map(file).collect())
    }
}

/// A file by its path, content and mode.
pub(super) fn file((path, content, mode): (String, Vec<u8>, String)) -> ProjectFile {
    ProjectFile {
        path,
        content,
        mode: if mode == "executable" {
            FileMode::Executable
        } else {
            FileMode::Regular
        },
    }
}

/// Gives a project files of which it has none yet.
pub(super) async fn insert(
    tx: &mut Tx,
    project: ProjectId,
    files: &[ProjectFile],
    now: DateTime<Utc>,
) -> Result<()> {
    for file in files {
        execute!(
            tx.conn(),
            "INSERT INTO project_files (id, project_id, path, content, mode, is_generated, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            Uuid::now_v7(),
            project.uuid(),
            file.path.as_str(),
            file.content.as_slice(),
            mode_name(file.mode),
            false,
            now
        )?;
    }
    Ok(())
}

pub(super) const fn mode_name(mode: FileMode) -> &'static str {
    match mode {
        FileMode::Regular => "regular",
        FileMode::Executable => "executable",
    }
}

fn entries(files: &[ProjectFile]) -> Vec<FileEntry> {
    let entry = |file: &ProjectFile| FileEntry {
        path: file.path.clone(),
        bytes: file.content.len() as u64,
        mode: mode_name(file.mode).to_owned(),
    };
    let mut entries: Vec<_> = files.iter().map(entry).collect();
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    entries
}

fn invalid(message: String, remedy: &str) -> StoreError {
    StoreError::Invalid {
        field: "files",
        message,
        remedy: remedy.to_owned(),
    }
}

pub(super) fn check_size(count: usize, bytes: usize) -> Result<()> {
    if count > MAX_PROJECT_FILES {
        let message = format!("{count} files; a project has at most {MAX_PROJECT_FILES}");
        return Err(invalid(
            message,
            "upload what the compose file needs, and no sources or dependencies",
        ));
    }
    if bytes > MAX_PROJECT_BYTES {
        let message = format!("{bytes} bytes together; a project has at most {MAX_PROJECT_BYTES}");
        return Err(invalid(
            message,
            "put large files into an image or a volume",
        ));
    }
    Ok(())
}

pub(super) fn check(files: &[ProjectFile]) -> Result<()> {
    let bytes = files.iter().map(|file| file.content.len()).sum();
    check_size(files.len(), bytes)?;
    let mut seen = HashSet::new();
    for file in files {
        if !is_plain_path(&file.path) {
            let message = format!("{:?} is no plain relative path", file.path);
            return Err(invalid(
                message,
                "use paths below the project's folder, without `..`",
            ));
        }
        if !seen.insert(file.path.as_str()) {
            return Err(invalid(
                format!("{:?} is there twice", file.path),
                "upload each file once",
            ));
        }
    }
    Ok(())
}

fn is_plain_path(path: &str) -> bool {
    let parts_fit = path
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..");
    parts_fit && path.len() <= MAX_PATH && !path.chars().any(|c| c.is_control() || c == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, bytes: usize) -> ProjectFile {
        ProjectFile {
            path: path.to_owned(),
            content: vec![0; bytes],
            mode: FileMode::Regular,
        }
    }

    #[test]
    fn files_stay_within_the_project_and_its_limits() {
        assert!(check(&[file("compose.yaml", 1), file("nginx/conf.d/a b.conf", 1)]).is_ok());
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "./a",
            "a/",
            "a\0b",
            "a\\b",
            &"a".repeat(256),
        ] {
            assert!(check(&[file(path, 1)]).is_err(), "{path:?}");
        }
        assert!(check(&[file("a", 1), file("a", 1)]).is_err());
        assert!(check(&[file("a", MAX_PROJECT_BYTES), file("b", 1)]).is_err());
        let many: Vec<_> = (0..=MAX_PROJECT_FILES)
            .map(|number| file(&number.to_string(), 0))
            .collect();
        assert!(check(&many).is_err());
    }
}
