//! The connection to the control plane, kept for ever.
//!
//! [`keep`] dials, serves the link, and dials again. It tells the agent's loop in order:
//! [`LinkEvent::Up`], then messages, then [`LinkEvent::Down`]. Nothing that the loop does with a
//! [`Link`] waits for the network.
//!
//! The identity is read anew at each attempt, so that a renewed or re-enrolled one counts at once.
//! An agent that was revoked tries again every five minutes, with a line in its log: a control
//! plane that was restored from a backup may take it back, and a person sees what to do.

mod backoff;
mod connect;
mod session;
mod watched;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use towline_shared::protocol::v1::{FromAgent, FromServer, GoodbyeReason};

pub use backoff::{Backoff, Cause, dice};
pub use connect::ConnectError;
pub use session::End;

use crate::dial::Dialer;
use crate::identity::Identity;
use crate::state_dir::StateDir;
use connect::{Belief, Connected, connect};
use session::Session;

/// What happens to the link.
#[derive(Debug)]
pub enum LinkEvent {
    /// It is up, by this identity; a hello is awaited.
    Up(Link, Box<Identity>),
    /// The control plane says something.
    Message(FromServer),
    /// It has ended; why.
    Down(End),
    /// It could not be made; why.
    Failed(String, Failure),
}

/// How lasting a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may pass.
    Passing,
    /// The control plane does not want this agent.
    Revoked,
}

/// The handle of a link that is up.
#[derive(Clone, Debug)]
pub struct Link {
    control: mpsc::Sender<Bytes>,
    bulk: mpsc::Sender<Bytes>,
    close: CancellationToken,
}

impl Link {
    const fn new(
        control: mpsc::Sender<Bytes>,
        bulk: mpsc::Sender<Bytes>,
        close: CancellationToken,
    ) -> Self {
        Self {
            control,
            bulk,
            close,
        }
    }

    /// Sends something small. A queue that is full means a dead link, which is closed: the hello of
    /// the next one says what was lost.
    pub fn say(&self, message: &FromAgent) {
        match message.encode() {
            Ok(frame) => {
                if self.control.try_send(frame.into()).is_err() {
                    self.close();
                }
            }
            Err(error) => {
                tracing::error!(message = message.name(), %error, "a message could not be encoded");
            }
        }
    }

    /// Sends something that nobody misses, if the link is not behind.
    pub fn say_if_idle(&self, message: &FromAgent) {
        if self.control.capacity() > self.control.max_capacity() / 2 {
            self.say(message);
        }
    }

    /// Where logs, streams and answers go; it is bounded, and whoever sends waits.
    pub const fn bulk(&self) -> &mpsc::Sender<Bytes> {
        &self.bulk
    }

    /// Ends the link.
    pub fn close(&self) {
        self.close.cancel();
    }
}

/// How eagerly a link is made again.
#[derive(Clone, Copy, Debug)]
pub struct Eagerness {
    /// The bound of the first pause.
    pub first: Duration,
    /// The bound of the longest pause.
    pub cap: Duration,
}

impl Default for Eagerness {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            cap: Duration::from_secs(30),
        }
    }
}

/// Connects up to the point at which an agent would say hello, and leaves: whether the control plane would have it.
pub async fn try_once(dir: &StateDir, dialer: &Dialer) -> Result<(), ConnectError> {
    connect(dir, dialer, Belief::ByOurClock).await.map(drop)
}

/// Keeps a link for as long as anybody listens to its events.
pub async fn keep(
    dir: StateDir,
    dialer: Dialer,
    eagerness: Eagerness,
    events: mpsc::Sender<LinkEvent>,
) {
    let mut backoff = Backoff::new(eagerness.first, eagerness.cap);
    let mut belief = Belief::ByOurClock;
    while !events.is_closed() {
        let attempted = connect(&dir, &dialer, belief).await;
        let expired = attempted
            .as_ref()
            .err()
            .is_some_and(ConnectError::says_expired);
        belief = if expired {
            Belief::Expired
        } else {
            Belief::ByOurClock
        };
        let cause = match attempted {
            Ok(connected) => serve(connected, &events).await,
            Err(error) => fail(&error, &events).await,
        };
        let pause = backoff.pause(cause, dice());
        tokio::select! {
            () = sleep(pause) => {}
            () = events.closed() => {}
        }
    }
}

async fn serve(connected: Connected, events: &mpsc::Sender<LinkEvent>) -> Cause {
    let (session, link) = Session::new(connected.socket, connected.pulse);
    let began = Instant::now();
    if events
        .send(LinkEvent::Up(link, Box::new(connected.identity)))
        .await
        .is_err()
    {
        return Cause::Lost(Duration::ZERO);
    }
    let end = session.serve(events).await;
    let cause = match end {
        End::Goodbye(GoodbyeReason::Superseded) => Cause::Superseded,
        End::Goodbye(GoodbyeReason::Revoked) => Cause::Revoked,
        _ => Cause::Lost(began.elapsed()),
    };
    let _ = events.send(LinkEvent::Down(end)).await;
    cause
}

async fn fail(error: &ConnectError, events: &mpsc::Sender<LinkEvent>) -> Cause {
    let (failure, cause) = if error.says_revoked() {
        (Failure::Revoked, Cause::Revoked)
    } else {
        (Failure::Passing, Cause::Lost(Duration::ZERO))
    };
    let _ = events
        .send(LinkEvent::Failed(error.to_string(), failure))
        .await;
    cause
}
