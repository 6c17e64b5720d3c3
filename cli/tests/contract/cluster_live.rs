//! What a project has in a cluster.

use serde_json::{Value, json};

use crate::plane::{DEPLOYMENT, Plane, TARGET, World};

fn shop() -> Plane {
    let plane = Plane::start(World::default());
    plane.world().projects.push("shop".into());
    plane
}

#[test]
fn events_are_listed() {
    let ran = shop().run(&["cluster", "events", "shop", "--target", "web-1"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for word in [
        "Pod/web-5d4f",
        "FailedScheduling",
        "0/3 nodes are available",
        "7",
    ] {
        assert!(ran.stdout.contains(word), "{word:?} in {ran:?}");
    }
}

#[test]
fn drift_has_an_exit_code_of_its_own() {
    let plane = shop();
    let drifted = plane.run(&["cluster", "drift", "shop", "-t", "web-1"]);
    assert_eq!(drifted.code, Some(6), "{drifted:?}");
    for word in ["Deployment/web", "spec.replicas", "kubectl-edit", "gone"] {
        assert!(drifted.stdout.contains(word), "{word:?} in {drifted:?}");
    }
    let json = plane.run(&["cluster", "drift", "shop", "-t", "web-1", "--json"]);
    assert_eq!(json.code, Some(6), "{json:?}");
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["drifted"][1]["drift"], "gone");
    let same = plane.run(&["cluster", "drift", "shop"]);
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.contains("2 objects compared"), "{same:?}");
}

#[test]
fn what_is_done_at_once_is_asked_for_as_it_is_said() {
    let plane = shop();
    let table: [(&[&str], Value); 4] = [
        (
            &["restart", "shop", "deployment/web"],
            json!({ "action": "restart", "kind": "deployment", "name": "web" }),
        ),
        (
            &["restart", "shop", "ds/logs", "-t", "web-1", "-n", "jobs"],
            json!({ "target": TARGET, "namespace": "jobs", "action": "restart", "kind": "daemon_set", "name": "logs" }),
        ),
        (
            &["scale", "shop", "statefulset/db", "--replicas", "0"],
            json!({ "action": "scale", "kind": "stateful_set", "name": "db", "replicas": 0 }),
        ),
        (
            &["delete-pod", "shop", "web-5d4f"],
            json!({ "action": "delete_pod", "name": "web-5d4f" }),
        ),
    ];
    for (arguments, body) in table {
        let ran = plane.run(&[&["cluster"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout, "web-1: Deployment/web gets new pods\n");
        assert_eq!(plane.world().cluster_actions.pop(), Some(body));
    }
    for wrong in [
        &["restart", "shop", "web"][..],
        &["scale", "shop", "deployment/web"],
        &["scale", "shop", "deployment/web", "--replicas", "1001"],
    ] {
        let ran = plane.run(&[&["cluster"], wrong].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    assert!(plane.world().cluster_actions.is_empty());
}

#[test]
fn a_correction_is_watched_like_a_deployment() {
    let plane = shop();
    let ran = plane.run(&["cluster", "correct", "shop", "-t", "web-1"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        plane.world().rollbacks.pop(),
        Some(json!({ "target": TARGET }))
    );
    assert!(ran.stderr.contains(DEPLOYMENT), "{ran:?}");
    assert!(ran.stderr.contains("warning: the named volume"), "{ran:?}");
}
