//! The keys by which repositories are read over ssh, and by what their servers are known.
//!
//! A key belongs to a project and an address. It may be there before the project comes from that address, because the
//! forge must know it before anything can be read; when the project does come from one, its other keys go.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use towline_shared::git::PublicKey;
use towline_shared::ids::{IntegrationId, JobId, ProjectId};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Conn, Tx, all, execute, local_now, optional};
use super::{Resource, Result, Store, StoreError, Tenant, audit, projects};
use crate::domain::integration::RepositoryPath;
use crate::vault::Place;

/// How many keys a project may have for addresses that it does not come from. The oldest go.
const MAX_WAITING: i64 = 4;

/// The public half of a key, and by what the server is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployKey {
    /// The repository's address.
    pub url: String,
    /// As forges take it.
    pub public_key: String,
    /// Lines of a `known_hosts` file.
    pub host_keys: Vec<String>,
    /// Where Towline has installed it at the forge.
    pub installed: Option<InstalledKey>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A key at a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledKey {
    /// By which integration it was installed.
    pub integration: IntegrationId,
    /// In which repository.
    pub repository: RepositoryPath,
    /// The forge's own id of it.
    pub forge_key: String,
}

/// A key to keep.
pub struct NewDeployKey {
    /// The repository's address.
    pub url: String,
    /// As forges take it.
    pub public_key: String,
    /// As ssh takes it.
    pub private_key: Zeroizing<String>,
    /// Lines of a `known_hosts` file.
    pub host_keys: Vec<String>,
    /// Where it is installed already.
    pub installed: Option<InstalledKey>,
}

/// A key that counts, and the one that it has replaced.
#[derive(Debug)]
pub struct KeptKey {
    /// It counts from now on.
    pub key: DeployKey,
    /// It did before.
    pub replaced: Option<DeployKey>,
}

/// What happens to a key that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    /// It stays, and the new one is forgotten.
    Kept,
    /// The new one takes its place.
    Replaced,
}

/// Both halves of a key.
pub(crate) struct WholeKey {
    pub(crate) public: DeployKey,
    pub(crate) private: Zeroizing<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    url: String,
    public_key: String,
    host_keys: String,
    integration_id: Option<Uuid>,
    repository: Option<String>,
    forge_key: Option<String>,
    created_at: DateTime<Utc>,
}

/// The columns of [`Row`], of the key `k`.
macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            "SELECT k.url, k.public_key, k.host_keys, k.integration_id, k.repository, k.forge_key, k.created_at FROM deploy_keys k
             JOIN projects p ON p.id = k.project_id WHERE ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    id: Uuid,
    private_key_encrypted: Vec<u8>,
    key_version: i64,
}

impl From<Row> for DeployKey {
    fn from(row: Row) -> Self {
        let at = row.integration_id.zip(row.repository).zip(row.forge_key);
        Self {
            installed: at.map(|((integration, repository), forge_key)| InstalledKey {
                integration: integration.into(),
                repository: RepositoryPath::stored(repository),
                forge_key,
            }),
            url: row.url,
            public_key: row.public_key,
            host_keys: row.host_keys.lines().map(str::to_owned).collect(),
            created_at: row.created_at,
        }
    }
}

fn place(key: Uuid) -> Place<'static> {
    Place {
        table: "deploy_keys",
        id: key,
        version: 1,
    }
}

impl Store {
    /// The key of a project for an address.
    pub async fn deploy_key(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        url: &str,
    ) -> Result<Option<DeployKey>> {
        let mut reader = self.main().read().await?;
        find(reader.conn(), tenant, project, url).await
    }

    /// The key of the address that a project comes from, or the one that was made last for another.
    pub async fn shown_deploy_key(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Option<DeployKey>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            select_keys!(
                "k.project_id = $1 AND p.team_id = $2
                 ORDER BY CASE WHEN k.url = p.repo_url THEN 0 ELSE 1 END, k.id DESC LIMIT 1"
            ),
            project.uuid(),
            tenant.team().uuid()
        )?;
        Ok(row.map(DeployKey::from))
    }

    /// The keys of a project that are installed at forges.
    pub async fn installed_deploy_keys(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Vec<DeployKey>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_keys!("k.project_id = $1 AND p.team_id = $2 AND k.forge_key IS NOT NULL"),
            project.uuid(),
            tenant.team().uuid()
        )?;
        Ok(rows.into_iter().map(DeployKey::from).collect())
    }

    /// Writes down where a key is installed, or that it is nowhere any more.
    pub async fn note_installed_key(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        key: &DeployKey,
        installed: Option<&InstalledKey>,
    ) -> Result<DeployKey> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        let written = execute!(
            tx.conn(),
            "UPDATE deploy_keys SET integration_id = $4, repository = $5, forge_key = $6, updated_at = $7
             WHERE project_id = $1 AND url = $2 AND public_key = $3",
            project.uuid(),
            key.url.as_str(),
            key.public_key.as_str(),
            installed.map(|one| one.integration.uuid()),
            installed.map(|one| one.repository.as_str()),
            installed.map(|one| one.forge_key.as_str()),
            now
        )?;
        if written == 0 {
            tx.roll_back().await?;
            return Err(StoreError::NotFound(Resource::DeployKey));
        }
        let (action, detail) = match installed {
            Some(one) => (
                "deploy_key.install",
                json!({
                    "url": key.url, "integration": one.integration, "repository": one.repository, "forge_key": one.forge_key,
                }),
            ),
            None => ("deploy_key.uninstall", json!({ "url": key.url })),
        };
        end_with(tx, tenant, project, &key.url, (action, detail, now)).await
    }

    /// Keeps a key; gives the one that counts from now on.
    pub async fn keep_deploy_key(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        new: NewDeployKey,
        former: Former,
    ) -> Result<KeptKey> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let found = find(tx.conn(), tenant, project, &new.url).await?;
        if let (Some(found), Former::Kept) = (&found, former) {
            let key = found.clone();
            tx.roll_back().await?;
            return Ok(KeptKey {
                key,
                replaced: None,
            });
        }
        let (id, now) = (Uuid::now_v7(), local_now());
        let sealed = self.seal(&mut tx, place(id), new.private_key.as_bytes());
        let sealed = sealed.await?;
        let installed = new.installed.as_ref();
        let sql = "DELETE FROM deploy_keys WHERE project_id = $1 AND url = $2";
        execute!(tx.conn(), sql, project.uuid(), new.url.as_str())?;
        execute!(
            tx.conn(),
            "INSERT INTO deploy_keys (id, project_id, url, public_key, private_key_encrypted, key_version, host_keys,
                integration_id, repository, forge_key, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
            id,
            project.uuid(),
            new.url.as_str(),
            new.public_key.as_str(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            new.host_keys.join("\n"),
            installed.map(|one| one.integration.uuid()),
            installed.map(|one| one.repository.as_str()),
            installed.map(|one| one.forge_key.as_str()),
            now
        )?;
        execute!(
            tx.conn(),
            "DELETE FROM deploy_keys WHERE project_id = $1 AND id IN (SELECT k.id FROM deploy_keys k
                JOIN projects p ON p.id = k.project_id
                WHERE k.project_id = $1 AND k.url <> COALESCE(p.repo_url, '') ORDER BY k.id DESC LIMIT 100 OFFSET $2)",
            project.uuid(),
            MAX_WAITING
        )?;
        let action = match &found {
            Some(_) => "project.renew_deploy_key",
            None => "project.make_deploy_key",
        };
        let fingerprint = new.public_key.parse::<PublicKey>().ok();
        let fingerprint = fingerprint.map(|key| key.fingerprint());
        let detail = json!({ "url": new.url, "key": fingerprint, "host_keys": prints(&new.host_keys),
                "installed_in": installed.map(|one| &one.repository) });
        let key = end_with(tx, tenant, project, &new.url, (action, detail, now)).await?;
        Ok(KeptKey {
            key,
            replaced: found,
        })
    }

    /// Has the server of an address be known by other keys from now on.
    pub async fn accept_host_keys(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        url: &str,
        host_keys: &[String],
    ) -> Result<DeployKey> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        let changed = execute!(
            tx.conn(),
            "UPDATE deploy_keys SET host_keys = $3, updated_at = $4 WHERE project_id = $1 AND url = $2",
            project.uuid(),
            url,
            host_keys.join("\n"),
            now
        )?;
        if changed == 0 {
            tx.roll_back().await?;
            return Err(StoreError::NotFound(Resource::DeployKey));
        }
        let detail = json!({ "url": url, "host_keys": prints(host_keys) });
        let action = "project.accept_host_keys";
        end_with(tx, tenant, project, url, (action, detail, now)).await
    }

    /// Both halves of the key of a project for an address.
    pub(crate) async fn whole_deploy_key(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        url: &str,
    ) -> Result<Option<WholeKey>> {
        let mut reader = self.main().read().await?;
        let Some(public) = find(reader.conn(), tenant, project, url).await? else {
            return Ok(None);
        };
        let row = optional!(
            reader.conn(),
            SealedRow,
            "SELECT id, private_key_encrypted, key_version FROM deploy_keys WHERE project_id = $1 AND url = $2
                AND public_key = $3",
            project.uuid(),
            url,
            public.public_key.as_str()
        )?;
        drop(reader);
        let Some(row) = row else {
            return Ok(None);
        };
        let private = self.open_private(&row).await?;
        Ok(Some(WholeKey { public, private }))
    }

    /// The key that an agent needs to read the commit that a job is about.
    pub(super) async fn key_of_job(&self, job: JobId) -> Result<Option<Zeroizing<String>>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            SealedRow,
            "SELECT k.id, k.private_key_encrypted, k.key_version FROM jobs j
             JOIN deployments d ON d.id = j.deployment_id JOIN releases r ON r.id = d.release_id
             JOIN project_sources s ON s.project_id = d.project_id
             JOIN deploy_keys k ON k.project_id = d.project_id AND k.url = s.url
             WHERE j.id = $1 AND r.source_url = s.url",
            job.uuid()
        )?;
        drop(reader);
        match row {
            None => Ok(None),
            Some(row) => self.open_private(&row).await.map(Some),
        }
    }

    async fn open_private(&self, row: &SealedRow) -> Result<Zeroizing<String>> {
        let opened = self.unseal(place(row.id), row.key_version, &row.private_key_encrypted);
        let opened = opened.await?;
        let text = std::str::from_utf8(&opened)
            .map_err(|_| StoreError::Damaged("a deploy key is no text".to_owned()))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// Writes down what was done to a key, and commits it.
async fn end_with(
    mut tx: Tx,
    tenant: &Tenant,
    project: ProjectId,
    url: &str,
    (action, detail, now): (&'static str, Value, DateTime<Utc>),
) -> Result<DeployKey> {
    let subject = ("project", project.uuid());
    audit::append_of(&mut tx, tenant, action, subject, detail, now).await?;
    let kept = find(tx.conn(), tenant, project, url).await?;
    tx.commit().await?;
    kept.ok_or(StoreError::NotFound(Resource::DeployKey))
}

/// What people compare of a server's keys.
fn prints(host_keys: &[String]) -> Vec<String> {
    let keys = host_keys.iter();
    let keys = keys.filter_map(|line| PublicKey::of_known_host(line).ok());
    keys.map(|key| key.fingerprint()).collect()
}

/// Forgets the keys of a project, but for the one of an address that it comes from; gives how many there were.
pub(super) async fn forget(tx: &mut Tx, project: ProjectId, but: Option<&str>) -> Result<u64> {
    let sql = "DELETE FROM deploy_keys WHERE project_id = $1 AND url <> $2";
    let but = but.unwrap_or_default();
    Ok(execute!(tx.conn(), sql, project.uuid(), but)?)
}

async fn find(
    conn: Conn<'_>,
    tenant: &Tenant,
    project: ProjectId,
    url: &str,
) -> Result<Option<DeployKey>> {
    let row = optional!(
        conn,
        Row,
        select_keys!("k.project_id = $1 AND k.url = $2 AND p.team_id = $3"),
        project.uuid(),
        url,
        tenant.team().uuid()
    )?;
    Ok(row.map(DeployKey::from))
}
