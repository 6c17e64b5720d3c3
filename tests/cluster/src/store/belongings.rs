//! Who belongs to whom, by uid.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::{
    document::{items, text},
    store::{Key, key_of},
};

/// The objects that there are, and those that each of them owns.
#[derive(Debug, Default)]
pub(super) struct Belongings {
    there: HashSet<String>,
    owned: HashMap<String, BTreeSet<(String, Key)>>,
}

impl Belongings {
    pub(super) fn note(&mut self, resource: &str, object: &Value) {
        self.there.insert(text(object, "metadata/uid").to_owned());
        for owner in items(object, "metadata/ownerReferences") {
            let owned = self.owned.entry(text(owner, "uid").to_owned()).or_default();
            owned.insert((resource.to_owned(), key_of(object)));
        }
    }

    pub(super) fn forget(&mut self, resource: &str, object: &Value) {
        self.there.remove(text(object, "metadata/uid"));
        let entry = (resource.to_owned(), key_of(object));
        for owner in items(object, "metadata/ownerReferences") {
            let uid = text(owner, "uid");
            let Some(owned) = self.owned.get_mut(uid) else {
                continue;
            };
            owned.remove(&entry);
            if owned.is_empty() {
                self.owned.remove(uid);
            }
        }
    }

    pub(super) fn of(&self, uid: &str) -> impl Iterator<Item = &(String, Key)> {
        self.owned.get(uid).into_iter().flatten()
    }

    pub(super) fn has(&self, uid: &str) -> bool {
        self.there.contains(uid)
    }
}
