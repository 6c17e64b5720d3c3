//! A stream of events that is opened again whenever it is lost.

use std::mem;

use tokio::time::{Instant, sleep_until};

use super::{backoff::Backoff, passes};
use crate::{
    api::{EventStream, sse::Event},
    exit::{Exit, Failure},
};

/// The connection of a follower.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    contact: Contact,
    backoff: Backoff,
    first: First,
}

#[derive(Debug)]
enum State {
    New,
    Open(Box<EventStream>),
    /// To be opened again, not before the moment.
    Again(Instant),
}

/// What becomes of a first connection that fails for a reason that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// It is tried again, as any later one.
    Persists,
    /// The failure is told.
    Tells,
}

/// What the person knows about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// It is there.
    Kept,
    /// It was lost, and that was said.
    Lost,
}

/// What is heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// The stream is open from now on.
    Opened,
    /// Events, at least one.
    Events(Vec<Event>),
    /// The connection was lost, and it was not said yet.
    Lost(String),
}

impl Link {
    /// Not yet opened.
    pub(super) fn new(first: First) -> Self {
        Self {
            state: State::New,
            contact: Contact::Kept,
            backoff: Backoff::new(),
            first,
        }
    }

    /// Whether no stream was ever open or lost.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.state, State::New)
    }

    /// Something of use came. Gives what was known before.
    pub(super) fn hear(&mut self) -> Contact {
        mem::replace(&mut self.contact, Contact::Kept)
    }

    /// To be opened again at once, because of what the stream said.
    pub(super) fn reopen(&mut self) {
        self.state = State::Again(Instant::now());
    }

    /// The next that is heard; `open` makes a stream when there is none. Fails only for what does
    /// not pass by itself. Cancelling the wait loses nothing.
    pub(super) async fn next(
        &mut self,
        open: impl AsyncFn() -> Result<EventStream, Failure>,
    ) -> Result<Heard, Failure> {
        loop {
            let failure = match self.advance(&open).await {
                Ok(heard) => return Ok(heard),
                Err(failure) => failure,
            };
            if !passes(&failure) || (self.is_new() && self.first == First::Tells) {
                return Err(failure);
            }
            self.state = State::Again(Instant::now() + self.backoff.wait());
            if mem::replace(&mut self.contact, Contact::Lost) == Contact::Kept {
                return Ok(Heard::Lost(failure.sentence().into_owned()));
            }
        }
    }

    async fn advance(
        &mut self,
        open: &impl AsyncFn() -> Result<EventStream, Failure>,
    ) -> Result<Heard, Failure> {
        match &mut self.state {
            State::Open(stream) => match stream.next().await? {
                Some(events) => {
                    self.backoff.reset();
                    return Ok(Heard::Events(events));
                }
                None => return Err(ended()),
            },
            State::New => {}
            State::Again(earliest) => sleep_until(*earliest).await,
        }
        self.state = State::Open(Box::new(open().await?));
        Ok(Heard::Opened)
    }
}

fn ended() -> Failure {
    Failure::new(Exit::Unreachable, "The control plane ended the stream")
}
