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

#[test]
fn a_host_without_an_agent_is_added_and_nobody_overlooks_that_it_is_open() {
    let plane = Plane::start(World::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let add = [
        "targets",
        "add-docker",
        "build-1",
        "--host",
        "tcp://10.0.0.5:2376",
    ];
    let add = [&add[..], &["--cert-path", path]].concat();
    let missing = plane.run(&add);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("ca.pem"), "{missing:?}");
    for name in ["ca", "cert", "key"] {
        std::fs::write(folder.path().join(format!("{name}.pem")), name).unwrap();
    }
    let added = plane.run(&add);
    for words in ["build-1", "tcp://10.0.0.5:2376", "ends in 6 days", "OPEN"] {
        assert!(added.stdout.contains(words), "{words}: {added:?}");
    }
    assert!(added.stderr.contains("lets anybody in"), "{added:?}");
    let rotated = plane.run(&["targets", "rotate-docker", "web-1", "--cert-path", path]);
    assert!(rotated.stdout.contains("as it was"), "{rotated:?}");
    let gone = plane.run(&["targets", "rm", "web-1", "--yes", "--json"]);
    assert!(gone.stdout.contains("\"removed\": true"), "{gone:?}");
}
