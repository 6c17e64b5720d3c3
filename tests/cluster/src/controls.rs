//! What only tests may do to a cluster: count, fail, delay, go away, forget.

mod paths;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    api::{
        prepare::now,
        request::{Asked, Effect, Place},
    },
    document::text,
    kinds::Kind,
    refusal::{Answer, Refusal},
    state::State,
};
pub(crate) use paths::{PREFIX, respond};

/// A kind of request: its verb, whether it was a dry run, and the resource (`deployments.apps/scale`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKind {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, or `deletecollection`.
    pub verb: &'static str,
    /// Whether it was to have no effect.
    pub dry_run: bool,
    /// The resource with its group and subresource; the path of what is none.
    pub resource: String,
}

/// An answer that requests get instead of theirs.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The method, or an empty text for any.
    pub method: String,
    /// What the path has in it.
    pub path: String,
    /// How many requests it is for.
    pub times: usize,
    /// The status of HTTP.
    pub code: u16,
    /// The reason for programs, such as `InternalError`.
    pub reason: &'static str,
    /// The words for people.
    pub message: String,
}

/// What tests have set.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    counts: BTreeMap<RequestKind, usize>,
    failures: Vec<Failure>,
    latency: Duration,
    usage: BTreeMap<String, (String, String)>,
}

impl Controls {
    pub(crate) const fn latency(&self) -> Duration {
        self.latency
    }

    pub(crate) const fn delay(&mut self, latency: Duration) {
        self.latency = latency;
    }

    pub(crate) fn counts(&self) -> BTreeMap<RequestKind, usize> {
        self.counts.clone()
    }

    /// Counts from nothing again.
    pub(crate) fn mark(&mut self) {
        self.counts.clear();
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    /// Sets what a node or pod uses, by its name: processor (`250m`) and memory (`64Mi`).
    pub(crate) fn use_resources(&mut self, name: &str, cpu: &str, memory: &str) {
        let usage = (cpu.to_owned(), memory.to_owned());
        self.usage.insert(name.to_owned(), usage);
    }

    /// Counts the request, and refuses it if it is to fail.
    pub(crate) fn meet(&mut self, asked: &Asked) -> Answer<()> {
        let kind = RequestKind {
            verb: asked.verb.name(),
            dry_run: asked.effect == Effect::Dry,
            resource: resource_of(asked),
        };
        *self.counts.entry(kind).or_default() += 1;
        let method = asked.method.as_str();
        let met = self.failures.iter_mut().find(|failure| {
            failure.times > 0
                && (failure.method.is_empty() || failure.method == method)
                && asked.path.contains(&failure.path)
        });
        let Some(failure) = met else {
            return Ok(());
        };
        failure.times -= 1;
        let refusal = Refusal::plain(failure.code, failure.reason, failure.message.clone());
        let details = match failure.code {
            429 | 503 | 504 => json!({"retryAfterSeconds": 1}),
            _ => json!({}),
        };
        Err(Refusal { details, ..refusal })
    }
}

fn resource_of(asked: &Asked) -> String {
    match &asked.place {
        Place::NoResource(path) => path.clone(),
        Place::Resource(place) => {
            let mut resource = place.plural.clone();
            if !place.group.is_empty() {
                resource = format!("{resource}.{}", place.group);
            }
            if !place.subresource.is_empty() {
                resource = format!("{resource}/{}", place.subresource);
            }
            resource
        }
    }
}

/// What the metrics server says of a node or pod, or of all with an empty name.
pub(crate) fn metrics_of(state: &State, kind: &Kind, namespace: &str, name: &str) -> Vec<Value> {
    let all = state.store.list(&kind.plural, namespace);
    let meant = all.filter(|object| name.is_empty() || text(object, "metadata/name") == name);
    meant
        .filter(|object| kind.plural != "pods" || text(object, "status/phase") == "Running")
        .map(|object| metrics(state, kind, object))
        .collect()
}

fn metrics(state: &State, kind: &Kind, object: &Value) -> Value {
    let name = text(object, "metadata/name");
    let usage = state.controls.usage.get(name);
    let usage = usage.map_or(("10m", "16Mi"), |(cpu, memory)| (cpu, memory));
    let usage = json!({"cpu": usage.0, "memory": usage.1});
    let mut metrics = json!({
        "kind": kind.kind, "apiVersion": kind.api_version(), "timestamp": now(), "window": "15s",
        "metadata": {"name": name, "creationTimestamp": now(), "labels": object["metadata"]["labels"]},
    });
    if kind.is_namespaced() {
        metrics["metadata"]["namespace"] = object["metadata"]["namespace"].clone();
        let containers = crate::containers::names(object, "containers").into_iter();
        metrics["containers"] = containers
            .map(|name| json!({"name": name, "usage": usage}))
            .collect();
    } else {
        metrics["usage"] = usage;
    }
    metrics
}
