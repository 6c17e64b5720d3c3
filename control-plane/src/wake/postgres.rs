//! Wake-ups between replicas, by LISTEN and NOTIFY.
//!
//! NOTIFY is sent after the commit and in batches, by one task: inside the transaction it would
//! make PostgreSQL serialize all commits.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{Local, Topic};

const CHANNEL: &str = "towline";
/// PostgreSQL limits a payload to 8,000 bytes; one topic takes 38.
const TOPICS_PER_NOTIFY: usize = 150;
/// How long to wait before the database is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Topics to tell the other replicas.
#[derive(Clone, Default)]
pub(super) struct Outbox {
    shared: Arc<Pending>,
}

#[derive(Default)]
struct Pending {
    topics: Mutex<HashSet<Topic>>,
    posted: Notify,
}

impl Outbox {
    pub(super) fn post(&self, topic: Topic) {
        let mut topics = self
            .shared
            .topics
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic);
        self.shared.posted.notify_one();
    }

    async fn take(&self) -> Vec<Topic> {
        loop {
            let posted = self.shared.posted.notified();
            let topics: Vec<_> = {
                let mut topics = self
                    .shared
                    .topics
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                topics.drain().collect()
            };
            if !topics.is_empty() {
                return topics;
            }
            posted.await;
        }
    }
}

pub(super) fn start(pool: &PgPool, local: &Local) -> (Outbox, [AbortOnDropHandle<()>; 2]) {
    let outbox = Outbox::default();
    let origin = Uuid::now_v7().simple().to_string();
    let sending = tokio::spawn(send(pool.clone(), outbox.clone(), origin.clone()));
    let listening = tokio::spawn(listen(pool.clone(), local.clone(), origin));
    (
        outbox,
        [
            AbortOnDropHandle::new(sending),
            AbortOnDropHandle::new(listening),
        ],
    )
}

async fn send(pool: PgPool, outbox: Outbox, origin: String) {
    loop {
        for topics in outbox.take().await.chunks(TOPICS_PER_NOTIFY) {
            let payload = encode(&origin, topics);
            let sent = sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(payload)
                .execute(&pool)
                .await;
            if let Err(error) = sent {
                // Timers in the other replicas find what they were not told.
                tracing::debug!(%error, "other replicas could not be woken");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn listen(pool: PgPool, local: Local, origin: String) {
    loop {
        if let Err(error) = hear(&pool, &local, &origin).await {
            tracing::debug!(%error, "the connection that listens for wake-ups was lost");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn hear(pool: &PgPool, local: &Local, origin: &str) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Whatever was sent before the connection stood, or while it was lost, is made up for.
        local.wake_all();
        while let Some(notification) = listener.try_recv().await? {
            match decode(notification.payload(), origin) {
                Some(topics) => topics.into_iter().for_each(|topic| local.wake(topic)),
                None => local.wake_all(),
            }
        }
    }
}

fn encode(origin: &str, topics: &[Topic]) -> String {
    let mut payload = origin.to_owned();
    for topic in topics {
        let (kind, id) = match topic {
            Topic::Agent(agent) => ('a', agent.uuid()),
            Topic::Log(job) => ('l', job.uuid()),
            Topic::Deployment(deployment) => ('d', deployment.uuid()),
            Topic::Docker(target) => ('c', target.uuid()),
            Topic::DockerTls => ('t', Uuid::nil()),
            Topic::Outbox => ('w', Uuid::nil()),
        };
        // Writing into a String cannot fail.
        let _ = write!(payload, " {kind}{}", id.simple());
    }
    payload
}

/// The topics that another replica woke; none from ourselves, and `None` if the text is foreign.
fn decode(payload: &str, origin: &str) -> Option<Vec<Topic>> {
    let mut words = payload.split(' ');
    if words.next() == Some(origin) {
        return Some(Vec::new());
    }
    words.map(topic).collect()
}

fn topic(word: &str) -> Option<Topic> {
    let (kind, id) = word.split_at_checked(1)?;
    let id = Uuid::try_parse(id).ok()?;
    match kind {
        "a" => Some(Topic::Agent(id.into())),
        "l" => Some(Topic::Log(id.into())),
        "d" => Some(Topic::Deployment(id.into())),
        "c" => Some(Topic::Docker(id.into())),
        "t" => Some(Topic::DockerTls),
        "w" => Some(Topic::Outbox),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use towline_shared::ids::{AgentId, DeploymentId, JobId, TargetId};

    use super::*;

    #[test]
    fn topics_travel_to_others_and_not_back() {
        let topics = vec![
            Topic::Agent(AgentId::new()),
            Topic::Log(JobId::new()),
            Topic::Deployment(DeploymentId::new()),
            Topic::Docker(TargetId::new()),
            Topic::DockerTls,
            Topic::Outbox,
        ];
        let payload = encode("me", &topics);
        assert_eq!(decode(&payload, "other"), Some(topics));
        assert_eq!(decode(&payload, "me"), Some(Vec::new()));
        assert_eq!(decode("other xyz", "me"), None);
    }

    #[test]
    fn a_full_batch_fits_a_payload() {
        let topics: Vec<_> = (0..TOPICS_PER_NOTIFY)
            .map(|_| Topic::Log(JobId::new()))
            .collect();
        assert!(encode(&Uuid::now_v7().simple().to_string(), &topics).len() < 8000);
    }
}
