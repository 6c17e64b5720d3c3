//! What one is told of, and over which channels.

use crate::account::with_stdin;
use crate::plane::{Plane, World};

#[test]
fn notifications_are_listed_and_read() {
    let plane = Plane::start(World::default());
    let listed = plane.run(&["notifications", "ls", "--unread"]);
    for part in ["shop: deployment to web-1 has failed", "first", "no"] {
        assert!(listed.stdout.contains(part), "{part} in {listed:?}");
    }
    let read = plane.run(&["notifications", "read"]);
    assert_eq!(read.stdout.trim(), "Marked 3 as read.", "{read:?}");
}

#[test]
fn a_channels_secret_comes_from_stdin_and_is_not_shown() {
    let plane = Plane::start(World::default());
    for (arguments, said) in [
        (["slack", "ops"].as_slice(), "Made the channel ops"),
        (&["webhook", "ops"], "whsec_x"),
        (
            &["telegram", "ops", "--chat", "-42"],
            "Made the channel ops",
        ),
        (
            &["ntfy", "ops", "--topic", "deploys"],
            "Made the channel ops",
        ),
    ] {
        let arguments = [&["channels", "add"], arguments].concat();
        let made = with_stdin(&plane, &arguments, "https://hunter2\n");
        assert_eq!(made.code, Some(0), "{made:?}");
        assert!(made.stdout.contains(said), "{made:?}");
        assert!(!format!("{made:?}").contains("hunter2"), "{made:?}");
    }
    let argument = plane.run(&["channels", "add", "slack", "ops", "https://hunter2"]);
    assert_eq!(argument.code, Some(2), "a secret is no argument");
}

#[test]
fn channels_say_what_is_wrong_and_are_switched_on_again() {
    let plane = Plane::start(World::default());
    let listed = plane.run(&["channels", "ls"]);
    for part in ["ops", "slack", "broken", "the receiver answered 404"] {
        assert!(listed.stdout.contains(part), "{part} in {listed:?}");
    }
    let tested = plane.run(&["channels", "test", "ops"]);
    assert_eq!(tested.code, Some(1), "{tested:?}");
    assert!(
        tested
            .stdout
            .contains("ops has taken no message: the receiver answered 404")
    );
    let on = plane.run(&["channels", "enable", "ops"]);
    assert_eq!(on.stdout.trim(), "ops is enabled.", "{on:?}");
    let absent = plane.run(&["channels", "test", "nothing"]);
    assert_eq!(absent.code, Some(1), "{absent:?}");
    assert!(absent.stderr.contains("towline channels ls"), "{absent:?}");
}

#[test]
fn a_rule_keeps_what_is_not_said() {
    let plane = Plane::start(World::default());
    let arguments = [
        "notifications",
        "rule",
        "deployment.failed",
        "--channel",
        "ops=own",
    ];
    let chosen = plane.run(&arguments);
    assert_eq!(chosen.code, Some(0), "{chosen:?}");
    assert!(chosen.stdout.contains("ops=own"), "{chosen:?}");
    let unknown = plane.run(&["notifications", "rule", "x.y", "--in-product", "all"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(
        unknown.stderr.contains("notifications rules"),
        "{unknown:?}"
    );
}
