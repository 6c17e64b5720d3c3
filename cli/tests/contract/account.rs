//! The password, where one is signed in, and the people of the installation.

use std::{io::Write as _, process::Stdio};

use crate::plane::{Plane, Ran, World};

const PERSON: &str = "00000000-0000-7000-8000-00000000000c";

/// Runs `towline` with a text on its stdin.
pub fn with_stdin(plane: &Plane, arguments: &[&str], text: &str) -> Ran {
    let mut command = plane.command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    Ran::of(&process.wait_with_output().unwrap())
}

#[test]
fn a_password_is_changed_by_two_lines_of_stdin() {
    let plane = Plane::start(World::default());
    for (text, code, said) in [
        ("the present one\nthe new one\n", 0, ""),
        ("the present one\r\nthe new one", 0, ""),
        ("another\nthe new one\n", 1, "the password is wrong"),
        ("the present one\n", 2, "stdin has but one line"),
    ] {
        let ran = with_stdin(&plane, &["password"], text);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
        assert!(!format!("{ran:?}").contains("present one"), "{ran:?}");
    }
}

#[test]
fn sessions_are_listed_and_ended() {
    let plane = Plane::start(World::default());
    let listed = plane.run(&["sessions", "ls"]);
    for part in [PERSON, "192.0.2.1", "Firefox"] {
        assert!(listed.stdout.contains(part), "{listed:?}");
    }
    let ended = plane.run(&["sessions", "revoke", PERSON]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(plane.run(&["sessions", "revoke", "x"]).code, Some(2));
}

#[test]
fn identities_are_listed_and_unlinked() {
    let plane = Plane::start(World::default());
    let listed = plane.run(&["identities", "ls"]);
    for part in [PERSON, "acme", "-"] {
        assert!(listed.stdout.contains(part), "{listed:?}");
    }
    let shown = plane.run(&["identities", "ls", "--json"]);
    assert!(shown.stdout.contains("\"subject\""), "{shown:?}");
    let ended = plane.run(&["identities", "unlink", PERSON]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(plane.run(&["identities", "unlink", "x"]).code, Some(2));
}

#[test]
fn an_administrator_makes_a_link_by_address() {
    let plane = Plane::start(World::default());
    let listed = plane.run(&["users", "ls"]);
    assert!(listed.stdout.contains("ann@example.org"), "{listed:?}");
    let made = plane.run(&["users", "reset-link", "ann@example.org"]);
    assert_eq!(made.stdout.trim(), "https://plane/reset#twlr_x", "{made:?}");
    let unknown = plane.run(&["users", "reset-link", "eve@example.org"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}

#[test]
fn an_administrator_changes_people() {
    let plane = Plane::start(World::default());
    for (arguments, state) in [
        (
            ["users", "role", "ann@example.org", "user"].as_slice(),
            "user",
        ),
        (
            &["users", "suspend", "ann@example.org", "--yes"],
            "suspended",
        ),
        (&["users", "resume", "ann@example.org"], "active"),
    ] {
        let changed = plane.run(arguments);
        assert!(changed.stdout.contains(state), "{changed:?}");
    }
    let wrong = plane.run(&["users", "role", "ann@example.org", "owner"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let off = plane.run(&["users", "remove-second-factor", "ann@example.org", "-y"]);
    assert_eq!(off.code, Some(0), "{off:?}");
    assert!(off.stderr.contains("password alone"), "{off:?}");
}

#[test]
fn an_administrator_sees_the_installation() {
    let plane = Plane::start(World::default());
    for (what, parts) in [
        ("teams", ["us", "ann@example.org", "Pro"]),
        ("agents", ["us", "web-1", "online"]),
        ("storage", ["main", "3.0 MiB", "512.0 MiB"]),
        ("configuration", ["data-dir", "log.level", "info"]),
    ] {
        let shown = plane.run(&["installation", what]);
        for part in parts {
            assert!(shown.stdout.contains(part), "{part}: {shown:?}");
        }
        let json = plane.run(&["installation", what, "--json"]);
        assert!(serde_json::from_str::<serde_json::Value>(&json.stdout).is_ok());
    }
}
