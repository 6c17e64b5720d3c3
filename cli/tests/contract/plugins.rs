//! What is asked before a deploy.

use serde_json::{Value, json};

use crate::plane::{Plane, World};

#[test]
fn plugins_are_made_changed_and_tried() {
    let plane = Plane::start(World::default());
    let listed = plane.run(&["plugins", "ls"]);
    for part in ["gate", "before_deploy", "closed", "5 s", "enabled"] {
        assert!(listed.stdout.contains(part), "{part} in {listed:?}");
    }
    let url = "https://example.org/gate";
    let made = plane.run(&["plugins", "add", "gate", url]);
    assert_eq!(made.stdout.trim(), "whsec_x", "{made:?}");
    let hooks = [
        "--hook",
        "before_deploy,after_deploy",
        "--on-failure",
        "open",
    ];
    let asked = |arguments: &[&str]| {
        let ran = plane.run(arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        told["asked"].clone()
    };
    let add = [&["plugins", "add", "gate", url, "--json"], &hooks[..]].concat();
    assert_eq!(
        asked(&add),
        json!({"name": "gate", "url": url, "hooks": ["before_deploy", "after_deploy"], "failure_policy": "open"})
    );
    let change = ["plugins", "change", "gate", "--timeout", "9", "--json"];
    assert_eq!(asked(&change), json!({"timeout_s": 9}));
    assert_eq!(
        asked(&["plugins", "disable", "gate", "--json"]),
        json!({"enabled": false})
    );
    assert_eq!(
        asked(&["plugins", "rotate-secret", "gate", "--json"]),
        json!({})
    );
    let runs = plane.run(&["plugins", "runs", "gate"]);
    for part in ["vetoed", "refused", "frozen until Monday", "7 ms"] {
        assert!(runs.stdout.contains(part), "{part} in {runs:?}");
    }
    let tested = plane.run(&["plugins", "test", "gate"]);
    assert_eq!(tested.code, Some(1), "{tested:?}");
    assert!(
        tested.stdout.contains("no answer: the plugin answered 500"),
        "{tested:?}"
    );
    let gone = plane.run(&["plugins", "rm", "gate", "--yes"]);
    assert_eq!(gone.stdout.trim(), "Deleted the plugin gate.", "{gone:?}");
    for wrong in [
        &["plugins", "change", "gate", "--on-failure", "ajar"][..],
        &["plugins", "add", "gate"],
    ] {
        assert_eq!(plane.run(wrong).code, Some(2), "{wrong:?}");
    }
}
