//! Releases: the immutable snapshots that deployments apply.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use towline_shared::ids::{ProjectId, ReleaseId};
use towline_shared::spec::{GitSource, ProjectFile};
use uuid::Uuid;

use super::db::{Tx, execute, one, optional};
use super::{Result, Store, StoreError};

/// The files of a project, frozen, and the commit that they lie over.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) compose_file: String,
    pub(crate) files: Vec<ProjectFile>,
    pub(crate) source: Option<GitSource>,
}

/// What a release consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frozen<'a> {
    pub(crate) compose_file: &'a str,
    pub(crate) files: &'a [ProjectFile],
    pub(crate) source: Option<&'a GitSource>,
}

/// Freezes files over a commit; equal ones are the same release.
pub(crate) async fn freeze(
    tx: &mut Tx,
    project: ProjectId,
    frozen: Frozen<'_>,
    now: DateTime<Utc>,
) -> Result<ReleaseId> {
    let Frozen {
        compose_file,
        files,
        source,
    } = frozen;
    let bytes = encoded(files)?;
    let commit = source.map(encoded).transpose()?;
    let digest: [u8; 32] = Sha256::new()
        .chain_update(compose_file)
        .chain_update([0])
        .chain_update(&bytes)
        // Without a source it is what it was before there were any.
        .chain_update(commit.as_deref().unwrap_or_default())
        .finalize()
        .into();
    let known = "SELECT id FROM releases WHERE project_id = $1 AND digest = $2";
    if let Some((id,)) = optional!(tx.conn(), (Uuid,), known, project.uuid(), digest.as_slice())? {
        return Ok(id.into());
    }
    execute!(
        tx.conn(),
        "INSERT INTO releases (id, project_id, digest, compose_file, files, created_at, source, source_url)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (project_id, digest) DO NOTHING",
        ReleaseId::new().uuid(),
        project.uuid(),
        digest.as_slice(),
        compose_file,
        bytes.as_slice(),
        now,
        commit.as_deref(),
        source.map(|source| source.url.as_str())
    )?;
    let (id,) = one!(tx.conn(), (Uuid,), known, project.uuid(), digest.as_slice())?;
    Ok(id.into())
}

fn encoded(part: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    let damaged = |_| StoreError::Damaged("a release cannot be encoded".to_owned());
    postcard::to_stdvec(part).map_err(damaged)
}

impl Store {
    /// The frozen files of a release.
    pub(crate) async fn release(&self, project: ProjectId, release: ReleaseId) -> Result<Release> {
        let mut reader = self.main().read().await?;
        let (compose_file, files, source) = one!(
            reader.conn(),
            (String, Vec<u8>, Option<Vec<u8>>),
            "SELECT compose_file, files, source FROM releases WHERE id = $1 AND project_id = $2",
            release.uuid(),
            project.uuid()
        )?;
        let damaged = |_| StoreError::Damaged(format!("release {release} cannot be read"));
        let source = source.map(|source| postcard::from_bytes(&source));
        Ok(Release {
            compose_file,
            files: postcard::from_bytes(&files).map_err(damaged)?,
            source: source.transpose().map_err(damaged)?,
        })
    }
}
