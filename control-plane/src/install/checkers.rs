//! What makes an agent in a cluster, held against the schemas of Kubernetes' API, its restricted profile, and Helm.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use towline_shared::manifest::{ObjectName, read};
use towline_shared::spec::{FileMode, ProjectFile};
use towline_tests::{checkers, parts::repository, scratch::Scratch};

use super::ClusterAgent;

const IMAGE: &str = "registry.example.com/towline-agent:0.1.0";

fn manifest() -> String {
    let agent = ClusterAgent::new(Some("shop".into()), Some(IMAGE.into())).unwrap();
    agent.manifest("twl1_x")
}

fn cluster_wide() -> String {
    fs::read_to_string(repository().join("install/kubernetes/cluster-wide.yaml")).unwrap()
}

fn chart(values: &Value) -> String {
    checkers::helm(
        &repository().join("install/kubernetes/chart"),
        "towline",
        values,
    )
}

/// The objects of a text by their kind and name, read as a project's are.
fn objects(text: &str) -> BTreeMap<ObjectName, Value> {
    let file = ProjectFile {
        path: "kubernetes/all.yaml".into(),
        content: text.into(),
        mode: FileMode::Regular,
    };
    let reading = read(&[file], "kubernetes", None);
    assert!(reading.findings.is_empty(), "{:?}", reading.findings);
    let objects = reading.objects.into_iter();
    objects
        .map(|manifest| (manifest.name, manifest.object))
        .collect()
}

#[test]
fn the_objects_pass_the_schemas_of_the_api() {
    let scratch = Scratch::new("cluster-agent");
    let wide = json!({"namespaces": ["shop", "no"], "clusterWide": true, "policy": {"createNamespaces": "allow"}});
    let texts = [manifest(), cluster_wide(), chart(&wide)];
    let files = texts.iter().enumerate().map(|(number, text)| {
        let file = scratch.path().join(format!("{number}.yaml"));
        fs::write(&file, text).unwrap();
        file
    });
    checkers::kubernetes(&files.collect::<Vec<_>>());
}

#[test]
fn the_chart_makes_the_same_objects() {
    let values = json!({"namespaces": ["shop"], "image": IMAGE, "token": "twl1_x"});
    let mut plain = objects(&manifest());
    // Helm makes the namespace that it is told to install in.
    plain.retain(|_, object| object["kind"] != "Namespace");
    assert_eq!(objects(&chart(&values)), plain);
    let wide = objects(&chart(
        &json!({"clusterWide": true, "namespaces": ["shop"]}),
    ));
    for (name, object) in objects(&cluster_wide()) {
        assert_eq!(wide.get(&name), Some(&object), "{name}");
    }
    let named = objects(&chart(&json!({"namespaces": ["shop", "no"]})));
    assert!(
        named
            .values()
            .all(|object| object["kind"] != "Secret" && object["kind"] != "ClusterRole")
    );
    let is_role =
        |object: &&Value| object["kind"] == "Role" && object["metadata"]["namespace"] == "no";
    assert_eq!(named.values().filter(is_role).count(), 1);
}

#[test]
fn no_rule_gives_more_than_it_names() {
    let all = [objects(&manifest()), objects(&cluster_wide())];
    let mut seen = 0;
    for (name, object) in all.iter().flatten() {
        for rule in object["rules"].as_array().into_iter().flatten() {
            seen += 1;
            let text = rule.to_string();
            for forbidden in [
                "*",
                "escalate",
                "bind",
                "impersonate",
                "rolebindings",
                "clusterroles",
                "deletecollection",
            ] {
                assert!(!text.contains(forbidden), "{name}: {forbidden} in {text}");
            }
        }
    }
    assert!(seen > 20, "{seen}");
    let binding = |object: &&Value| object["kind"] == "ClusterRoleBinding";
    assert_eq!(
        all[0].values().filter(binding).count(),
        0,
        "the usual one is not for the whole cluster"
    );
}

#[test]
fn the_pod_keeps_to_the_restricted_profile() {
    let objects = objects(&manifest());
    let deployment = objects
        .values()
        .find(|object| object["kind"] == "Deployment")
        .unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let container = &pod["containers"][0];
    let expected = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(container["securityContext"], expected);
    for volume in pod["volumes"].as_array().unwrap() {
        assert!(volume.get("hostPath").is_none(), "{volume}");
    }
    let token = objects
        .values()
        .find(|object| object["kind"] == "Secret")
        .unwrap();
    assert_eq!(token["stringData"], json!({"token": "twl1_x"}));
}
