//! Two people and a team, with `towline` in a terminal.

use towline_tests::cli::Cli;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::story::{Installation, unique};

use crate::on_both;

on_both!(somebody_joins_looks_deploys_and_goes);

fn somebody_joins_looks_deploys_and_goes(story: &mut Installation) {
    let (ada, bob) = (story.cli(), Cli::new());
    let email = format!("{}@example.org", unique("bob"));
    let link = ada
        .run(&["members", "invite", &email, "--role", "viewer"])
        .ok();
    let link = link.trim();
    assert!(ada.run(&["members", "invitations"]).ok().contains(&email));
    bob.run(&["join", link, "--name", "Bob"]).ok();
    assert!(bob.run(&["whoami"]).ok().contains(&email));
    let again = Cli::new().run(&["join", link, "--name", "Eve"]);
    assert_eq!(again.code, Some(1), "{again:?}");

    let target = story.first_agent()["name"].as_str().unwrap().to_owned();
    let folder = ComposeFolder::of(&[Service::idle("web")]);
    let project = unique("shop");
    let path = folder.path().to_str().unwrap();
    let deploy = ["deploy", path, "--target", &target, "--project", &project];
    assert!(bob.run(&["agents", "ls"]).ok().contains("online"));
    let refused = bob.run(&deploy);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.errors.contains("developer"), "{refused:?}");

    ada.run(&["members", "role", &email, "developer"]).ok();
    bob.run(&deploy).ok();
    let refused = bob.run(&["agents", "token", "other"]);
    assert!(refused.errors.contains("admin"), "{refused:?}");
    bob.run(&["remove", &project, "--target", &target, "--yes"])
        .ok();
    story.engine.remove_project(&project);

    let leave = ada.run(&["members", "leave", "--yes"]);
    assert!(leave.errors.contains("members give"), "{leave:?}");
    ada.run(&["members", "give", &email, "--yes"]).ok();
    ada.run(&["members", "leave", "--yes"]).ok();
    assert_ne!(ada.run(&["whoami"]).code, Some(0));
    let left = bob.run(&["members", "ls", "--json"]).json();
    let left: Vec<_> = left.as_array().unwrap().iter().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["role"], "owner");
}
