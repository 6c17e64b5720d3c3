//! All objects, one revision for all of them, and the history that watches read.

mod belongings;
mod history;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::document::{put, text};
use belongings::Belongings;
pub(crate) use history::{Change, Event, History};

/// Namespace (empty where there is none) and name.
pub(crate) type Key = (String, String);

/// The objects by resource (`deployments.apps`) and key.
#[derive(Debug, Default)]
pub(crate) struct Store {
    revision: u64,
    objects: BTreeMap<String, BTreeMap<Key, Arc<Value>>>,
    pub history: History,
    belongings: Belongings,
}

/// The key of an object.
pub(crate) fn key_of(object: &Value) -> Key {
    let namespace = text(object, "metadata/namespace").to_owned();
    (namespace, text(object, "metadata/name").to_owned())
}

impl Store {
    /// The revision of the latest change.
    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.objects.get(resource)?.get(&key).cloned()
    }

    /// Those of a namespace, or of all with an empty one, by their keys.
    pub(crate) fn list<'s>(
        &'s self,
        resource: &str,
        namespace: &'s str,
    ) -> Box<dyn Iterator<Item = &'s Arc<Value>> + 's> {
        let Some(objects) = self.objects.get(resource) else {
            return Box::new(std::iter::empty());
        };
        if namespace.is_empty() {
            return Box::new(objects.values());
        }
        let from = (namespace.to_owned(), String::new());
        let all = objects.range(from..);
        Box::new(
            all.take_while(move |((there, _), _)| there == namespace)
                .map(|(_, object)| object),
        )
    }

    /// The objects that name an owner, each with its resource.
    pub(crate) fn belonging_to(&self, uid: &str) -> Vec<(String, Arc<Value>)> {
        let all = self.belongings.of(uid);
        let found = all.filter_map(|(resource, key)| {
            let object = self.objects.get(resource)?.get(key)?;
            Some((resource.clone(), Arc::clone(object)))
        });
        found.collect()
    }

    /// Whether there is an object of this uid.
    pub(crate) fn has(&self, uid: &str) -> bool {
        self.belongings.has(uid)
    }

    /// Resources that have objects.
    pub(crate) fn resources(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    /// Writes the object under the next revision.
    pub(crate) fn write(&mut self, resource: &str, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        put(
            &mut object,
            "metadata/resourceVersion",
            self.revision.to_string(),
        );
        let (key, object) = (key_of(&object), Arc::new(object));
        let objects = self.objects.entry(resource.to_owned()).or_default();
        let before = objects.insert(key, Arc::clone(&object));
        if let Some(before) = &before {
            self.belongings.forget(resource, before);
        }
        self.belongings.note(resource, &object);
        let change = match before {
            Some(before) => Change::Modified(before),
            None => Change::Added,
        };
        self.history
            .note(self.revision, resource, change, Arc::clone(&object));
        object
    }

    /// Removes it under the next revision, which its last state has.
    pub(crate) fn remove(&mut self, resource: &str, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.get_mut(resource)?.remove(key)?;
        self.belongings.forget(resource, &before);
        self.revision += 1;
        let mut last = (*before).clone();
        put(
            &mut last,
            "metadata/resourceVersion",
            self.revision.to_string(),
        );
        let last = Arc::new(last);
        self.history
            .note(self.revision, resource, Change::Deleted, Arc::clone(&last));
        Some(last)
    }

    /// Forgets all history, as a compaction does.
    pub(crate) fn compact(&mut self) {
        self.revision += 1;
        self.history.compact(self.revision);
    }
}
