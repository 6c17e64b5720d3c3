//! What is decided of projects and targets.

use serde_json::{Value, json};

use crate::plane::{Plane, World};

#[test]
fn a_project_says_how_many_releases_hosts_keep() {
    let plane = Plane::start(World::default());
    plane.world().projects.push("shop".into());
    let set = ["projects", "set", "shop", "--keep-releases"];
    let told = plane.run(&[&set[..], &["9"]].concat());
    assert!(
        told.stdout.contains("the last 9 releases of shop"),
        "{told:?}"
    );
    let told = plane.run(&[&set[..], &["9", "--json"]].concat());
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["keep_releases"], json!(9));
    for wrong in ["0", "51", "many"] {
        assert_eq!(
            plane.run(&[&set[..], &[wrong]].concat()).code,
            Some(2),
            "{wrong}"
        );
    }
}

#[test]
fn a_target_takes_labels_and_loses_them() {
    let plane = Plane::start(World::default());
    let labelled = plane.run(&["targets", "label", "web-1", "builder", "arm"]);
    assert!(labelled.stdout.contains("builder arm"), "{labelled:?}");
    let bare = plane.run(&["targets", "label", "web-1", "--json"]);
    let bare: Value = serde_json::from_str(&bare.stdout).unwrap();
    assert_eq!(bare["labels"], json!([]));
}
