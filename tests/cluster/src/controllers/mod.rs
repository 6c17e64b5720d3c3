//! The controllers of the cluster: each looks at what has changed a moment ago, and brings what is nearer to what is wanted.
//!
//! One task runs them all. It collects the objects that changed and those that own them, waits for the time of a reaction, and lets the controller
//! of each look at it as it is then. What a controller writes is a change like any other, and is looked at in the next round.

mod claims;
mod daemon_sets;
mod definitions;
mod deployments;
mod desk;
mod garbage;
mod jobs;
mod namespaces;
mod owned_pods;
mod pods;
mod replica_sets;
mod services;
mod stateful_sets;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    document::{items, text},
    state::{Shared, State},
    store::{Change, Key, key_of},
};
use desk::Desk;

/// An object to look at: its resource and key.
pub(crate) type Work = (String, Key);

/// The most looks under one lock.
const LOOKS: usize = 50;

/// Whether a round goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

/// What the rounds remember.
#[derive(Debug, Default)]
struct Rounds {
    seen: u64,
    due: BTreeSet<Work>,
    later: BTreeMap<Instant, Vec<Work>>,
    /// Namespaces in which something has changed, so that their quotas have to be counted.
    counted: BTreeSet<String>,
    memory: desk::Memory,
}

/// Runs until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut changes = shared.changes();
    let mut rounds = Rounds::default();
    let pause = shared.with(|state| state.settings.reaction);
    loop {
        changes.mark_unchanged();
        sleep(pause).await;
        shared.with(|state| rounds.collect(state));
        // Requests are answered between the looks of a long round.
        while shared.with(|state| rounds.looks(state)) == Progress::More {
            tokio::task::yield_now().await;
        }
        let next = rounds.later.keys().next().copied();
        let far = Instant::now() + std::time::Duration::from_hours(1);
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep_until(next.unwrap_or(far)) => {}
        }
    }
}

impl Rounds {
    /// Looks at a few of those that are due.
    fn looks(&mut self, state: &mut State) -> Progress {
        for _ in 0..LOOKS {
            let Some(work) = self.due.pop_first() else {
                self.count(state);
                return Progress::Done;
            };
            let mut desk = Desk::new(state, &mut self.memory, &mut self.later);
            look(&mut desk, &work);
        }
        Progress::More
    }

    fn count(&mut self, state: &mut State) {
        self.counted.remove("");
        for namespace in std::mem::take(&mut self.counted) {
            let mut desk = Desk::new(state, &mut self.memory, &mut self.later);
            services::count(&mut desk, &namespace);
        }
    }

    /// The objects that have changed, their owners, and what depends on those that are gone.
    fn collect(&mut self, state: &mut State) {
        if self.seen < state.store.history.oldest() {
            self.everything(state);
        }
        let restarts = state.containers.to_restart();
        self.due
            .extend(restarts.map(|key| ("pods".to_owned(), key)));
        let mut suspects = BTreeSet::new();
        for event in state.store.history.after(self.seen) {
            let object = &event.object;
            self.due
                .insert((event.resource.to_string(), key_of(object)));
            if !matches!(event.change, Change::Modified(_)) || *event.resource == *"resourcequotas"
            {
                self.counted
                    .insert(text(object, "metadata/namespace").to_owned());
            }
            if let Change::Deleted = event.change {
                let left = state
                    .store
                    .belonging_to(text(object, "metadata/uid"))
                    .into_iter();
                suspects.extend(left.map(|(resource, object)| (resource, key_of(&object))));
                let namespace = text(object, "metadata/namespace").to_owned();
                self.due
                    .insert(("namespaces".to_owned(), (String::new(), namespace)));
            }
            let namespace = text(object, "metadata/namespace");
            let owners = items(object, "metadata/ownerReferences");
            if matches!(event.change, Change::Added) && !owners.is_empty() {
                suspects.insert((event.resource.to_string(), key_of(object)));
            }
            for owner in items(object, "metadata/ownerReferences") {
                let kind = state
                    .kinds
                    .of_kind(text(owner, "apiVersion"), text(owner, "kind"));
                if let Some(kind) = kind {
                    let namespace = if kind.is_namespaced() { namespace } else { "" };
                    let key = (namespace.to_owned(), text(owner, "name").to_owned());
                    self.due.insert((kind.resource(), key));
                }
            }
        }
        self.seen = state.store.revision();
        garbage::collect(state, &suspects);
        let now = Instant::now();
        while let Some(entry) = self.later.first_entry().filter(|entry| *entry.key() <= now) {
            self.due.extend(entry.remove());
        }
    }

    fn everything(&mut self, state: &State) {
        for resource in state.store.resources() {
            let all = state.store.list(&resource, "");
            self.due
                .extend(all.map(|object| (resource.clone(), key_of(object))));
        }
    }
}

fn look(desk: &mut Desk, (resource, key): &Work) {
    garbage::finalize(desk, resource, key);
    match resource.as_str() {
        "namespaces" => namespaces::look(desk, &key.1),
        "customresourcedefinitions.apiextensions.k8s.io" => definitions::look(desk, &key.1),
        "pods" => pods::look(desk, key),
        "persistentvolumeclaims" => claims::look(desk, key),
        "services" => services::look(desk, key),
        deployments::RESOURCE => deployments::look(desk, key),
        replica_sets::RESOURCE => replica_sets::look(desk, key),
        "statefulsets.apps" => stateful_sets::look(desk, key),
        "daemonsets.apps" => daemon_sets::look(desk, key),
        "jobs.batch" => jobs::look(desk, key),
        _ => {}
    }
}
