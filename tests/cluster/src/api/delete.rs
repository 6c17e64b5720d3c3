//! Deletions: at once, or a mark that finalizers and graces hold up.

use std::sync::Arc;

use chrono::{SecondsFormat, TimeDelta, Utc};
use http::Response;
use serde_json::{Value, json};

use crate::{
    admission,
    api::{
        answer::{Body, json as as_json, warned},
        prepare::{now, shown_as},
        read::{find, selection},
        request::{Asked, Effect, ResourcePlace, Verb},
    },
    document::{at, items, list, number, put, text},
    kinds::Kind,
    refusal::{Answer, Refusal},
    state::{Shared, State},
    store::{Key, key_of},
};

/// What becomes of the objects that belong to a deleted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dependents {
    Orphan,
    Background,
    Foreground,
}

const JOB_WARNING: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

fn dependents(kind: &Kind, asked: &Asked, options: &Value) -> (Dependents, Vec<String>) {
    let word = match text(options, "propagationPolicy") {
        "" => asked.parameter("propagationPolicy"),
        word => word,
    };
    match word {
        "Orphan" => (Dependents::Orphan, Vec::new()),
        "Foreground" => (Dependents::Foreground, Vec::new()),
        "" if options["orphanDependents"] == true => (Dependents::Orphan, Vec::new()),
        "" if kind.kind == "Job" => (Dependents::Orphan, vec![JOB_WARNING.to_owned()]),
        _ => (Dependents::Background, Vec::new()),
    }
}

pub(super) async fn respond(
    shared: &Arc<Shared>,
    place: &ResourcePlace,
    asked: &Asked,
    options: &Value,
) -> Answer<Response<Body>> {
    let (kind, questions) = shared.with(|state| {
        let kind = place.kind(state)?;
        let questions = admission::questions_of_deletion(state, &kind, place, asked);
        Ok((kind, questions))
    })?;
    for question in questions {
        question.ask().await?;
    }
    if asked.verb == Verb::DeleteCollection {
        return shared.with(|state| all(state, &kind, place, asked, options));
    }
    let (over, warnings) =
        shared.with(|state| one(state, &kind, &place.namespace, &place.name, asked, options))?;
    Ok(warned(as_json(200, &over.answer(&kind)), &warnings))
}

/// How far a deletion came.
enum Over {
    Gone(Arc<Value>),
    Marked(Arc<Value>),
}

/// Kinds whose deletion answers with the object even when it is gone.
const RETURNED: [&str; 6] = [
    "Pod",
    "Service",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "ServiceAccount",
    "ResourceQuota",
];

impl Over {
    fn answer(&self, kind: &Kind) -> Value {
        match self {
            Self::Marked(object) => shown_as(kind, object),
            Self::Gone(object) if RETURNED.contains(&kind.kind.as_str()) => shown_as(kind, object),
            Self::Gone(object) => {
                let mut details = json!({
                    "name": text(object, "metadata/name"), "kind": kind.plural, "uid": text(object, "metadata/uid"),
                });
                if !kind.group.is_empty() {
                    details["group"] = kind.group.clone().into();
                }
                json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                })
            }
        }
    }
}

fn all(
    state: &mut State,
    kind: &Kind,
    place: &ResourcePlace,
    asked: &Asked,
    options: &Value,
) -> Answer<Response<Body>> {
    let selection = selection(kind, place, asked)?;
    let resource = kind.resource();
    let meant: Vec<Arc<Value>> = state
        .store
        .list(&resource, &place.namespace)
        .filter(|object| selection.meets(object))
        .cloned()
        .collect();
    for object in &meant {
        let (namespace, name) = key_of(object);
        one(state, kind, &namespace, &name, asked, options)?;
    }
    let items: Vec<Value> = meant.iter().map(|object| shown_as(kind, object)).collect();
    let list = json!({
        "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
        "metadata": {"resourceVersion": state.store.revision().to_string()}, "items": items,
    });
    Ok(as_json(200, &list))
}

fn one(
    state: &mut State,
    kind: &Kind,
    namespace: &str,
    name: &str,
    asked: &Asked,
    options: &Value,
) -> Answer<(Over, Vec<String>)> {
    let live = find(state, kind, namespace, name)?;
    preconditions(kind, &live, options)?;
    let (dependents, warnings) = dependents(kind, asked, options);
    let grace = number(options, "gracePeriodSeconds").or_else(|| {
        let given = asked.number("gracePeriodSeconds")?;
        i64::try_from(given).ok()
    });
    let marked = marked(kind, &live, dependents, grace);
    let over = match (marked, asked.effect) {
        (None, Effect::Dry) => Over::Gone(live),
        (None, Effect::Real) => {
            let gone = state
                .store
                .remove(&kind.resource(), &key_of(&live))
                .unwrap_or(live);
            Over::Gone(gone)
        }
        (Some(object), Effect::Dry) => Over::Marked(Arc::new(object)),
        (Some(object), Effect::Real) if object == *live => Over::Marked(live),
        (Some(object), Effect::Real) => Over::Marked(state.store.write(&kind.resource(), object)),
    };
    Ok((over, warnings))
}

/// Deletes what a controller wants gone, and what belongs to it with it.
pub(crate) fn by_controller(state: &mut State, kind: &Kind, (namespace, name): &Key) {
    let Some(live) = state.store.get(&kind.resource(), namespace, name) else {
        return;
    };
    match marked(kind, &live, Dependents::Background, None) {
        None => drop(state.store.remove(&kind.resource(), &key_of(&live))),
        Some(object) if object == *live => {}
        Some(object) => drop(state.store.write(&kind.resource(), object)),
    }
}

fn preconditions(kind: &Kind, live: &Value, options: &Value) -> Answer<()> {
    let name = text(live, "metadata/name");
    let refuse = |why: String| {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            kind.kind
        );
        Err(Refusal::about(
            409,
            "Conflict",
            &kind.group,
            &kind.kind,
            name,
            message,
        ))
    };
    let (uid, there) = (
        text(options, "preconditions/uid"),
        text(live, "metadata/uid"),
    );
    if !uid.is_empty() && uid != there {
        return refuse(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({there}). The object might have been deleted and then recreated"
        ));
    }
    let version = text(options, "preconditions/resourceVersion");
    let there = text(live, "metadata/resourceVersion");
    if !version.is_empty() && version != there {
        return refuse(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({there}). The object might have been modified"
        ));
    }
    Ok(())
}

/// The object as it waits for its end, or nothing if nothing holds it.
fn marked(kind: &Kind, live: &Value, dependents: Dependents, grace: Option<i64>) -> Option<Value> {
    let mut object = live.clone();
    let finalizer = match dependents {
        Dependents::Orphan => Some("orphan"),
        Dependents::Foreground => Some("foregroundDeletion"),
        Dependents::Background => None,
    };
    if let Some(finalizer) = finalizer {
        let finalizers = list(&mut object, "metadata/finalizers");
        if finalizers.iter().all(|there| there != finalizer) {
            finalizers.push(finalizer.into());
        }
    }
    let seconds = match kind.kind.as_str() {
        // A pod that no node has needs no grace.
        "Pod" if text(live, "spec/nodeName").is_empty() => 0,
        "Pod" => grace
            .or_else(|| number(live, "spec/terminationGracePeriodSeconds"))
            .unwrap_or(30),
        _ => 0,
    };
    let holds = seconds > 0
        || kind.kind == "Namespace"
        || !items(&object, "metadata/finalizers").is_empty();
    if !holds {
        return None;
    }
    if at(live, "metadata/deletionTimestamp").is_null() {
        let end = Utc::now() + TimeDelta::seconds(seconds);
        let end = end.to_rfc3339_opts(SecondsFormat::Secs, true);
        put(&mut object, "metadata/deletionTimestamp", end);
        put(&mut object, "metadata/deletionGracePeriodSeconds", seconds);
        if let Some(generation) = number(live, "metadata/generation") {
            put(&mut object, "metadata/generation", generation + 1);
        }
    } else if kind.kind == "Pod" && grace.is_some_and(|grace| grace < seconds_left(live)) {
        put(&mut object, "metadata/deletionTimestamp", now());
        put(&mut object, "metadata/deletionGracePeriodSeconds", seconds);
    }
    if kind.kind == "Namespace" {
        put(&mut object, "status/phase", "Terminating");
    }
    Some(object)
}

fn seconds_left(live: &Value) -> i64 {
    number(live, "metadata/deletionGracePeriodSeconds").unwrap_or(0)
}
