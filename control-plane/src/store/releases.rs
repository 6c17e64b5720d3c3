//! Releases: the immutable snapshots that deployments apply.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use towline_shared::ids::{ProjectId, ReleaseId};
use towline_shared::spec::ProjectFile;
use uuid::Uuid;

use super::db::{Tx, execute, one, optional};
use super::{Result, Store, StoreError};

/// The files of a project, frozen.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) compose_file: String,
    pub(crate) files: Vec<ProjectFile>,
}

/// Freezes files; equal ones are the same release.
pub(crate) async fn freeze(
    tx: &mut Tx,
    project: ProjectId,
    compose_file: &str,
    files: &[ProjectFile],
    now: DateTime<Utc>,
) -> Result<ReleaseId> {
    let bytes = postcard::to_stdvec(files)
        .map_err(|_| StoreError::Damaged("files cannot be encoded".to_owned()))?;
    let digest: [u8; 32] = Sha256::new()
        .chain_update(compose_file)
        .chain_update([0])
        .chain_update(&bytes)
        .finalize()
        .into();
    let known = "SELECT id FROM releases WHERE project_id = $1 AND digest = $2";
    if let Some((id,)) = optional!(tx.conn(), (Uuid,), known, project.uuid(), digest.as_slice())? {
        return Ok(id.into());
    }
    execute!(
        tx.conn(),
        "INSERT INTO releases (id, project_id, digest, compose_file, files, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project_id, digest) DO NOTHING",
        ReleaseId::new().uuid(),
        project.uuid(),
        digest.as_slice(),
        compose_file,
        bytes.as_slice(),
        now
    )?;
    let (id,) = one!(tx.conn(), (Uuid,), known, project.uuid(), digest.as_slice())?;
    Ok(id.into())
}

impl Store {
    /// The frozen files of a release.
    pub(crate) async fn release(&self, project: ProjectId, release: ReleaseId) -> Result<Release> {
        let mut reader = self.main().read().await?;
        let (compose_file, files) = one!(
            reader.conn(),
            (String, Vec<u8>),
            "SELECT compose_file, files FROM releases WHERE id = $1 AND project_id = $2",
            release.uuid(),
            project.uuid()
        )?;
        let files = postcard::from_bytes(&files).map_err(|_| {
            StoreError::Damaged(format!("the files of release {release} cannot be read"))
        })?;
        Ok(Release {
            compose_file,
            files,
        })
    }
}
