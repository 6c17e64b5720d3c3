//! Clusters as targets.

mod cluster_live;

use serde_json::{Value, json};

use crate::plane::{Plane, World};

const TOKEN: [&str; 4] = ["agents", "token", "k8s", "--kubernetes"];

#[test]
fn an_agent_in_a_cluster_is_one_paste() {
    let plane = Plane::start(World::default());
    let told = plane.run(&[&TOKEN[..], &["--namespace", "shop", "--image", "img:1"]].concat());
    let (said, command) = told.stdout.split_once("\n\n").expect("a command");
    assert!(
        said.contains("kubectl reaches the cluster that shall become k8s"),
        "{said}"
    );
    let objects =
        "kind: Secret\ntoken: twl1_x\nfor: {\"image\":\"img:1\",\"namespace\":\"shop\"}\n";
    assert_eq!(
        command,
        format!("kubectl apply --server-side -f - <<'TOWLINE'\n{objects}TOWLINE\n")
    );
    let printed = plane.run(&[&TOKEN[..], &["--print"]].concat());
    assert_eq!(printed.stdout, "kind: Secret\ntoken: twl1_x\nfor: {}\n");
    let helm = plane.run(&[&TOKEN[..], &["--helm"]].concat());
    assert!(
        helm.stdout
            .ends_with("helm install --set-string token=twl1_x\n"),
        "{helm:?}"
    );
    let host = plane.run(&["agents", "token", "web-9"]);
    assert!(
        host.stdout.contains("as root") && !host.stdout.contains("kubectl"),
        "{host:?}"
    );
    for wrong in [
        &["agents", "token", "k8s", "--namespace", "shop"][..],
        &["agents", "token", "k8s", "--print"][..],
    ] {
        assert_eq!(plane.run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_project_says_its_namespace() {
    let plane = Plane::start(World::default());
    plane.world().projects.push("shop".into());
    let told = plane.run(&["projects", "set", "shop", "--namespace", "apps"]);
    assert!(told.stdout.contains("go to the namespace apps"), "{told:?}");
    let told = plane.run(&["projects", "set", "shop", "--namespace", "", "--json"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&told["namespace"], &told["keep_releases"]),
        (&json!(""), &Value::Null)
    );
    assert_eq!(plane.run(&["projects", "set", "shop"]).code, Some(2));
}

#[test]
fn a_folder_with_manifests_is_deployed_and_insists_only_when_asked() {
    let plane = Plane::start(World::default());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("k8s")).unwrap();
    std::fs::write(folder.path().join("k8s/web.yaml"), "kind: Service\n").unwrap();
    let deploy = [
        "deploy",
        folder.path().to_str().unwrap(),
        "-t",
        "web-1",
        "-p",
        "shop",
        "--detach",
    ];
    for (more, conflicts, immutable) in [
        (&[][..], Value::Null, Value::Null),
        (&["--force-conflicts"][..], json!("force"), Value::Null),
        (&["--replace-immutable"][..], Value::Null, json!("replace")),
    ] {
        let told = plane.run(&[&deploy[..], more].concat());
        assert_eq!(told.code, Some(0), "{told:?}");
        let (_, asked) = plane.world().asked.pop().expect("a deployment");
        let said = |field: &str| asked.get(field).cloned().unwrap_or_default();
        assert_eq!(
            (said("conflicts"), said("immutable")),
            (conflicts, immutable)
        );
    }
}
