//! Wake-ups: they say that something may have changed, and never what.
//!
//! Whoever waits subscribes first, reads the store, and then sleeps until it is woken, so that
//! nothing is missed between. Wake-ups coalesce: a hundred of them while a waiter reads are one.
//! On PostgreSQL they also travel to the other replicas by NOTIFY; a replica whose listening
//! connection was lost wakes everybody when it is back. All this is for speed only: the truth is in
//! the store, and every waiter keeps a timer besides.

mod postgres;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use towline_shared::ids::{AgentId, DeploymentId, JobId, TargetId};

use postgres::Outbox;

/// What may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// There may be work, a cancel, a newer session or a revocation for this agent.
    Agent(AgentId),
    /// This job's log may have grown or ended.
    Log(JobId),
    /// This deployment may have moved on.
    Deployment(DeploymentId),
    /// Somebody may no longer use the engine of this target's host.
    Docker(TargetId),
    /// Targets that are reached over TLS may have come, gone or changed.
    DockerTls,
    /// There may be a message to send, to a webhook or a person.
    Outbox,
}

/// Wakes and lets wait. Clones are the same.
#[derive(Clone)]
pub struct Wake {
    shared: Arc<Shared>,
}

struct Shared {
    local: Local,
    remote: Option<Remote>,
}

struct Remote {
    outbox: Outbox,
    _tasks: [AbortOnDropHandle<()>; 2],
}

#[derive(Clone, Default)]
struct Local {
    waiters: Arc<Mutex<HashMap<Topic, watch::Sender<()>>>>,
}

/// Waits for the wake-ups of one topic, from the moment it was made.
pub struct Waiter {
    topic: Topic,
    local: Local,
    changes: Option<watch::Receiver<()>>,
}

impl Wake {
    /// Wake-ups within this process.
    pub fn local() -> Self {
        Self {
            shared: Arc::new(Shared {
                local: Local::default(),
                remote: None,
            }),
        }
    }

    /// Wake-ups among all processes on one PostgreSQL database.
    pub(crate) fn postgres(pool: &PgPool) -> Self {
        let local = Local::default();
        let (outbox, tasks) = postgres::start(pool, &local);
        Self {
            shared: Arc::new(Shared {
                local,
                remote: Some(Remote {
                    outbox,
                    _tasks: tasks,
                }),
            }),
        }
    }

    /// Wakes all who wait for a topic, here and in other replicas.
    pub fn wake(&self, topic: Topic) {
        self.shared.local.wake(topic);
        if let Some(remote) = &self.shared.remote {
            remote.outbox.post(topic);
        }
    }

    /// Wakes an agent's session.
    pub fn agent(&self, agent: AgentId) {
        self.wake(Topic::Agent(agent));
    }

    /// Wakes the readers of a job's log.
    pub fn log(&self, job: JobId) {
        self.wake(Topic::Log(job));
    }

    /// Wakes who watches a deployment.
    pub fn deployment(&self, deployment: DeploymentId) {
        self.wake(Topic::Deployment(deployment));
    }

    /// Wakes who uses the engine of a target's host.
    pub fn docker(&self, target: TargetId) {
        self.wake(Topic::Docker(target));
    }

    /// Wakes who keeps agents for targets that are reached over TLS.
    pub fn docker_tls(&self) {
        self.wake(Topic::DockerTls);
    }

    /// Wakes who sends messages.
    pub fn outbox(&self) {
        self.wake(Topic::Outbox);
    }

    /// Starts to wait for a topic. Subscribe before reading the store.
    pub fn subscribe(&self, topic: Topic) -> Waiter {
        self.shared.local.subscribe(topic)
    }
}

impl Waiter {
    /// Waits until the topic was woken since the last call.
    pub async fn woken(&mut self) {
        // The sender stays in the table as long as this receiver lives.
        let is_woken = match &mut self.changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        };
        if !is_woken {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.changes = None;
        let mut waiters = self.local.lock();
        if waiters
            .get(&self.topic)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            waiters.remove(&self.topic);
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiter({:?})", self.topic)
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

impl Local {
    fn wake(&self, topic: Topic) {
        if let Some(sender) = self.lock().get(&topic) {
            sender.send_replace(());
        }
    }

    fn wake_all(&self) {
        for sender in self.lock().values() {
            sender.send_replace(());
        }
    }

    fn subscribe(&self, topic: Topic) -> Waiter {
        let changes = self
            .lock()
            .entry(topic)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        Waiter {
            topic,
            local: self.clone(),
            changes: Some(changes),
        }
    }

    /// A panic elsewhere cannot leave the table half-changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, watch::Sender<()>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_woken(waiter: &mut Waiter) -> bool {
        tokio::time::timeout(Duration::from_millis(20), waiter.woken())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn wakes_coalesce_and_reach_their_topic_only() {
        let wake = Wake::local();
        let (agent, other) = (AgentId::new(), AgentId::new());
        let mut waiter = wake.subscribe(Topic::Agent(agent));
        let mut bystander = wake.subscribe(Topic::Agent(other));
        assert!(!is_woken(&mut waiter).await, "nothing happened yet");
        for _ in 0..100 {
            wake.agent(agent);
        }
        assert!(is_woken(&mut waiter).await);
        assert!(!is_woken(&mut waiter).await, "a hundred wake-ups are one");
        assert!(!is_woken(&mut bystander).await);
    }

    #[tokio::test]
    async fn a_wake_between_subscribing_and_waiting_is_kept() {
        let wake = Wake::local();
        let job = JobId::new();
        let mut waiter = wake.subscribe(Topic::Log(job));
        wake.log(job);
        assert!(is_woken(&mut waiter).await);
    }

    #[tokio::test]
    async fn nothing_stays_behind_when_all_waiters_have_gone() {
        let wake = Wake::local();
        let topic = Topic::Deployment(DeploymentId::new());
        let first = wake.subscribe(topic);
        let second = wake.subscribe(topic);
        drop(first);
        assert_eq!(wake.shared.local.lock().len(), 1);
        drop(second);
        assert!(wake.shared.local.lock().is_empty());
    }
}
