//! One file of a project: read, written and deleted by itself, without losing what somebody else has written meanwhile.

use chrono::{DateTime, Utc};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use towline_shared::compose::find_compose_file;
use towline_shared::ids::ProjectId;
use towline_shared::spec::ProjectFile;
use uuid::Uuid;

use super::db::{Tx, all, execute, one, optional};
use super::project_files::{check, check_size, file, mode_name};
use super::{Resource, Result, Store, StoreError, Tenant, audit, counted, projects};
use crate::domain::hex::hex;

/// A file with its content.
#[derive(Clone, Debug)]
pub struct StoredFile {
    /// The file.
    pub file: ProjectFile,
    /// Whether it is as it was generated.
    pub is_generated: bool,
}

/// What may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces<'a> {
    /// Whatever is there.
    Anything,
    /// Nothing: the file must be new.
    Nothing,
    /// The content with this tag.
    Tagged(&'a str),
}

/// A generated file to write.
#[derive(Clone, Debug)]
pub struct GeneratedWrite {
    /// Its path.
    pub path: String,
    /// What it has then.
    pub text: String,
    /// What was generated, which a later generation is merged with.
    pub generated: String,
    /// What it must have now: whoever looked has seen that; nothing for a file that is new.
    pub was: Option<Vec<u8>>,
}

/// What tells a file's contents apart: its mode, and the SHA-256 of its bytes.
pub fn tag_of(file: &ProjectFile) -> String {
    let sum = hex(&Sha256::digest(&file.content));
    format!("{}-{sum}", mode_name(file.mode))
}

impl Replaces<'_> {
    fn check(self, path: &str, present: Option<&ProjectFile>) -> Result<()> {
        let fits = match (self, present) {
            (Self::Anything, _) | (Self::Nothing, None) => true,
            (Self::Nothing, Some(_)) | (Self::Tagged(_), None) => false,
            (Self::Tagged(tag), Some(present)) => tag == tag_of(present),
        };
        if fits {
            return Ok(());
        }
        let (what, remedy) = match present {
            None => ("is no more there", "read the project's files again"),
            Some(_) if self == Self::Nothing => (
                "is there already",
                "read it, and send its `etag` as `replaces`",
            ),
            Some(_) => (
                "has changed since it was read",
                "read it again, and make the change in what it is now",
            ),
        };
        Err(StoreError::Conflict {
            message: format!("the file {path:?} {what}"),
            remedy: remedy.to_owned(),
        })
    }
}

impl Store {
    /// A file of a project.
    pub async fn read_file(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        path: &str,
    ) -> Result<StoredFile> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (String, Vec<u8>, String, bool),
            "SELECT path, content, mode, is_generated FROM project_files WHERE project_id = $1 AND path = $2",
            project.uuid(),
            path
        )?;
        let (path, content, mode, is_generated) =
            row.ok_or(StoreError::NotFound(Resource::File))?;
        Ok(StoredFile {
            file: file((path, content, mode)),
            is_generated,
        })
    }

    /// Writes a file of a project, whether it is there or not.
    pub async fn write_file(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        file: &ProjectFile,
        replaces: Replaces<'_>,
    ) -> Result<()> {
        check(std::slice::from_ref(file))?;
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = tx.now().await?;
        let present = present(&mut tx, project, &file.path).await?;
        replaces.check(&file.path, present.as_ref())?;
        if present.as_ref() == Some(file) {
            return tx.roll_back().await;
        }
        execute!(
            tx.conn(),
            "INSERT INTO project_files (id, project_id, path, content, mode, is_generated, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (project_id, path) DO UPDATE SET content = $4, mode = $5, is_generated = $6",
            Uuid::now_v7(),
            project.uuid(),
            file.path.as_str(),
            file.content.as_slice(),
            mode_name(file.mode),
            false,
            now
        )?;
        settle(&mut tx, project, now).await?;
        let detail = json!({
            "path": file.path,
            "bytes": file.content.len(),
            "new": present.is_none(),
        });
        let subject = ("project", project.uuid());
        audit::append_of(&mut tx, tenant, "project.write_file", subject, detail, now).await?;
        tx.commit().await
    }

    /// Writes generated files, all or none.
    pub async fn write_generated(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        writes: &[GeneratedWrite],
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = tx.now().await?;
        for write in writes {
            let present = present(&mut tx, project, &write.path).await?;
            if present.map(|file| file.content) != write.was {
                return Err(StoreError::Conflict {
                    message: format!("the file {:?} has changed in this moment", write.path),
                    remedy: "generate again".to_owned(),
                });
            }
            write_one(&mut tx, project, write, now).await?;
        }
        settle(&mut tx, project, now).await?;
        let paths: Vec<&str> = writes.iter().map(|write| write.path.as_str()).collect();
        let (subject, detail) = (("project", project.uuid()), json!({ "written": paths }));
        audit::append_of(&mut tx, tenant, "project.generate", subject, detail, now).await?;
        tx.commit().await
    }

    /// Deletes a file of a project.
    pub async fn delete_file(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        path: &str,
        replaces: Replaces<'_>,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = tx.now().await?;
        let present = present(&mut tx, project, path).await?;
        if present.is_none() {
            return Err(StoreError::NotFound(Resource::File));
        }
        replaces.check(path, present.as_ref())?;
        let sql = "DELETE FROM project_files WHERE project_id = $1 AND path = $2";
        execute!(tx.conn(), sql, project.uuid(), path)?;
        settle(&mut tx, project, now).await?;
        let (subject, detail) = (("project", project.uuid()), json!({ "path": path }));
        audit::append_of(&mut tx, tenant, "project.delete_file", subject, detail, now).await?;
        tx.commit().await
    }
}

async fn write_one(
    tx: &mut Tx,
    project: ProjectId,
    write: &GeneratedWrite,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO project_files (id, project_id, path, content, mode, is_generated, created_at, generated_content)
         VALUES ($1, $2, $3, $4, 'regular', $5, $6, $7)
         ON CONFLICT (project_id, path) DO UPDATE SET content = $4, is_generated = $5, generated_content = $7",
        Uuid::now_v7(),
        project.uuid(),
        write.path.as_str(),
        write.text.as_bytes(),
        write.text == write.generated,
        now,
        write.generated.as_bytes()
    )?;
    Ok(())
}

async fn present(tx: &mut Tx, project: ProjectId, path: &str) -> Result<Option<ProjectFile>> {
    let row = optional!(
        tx.conn(),
        (String, Vec<u8>, String),
        "SELECT path, content, mode FROM project_files WHERE project_id = $1 AND path = $2",
        project.uuid(),
        path
    )?;
    Ok(row.map(file))
}

/// Holds a project's files to their limits, and notes which is the compose file now.
async fn settle(tx: &mut Tx, project: ProjectId, now: DateTime<Utc>) -> Result<()> {
    let (count, bytes) = one!(
        tx.conn(),
        (i64, i64),
        "SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(content)), 0) AS BIGINT) FROM project_files WHERE project_id = $1",
        project.uuid()
    )?;
    let size = |number| usize::try_from(counted(number)).unwrap_or(usize::MAX);
    check_size(size(count), size(bytes))?;
    let paths = all!(
        tx.conn(),
        (String, String),
        "SELECT path, mode FROM project_files WHERE project_id = $1 ORDER BY path",
        project.uuid()
    )?;
    // Where it is, its path tells.
    let files: Vec<ProjectFile> = paths
        .into_iter()
        .map(|(path, mode)| file((path, Vec::new(), mode)))
        .collect();
    execute!(
        tx.conn(),
        "UPDATE projects SET compose_file = $2, status = $3, updated_at = $4 WHERE id = $1",
        project.uuid(),
        find_compose_file(&files),
        if files.is_empty() { "empty" } else { "ready" },
        now
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use towline_shared::spec::FileMode;

    use super::*;

    #[test]
    fn a_tag_tells_contents_and_modes_apart() {
        let file = |content: &str, mode| ProjectFile {
            path: "run.sh".to_owned(),
            content: content.into(),
            mode,
        };
        let tags = [
            tag_of(&file("a", FileMode::Regular)),
            tag_of(&file("b", FileMode::Regular)),
            tag_of(&file("a", FileMode::Executable)),
        ];
        assert!(tags[0] != tags[1] && tags[0] != tags[2]);
        let present = file("a", FileMode::Regular);
        let table = [
            (Replaces::Anything, None, true),
            (Replaces::Anything, Some(&present), true),
            (Replaces::Nothing, None, true),
            (Replaces::Nothing, Some(&present), false),
            (Replaces::Tagged(&tags[0]), Some(&present), true),
            (Replaces::Tagged(&tags[1]), Some(&present), false),
            (Replaces::Tagged(&tags[2]), Some(&present), false),
            (Replaces::Tagged(&tags[0]), None, false),
        ];
        for (replaces, present, fits) in table {
            assert_eq!(
                replaces.check("run.sh", present).is_ok(),
                fits,
                "{replaces:?}"
            );
        }
    }
}
