//! Which agents are connected to this process, and the way to them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use towline_shared::ids::AgentId;
use towline_shared::protocol::v1::GoodbyeReason;
use towline_shared::query::{Query, Reply, StreamRequest};
use towline_shared::tunnel::OpenTunnel;
use towline_shared::upgrade::UpgradeWish;
use uuid::Uuid;

use super::counts::{Counters, Counts};
use super::questions::Asker;
use super::streams::{self, AgentStream, Supply};
use super::tunnels::{Awaited, Count};
use crate::domain::allowance::Allowances;

/// How long a question waits for its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a new session waits for the one it supersedes.
const SUPERSEDE: Duration = Duration::from_secs(1);
/// The most orders that wait for one session.
const MOST_ORDERS: usize = 64;
/// An agent may enter so often at once,
const ENTRIES: u32 = 60;
/// and once more after this long. Each entry costs commits; an honest agent that is thrown out again
/// and again comes back more and more seldom.
const ENTRY_EVERY: TimeDelta = TimeDelta::seconds(5);

/// The connected agents. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sessions: Mutex<Sessions>,
    /// Connections that have not said yet who they are: one of each agent, so that nobody can hold
    /// many by saying nothing.
    arrivals: Mutex<Sessions>,
    entries: Mutex<Allowances<AgentId>>,
    awaited: Awaited,
    counters: Counters,
    tasks: TaskTracker,
}

type Sessions = HashMap<AgentId, Arc<Handle>>;

impl Default for Shared {
    fn default() -> Self {
        Self {
            sessions: Mutex::default(),
            arrivals: Mutex::default(),
            entries: Mutex::new(Allowances::new(ENTRIES, ENTRY_EVERY)),
            awaited: Awaited::default(),
            counters: Counters::default(),
            tasks: TaskTracker::default(),
        }
    }
}

/// Why an agent gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// It is not connected here.
    #[error("the agent is not connected; start it, or try again when it is back")]
    Offline,
    /// Too much waits on it.
    #[error("the agent has too many requests open; try again in a moment")]
    Busy,
    /// It did not answer in time.
    #[error("the agent did not answer within {} s; try again", ANSWER.as_secs())]
    TimedOut,
}

impl Registry {
    /// No agent is connected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether an agent is connected to this process.
    pub fn is_connected(&self, agent: AgentId) -> bool {
        self.sessions().contains_key(&agent)
    }

    /// Asks an agent, and waits up to ten seconds for the answer.
    pub async fn ask(&self, agent: AgentId, query: Query) -> Result<Reply, Unreachable> {
        self.answered(agent, |asker| Order::Ask { query, asker })
            .await
    }

    /// Asks an agent about its upgrades, likewise. One that knows nothing of them does not answer.
    pub async fn ask_upgrade(
        &self,
        agent: AgentId,
        wish: UpgradeWish,
    ) -> Result<Reply, Unreachable> {
        self.answered(agent, |asker| Order::AskUpgrade { wish, asker })
            .await
    }

    async fn answered(
        &self,
        agent: AgentId,
        order: impl FnOnce(Asker) -> Order,
    ) -> Result<Reply, Unreachable> {
        let session = self.find(agent).ok_or(Unreachable::Offline)?;
        let (asker, answer) = oneshot::channel();
        session.order(order(asker))?;
        match timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Unreachable::Offline),
            Err(_) => Err(Unreachable::TimedOut),
        }
    }

    /// Opens a stream from an agent.
    pub fn open_stream(
        &self,
        agent: AgentId,
        request: StreamRequest,
    ) -> Result<AgentStream, Unreachable> {
        let session = self.find(agent).ok_or(Unreachable::Offline)?;
        let (supply, stream) = streams::pipe(Arc::clone(&session));
        session.order(Order::Open { request, supply })?;
        Ok(stream)
    }

    /// Ends a revoked agent's session at once.
    pub fn revoke(&self, agent: AgentId) {
        if let Some(session) = self.find(agent) {
            session.end(GoodbyeReason::Revoked);
        }
    }

    /// A reading of the counters.
    pub fn counts(&self) -> Counts {
        let connected = self.sessions().len();
        self.shared.counters.read(connected)
    }

    /// Says goodbye to all agents and waits until their sessions have ended, at most `patience`.
    pub async fn stop(&self, patience: Duration) {
        self.shared.tasks.close();
        for session in lock(&self.shared.arrivals)
            .values()
            .chain(self.sessions().values())
        {
            session.end(GoodbyeReason::Stopping);
        }
        if timeout(patience, self.shared.tasks.wait()).await.is_err() {
            let left = self.shared.tasks.len();
            tracing::warn!(
                left,
                "some agents' sessions did not end in time; they are cut"
            );
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// Who is here, and by which session.
    pub(super) fn here(&self) -> Vec<(AgentId, Uuid)> {
        self.sessions()
            .values()
            .map(|handle| (handle.agent, handle.session))
            .collect()
    }

    /// Notes a connection that has not said yet who it is, and ends the agent's former one of that
    /// kind.
    pub(super) fn arrive(&self, session: &Arc<Handle>) {
        let older = lock(&self.shared.arrivals).insert(session.agent, Arc::clone(session));
        if let Some(older) = older {
            older.end(GoodbyeReason::Superseded);
        }
    }

    /// Whether an agent may enter now: it has not done so too often.
    pub(super) fn may_enter(&self, agent: AgentId) -> bool {
        lock(&self.shared.entries)
            .spend(agent, Utc::now())
            .is_some()
    }

    /// Puts a session in the place of an older one of the same agent, and waits a moment for that
    /// to end. While the process stops, the session is told at once.
    pub(super) async fn enter(&self, session: &Arc<Handle>) {
        take_out(&mut lock(&self.shared.arrivals), session);
        let older = self.sessions().insert(session.agent, Arc::clone(session));
        if self.shared.tasks.is_closed() {
            session.end(GoodbyeReason::Stopping);
        }
        let Some(older) = older else { return };
        older.end(GoodbyeReason::Superseded);
        if timeout(SUPERSEDE, older.over.cancelled()).await.is_err() {
            tracing::warn!(agent = %session.agent, "an older session did not end in time; the newer goes on without it");
        }
    }

    /// Takes a session out, unless a newer one has its place.
    pub(super) fn leave(&self, session: &Arc<Handle>) {
        take_out(&mut lock(&self.shared.arrivals), session);
        take_out(&mut self.sessions(), session);
    }

    pub(super) fn awaited(&self) -> &Awaited {
        &self.shared.awaited
    }

    pub(super) fn find(&self, agent: AgentId) -> Option<Arc<Handle>> {
        self.sessions().get(&agent).cloned()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.shared.sessions)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_out(sessions: &mut Sessions, session: &Arc<Handle>) {
    if sessions
        .get(&session.agent)
        .is_some_and(|kept| Arc::ptr_eq(kept, session))
    {
        sessions.remove(&session.agent);
    }
}

/// What the rest of the process wants of a session.
#[derive(Debug)]
pub(super) enum Order {
    /// An answer.
    Ask { query: Query, asker: Asker },
    /// An answer about its upgrades.
    AskUpgrade { wish: UpgradeWish, asker: Asker },
    /// A stream.
    Open {
        request: StreamRequest,
        supply: Supply,
    },
    /// A tunnel.
    Tunnel(OpenTunnel),
    /// That it looks after its streams' consumers.
    Attend,
}

/// A session, seen from outside.
#[derive(Debug)]
pub(super) struct Handle {
    /// Whose session it is.
    pub(super) agent: AgentId,
    /// Which session of the agent.
    pub(super) session: Uuid,
    mailbox: Mutex<Mailbox>,
    bell: Notify,
    over: CancellationToken,
    tunnels: Count,
}

/// What a session has been told and has not yet done.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// It shall end; why.
    pub(super) end: Option<GoodbyeReason>,
    /// What else it shall do.
    pub(super) orders: VecDeque<Order>,
}

impl Handle {
    pub(super) fn new(agent: AgentId, session: Uuid) -> Self {
        Self {
            agent,
            session,
            mailbox: Mutex::default(),
            bell: Notify::new(),
            over: CancellationToken::new(),
            tunnels: Count::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self::new(AgentId::new(), Uuid::now_v7())
    }

    #[cfg(test)]
    pub(super) fn wants_attention(&self) -> bool {
        self.lock()
            .orders
            .iter()
            .any(|order| matches!(order, Order::Attend))
    }

    /// Waits until there is something in the mailbox, and empties it.
    pub(super) async fn told(&self) -> Mailbox {
        self.bell.notified().await;
        std::mem::take(&mut *self.lock())
    }

    /// Tells the session to look after its streams.
    pub(super) fn attend(&self) {
        let mut mailbox = self.lock();
        if !mailbox
            .orders
            .iter()
            .any(|order| matches!(order, Order::Attend))
        {
            mailbox.orders.push_back(Order::Attend);
        }
        drop(mailbox);
        self.bell.notify_one();
    }

    /// The session has ended; nobody needs to wait for it any more.
    pub(super) fn ended(&self) {
        self.over.cancel();
        // Orders that are dropped tell those who wait for them.
        drop(std::mem::take(&mut *self.lock()));
    }

    /// Tripped when the session has ended.
    pub(super) const fn over(&self) -> &CancellationToken {
        &self.over
    }

    pub(super) const fn tunnels(&self) -> &Count {
        &self.tunnels
    }

    fn end(&self, reason: GoodbyeReason) {
        self.lock().end.get_or_insert(reason);
        self.bell.notify_one();
    }

    pub(super) fn order(&self, order: Order) -> Result<(), Unreachable> {
        let mut mailbox = self.lock();
        if self.over.is_cancelled() {
            return Err(Unreachable::Offline);
        }
        if mailbox.orders.len() >= MOST_ORDERS {
            return Err(Unreachable::Busy);
        }
        mailbox.orders.push_back(order);
        drop(mailbox);
        self.bell.notify_one();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn nobody_is_asked_when_nobody_is_connected() {
        let registry = Registry::new();
        let agent = AgentId::new();
        assert_eq!(
            registry.ask(agent, Query::Containers).await,
            Err(Unreachable::Offline)
        );
        assert!(!registry.is_connected(agent));
    }

    #[tokio::test]
    async fn a_newer_session_ends_the_older_and_keeps_its_place() {
        let registry = Registry::new();
        let older = Arc::new(Handle::for_tests());
        let newer = Arc::new(Handle::new(older.agent, Uuid::now_v7()));
        registry.enter(&older).await;
        let leaving = {
            let (registry, older) = (registry.clone(), Arc::clone(&older));
            tokio::spawn(async move {
                let told = older.told().await;
                registry.leave(&older);
                older.ended();
                told.end
            })
        };
        registry.enter(&newer).await;
        assert_eq!(leaving.await.unwrap(), Some(GoodbyeReason::Superseded));
        assert!(registry.is_connected(newer.agent));
        registry.leave(&newer);
        assert!(!registry.is_connected(newer.agent));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_does_not_end_is_not_waited_for() {
        let registry = Registry::new();
        let older = Arc::new(Handle::for_tests());
        registry.enter(&older).await;
        let began = tokio::time::Instant::now();
        registry
            .enter(&Arc::new(Handle::new(older.agent, Uuid::now_v7())))
            .await;
        assert_eq!(began.elapsed(), SUPERSEDE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_does_not_answer_is_waited_for_ten_seconds() {
        let registry = Registry::new();
        let session = Arc::new(Handle::for_tests());
        registry.enter(&session).await;
        assert_eq!(
            registry.ask(session.agent, Query::Containers).await,
            Err(Unreachable::TimedOut)
        );
        let orders: Vec<_> = (0..MOST_ORDERS)
            .map(|_| session.order(Order::Attend))
            .collect();
        assert_eq!(orders.last().copied(), Some(Err(Unreachable::Busy)));
        session.ended();
        assert_eq!(
            registry.ask(session.agent, Query::Containers).await,
            Err(Unreachable::Offline)
        );
    }
}
