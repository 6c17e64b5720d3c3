//! Objects whose owners are gone, and owners that wait for theirs.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use crate::{
    api::delete,
    controllers::{Work, desk::Desk},
    document::{items, list, text},
    state::State,
    store::{Key, key_of},
};

/// Deletes those of these objects that belong to nobody any more.
pub(super) fn collect(state: &mut State, suspects: &BTreeSet<Work>) {
    for (resource, key) in suspects {
        let object = state.store.get(resource, &key.0, &key.1);
        let is_orphan = object.is_some_and(|object| {
            let owners = items(&object, "metadata/ownerReferences");
            !owners.is_empty()
                && owners
                    .iter()
                    .all(|owner| !state.store.has(text(owner, "uid")))
        });
        if let (true, Some(kind)) = (is_orphan, state.kinds.of_resource(resource)) {
            delete::by_controller(state, &kind, key);
        }
    }
}

/// Does what the finalizers of deletions in the foreground, and of those that orphan, stand for.
pub(super) fn finalize(desk: &mut Desk, resource: &str, key: &Key) {
    let Some(object) = desk.get(resource, key) else {
        return;
    };
    if text(&object, "metadata/deletionTimestamp").is_empty() {
        return;
    }
    let has = |name: &str| {
        items(&object, "metadata/finalizers")
            .iter()
            .any(|there| there == name)
    };
    let uid = text(&object, "metadata/uid").to_owned();
    let dependents: Vec<Work> = desk
        .state
        .store
        .belonging_to(&uid)
        .into_iter()
        .map(|(resource, object)| (resource, key_of(&object)))
        .collect();
    if has("orphan") {
        for (resource, key) in dependents {
            if let Some(dependent) = desk.get(&resource, &key) {
                let mut dependent = (*dependent).clone();
                list(&mut dependent, "metadata/ownerReferences")
                    .retain(|owner| text(owner, "uid") != uid);
                desk.put(&resource, "kube-controller-manager", dependent);
            }
        }
        finish(desk, resource, &object, "orphan");
    } else if has("foregroundDeletion") {
        if dependents.is_empty() {
            finish(desk, resource, &object, "foregroundDeletion");
        }
        for (resource, key) in dependents {
            let is_going = desk.get(&resource, &key).is_some_and(|dependent| {
                !text(&dependent, "metadata/deletionTimestamp").is_empty()
            });
            if !is_going {
                desk.delete(&resource, &key);
            }
        }
    }
}

fn finish(desk: &mut Desk, resource: &str, object: &Arc<Value>, finalizer: &str) {
    let mut object = (**object).clone();
    list(&mut object, "metadata/finalizers").retain(|there| there != finalizer);
    if items(&object, "metadata/finalizers").is_empty() {
        let _ = crate::document::take(&mut object, "metadata/finalizers");
    }
    desk.put(resource, "kube-controller-manager", object);
}
