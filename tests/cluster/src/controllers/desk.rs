//! What a controller works with: the state, its memory, and a calendar.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    access::User,
    api::{
        delete,
        patches::Change,
        prepare::{Trust, now, random_suffix},
        write,
    },
    containers::ContainerKey,
    controllers::Work,
    document::{items, text},
    refusal::Answer,
    state::State,
    store::Key,
};

/// What is remembered from one round to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When a container that crashed may start again.
    pub pauses: HashMap<ContainerKey, Instant>,
    /// The events that were noted, by whom they are about, reason, and message.
    events: HashMap<(String, String, String), Key>,
}

/// One controller's, for the time of a look.
pub(super) struct Desk<'s> {
    pub state: &'s mut State,
    pub memory: &'s mut Memory,
    later: &'s mut BTreeMap<Instant, Vec<Work>>,
}

impl<'s> Desk<'s> {
    pub(super) fn new(
        state: &'s mut State,
        memory: &'s mut Memory,
        later: &'s mut BTreeMap<Instant, Vec<Work>>,
    ) -> Self {
        Self {
            state,
            memory,
            later,
        }
    }

    pub(super) fn get(&self, resource: &str, (namespace, name): &Key) -> Option<Arc<Value>> {
        self.state.store.get(resource, namespace, name)
    }

    /// Those of a resource that this object controls.
    pub(super) fn owned(&self, resource: &str, owner: &Value) -> Vec<Arc<Value>> {
        let uid = text(owner, "metadata/uid");
        let is_owned = |object: &Value| {
            let mut owners = items(object, "metadata/ownerReferences").iter();
            owners.any(|there| text(there, "uid") == uid && there["controller"] == true)
        };
        let all = self.state.store.belonging_to(uid).into_iter();
        all.filter(|(there, object)| there == resource && is_owned(object))
            .map(|(_, object)| object)
            .collect()
    }

    /// Writes the object's status.
    pub(super) fn put_status(&mut self, resource: &str, manager: &str, object: Value) {
        self.write(resource, "status", manager, Change::Replace(object));
    }

    /// Writes all but the object's status.
    pub(super) fn put(&mut self, resource: &str, manager: &str, object: Value) {
        self.write(resource, "", manager, Change::Replace(object));
    }

    fn write(&mut self, resource: &str, subresource: &str, manager: &str, change: Change) {
        if let Some(kind) = self.state.kinds.of_resource(resource) {
            // What is refused has changed meanwhile, and is looked at again for that.
            let _ = write::by_controller(
                self.state,
                &kind,
                subresource,
                manager,
                change,
                Trust::Server,
            );
        }
    }

    /// Creates an object as any client would, so that quotas and policies hold.
    pub(super) fn create(&mut self, resource: &str, object: Value) -> Answer<Arc<Value>> {
        let kind = self.state.kinds.of_resource(resource);
        let kind = kind.ok_or_else(crate::refusal::Refusal::no_such_resource)?;
        let manager = "kube-controller-manager";
        let user = User {
            name: "system:kube-controller-manager".to_owned(),
            groups: vec!["system:masters".to_owned()],
        };
        let change = Change::Create(object);
        write::by_controller(self.state, &kind, "", manager, change, Trust::Client(user))
    }

    /// Writes the last state of an object, and ends it unless finalizers hold it.
    pub(super) fn put_last(&mut self, resource: &str, object: Value) {
        let key = crate::store::key_of(&object);
        if items(&object, "metadata/finalizers").is_empty() {
            self.state.store.remove(resource, &key);
        } else {
            self.state.store.write(resource, object);
        }
    }

    /// Deletes an object as `kubectl` would.
    pub(super) fn delete(&mut self, resource: &str, key: &Key) {
        if let Some(kind) = self.state.kinds.of_resource(resource) {
            delete::by_controller(self.state, &kind, key);
        }
    }

    /// Ends a namespace that is empty.
    pub(super) fn finish_namespace(&mut self, namespace: Value) {
        self.write(
            "namespaces",
            "finalize",
            "kube-controller-manager",
            Change::Replace(namespace),
        );
    }

    /// Looks at the object again after so long.
    pub(super) fn look_again(&mut self, resource: &str, key: &Key, after: Duration) {
        let work = (resource.to_owned(), key.clone());
        self.later
            .entry(Instant::now() + after)
            .or_default()
            .push(work);
    }

    /// Notes an event of an object, once more if it is there already.
    pub(super) fn event(
        &mut self,
        about: &Value,
        (reason, kind): (&str, &str),
        source: &str,
        message: &str,
    ) {
        let namespace = text(about, "metadata/namespace").to_owned();
        let uid = text(about, "metadata/uid");
        let fact = (uid.to_owned(), reason.to_owned(), message.to_owned());
        let known = self.memory.events.get(&fact);
        let same = known.and_then(|key| self.get("events", key));
        let time = now();
        if let Some(event) = same {
            let mut event = (*event).clone();
            event["count"] = (event["count"].as_i64().unwrap_or(1) + 1).into();
            event["lastTimestamp"] = time.into();
            self.state.store.write("events", event);
            return;
        }
        let name = format!(
            "{}.{}{}",
            text(about, "metadata/name"),
            random_suffix(),
            random_suffix()
        );
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"], "kind": about["kind"], "name": about["metadata"]["name"],
                "namespace": namespace, "uid": uid, "resourceVersion": about["metadata"]["resourceVersion"],
            },
            "reason": reason, "type": kind, "message": message, "count": 1,
            "firstTimestamp": time, "lastTimestamp": time, "source": {"component": source},
            "reportingComponent": source, "reportingInstance": "",
        });
        if let Ok(event) = self.create("events", event) {
            let key = crate::store::key_of(&event);
            self.memory.events.insert(fact, key);
        }
    }
}
