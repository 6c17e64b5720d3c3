//! The versions of the master key, and the exchange of one for the next while servers run.
//!
//! Whoever seals, or moves sealed values, holds the row of the current version until the commit; the
//! exchange begins and ends by changing that row. So nothing is sealed under a key after its rows
//! were counted. A rotation that broke off anywhere is gone on with: what is left to do stands in the
//! rows themselves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::db::{Conn, Tx, all, execute, local_now, optional};
use super::sealing::{SEALED, SealedColumn, SealedRow};
use super::{Result, Store, StoreError, counted, installation};
use crate::vault::{Place, Vault, VaultError};

/// Values that are put under the new key in one transaction: few enough that nobody notices.
const BATCH: i64 = 50;
/// Between two of them. SQLite's lock is not fair: this lets the servers have it.
const PAUSE: Duration = Duration::from_millis(5);

/// A version of the master key. The key itself is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct MasterKeyVersion {
    /// Rises with each rotation.
    pub version: i64,
    /// By which a key is recognized.
    pub fingerprint: String,
    /// What it is used for.
    #[sqlx(try_from = "String")]
    pub state: KeyState,
}

/// What a version of the master key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It seals.
    Current,
    /// There are values under it yet.
    Retiring,
    /// It opens nothing any more.
    Retired,
}

impl KeyState {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

impl TryFrom<String> for KeyState {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self> {
        [Self::Current, Self::Retiring, Self::Retired]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::Damaged(format!("{text:?} is no state of a master key")))
    }
}

/// What a rotation has to do, or has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The version that goes.
    pub from: i64,
    /// The version that comes.
    pub to: i64,
}

/// How many sealed values a column has under a version of the master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCount {
    /// `table.column`.
    pub column: &'static str,
    /// The version.
    pub version: i64,
    /// How many.
    pub values: u64,
}

/// How far a rotation is within a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// `table.column`.
    pub column: &'static str,
    /// Values under the new key since the last report.
    pub values: u64,
    /// Values that do not open, by their rows.
    pub unreadable: Vec<Uuid>,
}

const ALL: &str = "SELECT version, fingerprint, state FROM master_keys ORDER BY version";

impl Store {
    /// All versions of the master key, the oldest first.
    pub async fn master_keys(&self) -> Result<Vec<MasterKeyVersion>> {
        let mut reader = self.main().read().await?;
        Ok(all!(reader.conn(), MasterKeyVersion, ALL)?)
    }

    /// What is sealed under which key.
    pub async fn sealed_counts(&self) -> Result<Vec<SealedCount>> {
        let mut reader = self.main().read().await?;
        let mut counts = Vec::new();
        for column in &SEALED {
            let rows = all!(reader.conn(), (i64, i64), column.counts)?;
            counts.extend(rows.into_iter().map(|(version, values)| SealedCount {
                column: column.name,
                version,
                values: counted(values),
            }));
        }
        Ok(counts)
    }

    /// Makes a key the one that seals from now on. Every server must be able to have it.
    pub async fn begin_key_change(&self, fingerprint: &str) -> Result<KeyChange> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let from = hold_current(&mut tx).await?;
        let under_way = "SELECT version FROM master_keys WHERE state = 'retiring'";
        if optional!(tx.conn(), (i64,), under_way)?.is_some() {
            return Err(meanwhile());
        }
        let change = KeyChange { from, to: from + 1 };
        move_key(&mut tx, from, (KeyState::Current, KeyState::Retiring), now).await?;
        if !insert(&mut tx, change.to, fingerprint, now).await? {
            return Err(meanwhile());
        }
        write_audit(&mut tx, "master_key.introduce", change, now).await?;
        tx.commit().await?;
        self.learn_keys().await?;
        Ok(change)
    }

    /// Puts all values of all columns under the new key, in small transactions, and tells of each.
    pub async fn rewrap_all(
        &self,
        change: KeyChange,
        mut tell: impl FnMut(&Rewrapped),
    ) -> Result<()> {
        self.learn_keys().await?;
        for column in &SEALED {
            let mut behind = Uuid::nil();
            loop {
                let (done, last) = self.rewrap_some(column, change, behind).await?;
                if done.values > 0 || !done.unreadable.is_empty() {
                    tell(&done);
                }
                let Some(last) = last else { break };
                behind = last;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Ends a rotation, if nothing is under the old key any more: otherwise tells what is.
    pub async fn finish_key_change(&self, change: KeyChange) -> Result<Vec<SealedCount>> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let conn = tx.conn();
        let sql = conn.pick(
            "SELECT version FROM master_keys WHERE state <> 'retired' ORDER BY version",
            "SELECT version FROM master_keys WHERE state <> 'retired' ORDER BY version FOR UPDATE",
        );
        all!(conn, (i64,), sql)?;
        let mut left = Vec::new();
        for column in &SEALED {
            let rows = all!(tx.conn(), (i64, i64), column.counts)?;
            let rows = rows
                .into_iter()
                .filter(|(version, _)| *version != change.to);
            left.extend(rows.map(|(version, values)| SealedCount {
                column: column.name,
                version,
                values: counted(values),
            }));
        }
        if left.is_empty() {
            move_key(
                &mut tx,
                change.from,
                (KeyState::Retiring, KeyState::Retired),
                now,
            )
            .await?;
            write_audit(&mut tx, "master_key.retire", change, now).await?;
            tx.commit().await?;
        }
        Ok(left)
    }

    /// Learns which versions the vault's keys are.
    pub(super) async fn learn_keys(&self) -> Result<()> {
        let mut reader = self.main().read().await?;
        learn(self.vault(), reader.conn()).await
    }

    async fn rewrap_some(
        &self,
        column: &'static SealedColumn,
        change: KeyChange,
        behind: Uuid,
    ) -> Result<(Rewrapped, Option<Uuid>)> {
        let mut tx = self.main().begin().await?;
        let conn = tx.conn();
        let sql = conn.pick(column.batch[0], column.batch[1]);
        let rows = all!(conn, SealedRow, sql, change.from, behind, BATCH)?;
        let mut done = Rewrapped {
            column: column.name,
            values: 0,
            unreadable: Vec::new(),
        };
        let last = rows.last().map(|row| row.id);
        for row in rows {
            let place = Place {
                table: column.place,
                id: row.place_id,
                version: row.place_version,
            };
            let keys = (change.from, change.to);
            match self.vault().rewrap(keys, place, &row.sealed) {
                Ok(sealed) => {
                    execute!(
                        tx.conn(),
                        column.update,
                        row.id,
                        sealed.as_slice(),
                        change.to
                    )?;
                    done.values += 1;
                }
                Err(VaultError::Sealed { .. }) => done.unreadable.push(row.id),
                Err(error) => return Err(error.into()),
            }
        }
        if done.values > 0 {
            tx.commit().await?;
        }
        Ok((done, last))
    }
}

/// The version that seals now. It stays the one until the commit.
pub(super) async fn hold_current(tx: &mut Tx) -> Result<i64> {
    // On PostgreSQL the first try finds nothing when it has waited for a rotation to begin: the new
    // row came after its snapshot.
    for _ in 0..2 {
        let conn = tx.conn();
        let sql = conn.pick(
            "SELECT version FROM master_keys WHERE state = 'current'",
            "SELECT version FROM master_keys WHERE state = 'current' FOR SHARE",
        );
        if let Some((version,)) = optional!(conn, (i64,), sql)? {
            return Ok(version);
        }
    }
    Err(StoreError::Damaged(
        "the installation has no current master key".to_owned(),
    ))
}

pub(super) async fn learn(vault: &Vault, conn: Conn<'_>) -> Result<()> {
    let versions = all!(conn, MasterKeyVersion, ALL)?;
    vault.learn(
        versions
            .iter()
            .map(|known| (known.version, known.fingerprint.as_str())),
    );
    Ok(())
}

/// The versions that something may be under, and their fingerprints; the one that seals first.
pub(super) async fn in_use(conn: Conn<'_>) -> Result<Vec<(i64, String)>> {
    let sql = "SELECT version, fingerprint FROM master_keys WHERE state <> 'retired' ORDER BY version DESC";
    Ok(all!(conn, (i64, String), sql)?)
}

/// Writes a version down as the current one; `false` if it or its key stands there already.
pub(super) async fn insert(
    tx: &mut Tx,
    version: i64,
    fingerprint: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let inserted = execute!(
        tx.conn(),
        "INSERT INTO master_keys (id, version, fingerprint, state, created_at, updated_at)
         VALUES ($1, $2, $3, 'current', $4, $4) ON CONFLICT DO NOTHING",
        Uuid::now_v7(),
        version,
        fingerprint,
        now
    )?;
    Ok(inserted == 1)
}

async fn move_key(
    tx: &mut Tx,
    version: i64,
    (from, to): (KeyState, KeyState),
    now: DateTime<Utc>,
) -> Result<()> {
    let sql =
        "UPDATE master_keys SET state = $3, updated_at = $4 WHERE version = $1 AND state = $2";
    if execute!(tx.conn(), sql, version, from.as_str(), to.as_str(), now)? == 1 {
        return Ok(());
    }
    Err(meanwhile())
}

fn meanwhile() -> StoreError {
    StoreError::Conflict {
        message: "the master key was exchanged by somebody else in this moment".to_owned(),
        remedy: "look how far that is: `towline-server admin rotate-master-key --dry-run`"
            .to_owned(),
    }
}

async fn write_audit(
    tx: &mut Tx,
    action: &str,
    change: KeyChange,
    now: DateTime<Utc>,
) -> Result<()> {
    let chain = installation::id(tx).await?;
    let entry = Entry {
        chain,
        team: None,
        actor: Actor::System,
        action,
        subject: ("installation", Some(chain)),
        detail: json!({ "from": change.from, "to": change.to }),
    };
    audit::append(tx, &entry, now).await
}
