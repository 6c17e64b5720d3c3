//! Registries.

use serde_json::{Value, json};

use crate::account::with_stdin;
use crate::plane::{Plane, World};

fn plane() -> Plane {
    Plane::start(World {
        projects: vec!["shop".to_owned()],
        ..World::default()
    })
}

#[test]
fn passwords_are_read_from_stdin_and_never_shown() {
    let plane = plane();
    let asked = |arguments: &[&str], stdin: &str| {
        let ran = with_stdin(&plane, arguments, stdin);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        told["asked"].clone()
    };
    let add = ["registries", "add", "ghcr.io", "--user", "ada", "--json"];
    assert_eq!(
        asked(&add, "a token\n"),
        json!({"registry": "ghcr.io", "user": "ada", "password": "a token"})
    );
    let unchecked = [&add[..], &["--note", "ours", "--no-check"]].concat();
    assert_eq!(
        asked(&unchecked, "a token"),
        json!({"registry": "ghcr.io", "user": "ada", "password": "a token", "note": "ours", "check": "skip"})
    );
    let set = ["registries", "set-password", "ghcr.io", "--json"];
    assert_eq!(asked(&set, "another\n"), json!({"password": "another"}));
    let said = with_stdin(&plane, &set[..3], "another").stdout;
    assert_eq!(said.trim(), "ghcr.io has another password.");
    let wrong = [&add[..], &["--password", "x"]].concat();
    assert_eq!(plane.run(&wrong).code, Some(2));
}

#[test]
fn registries_and_where_projects_push_are_shown_and_forgotten() {
    let plane = plane();
    for (arguments, parts) in [
        (
            &["registries", "ls"][..],
            &["ghcr.io", "acme-robot", "expires in March", "2"][..],
        ),
        (&["projects", "registry", "shop"], &["ghcr.io/acme/shop"]),
        (
            &["projects", "registry", "shop", "ghcr.io/acme/other"],
            &["The images of shop are pushed to ghcr.io/acme/other"],
        ),
        (
            &["projects", "registry", "shop", "--none"],
            &["The images of shop are pushed nowhere"],
        ),
        (
            &["registries", "rm", "ghcr.io", "--yes"],
            &["Forgot the registry ghcr.io."],
        ),
    ] {
        let ran = plane.run(arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for part in parts {
            assert!(ran.stdout.contains(part), "{part} in {ran:?}");
        }
    }
    let both = ["projects", "registry", "shop", "ghcr.io/a", "--none"];
    assert_eq!(plane.run(&both).code, Some(2));
}
