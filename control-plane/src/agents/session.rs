//! One connected agent: one task, one kind of event at a time.
//!
//! An idle session waits for four things at once (a frame, an order from the rest of the process, a
//! wake-up from the store, its own alarm) and holds nothing but its wire while it waits.

use std::sync::Arc;

use chrono::Utc;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use towline_pki::PeerIdentity;
use towline_shared::ids::{AgentId, TeamId};
use towline_shared::protocol::v1::{Ask, FromServer, Goodbye, GoodbyeReason, LogAck};
use towline_shared::upgrade::AskUpgrade;
use uuid::Uuid;

use super::admission::{Admission, Peer};
use super::conversation::{Action, Conversation, Event, Limits, Violation, beat};
use super::counts::Counters;
use super::pulse::{Due, Pace, Pulse};
use super::questions::Questions;
use super::registry::{Handle, Mailbox, Order, Registry};
use super::socket::{Fault, Socket};
use super::streams::Streams;
use crate::relay;
use crate::store::{Before, Standing, Store, StoreError};
use crate::wake::Waiter;

/// The wire of an agent.
pub(super) type Wire = TlsStream<TcpStream>;

/// What every session needs of the process.
#[derive(Clone)]
pub(super) struct House {
    pub(super) store: Store,
    pub(super) registry: Registry,
    pub(super) relay: relay::Door,
    pub(super) pace: Pace,
}

/// The session of one connection.
pub(super) struct Session {
    pub(super) house: Arc<House>,
    /// The certificate; the session does not outlive it.
    pub(super) identity: Box<PeerIdentity>,
    pub(super) team: Option<TeamId>,
    /// The agent's last connection before this one.
    pub(super) before: Before,
    pub(super) presence: Presence,
    pub(super) socket: Socket<Wire>,
    pub(super) conversation: Conversation,
    pub(super) pulse: Pulse,
    pub(super) questions: Questions,
    pub(super) streams: Streams,
    /// From the introduction on: the store's wake-ups for this agent.
    pub(super) waiter: Option<Waiter>,
    /// What was stored of the present batch and is acknowledged at its end.
    pub(super) acks: Vec<LogAck>,
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ending {
    #[error(transparent)]
    Gone(Fault),
    #[error("refused: {0}")]
    Refused(&'static str),
    #[error("the process stops")]
    Stopping,
    #[error("the agent has connected again")]
    Superseded,
    #[error("the agent was revoked")]
    Revoked,
    #[error("the agent broke the protocol: {0}")]
    Violation(#[from] Violation),
    #[error("the agent did not introduce itself in time")]
    Unintroduced,
    #[error("nothing came from the agent for too long")]
    Silent,
    #[error("the agent does not take what is sent to it")]
    Stalled,
    #[error("the agent's certificate has expired")]
    Expired,
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl From<GoodbyeReason> for Ending {
    fn from(reason: GoodbyeReason) -> Self {
        match reason {
            GoodbyeReason::Stopping => Self::Stopping,
            GoodbyeReason::Superseded => Self::Superseded,
            GoodbyeReason::Revoked => Self::Revoked,
            GoodbyeReason::Protocol => Self::Violation(Violation::Socket("told so".into())),
        }
    }
}

/// A session's place in the registry, given up when it is dropped, however the session ends.
pub(super) struct Presence {
    pub(super) registry: Registry,
    pub(super) handle: Arc<Handle>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.registry.leave(&self.handle);
        self.handle.ended();
    }
}

enum Happening {
    Told(Mailbox),
    Wire(Result<Vec<bytes::Bytes>, Fault>),
    Woken,
    Alarm,
}

impl Session {
    pub(super) fn new(house: Arc<House>, socket: Socket<Wire>, peer: Peer) -> Self {
        let Peer {
            identity,
            admission,
        } = peer;
        let (team, before) = match admission {
            Admission::Admitted { team, before, .. } => (Some(team), before),
            Admission::Revoked | Admission::Unknown => (None, Before::default()),
        };
        let id = Uuid::now_v7();
        let [.., high, low] = *id.as_bytes();
        let pace = house.pace;
        let handle = Arc::new(Handle::new(identity.agent.into(), id));
        house.registry.arrive(&handle);
        Self {
            presence: Presence {
                registry: house.registry.clone(),
                handle,
            },
            identity: Box::new(identity),
            team,
            before,
            socket,
            conversation: Conversation::begin(
                admission,
                Limits {
                    samples: pace.samples,
                    renewals: pace.renewals,
                    descriptions: pace.descriptions,
                },
            ),
            pulse: Pulse::start(Instant::now(), pace, u16::from_be_bytes([high, low])),
            questions: Questions::default(),
            streams: Streams::default(),
            waiter: None,
            acks: Vec::new(),
            house,
        }
    }

    pub(super) fn agent(&self) -> AgentId {
        self.presence.handle.agent
    }

    pub(super) fn id(&self) -> Uuid {
        self.presence.handle.session
    }

    pub(super) fn counters(&self) -> &Counters {
        self.house.registry.counters()
    }

    /// Carries the conversation to its end.
    pub(super) async fn run(mut self: Box<Self>) {
        let mut alarm = std::pin::pin!(sleep_until(self.next_alarm()));
        let ending = loop {
            let happening = tokio::select! {
                mailbox = self.presence.handle.told() => Happening::Told(mailbox),
                frames = self.socket.exchange() => Happening::Wire(frames),
                () = woken(&mut self.waiter) => Happening::Woken,
                () = &mut alarm => Happening::Alarm,
            };
            // Boxed, so that the memory of the work is held while there is work.
            if let Err(ending) = Box::pin(self.take(happening)).await {
                break ending;
            }
            let next = self.next_alarm();
            if alarm.is_elapsed() || next < alarm.deadline() {
                alarm.as_mut().reset(next);
            }
        };
        Box::pin((*self).leave(ending)).await;
    }

    async fn take(&mut self, happening: Happening) -> Result<(), Ending> {
        match happening {
            Happening::Told(mailbox) => self.obey(mailbox),
            Happening::Wire(frames) => self.hear(frames).await,
            Happening::Woken => self.look_again().await,
            Happening::Alarm => self.keep_time().await,
        }
    }

    fn obey(&mut self, mailbox: Mailbox) -> Result<(), Ending> {
        if let Some(reason) = mailbox.end {
            return Err(reason.into());
        }
        for order in mailbox.orders {
            match order {
                Order::Ask { query, asker } => {
                    if let Some(id) = self.questions.ask(asker) {
                        self.say(&FromServer::Ask(Ask { id, query }))?;
                    }
                }
                Order::AskUpgrade { wish, asker } => {
                    if let Some(id) = self.questions.ask(asker) {
                        self.say(&FromServer::AskUpgrade(AskUpgrade { id, wish }))?;
                    }
                }
                Order::Open { request, supply } => {
                    if let Some(open) = self.streams.open(request, supply) {
                        self.say(&open)?;
                    }
                }
                Order::Tunnel(open) => self.say(&FromServer::OpenTunnel(open))?,
                Order::Attend => {
                    for message in self.streams.attend() {
                        self.say(&message)?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn hear(&mut self, frames: Result<Vec<bytes::Bytes>, Fault>) -> Result<(), Ending> {
        let frames = frames.map_err(Ending::from_fault)?;
        self.pulse.heard(Instant::now());
        self.counters().frames_in.add(frames.len() as u64);
        for frame in frames {
            let actions = self
                .conversation
                .step(Event::Frame(&frame), Instant::now())?;
            self.carry_out(actions).await?;
        }
        for ack in std::mem::take(&mut self.acks) {
            self.say(&FromServer::LogAck(ack))?;
        }
        Ok(())
    }

    async fn look_again(&mut self) -> Result<(), Ending> {
        match self.house.store.standing(self.agent(), self.id()).await? {
            Standing::Current => self.carry_out(vec![Action::Look]).await,
            Standing::Superseded => Err(Ending::Superseded),
            Standing::Revoked => Err(Ending::Revoked),
        }
    }

    async fn keep_time(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if Utc::now() >= self.identity.not_after {
            return Err(Ending::Expired);
        }
        for due in self.pulse.due(now) {
            match due {
                Due::Unintroduced => return Err(Ending::Unintroduced),
                Due::Silent => return Err(Ending::Silent),
                // Before the welcome there is no version in which to say it.
                Due::Beat if !self.conversation.is_open() => self.pulse.spoke(now),
                Due::Beat => self.say(&beat())?,
                Due::Leases => {
                    self.house
                        .store
                        .renew_leases(self.agent(), self.id())
                        .await?;
                }
                Due::Claim => self.carry_out(vec![Action::Look]).await?,
            }
        }
        Ok(())
    }

    /// Does what the rules say, and tells the rules what came of it, until nothing is left to do.
    pub(super) async fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), Ending> {
        let mut line = std::collections::VecDeque::from(actions);
        while let Some(action) = line.pop_front() {
            for event in self.perform(action).await? {
                line.extend(self.conversation.step(event, Instant::now())?);
            }
        }
        self.pulse.leases(Instant::now(), self.conversation.live());
        Ok(())
    }

    fn next_alarm(&self) -> Instant {
        let left = (self.identity.not_after - Utc::now())
            .to_std()
            .unwrap_or_default();
        self.pulse.next().min(Instant::now() + left)
    }

    async fn leave(self, ending: Ending) {
        let Self {
            house,
            presence,
            mut socket,
            conversation,
            waiter,
            team,
            ..
        } = self;
        let (agent, session) = (presence.handle.agent, presence.handle.session);
        report(agent, session, &ending);
        count(house.registry.counters(), &ending);
        if let (Ending::Violation(violation), Some(_)) = (&ending, team)
            && let Err(error) = house
                .store
                .note_violation(agent, session, &violation.to_string())
                .await
        {
            tracing::warn!(%agent, %session, %error, "the violation is not in the audit log");
        }
        // The waiter is there from the introduction on. Who was superseded has no place to give up.
        if waiter.is_some()
            && !matches!(ending, Ending::Superseded)
            && let Err(error) = house.store.agent_disconnected(agent, session).await
        {
            tracing::warn!(%agent, %session, %error, "the end of the session was not recorded; its leases will run out");
        }
        drop((waiter, presence));
        let (code, words) = match &ending {
            Ending::Gone(_) | Ending::Stalled => return,
            // Nobody waits for words at a connection that never said who it is.
            Ending::Superseded if conversation.awaits_hello() => return,
            Ending::Refused(why) => (CloseCode::Policy, *why),
            Ending::Expired => (CloseCode::Policy, "the certificate has expired"),
            Ending::Silent | Ending::Unintroduced => (CloseCode::Away, "silent for too long"),
            Ending::Stopping | Ending::Store(_) => (CloseCode::Restart, "come back soon"),
            Ending::Superseded => (CloseCode::Normal, "connected again"),
            Ending::Revoked => (CloseCode::Policy, "revoked"),
            Ending::Violation(_) => (CloseCode::Protocol, "protocol"),
        };
        if let Some(reason) = ending.goodbye()
            && let Ok(message) = FromServer::Goodbye(Goodbye { reason }).encode()
        {
            socket.queue(message, None);
        }
        socket.part(code, words, house.pace.farewell).await;
    }
}

impl Ending {
    fn from_fault(fault: Fault) -> Self {
        match fault {
            Fault::Closed | Fault::Broken(_) => Self::Gone(fault),
            Fault::Stalled => Self::Stalled,
            Fault::TooLarge { .. } | Fault::Foreign(_) => {
                Self::Violation(Violation::Socket(fault.to_string()))
            }
        }
    }

    /// The last message, for endings that have one.
    const fn goodbye(&self) -> Option<GoodbyeReason> {
        match self {
            Self::Stopping | Self::Store(_) => Some(GoodbyeReason::Stopping),
            Self::Superseded => Some(GoodbyeReason::Superseded),
            Self::Revoked => Some(GoodbyeReason::Revoked),
            // A peer that did not get through the handshake knows no goodbye.
            Self::Violation(Violation::Handshake(_))
            | Self::Gone(_)
            | Self::Refused(_)
            | Self::Unintroduced
            | Self::Silent
            | Self::Stalled
            | Self::Expired => None,
            Self::Violation(_) => Some(GoodbyeReason::Protocol),
        }
    }
}

async fn woken(waiter: &mut Option<Waiter>) {
    match waiter {
        Some(waiter) => waiter.woken().await,
        None => std::future::pending().await,
    }
}

/// One line for each session's end, louder when somebody should look.
fn report(agent: AgentId, session: Uuid, ending: &Ending) {
    match ending {
        Ending::Violation(_) => tracing::warn!(%agent, %session, "session ended: {ending}"),
        Ending::Store(_) => tracing::error!(%agent, %session, "session ended: {ending}"),
        _ => tracing::info!(%agent, %session, "session ended: {ending}"),
    }
}

fn count(counters: &Counters, ending: &Ending) {
    match ending {
        Ending::Refused(_) => counters.refused.one(),
        Ending::Superseded => counters.superseded.one(),
        Ending::Violation(_) => counters.violations.one(),
        Ending::Silent | Ending::Stalled | Ending::Unintroduced => counters.dead_links.one(),
        Ending::Gone(_)
        | Ending::Stopping
        | Ending::Revoked
        | Ending::Expired
        | Ending::Store(_) => {}
    }
}
