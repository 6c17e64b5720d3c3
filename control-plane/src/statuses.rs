//! The way of statuses of commits to their forges.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::retry::{Pace, Verdict};
use crate::egress::Egress;
use crate::forges::{ForgeClient, ForgeError, NewStatus};
use crate::outbox::Outbox;
use crate::store::{Attempted, DueStatus, Store, StoreError};

/// Statuses of commits. Clones are the same.
#[derive(Clone, Debug)]
pub struct Statuses {
    /// Where they are.
    pub store: Store,
    /// The way out.
    pub egress: Egress,
    /// The installation's address, which statuses lead to.
    pub url: String,
}

impl Outbox for Statuses {
    type Due = DueStatus;

    fn store(&self) -> &Store {
        &self.store
    }

    async fn next(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.store.next_commit_status().await
    }

    async fn claim(&self, busy: &[String]) -> Result<Option<DueStatus>, StoreError> {
        self.store.claim_commit_status(busy).await
    }

    fn host(due: &DueStatus) -> &str {
        &due.host
    }

    async fn attempt(&self, due: DueStatus) {
        let attempted = match self.store.status_access(&due).await {
            Ok(access) => {
                let client = ForgeClient::new(&self.egress, access);
                self.tell(&client, &due).await
            }
            Err(error) => {
                tracing::warn!(status = %due.id, %error, "the token of an integration could not be read");
                let why = "the control plane could not read the integration's token";
                Attempted::unanswered(Verdict::Again, why.to_owned())
            }
        };
        match self.store.status_attempted(&due, &attempted).await {
            Ok(true) => {}
            Ok(false) => tracing::info!(status = %due.id, "another sender has this status now"),
            Err(error) => {
                tracing::warn!(status = %due.id, %error, "the end of an attempt was not stored; it is sent again");
            }
        }
    }
}

impl Statuses {
    async fn tell(&self, client: &ForgeClient, due: &DueStatus) -> Attempted {
        let url = format!("{}/api/v1/deployments/{}", self.url, due.deployment);
        let status = NewStatus {
            commit: &due.commit,
            state: due.state,
            context: &due.context,
            description: &due.description,
            url: &url,
        };
        let began = Instant::now();
        let told = client.set_status(&due.repository, status).await;
        let took = TimeDelta::from_std(began.elapsed()).unwrap_or_default();
        attempted(told, took)
    }
}

fn attempted(told: Result<(), ForgeError>, took: TimeDelta) -> Attempted {
    match told {
        Ok(()) => Attempted {
            verdict: Verdict::Delivered,
            answer: None,
            error: None,
            took,
            pace: Pace::after(None),
        },
        Err(error) => Attempted {
            verdict: error.verdict(),
            answer: error.status().map(|status| (status, Vec::new())),
            error: Some(format!("{error}; {}", error.remedy())),
            took,
            pace: Pace::after(error.wait()),
        },
    }
}
