//! A control plane is put back to a backup, and the hosts go on from where they really are.

use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use towline_tests::compose::{ComposeFolder, Service, starts};
use towline_tests::disk::Disk;
use towline_tests::patience::wait_until;
use towline_tests::process::Process;
use towline_tests::scratch::Scratch;
use towline_tests::story::Installation;

use crate::{DEPLOY_LIMIT, on_both};

on_both!(a_backup_brings_back_what_was_and_starts_nothing_twice);

fn a_backup_brings_back_what_was_and_starts_nothing_twice(story: &mut Installation) {
    let folder = Scratch::new("backups");
    let file = folder.join("before").display().to_string();
    let project = story.project("count", &ComposeFolder::of(&[Service::counting("count")]));
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
    let (known, name) = project.leave();
    let made: Value =
        serde_json::from_str(&story.server.admin(&["backup", &file, "--json"])).unwrap();
    let verified = story.server.admin(&["verify-backup", &file, "--json"]);
    let verified: Value = serde_json::from_str(&verified).unwrap();
    for field in ["id", "bytes", "sha256", "rows"] {
        assert_eq!(made[field], verified[field], "{field}");
    }
    a_full_disk_leaves_no_backup(story, &folder);

    let (later, under_way) = work_on(story, &known);
    let refused = restore(story, &file, &["--replace"]);
    assert!(said(&refused).contains("towline-server"), "{refused:?}");
    story.server.kill();
    let refused = restore(story, &file, &[]);
    assert!(said(&refused).contains("--replace"), "{refused:?}");
    killed_restores(story, &file, &folder);
    let restored = restore(story, &file, &["--replace", "--json"]);
    assert!(restored.status.success(), "{}", said(&restored));
    story.server.start_again();
    story.wait_online(1);

    let projects = story.api.get("/projects").ok();
    assert_eq!(projects["items"].as_array().unwrap().len(), 1, "{projects}");
    let deployments = story.api.get("/deployments").ok();
    let deployments = deployments["items"].as_array().unwrap();
    assert_eq!(deployments.len(), 1, "{deployments:?}");
    assert_eq!(deployments[0]["status"], "succeeded");
    story
        .api
        .get(&format!("/deployments/{under_way}"))
        .problem(404);
    let sql = "SELECT CAST(fence_incarnation AS TEXT) FROM deployment_targets";
    assert_eq!(story.server.rows(sql), ["2"]);

    let asked = story.api.post(
        &format!("/projects/{known}/deployments"),
        &json!({ "target": story.target() }),
    );
    let path = format!("/deployments/{}", asked.ok()["id"].as_str().unwrap());
    wait_until("a deployment has succeeded", DEPLOY_LIMIT, || {
        let shown = story.api.get(&path).ok();
        (shown["status"] == "succeeded").then_some(())
    });
    assert_eq!(starts(&story.engine, &name), 1, "nothing started twice");
    assert_eq!(story.engine.creations(&name), 1);
    assert_eq!(
        story.engine.containers(&later).len(),
        1,
        "what nobody knows is left alone"
    );
    story.engine.remove_project(&name);
    story.engine.remove_project(&later);
    story.server.stop();
    story.server.admin(&["verify-audit"]);
}

/// What the backup knows nothing of: another project, and a deployment that has not ended.
fn work_on(story: &Installation, known: &str) -> (String, String) {
    let later = story.project("later", &ComposeFolder::of(&[Service::idle("web")]));
    later.deploy().wait("succeeded", DEPLOY_LIMIT);
    let body = json!({ "target": story.target(), "settle_ms": 20_000 });
    let path = format!("/projects/{known}/deployments");
    let asked = story.api.post(&path, &body).ok();
    let id = asked["id"].as_str().unwrap().to_owned();
    later.deployment(&asked).wait("running", DEPLOY_LIMIT);
    (later.leave().1, id)
}

fn restore(story: &Installation, file: &str, more: &[&str]) -> Output {
    let words = [&["admin", "restore", file][..], more].concat();
    story.server.command_of(&words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `kill -9` at times that fall anywhere: what there is then is whole, and of before or after.
fn killed_restores(story: &Installation, file: &str, folder: &Scratch) {
    for milliseconds in [10, 40, 80, 130, 200, 300] {
        let words = ["admin", "restore", file, "--replace"];
        let command = story.server.command_of(&words);
        let log = folder.join(&format!("restore-{milliseconds}.log"));
        let mut run = Process::start("restore", command, &log);
        thread::sleep(Duration::from_millis(milliseconds));
        run.kill();
        story.server.admin(&["verify-audit"]);
        let sql = "SELECT CAST(COUNT(*) AS TEXT) FROM users";
        assert_eq!(story.server.rows(sql), ["1"]);
        let projects = story
            .server
            .rows("SELECT CAST(COUNT(*) AS TEXT) FROM projects");
        assert!(["1", "2"].contains(&projects[0].as_str()), "{projects:?}");
    }
}

fn a_full_disk_leaves_no_backup(story: &Installation, folder: &Scratch) {
    let disk = Disk::mount(folder.join("small"), 1 << 20);
    disk.fill();
    let file = disk.path().join("backup").display().to_string();
    let full = story.server.command_of(&["admin", "backup", &file]);
    let full = { full }.output().unwrap();
    assert!(!full.status.success());
    assert!(said(&full).contains("No space left"), "{}", said(&full));
    assert_eq!(names(disk.path()), ["ballast"]);
    disk.clear();
    story.server.admin(&["backup", &file]);
    assert_eq!(names(disk.path()), ["backup"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
