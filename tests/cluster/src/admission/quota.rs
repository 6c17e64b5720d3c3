//! Quotas of objects.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    api::prepare::Task,
    document::{text, texts},
    kinds::Kind,
    refusal::{Answer, Refusal},
    state::State,
};

/// Resources that a quota may name without `count/`.
const PLAIN: [&str; 8] = [
    "pods",
    "services",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "resourcequotas",
    "replicationcontrollers",
    "services.loadbalancers",
];

/// Refuses an object more than a quota of the namespace allows.
pub(super) fn fits(state: &State, task: &Task, object: &Value) -> Answer<()> {
    let namespace = &task.namespace;
    let name = text(object, "metadata/name");
    for quota in state.store.list("resourcequotas", namespace) {
        let over: Vec<(String, i64, i64)> = limits(quota)
            .into_iter()
            .filter(|(what, _)| resource_of(what) == Some(task.kind.resource()))
            .map(|(what, limit)| (what, used(state, &task.kind, namespace), limit))
            .filter(|(_, used, limit)| used + 1 > *limit)
            .collect();
        if !over.is_empty() && !namespace.is_empty() {
            let list = |value: &dyn Fn(&(String, i64, i64)) -> i64| {
                let pairs: Vec<String> = over
                    .iter()
                    .map(|entry| format!("{}={}", entry.0, value(entry)))
                    .collect();
                pairs.join(",")
            };
            let why = format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                text(quota, "metadata/name"),
                list(&|_| 1),
                list(&|entry| entry.1),
                list(&|entry| entry.2)
            );
            return Err(Refusal::forbidden(&task.kind, name, &why));
        }
    }
    Ok(())
}

fn used(state: &State, kind: &Kind, namespace: &str) -> i64 {
    let all = state.store.list(&kind.resource(), namespace);
    let counts = |object: &Value| {
        kind.kind != "Pod" || !["Succeeded", "Failed"].contains(&text(object, "status/phase"))
    };
    let count = all.filter(|object| counts(object)).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Limits of numbers of objects; those of processors and memory are not simulated.
fn limits(quota: &Value) -> Vec<(String, i64)> {
    let hard = texts(quota, "spec/hard");
    let mut limits: Vec<(String, i64)> = hard
        .into_iter()
        .filter_map(|(what, limit)| Some((what, limit.parse().ok()?)))
        .collect();
    let numbers = crate::document::at(quota, "spec/hard").as_object();
    let numbers = numbers.into_iter().flatten();
    limits.extend(numbers.filter_map(|(what, limit)| Some((what.clone(), limit.as_i64()?))));
    limits
}

/// The stored resource that a limit counts.
fn resource_of(what: &str) -> Option<String> {
    match what.strip_prefix("count/") {
        Some(resource) => Some(resource.to_owned()),
        None => PLAIN.contains(&what).then(|| what.to_owned()),
    }
}

/// What a quota's status says is used.
pub(crate) fn usage(state: &State, quota: &Value) -> BTreeMap<String, String> {
    let namespace = text(quota, "metadata/namespace");
    let counted = limits(quota).into_iter().filter_map(|(what, _)| {
        let kind = state.kinds.of_resource(&resource_of(&what)?)?;
        Some((what, used(state, &kind, namespace).to_string()))
    });
    counted.collect()
}
