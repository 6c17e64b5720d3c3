//! A project from a repository that is read over ssh: by a key that Towline makes, from a server that it knows again.

use serde_json::Value;
use towline_tests::cli::Cli;
use towline_tests::engine::EngineKind;
use towline_tests::git_server::GitServer;
use towline_tests::ports::published_port;
use towline_tests::server::DatabaseKind;
use towline_tests::ssh_server::SshServer;
use towline_tests::story::unique;

use crate::sources::{Removed, compose, dockerfile, installation, nothing_of_it_stays, pushed};

/// What only the private half of a key has.
const PRIVATE: &str = "OPENSSH PRIVATE KEY";

#[test]
fn a_commit_is_read_by_a_deploy_key_from_a_server_that_is_known() {
    let story = installation(DatabaseKind::Sqlite, EngineKind::New);
    let (server, mut ssh) = (GitServer::start(), SshServer::start());
    let (repository, port) = (server.repository("shop"), published_port());
    let files = [
        ("compose.yaml", compose(port)),
        ("Dockerfile", dockerfile("first")),
        ("page", "a page ".to_owned()),
        ("motd", "good morning".to_owned()),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    repository.commit("Open the shop", &files);
    let (url, cli, project) = (ssh.url(repository.folder()), story.cli(), unique("shop"));
    cli.run(&["projects", "create", &project]).ok();

    // The forge must be told the key first.
    let set = ["source", "set", &project, &url];
    let refused = cli.run(&set);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let key = cli
        .run(&["source", "key", "show", &project, "--json"])
        .json();
    let public = key["public_key"].as_str().unwrap();
    assert!(refused.errors.contains(public), "{refused:?}");
    assert!(refused.errors.contains("read-only"), "{refused:?}");
    let absent = ssh.url(&repository.folder().join("absent"));
    let project_key = |shown: &Value| shown["public_key"].as_str().unwrap().to_owned();
    ssh.let_in(public);
    let set = cli.run(&set).ok();
    assert!(
        set.contains("Open the shop") && set.contains("a deploy key"),
        "{set}"
    );
    let shown = cli.run(&["source", "show", &project]).ok();
    let fingerprint = key["host_keys"][0]["fingerprint"].as_str().unwrap();
    assert!(
        shown.contains(public) && shown.contains(fingerprint),
        "{shown}"
    );
    cli.run(&["generate", &project]).ok();

    let target = story.first_agent()["name"].as_str().unwrap().to_owned();
    let deploy = ["deploy", "--project", &project, "--target", &target];
    let ran = cli.run(&deploy);
    let _gone = Removed(&story, &project);
    let log = ran.ok();
    assert!(log.contains("fetching ssh://"), "{log}");
    assert_eq!(story.engine.fetch(port).as_deref(), Some("a page first"));
    nothing_of_it_stays(&story, PRIVATE);

    // Another server in its place is not spoken to until somebody says that it is the right one.
    let fingerprint = ssh.change_host_key();
    let refused = cli.run(&deploy);
    assert!(refused.errors.contains("another host key"), "{refused:?}");
    let accept = ["source", "host-key", "accept", &project, "--fingerprint"];
    let wrong = cli.run(&[&accept[..], &["SHA256:x"]].concat());
    assert!(
        wrong.errors.contains("no key with this fingerprint"),
        "{wrong:?}"
    );
    let accepted = cli.run(&[&accept[..], &[&fingerprint]].concat()).ok();
    assert!(accepted.contains(&fingerprint), "{accepted}");
    let second = dockerfile("second");
    let second = repository.commit("Refurbish", &[("Dockerfile", &second)]);
    pushed(&story, &project, &target, &second);
    assert_eq!(story.engine.fetch(port).as_deref(), Some("a page second"));

    // A new key counts at once, and the former no longer.
    let renewed = cli.run(&["source", "key", "rotate", &project, "--yes", "--json"]);
    let renewed = project_key(&renewed.json());
    assert_ne!(renewed, public);
    let refused = cli.run(&deploy);
    assert!(refused.errors.contains(&renewed), "{refused:?}");
    ssh.let_in(&renewed);
    // What is not there has a key of its own, and the project's stays what it is.
    let refused = cli.run(&["source", "set", &project, &absent]);
    assert!(refused.errors.contains("not there"), "{refused:?}");
    cli.run(&["source", "set", &project, &url]).ok();
    forgotten(&cli, &project);
    nothing_of_it_stays(&story, PRIVATE);
}

fn forgotten(cli: &Cli, project: &str) {
    let audit = cli.run(&["audit", "ls", "--limit", "100", "--json"]);
    let audit = audit.ok();
    for action in ["make_deploy_key", "renew_deploy_key", "accept_host_keys"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
    assert!(!audit.contains(PRIVATE), "{audit}");
    cli.run(&["source", "forget", project, "--yes"]).ok();
    let gone = cli.run(&["source", "key", "show", project]);
    assert!(gone.errors.contains("no deploy key"), "{gone:?}");
}
