//! Releases, and going back to them.

use serde_json::json;

use crate::plane::{DEPLOYMENT, Plane, TARGET, World};

#[test]
fn a_rollback_says_what_does_not_go_back() {
    let plane = Plane::start(World::default());
    plane.world().projects.push("shop".into());
    let plain = ["rollback", "shop"];
    let named = ["rollback", "shop", "-t", "web-1", "--to", DEPLOYMENT];
    let table = [
        (&plain[..], json!({})),
        (&named[..], json!({ "target": TARGET, "to": DEPLOYMENT })),
    ];
    for (arguments, body) in table {
        let ran = plane.run(arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(plane.world().rollbacks.pop(), Some(body));
        assert!(
            ran.stderr.contains("warning: the named volume data keeps"),
            "{ran:?}"
        );
    }
}

#[test]
fn releases_are_listed_and_compared() {
    let plane = Plane::start(World::default());
    plane.world().projects.push("shop".into());
    let listed = plane.run(&["releases", "ls", "shop"]);
    assert!(
        listed
            .stdout
            .contains("web runs nginx:latest (0123456789ab)"),
        "{listed:?}"
    );
    let compared = plane.run(&["releases", "diff", "shop", DEPLOYMENT, TARGET]);
    assert_eq!(compared.code, Some(0), "{compared:?}");
    for line in [
        "image of web: nginx:latest (01) -> nginx:latest (02)",
        "secret PASSWORD: version 1 -> none",
        "changed page",
        "added logo.png (it is no text)",
    ] {
        assert!(
            compared.stdout.lines().any(|has| has == line),
            "{line:?} in {compared:?}"
        );
    }
}
