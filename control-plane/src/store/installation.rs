//! The installation: one row, with its incarnation and the proof of its master key.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::db::{Conn, Tx, execute, local_now, one, optional};
use super::open::OpenError;
use super::{Result, Store, StoreError, counted, master_keys, migrations, stored};
use crate::vault::{FIRST_KEY, Place, Vault};

const TABLE: &str = "installation";
/// What the proof of the master key opens to.
const PROOF: &[u8] = b"towline";
const ROW: &str = "SELECT id, key_check, key_version FROM installation";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    key_check: Vec<u8>,
    key_version: i64,
}

impl Store {
    /// Makes the installation's row at the first start, and later checks the master key by it.
    pub(super) async fn ensure_installation(&self) -> std::result::Result<(), OpenError> {
        let row = match self.installation_row().await? {
            Some(row) => row,
            None => self.create_installation().await?,
        };
        self.ensure_first_key(&row).await?;
        let mut reader = self.main().read().await?;
        prove_keys(reader.conn(), self.vault()).await
    }

    async fn installation_row(&self) -> Result<Option<Row>> {
        let mut reader = self.main().read().await?;
        Ok(optional!(reader.conn(), Row, ROW)?)
    }

    /// Two replicas may start at once: the first one's row counts.
    async fn create_installation(&self) -> Result<Row> {
        let id = Uuid::now_v7();
        let fingerprints = self.vault().fingerprints();
        let first = fingerprints.first().map_or("", String::as_str);
        self.vault().learn([(FIRST_KEY, first)]);
        let proof = self.vault().seal(FIRST_KEY, place(id), PROOF)?;
        let mut tx = self.main().begin().await?;
        let now = local_now();
        execute!(
            tx.conn(),
            "INSERT INTO installation (id, singleton, incarnation, key_check, key_version, created_at, updated_at)
             VALUES ($1, 1, 1, $2, $3, $4, $4) ON CONFLICT (singleton) DO NOTHING",
            id,
            proof.as_slice(),
            FIRST_KEY,
            now
        )?;
        let row = one!(tx.conn(), Row, ROW)?;
        tx.commit().await?;
        Ok(row)
    }

    /// Writes down which key is the first one: that which opens the proof.
    async fn ensure_first_key(&self, row: &Row) -> std::result::Result<(), OpenError> {
        if !self.master_keys().await?.is_empty() {
            return Ok(());
        }
        let fingerprint = self
            .vault()
            .first_key_of(place(row.id), &row.key_check)
            .ok_or(OpenError::MasterKey)?;
        let mut tx = self.main().begin().await?;
        master_keys::insert(&mut tx, FIRST_KEY, &fingerprint, local_now()).await?;
        Ok(tx.commit().await?)
    }

    /// Outdates every fence that was ever given out. To be called after a restore from backup.
    pub async fn raise_incarnation(&self) -> Result<u32> {
        let mut tx = self.main().begin().await?;
        let incarnation = raise(&mut tx, local_now()).await?;
        tx.commit().await?;
        Ok(incarnation)
    }
}

/// Raises the incarnation, and every target above what it may have given out.
pub(super) async fn raise(tx: &mut Tx, now: DateTime<Utc>) -> Result<u32> {
    execute!(
        tx.conn(),
        "UPDATE installation SET incarnation = incarnation + 1, updated_at = $1",
        now
    )?;
    let incarnation = incarnation(tx).await?;
    execute!(
            tx.conn(),
            "UPDATE deployment_targets SET fence_epoch = 0, updated_at = $2,
                fence_incarnation = CASE WHEN fence_incarnation >= $1 THEN fence_incarnation + 1 ELSE $1 END",
            stored(incarnation.into()),
            now
        )?;
    let chain = id(tx).await?;
    let entry = Entry {
        chain,
        team: None,
        actor: Actor::System,
        action: "installation.raise_incarnation",
        subject: ("installation", Some(chain)),
        detail: serde_json::json!({ "incarnation": incarnation }),
    };
    audit::append(tx, &entry, now).await?;
    Ok(incarnation)
}

/// Whether the vault has the keys that something here is sealed under: in the middle of a rotation that
/// takes two. Reads only, and tables of any version.
pub(super) async fn prove_keys(
    mut conn: Conn<'_>,
    vault: &Vault,
) -> std::result::Result<(), OpenError> {
    if !migrations::has_table(conn.again(), TABLE).await? {
        return Ok(());
    }
    let row = optional!(conn.again(), Row, ROW).map_err(StoreError::from)?;
    let Some(row) = row else {
        return Ok(());
    };
    let mut keys = Vec::new();
    if migrations::has_table(conn.again(), "master_keys").await? {
        master_keys::learn(vault, conn.again()).await?;
        keys = master_keys::in_use(conn).await?;
    }
    if keys.is_empty() {
        // From before keys had versions.
        let first = vault.first_key_of(place(row.id), &row.key_check);
        return first.map(drop).ok_or(OpenError::MasterKey);
    }
    let (held, missing): (Vec<_>, Vec<_>) =
        keys.iter().partition(|(version, _)| vault.knows(*version));
    match missing.first() {
        Some(_) if held.is_empty() => return Err(OpenError::MasterKey),
        Some((missing, _)) => return Err(OpenError::KeyOfRotation(*missing)),
        None => {}
    }
    match vault.open(row.key_version, place(row.id), &row.key_check) {
        Ok(opened) if opened.as_slice() == PROOF => Ok(()),
        _ => Err(OpenError::MasterKey),
    }
}

/// The installation's id, which is its audit chain too.
pub(super) async fn id(tx: &mut Tx) -> Result<Uuid> {
    let (id,) = one!(tx.conn(), (Uuid,), "SELECT id FROM installation")?;
    Ok(id)
}

/// The incarnation that new targets begin with.
pub(super) async fn incarnation(tx: &mut Tx) -> Result<u32> {
    let (incarnation,) = one!(tx.conn(), (i64,), "SELECT incarnation FROM installation")?;
    u32::try_from(counted(incarnation))
        .map_err(|_| StoreError::Damaged("the incarnation is out of range".to_owned()))
}

const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: TABLE,
        id,
        version: 1,
    }
}
