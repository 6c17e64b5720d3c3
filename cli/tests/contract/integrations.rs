//! Accounts at forges.

use serde_json::{Value, json};

use crate::account::with_stdin;
use crate::plane::{Plane, World};

const ID: &str = "00000000-0000-7000-8000-00000000000c";

#[test]
fn accounts_are_connected_and_what_they_reach_is_shown() {
    let plane = Plane::start(World {
        projects: vec!["shop".to_owned()],
        ..World::default()
    });
    let shown = |arguments: &[&str], parts: &[&str]| {
        let ran = plane.run(arguments);
        for part in parts {
            assert!(ran.stdout.contains(part), "{part} in {ran:?}");
        }
    };
    shown(
        &["integrations", "ls"],
        &["hub", "github", "ada", "repo", "answers 500"],
    );
    shown(
        &["integrations", "repos", "hub"],
        &["ada/shop-1", "ada/shop-2", "private", "main"],
    );
    shown(
        &["integrations", "branches", "hub:ada/shop"],
        &["trunk", "aaaaaaaaaa"],
    );
    shown(
        &["integrations", "statuses", "hub"],
        &["towline/shop/web-1", "failure", "may not do this"],
    );
    shown(&["pushes", "install", "shop"], &["ada/shop"]);
    shown(
        &["source", "key", "install", "shop"],
        &["installed in ada/shop"],
    );
    shown(&["source", "key", "uninstall", "shop"], &["No forge"]);
    shown(
        &["files", "deliver", "shop"],
        &["Opened https://github.com/ada/shop/pull/7", "Dockerfile"],
    );
}

#[test]
fn tokens_are_read_from_stdin_and_sources_name_an_integration() {
    let plane = Plane::start(World {
        projects: vec!["shop".to_owned()],
        ..World::default()
    });
    let asked = |arguments: &[&str], stdin: &str| {
        let ran = with_stdin(&plane, arguments, stdin);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        told["asked"].clone()
    };
    let connect = [
        "integrations",
        "connect",
        "hub",
        "--forge",
        "gitlab",
        "--url",
        "https://git.example.org",
        "--json",
    ];
    assert_eq!(
        asked(&connect, "a-token\n"),
        json!({"name": "hub", "forge": "gitlab", "url": "https://git.example.org", "token": "a-token"})
    );
    let token = [
        "integrations",
        "token",
        "hub",
        "--token-user",
        "ada@example.org",
        "--json",
    ];
    assert_eq!(
        asked(&token, "another"),
        json!({"token": "another", "token_user": "ada@example.org"})
    );
    let source = [
        "source",
        "set",
        "shop",
        "--from",
        "hub:ada/shop",
        "--branch",
        "trunk",
        "--submodules",
        "--json",
    ];
    assert_eq!(
        asked(&source, ""),
        json!({"integration": ID, "repository": "ada/shop", "branch": "trunk", "submodules": "take"})
    );
    let key = ["source", "key", "install", "shop", "--by", "hub", "--json"];
    assert_eq!(asked(&key, ""), json!({"url": null, "integration": ID}));
    let gone = plane.run(&["integrations", "rm", "hub", "--yes"]);
    assert_eq!(
        gone.stdout.trim(),
        "Forgot the integration hub.",
        "{gone:?}"
    );
    for wrong in [
        &["integrations", "branches", "ada/shop"][..],
        &["integrations", "connect", "hub", "--forge", "svn"],
        &[
            "integrations",
            "connect",
            "hub",
            "--forge",
            "github",
            "--token",
            "t",
        ],
        &["source", "set", "shop"],
        &[
            "source",
            "set",
            "shop",
            "https://example.org/a.git",
            "--from",
            "hub:a/b",
        ],
    ] {
        assert_eq!(plane.run(wrong).code, Some(2), "{wrong:?}");
    }
}
