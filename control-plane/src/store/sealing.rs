//! Sealing and opening what stands in the database encrypted, and the list of all such columns.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::Tx;
use super::{Result, Store, master_keys};
use crate::vault::Place;

/// A sealed value as it is stored, with the version of the master key it is under.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) key_version: i64,
    pub(crate) bytes: Vec<u8>,
}

/// A column with sealed values, beside which `key_version` says which master key they are under.
pub(crate) struct SealedColumn {
    /// `table.column`.
    pub(crate) name: &'static str,
    /// The table in the values' [`Place`].
    pub(crate) place: &'static str,
    /// The column with the identifier in the values' place.
    pub(crate) place_id: &'static str,
    /// The column with the version in it; what is no column's name is version 1.
    pub(crate) place_version: &'static str,
    /// Locks some rows under a master key ($1) behind a row ($2), at most so many ($3).
    pub(crate) batch: [&'static str; 2],
    /// Replaces the value of a row ($1) by another ($2) under another key ($3).
    pub(crate) update: &'static str,
    /// How many values are under each key.
    pub(crate) counts: &'static str,
}

/// A row of [`SealedColumn::batch`].
#[derive(sqlx::FromRow)]
pub(crate) struct SealedRow {
    pub(crate) id: Uuid,
    pub(crate) place_id: Uuid,
    pub(crate) place_version: i64,
    pub(crate) sealed: Vec<u8>,
}

macro_rules! batch {
    ($table:literal, $column:literal, $id:literal, $version:literal, $lock:literal) => {
        concat!(
            "SELECT id, ",
            $id,
            " AS place_id, ",
            $version,
            " AS place_version, ",
            $column,
            " AS sealed FROM ",
            $table,
            " WHERE key_version = $1 AND id > $2 AND ",
            $column,
            " IS NOT NULL ORDER BY id LIMIT $3",
            $lock
        )
    };
}

macro_rules! sealed_column {
    ($table:literal . $column:literal at $place:literal, $id:literal, $version:literal) => {
        SealedColumn {
            name: concat!($table, ".", $column),
            place: $place,
            place_id: $id,
            place_version: $version,
            batch: [
                batch!($table, $column, $id, $version, ""),
                // What somebody else holds is come back to: two that wait for each other would fail.
                batch!(
                    $table,
                    $column,
                    $id,
                    $version,
                    " FOR NO KEY UPDATE SKIP LOCKED"
                ),
            ],
            update: concat!(
                "UPDATE ",
                $table,
                " SET ",
                $column,
                " = $2, key_version = $3 WHERE id = $1"
            ),
            counts: concat!(
                "SELECT key_version, COUNT(*) FROM ",
                $table,
                " WHERE ",
                $column,
                " IS NOT NULL GROUP BY key_version ORDER BY key_version"
            ),
        }
    };
}

/// All columns with sealed values. What is not in this list is lost when the master key is
/// exchanged; a test looks for columns that were forgotten. Values that move from one column to
/// another move down the list.
pub(crate) static SEALED: [SealedColumn; 15] = [
    sealed_column!("installation"."key_check" at "installation", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("authorities"."key_encrypted" at "authorities", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("custom_plugins"."secret" at "custom_plugins", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("deploy_keys"."private_key_encrypted" at "deploy_keys", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("deployment_targets"."auth" at "deployment_targets", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("github_integrations"."access_token" at "github_integrations", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("notification_channels"."settings_encrypted" at "notification_channels", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("oauth_attempts"."secrets_encrypted" at "oauth_attempts", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("project_sources"."password_encrypted" at "project_sources", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("push_hooks"."secret" at "push_hooks", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("registries"."password_encrypted" at "registries", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("second_factors"."secret_encrypted" at "second_factors", "id", "CAST(1 AS BIGINT)"),
    sealed_column!("secrets"."value_encrypted" at "secrets", "id", "version"),
    sealed_column!("secret_versions"."value_encrypted" at "secrets", "secret_id", "version"),
    sealed_column!("webhooks"."secret" at "webhooks", "id", "CAST(1 AS BIGINT)"),
];

impl Store {
    /// Seals a value under the present master key, which stays the present one until the commit.
    pub(crate) async fn seal(&self, tx: &mut Tx, place: Place<'_>, plain: &[u8]) -> Result<Sealed> {
        let key_version = master_keys::hold_current(tx).await?;
        if !self.vault().knows(key_version) {
            self.vault().reload()?;
            master_keys::learn(self.vault(), tx.conn()).await?;
        }
        let bytes = self.vault().seal(key_version, place, plain)?;
        Ok(Sealed { key_version, bytes })
    }

    /// Opens a value. A key that another process has made since is learnt now.
    pub(crate) async fn unseal(
        &self,
        place: Place<'_>,
        key_version: i64,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        if !self.vault().knows(key_version) {
            self.vault().reload()?;
            let mut reader = self.main().read().await?;
            master_keys::learn(self.vault(), reader.conn()).await?;
        }
        Ok(self.vault().open(key_version, place, sealed)?)
    }
}
