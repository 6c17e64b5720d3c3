//! Following the log of a deployment.
//!
//! One path serves history, the live tail, a slow reader and every replica: read the store from the
//! last line seen, wait for a wake, read again. A wake carries no data and may be lost, so a timer
//! stands behind it. A follower holds at most one page of lines; who reads slowly just reads later.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use towline_shared::ids::DeploymentId;
use towline_shared::log::LogLine;

use crate::store::{Deployment, LogEnd, Store, StoreError, Tenant};
use crate::wake::{Topic, Waiter};

/// How many lines are read at once.
const PAGE: u32 = 1000;
/// How long a lost wake can delay a line.
const SAFETY_NET: Duration = Duration::from_secs(5);

/// Follows the log and the status of one deployment.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    tenant: Tenant,
    deployment: DeploymentId,
    next: u64,
    lines: Waiter,
    status: Waiter,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The deployment itself has to be read, and then the lines.
    Status,
    /// There may be more lines.
    Lines,
    /// Everything there is was given.
    Waiting,
    /// The end was given.
    Ended,
}

/// What a follower learns.
#[derive(Debug)]
pub enum News {
    /// Lines with their numbers, in order and without a gap.
    Lines(Vec<(u64, LogLine)>),
    /// How the deployment stands now.
    Status(Box<Deployment>),
    /// The log is complete, and this is how the deployment ended.
    End(Box<Deployment>),
}

impl Follower {
    /// Follows from a line on. The deployment must be the tenant's.
    pub async fn start(
        store: Store,
        tenant: Tenant,
        deployment: DeploymentId,
        from: u64,
    ) -> Result<Self, StoreError> {
        let status = store.wake().subscribe(Topic::Deployment(deployment));
        let job = store.deployment(&tenant, deployment).await?.job;
        Ok(Self {
            lines: store.wake().subscribe(Topic::Log(job)),
            status,
            store,
            tenant,
            deployment,
            next: from,
            state: State::Status,
        })
    }

    /// What comes next; nothing when the end was given or `stopping` was cancelled. Cancelling the wait
    /// loses nothing.
    pub async fn next(&mut self, stopping: &CancellationToken) -> Result<Option<News>, StoreError> {
        loop {
            // Also in a flood, in which it never waits.
            if stopping.is_cancelled() {
                return Ok(None);
            }
            match self.state {
                State::Status => {
                    let deployment = self.read_status().await?;
                    self.state = State::Lines;
                    return Ok(Some(News::Status(deployment)));
                }
                State::Lines => {
                    if let Some(news) = self.read_lines().await? {
                        return Ok(Some(news));
                    }
                }
                State::Waiting => tokio::select! {
                    biased;
                    () = stopping.cancelled() => return Ok(None),
                    // Rare, so a flood of lines cannot starve it and it starves no lines.
                    () = self.status.woken() => self.state = State::Status,
                    () = self.lines.woken() => self.state = State::Lines,
                    () = sleep(SAFETY_NET) => self.state = State::Status,
                },
                State::Ended => return Ok(None),
            }
        }
    }

    async fn read_lines(&mut self) -> Result<Option<News>, StoreError> {
        let page = self
            .store
            .log_range(&self.tenant, self.deployment, self.next, PAGE)
            .await?;
        if !page.lines.is_empty() {
            self.next = page.next;
            return Ok(Some(News::Lines(page.lines)));
        }
        if matches!(page.end, LogEnd::Complete) {
            let deployment = self.read_status().await?;
            self.state = State::Ended;
            return Ok(Some(News::End(deployment)));
        }
        self.state = State::Waiting;
        Ok(None)
    }

    async fn read_status(&self) -> Result<Box<Deployment>, StoreError> {
        self.store
            .deployment(&self.tenant, self.deployment)
            .await
            .map(Box::new)
    }
}
