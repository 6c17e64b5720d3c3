//! The installation: one row, with its incarnation and the proof of its master key.

use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::db::{Tx, execute, local_now, one, optional};
use super::open::OpenError;
use super::{Result, Store, StoreError, counted, stored};
use crate::vault::{KEY_VERSION, Place};

const TABLE: &str = "installation";
/// What the proof of the master key opens to.
const PROOF: &[u8] = b"towline";

impl Store {
    /// Makes the installation's row at the first start, and later checks the master key by it.
    pub(super) async fn ensure_installation(&self) -> std::result::Result<(), OpenError> {
        let row = self.installation_row().await?;
        let (id, proof) = match row {
            Some(row) => row,
            None => self.create_installation().await?,
        };
        let opened = self
            .vault()
            .open(place(id), &proof)
            .map_err(|_| OpenError::MasterKey)?;
        if opened.as_slice() == PROOF {
            Ok(())
        } else {
            Err(OpenError::MasterKey)
        }
    }

    async fn installation_row(&self) -> Result<Option<(Uuid, Vec<u8>)>> {
        let mut reader = self.main().read().await?;
        Ok(optional!(
            reader.conn(),
            (Uuid, Vec<u8>),
            "SELECT id, key_check FROM installation"
        )?)
    }

    /// Two replicas may start at once: the first one's row counts.
    async fn create_installation(&self) -> Result<(Uuid, Vec<u8>)> {
        let id = Uuid::now_v7();
        let proof = self.vault().seal(place(id), PROOF)?;
        let mut tx = self.main().begin().await?;
        let now = local_now();
        execute!(
            tx.conn(),
            "INSERT INTO installation (id, singleton, incarnation, key_check, key_version, created_at, updated_at)
             VALUES ($1, 1, 1, $2, $3, $4, $4) ON CONFLICT (singleton) DO NOTHING",
            id,
            proof.as_slice(),
            KEY_VERSION,
            now
        )?;
        let row = one!(
            tx.conn(),
            (Uuid, Vec<u8>),
            "SELECT id, key_check FROM installation"
        )?;
        tx.commit().await?;
        Ok(row)
    }

    /// Outdates every fence that was ever given out. To be called after a restore from backup.
    pub async fn raise_incarnation(&self) -> Result<u32> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        execute!(
            tx.conn(),
            "UPDATE installation SET incarnation = incarnation + 1, updated_at = $1",
            now
        )?;
        let incarnation = incarnation(&mut tx).await?;
        execute!(
            tx.conn(),
            "UPDATE deployment_targets SET fence_epoch = 0, updated_at = $2,
                fence_incarnation = CASE WHEN fence_incarnation >= $1 THEN fence_incarnation + 1 ELSE $1 END",
            stored(incarnation.into()),
            now
        )?;
        let chain = id(&mut tx).await?;
        let entry = Entry {
            chain,
            team: None,
            actor: Actor::System,
            action: "installation.raise_incarnation",
            subject: ("installation", Some(chain)),
            detail: serde_json::json!({ "incarnation": incarnation }),
        };
        audit::append(&mut tx, &entry, now).await?;
        tx.commit().await?;
        Ok(incarnation)
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
