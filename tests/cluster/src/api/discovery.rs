//! What is served: versions, groups, resources.

use std::sync::Arc;

use http::Response;
use serde_json::{Value, json};

use crate::{
    api::{
        answer::{Body, json as as_json, json_as, text},
        openapi,
        request::Asked,
    },
    kinds::{Kind, Scope},
    refusal::{Answer, Refusal},
    state::Shared,
};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// All that is no resource.
pub(super) fn respond(shared: &Arc<Shared>, path: &str, asked: &Asked) -> Answer<Response<Body>> {
    let kinds = shared.with(|state| state.kinds.clone());
    let kinds = kinds.all();
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let is_aggregated =
        asked.accept.contains("as=APIGroupDiscoveryList") && asked.accept.contains("v=v2");
    match words.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => Ok(text(200, "ok")),
        ["version"] => Ok(as_json(200, &version())),
        ["api"] if is_aggregated => Ok(json_as(AGGREGATED, &aggregated(kinds, true))),
        ["apis"] if is_aggregated => Ok(json_as(AGGREGATED, &aggregated(kinds, false))),
        ["api"] => Ok(as_json(
            200,
            &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        )),
        ["apis"] => Ok(as_json(200, &groups(kinds))),
        ["apis", group] => {
            let found = names(kinds).into_iter().find(|name| name == group);
            let name = found.ok_or_else(Refusal::no_such_resource)?;
            let mut described = group_of(kinds, &name);
            described["kind"] = "APIGroup".into();
            described["apiVersion"] = "v1".into();
            Ok(as_json(200, &described))
        }
        ["api", version] => resources(kinds, "", version),
        ["apis", group, version] => resources(kinds, group, version),
        ["openapi", "v3"] => Ok(as_json(200, &openapi::index(kinds))),
        ["openapi", "v3", "api", version] => openapi::of_version(kinds, "", version),
        ["openapi", "v3", "apis", group, version] => openapi::of_version(kinds, group, version),
        [] => Ok(as_json(
            200,
            &json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}),
        )),
        _ => Err(Refusal::no_such_resource()),
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": "v1.33.1", "gitCommit": "8adc0f041b8e7ad1d30e29cc59c6ae7a15e19828",
        "gitTreeState": "clean", "buildDate": "2025-05-15T08:19:08Z", "goVersion": "go1.24.2", "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// The groups with a name, each once.
fn names(kinds: &[Arc<Kind>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for kind in kinds {
        if !kind.group.is_empty() && !names.contains(&kind.group) {
            names.push(kind.group.clone());
        }
    }
    names
}

fn versions(kinds: &[Arc<Kind>], group: &str) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.group == group) {
        if !versions.contains(&kind.version) {
            versions.push(kind.version.clone());
        }
    }
    // A stable one is preferred.
    versions.sort_by_key(|version| version.contains("alpha") || version.contains("beta"));
    versions
}

fn group_of(kinds: &[Arc<Kind>], group: &str) -> Value {
    let versions = versions(kinds, group).into_iter();
    let versions: Vec<Value> = versions
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "preferredVersion": versions[0], "versions": versions})
}

fn groups(kinds: &[Arc<Kind>]) -> Value {
    let groups: Vec<Value> = names(kinds)
        .iter()
        .map(|group| group_of(kinds, group))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn verbs(kind: &Kind) -> Vec<&'static str> {
    if kind.origin == crate::kinds::Origin::Metrics {
        return vec!["get", "list"];
    }
    if kind.group == crate::api::reviews::GROUP {
        return vec!["create"];
    }
    vec![
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ]
}

/// Verbs and kind of a subresource.
fn subresource(kind: &Kind, name: &str) -> (Vec<&'static str>, Value) {
    let own = || json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    match name {
        "status" => (vec!["get", "patch", "update"], own()),
        "finalize" => (vec!["update"], own()),
        "scale" => (
            vec!["get", "patch", "update"],
            json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
        ),
        "log" => (vec!["get"], own()),
        "eviction" => (
            vec!["create"],
            json!({"group": "policy", "version": "v1", "kind": "Eviction"}),
        ),
        _ => (
            vec!["create"],
            json!({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}),
        ),
    }
}

fn resources(kinds: &[Arc<Kind>], group: &str, version: &str) -> Answer<Response<Body>> {
    let mut resources = Vec::new();
    let here = kinds.iter();
    let here: Vec<&Arc<Kind>> = here
        .filter(|kind| kind.group == group && kind.version == version)
        .collect();
    let first = here.first().ok_or_else(Refusal::no_such_resource)?;
    for kind in &here {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.is_namespaced(), "kind": kind.kind,
            "verbs": verbs(kind),
        });
        if !kind.short.is_empty() {
            resource["shortNames"] = json!(kind.short);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        resources.push(resource);
        for name in &kind.subresources {
            let (verbs, of) = subresource(kind, name);
            resources.push(json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.is_namespaced(),
                "kind": of["kind"], "group": of["group"], "version": of["version"], "verbs": verbs,
            }));
        }
    }
    Ok(as_json(
        200,
        &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": first.api_version(), "resources": resources}),
    ))
}

fn aggregated(kinds: &[Arc<Kind>], first: bool) -> Value {
    let groups = if first {
        vec![String::new()]
    } else {
        names(kinds)
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions: Vec<Value> = versions(kinds, group)
                .iter()
                .map(|version| aggregated_version(kinds, group, version))
                .collect();
            let mut metadata = json!({"creationTimestamp": null});
            if !group.is_empty() {
                metadata["name"] = group.clone().into();
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_version(kinds: &[Arc<Kind>], group: &str, version: &str) -> Value {
    let here = kinds
        .iter()
        .filter(|kind| kind.group == group && kind.version == version);
    let resources: Vec<Value> = here.map(|kind| aggregated_resource(kind)).collect();
    json!({"version": version, "freshness": "Current", "resources": resources})
}

fn aggregated_resource(kind: &Kind) -> Value {
    let mut resource = json!({
        "resource": kind.plural, "singularResource": kind.singular, "verbs": verbs(kind),
        "scope": match kind.scope { Scope::Cluster => "Cluster", Scope::Namespaced => "Namespaced" },
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
    });
    if !kind.short.is_empty() {
        resource["shortNames"] = json!(kind.short);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    let subresources: Vec<Value> = kind
        .subresources
        .iter()
        .map(|name| {
            let (verbs, of) = subresource(kind, name);
            json!({"subresource": name, "responseKind": of, "verbs": verbs})
        })
        .collect();
    if !subresources.is_empty() {
        resource["subresources"] = subresources.into();
    }
    resource
}
