//! The way of pushes to deployments: as messages go to webhooks, at least once, and by the key of each to one deployment.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::egress::Egress;
use crate::ops::deploy_push;
use crate::outbox::Outbox;
use crate::store::{DuePush, Store, StoreError};

/// So many are deployed at once in a process: half of the repositories that are read at once, so that people have the
/// others.
const AT_ONCE: usize = 2;

/// Pushes that wait to be deployed. Clones are the same.
#[derive(Clone, Debug)]
pub struct Pushes {
    store: Store,
    egress: Egress,
    turns: Arc<Semaphore>,
}

impl Pushes {
    /// Those of a store.
    pub fn new(store: Store, egress: Egress) -> Self {
        Self {
            store,
            egress,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Outbox for Pushes {
    type Due = (DuePush, OwnedSemaphorePermit);

    fn store(&self) -> &Store {
        &self.store
    }

    async fn next(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.store.next_push().await
    }

    async fn claim(&self, _: &[String]) -> Result<Option<Self::Due>, StoreError> {
        let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() else {
            return Ok(None);
        };
        let due = self.store.claim_push().await?;
        Ok(due.map(|due| (due, turn)))
    }

    /// It is the database that is written to; which repository is read is found out there.
    fn host(_: &Self::Due) -> &'static str {
        "pushes"
    }

    async fn attempt(&self, (due, _turn): Self::Due) {
        let end = deploy_push(&self.store, &self.egress, &due).await;
        match self.store.push_attempted(&due, &end).await {
            Ok(true) => {
                tracing::info!(push = %due.push, target = %due.target, ?end, "a push was looked at");
            }
            Ok(false) => tracing::info!(push = %due.push, "another worker has this push now"),
            Err(error) => {
                tracing::warn!(push = %due.push, %error, "what became of a push was not stored; it is tried again");
            }
        }
    }
}
