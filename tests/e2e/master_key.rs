//! The master key is exchanged while people work, by a command that is killed again and again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::patience::wait_until;
use towline_tests::process::Process;
use towline_tests::scratch::Scratch;
use towline_tests::story::{Installation, Project};

use crate::{DEPLOY_LIMIT, on_both};

on_both!(the_master_key_is_exchanged_while_people_work);

/// Several batches, so that there is a middle to be killed in.
const SECRETS: usize = 190;
const ROTATE: [&str; 2] = ["admin", "rotate-master-key"];
const RUN_LIMIT: Duration = Duration::from_secs(30);

fn the_master_key_is_exchanged_while_people_work(story: &mut Installation) {
    let file = story.server.data_dir().join("master.key");
    let old = fs::read(&file).unwrap();
    let (project, name) = exchange_while_people_work(story);
    let shown = story.server.admin(&["rotate-master-key", "--dry-run"]);
    assert_eq!(shown.matches("is current").count(), 1, "{shown}");
    assert_eq!(shown.matches("is retiring").count(), 0, "{shown}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let keys = fs::read_to_string(&file).unwrap();
    assert_eq!(keys.split_whitespace().count(), 1);
    only_the_new_key_opens(story, &file, &old);
    let path = format!("/projects/{project}/deployments");
    let asked = story.api.post(&path, &json!({ "target": story.target() }));
    let path = format!("/deployments/{}", asked.ok()["id"].as_str().unwrap());
    wait_until("a deployment has succeeded", DEPLOY_LIMIT, || {
        let shown = story.api.get(&path).ok();
        (shown["status"] == "succeeded").then_some(())
    });
    story.engine.remove_project(&name);
    story.server.stop();
    story.server.admin(&["verify-audit"]);
}

fn exchange_while_people_work(story: &Installation) -> (String, String) {
    let service = Service::idle("web").line("environment: {PASSWORD: \"${KEY_0}\"}");
    let project = story.project("vault", &ComposeFolder::of(&[service]));
    for round in 0..2 {
        for number in 0..SECRETS {
            set(story, &project, number, &format!("value-{round}-{number}"));
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let puts = scope.spawn(|| {
            let mut puts = 0;
            while !stop.load(Ordering::Relaxed) {
                let value = format!("under-load-{puts}");
                set(story, &project, 1 + puts % (SECRETS - 1), &value);
                puts += 1;
            }
            puts
        });
        project.deploy().wait("succeeded", DEPLOY_LIMIT);
        // From before its first word to after its last, on any machine.
        for milliseconds in [5, 25, 45, 65, 85, 110, 140, 180, 250, 400] {
            killed_after(story, Duration::from_millis(milliseconds));
            assert_eq!(story.api.get("/me").status, 200);
        }
        killed_in_the_middle(story);
        project.deploy().wait("succeeded", DEPLOY_LIMIT);
        let said = story.server.admin(&ROTATE[1..]);
        assert!(said.contains("the present key alone"), "{said}");
        project.deploy().wait("succeeded", DEPLOY_LIMIT);
        stop.store(true, Ordering::Relaxed);
        assert!(puts.join().unwrap() > 0);
    });
    project.leave()
}

fn set(story: &Installation, project: &Project<'_>, number: usize, value: &str) {
    let path = format!("/projects/{}/secrets/KEY_{number}", project.id);
    story.api.put(&path, &json!({ "value": value })).ok();
}

/// `kill -9` at a time that falls anywhere.
fn killed_after(story: &Installation, time: Duration) {
    let folder = Scratch::new("rotate");
    let mut run = start(story, &folder);
    thread::sleep(time);
    run.kill();
}

/// `kill -9` when some values are under the new key and others are not.
fn killed_in_the_middle(story: &Installation) {
    for _ in 0..20 {
        let folder = Scratch::new("rotate");
        let mut run = start(story, &folder);
        wait_until(
            "it puts secrets under the new key, or ends",
            RUN_LIMIT,
            || {
                let is_there = run.log().contains("secrets.value_encrypted:");
                (is_there || run.ended().is_some()).then_some(())
            },
        );
        run.kill();
        let shown = story.server.admin(&["rotate-master-key", "--dry-run"]);
        let versions = shown
            .lines()
            .filter(|line| line.contains("secret_versions.value_encrypted: "))
            .count();
        if shown.contains("is retiring") && versions > 0 {
            return;
        }
    }
    panic!("it was never in the middle");
}

fn start(story: &Installation, folder: &Scratch) -> Process {
    let command = story.server.command_of(&ROTATE);
    Process::start("rotate-master-key", command, &folder.join("log"))
}

fn only_the_new_key_opens(story: &mut Installation, file: &std::path::Path, old: &[u8]) {
    story.server.stop();
    let new = fs::read(file).unwrap();
    fs::write(file, old).unwrap();
    let refused = story.server.command("serve").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(
        said.contains("not the one this database was made with"),
        "{said}"
    );
    fs::write(file, new).unwrap();
    story.server.start_again();
    story.wait_online(1);
}
