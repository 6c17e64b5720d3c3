//! What changed lately, for watches.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

/// The most changes that are kept; who is further behind has to list again.
const MOST: usize = 100_000;

/// What happened to an object.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Added,
    /// What it was before.
    Modified(Arc<Value>),
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub revision: u64,
    pub resource: Arc<str>,
    pub change: Change,
    /// What it is now; at its end, what it was last.
    pub object: Arc<Value>,
}

/// The changes after the oldest revision that can still be watched from.
#[derive(Debug, Default)]
pub(crate) struct History {
    oldest: u64,
    events: VecDeque<Event>,
}

impl History {
    pub(super) fn note(
        &mut self,
        revision: u64,
        resource: &str,
        change: Change,
        object: Arc<Value>,
    ) {
        if self.events.len() == MOST
            && let Some(event) = self.events.pop_front()
        {
            self.oldest = event.revision;
        }
        self.events.push_back(Event {
            revision,
            resource: resource.into(),
            change,
            object,
        });
    }

    pub(super) fn compact(&mut self, revision: u64) {
        self.events.clear();
        self.oldest = revision;
    }

    /// The oldest revision whose successors are all known.
    pub(crate) const fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The changes after a revision, in their order.
    pub(crate) fn after(&self, revision: u64) -> impl Iterator<Item = &Event> {
        let first = self
            .events
            .partition_point(|event| event.revision <= revision);
        self.events.range(first..)
    }
}
