//! What the server knows, behind one lock, and the wake-ups of whoever waits for a change.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    access::Access, containers::Containers, controls::Controls, kinds::Kinds, settings::Settings,
    store::Store,
};

/// All that the server knows.
#[derive(Debug)]
pub(crate) struct State {
    pub store: Store,
    pub kinds: Kinds,
    pub access: Access,
    pub controls: Controls,
    pub containers: Containers,
    pub settings: Settings,
    /// The certificate of the server's authority, as PEM.
    pub authority: String,
}

/// Whether connections are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Presence {
    Here,
    AwayUntil(Instant),
}

/// The state as all parts of the server share it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    presence: watch::Sender<Presence>,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            presence: watch::Sender::new(Presence::Here),
        }
    }

    /// Works on the state, and wakes who waits for what that changed.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.store.revision();
        let result = work(&mut state);
        let after = state.store.revision();
        drop(state);
        if after != before {
            self.changed.send_replace(after);
        }
        result
    }

    /// Is told of each revision.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Wakes everybody, though nothing of the store has changed.
    pub(crate) fn wake(&self) {
        self.changed.send_modify(|_| {});
    }

    /// Is told when the server goes away, and when it is back.
    pub(crate) fn presence(&self) -> watch::Receiver<Presence> {
        self.presence.subscribe()
    }

    /// Cuts all connections, and takes none for so long.
    pub(crate) fn go_away(&self, time: Duration) {
        self.presence
            .send_replace(Presence::AwayUntil(Instant::now() + time));
    }
}
