//! Exchanging the master key while the servers run.
//!
//! The way: the new key stands in the file beside the old one; it becomes the one that seals; what is
//! under the old one is put under the new one, bit by bit; when nothing is left, the old key goes out
//! of the file. Each step can be seen afterwards, in the file and in the database, so that an exchange
//! that broke off anywhere is gone on with by the same command.

use std::collections::BTreeMap;
use std::time::Duration;

use super::refused;
use crate::config::Config;
use crate::error::StartError;
use crate::serve::{open_store_beside, open_vault};
use crate::store::{
    KeyChange, KeyState, MasterKeyVersion, Rewrapped, SealedCount, Store, StoreError,
};
use crate::vault::{Turn, Vault, VaultError};

/// How often values are gone through that others were working on, or that came meanwhile.
const PASSES: u32 = 60;
/// How long is waited for those who work on them.
const BETWEEN_PASSES: Duration = Duration::from_millis(500);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Show what is under which key.
    Show,
    /// Make the new key, and use it for nothing yet.
    Prepare,
    /// Exchange the key.
    Rotate,
}

/// Exchanges the master key, or shows what there is to do.
pub async fn run(config: Config, step: Step) -> Result<(), StartError> {
    let vault = open_vault(&config).await?;
    if step == Step::Show {
        let store = open_store_beside(&config, vault).await?;
        let shown = show(&store).await;
        store.close().await;
        return shown;
    }
    let turn = vault.take_turn()?;
    // Another process may have written the file since it was read.
    vault.reload()?;
    let store = open_store_beside(&config, vault.clone()).await?;
    let done = Rotation {
        store: &store,
        vault: &vault,
        turn: &turn,
    }
    .run(step)
    .await;
    store.close().await;
    done
}

struct Rotation<'a> {
    store: &'a Store,
    vault: &'a Vault,
    turn: &'a Turn,
}

impl Rotation<'_> {
    async fn run(&self, step: Step) -> Result<(), StartError> {
        let keys = self.store.master_keys().await?;
        if let Some(change) = under_way(&keys) {
            println!(
                "Going on with the exchange of version {} for version {}.",
                change.from, change.to
            );
            return self.finish(change).await;
        }
        let new = match self.unused(&keys) {
            Some(new) => new,
            None if self.has_retired(&keys) => return self.leave_current(&keys),
            None => self.add_key()?,
        };
        if step == Step::Prepare {
            println!(
                "The new key stands in the file and is not used yet. Give the file to all servers, then run\n\
                 `towline-server admin rotate-master-key`."
            );
            return Ok(());
        }
        let change = self.store.begin_key_change(&new).await.map_err(refused)?;
        println!("Version {} of the master key seals from now on.", change.to);
        self.finish(change).await
    }

    async fn finish(&self, change: KeyChange) -> Result<(), StartError> {
        let mut left = Vec::new();
        for _ in 0..PASSES {
            let mut progress = Progress::of(&self.store.sealed_counts().await?, change);
            let passed = self
                .store
                .rewrap_all(change, |done| progress.tell(done))
                .await;
            match passed {
                Ok(()) => {
                    let finished = self.store.finish_key_change(change).await;
                    left = finished.map_err(refused)?;
                }
                Err(error @ StoreError::Unavailable(_)) => {
                    println!("The database does not answer for now ({error}); trying again.");
                }
                Err(error) => return Err(refused(error)),
            }
            if let Some(unreadable) = progress.unreadable {
                return Err(unreadable);
            }
            let keys = self.store.master_keys().await?;
            if under_way(&keys).is_none() {
                println!(
                    "Nothing is under version {} any more; it opens nothing from now on.",
                    change.from
                );
                return self.leave_current(&keys);
            }
            tokio::time::sleep(BETWEEN_PASSES).await;
        }
        Err(StartError::Refused {
            message: format!(
                "some values are still under version {}: {}",
                change.from,
                list(&left)
            ),
            remedy: "run this again, which goes on from here".to_owned(),
        })
    }

    /// Takes all keys but the current one out of the file.
    fn leave_current(&self, keys: &[MasterKeyVersion]) -> Result<(), StartError> {
        let current: Vec<_> = keys
            .iter()
            .filter(|key| key.state == KeyState::Current)
            .map(|key| key.fingerprint.as_str())
            .collect();
        match self.vault.keep_keys(self.turn, &current) {
            Ok(()) => println!(
                "The file has the present key alone. Keep a copy of it apart from the backups. Backups that\n\
                 were made before now open by the former key alone: keep its copy as long as them."
            ),
            Err(VaultError::Given) => println!(
                "Start the servers without the former key (TOWLINE_MASTER_KEY_PREVIOUS). Backups that were made\n\
                 before now open by it alone: keep it as long as them."
            ),
            Err(VaultError::File { path, cause }) => {
                return Err(StartError::Refused {
                    message: format!(
                        "everything is under the present key, but the former one cannot be taken out of {}: {cause}",
                        path.display()
                    ),
                    remedy: "take it out yourself, or run this again".to_owned(),
                });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn add_key(&self) -> Result<String, StartError> {
        self.vault.add_key(self.turn).map_err(|error| match error {
            VaultError::File { path, cause } => StartError::Refused {
                message: format!("no new key can be put into {}: {cause}", path.display()),
                remedy: "put one above the present key yourself (`openssl rand -base64 32`), then run this again"
                    .to_owned(),
            },
            error => error.into(),
        })
    }

    /// A key that stands ready and has no version yet.
    fn unused(&self, keys: &[MasterKeyVersion]) -> Option<String> {
        let is_known =
            |fingerprint: &String| keys.iter().any(|key| key.fingerprint == *fingerprint);
        self.vault
            .fingerprints()
            .into_iter()
            .find(|fingerprint| !is_known(fingerprint))
    }

    fn has_retired(&self, keys: &[MasterKeyVersion]) -> bool {
        let given = self.vault.fingerprints();
        keys.iter()
            .any(|key| key.state == KeyState::Retired && given.contains(&key.fingerprint))
    }
}

fn under_way(keys: &[MasterKeyVersion]) -> Option<KeyChange> {
    let version = |state| {
        let mut found = keys.iter().filter(|key| key.state == state);
        found.next().map(|key| key.version)
    };
    Some(KeyChange {
        from: version(KeyState::Retiring)?,
        to: version(KeyState::Current)?,
    })
}

/// How far a pass is.
struct Progress {
    of: BTreeMap<&'static str, u64>,
    done: BTreeMap<&'static str, u64>,
    unreadable: Option<StartError>,
}

impl Progress {
    fn of(counts: &[SealedCount], change: KeyChange) -> Self {
        let old = counts.iter().filter(|count| count.version == change.from);
        Self {
            of: old.map(|count| (count.column, count.values)).collect(),
            done: BTreeMap::new(),
            unreadable: None,
        }
    }

    fn tell(&mut self, more: &Rewrapped) {
        let done = self.done.entry(more.column).or_default();
        *done += more.values;
        let of = self.of.get(more.column).copied().unwrap_or(*done);
        println!("{}: {done} of {}", more.column, of.max(*done));
        if let Some(row) = more.unreadable.first() {
            self.unreadable = Some(StartError::Refused {
                message: format!(
                    "a value of {} does not open under the key it should be under, so the exchange cannot end: row {row}",
                    more.column
                ),
                remedy: "it was damaged before; delete that secret and set it again, then run this again".to_owned(),
            });
        }
    }
}

async fn show(store: &Store) -> Result<(), StartError> {
    for key in store.master_keys().await? {
        println!(
            "version {} of the master key is {}",
            key.version,
            key.state.as_str()
        );
    }
    for count in store.sealed_counts().await? {
        println!(
            "{}: {} under version {}",
            count.column, count.values, count.version
        );
    }
    Ok(())
}

fn list(counts: &[SealedCount]) -> String {
    let words: Vec<_> = counts
        .iter()
        .map(|count| format!("{} of {}", count.values, count.column))
        .collect();
    words.join(", ")
}
