//! What ran once runs again: rollbacks and what is known of releases.

use serde_json::{Value, json};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::story::{Installation, Project, unique};

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    a_rollback_brings_the_very_image_back_after_its_tag_has_moved,
    a_release_that_does_not_come_up_gives_way_to_the_one_before,
);

/// The image that the service's container is made of.
fn runs(story: &Installation, project: &str, service: &str) -> String {
    let label = format!("com.docker.compose.service={service}");
    let containers = story.engine.containers(project);
    let is_of_service = |container: &&Value| {
        let labels = container["Labels"].as_str().unwrap_or_default();
        labels.split(',').any(|has| has == label)
    };
    let container = containers.iter().find(is_of_service);
    let id = container.expect("it has a container")["ID"].as_str();
    story
        .engine
        .run_docker(&["inspect", "--format", "{{.Image}}", id.unwrap()])
}

/// What a deploy would change: the secret's value, which nobody is shown.
fn looks_at_a_changed_secret(story: &Installation, project: &Project<'_>) {
    let look = [
        "deploy",
        "--project",
        &project.name,
        "--target",
        story.agent.name(),
        "--preview",
    ];
    let shown = story.cli().run(&look).ok();
    for words in [
        "~ web changes",
        "a value that is not shown",
        "kept stays as it is",
        "1 service to change; nothing was changed.",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("-password"), "{shown}");
}

/// Deploys without waiting longer than it takes.
fn deployed(project: &Project<'_>, target: &str) -> Value {
    let body = json!({ "target": target, "settle_ms": 300 });
    let asked = project.request_deployment(&body).ok();
    project.deployment(&asked).wait("succeeded", DEPLOY_LIMIT)
}

fn image_of(deployment: &Value, service: &str) -> String {
    let mut images = deployment["images"].as_array().unwrap().iter();
    let image = images.find(|image| image["service"] == service);
    image.unwrap()["id"].as_str().unwrap().to_owned()
}

fn a_rollback_brings_the_very_image_back_after_its_tag_has_moved(story: &mut Installation) {
    let ada = story.cli();
    let latest = format!("towline-test/{}:latest", unique("moving"));
    let services = [
        Service::idle("web")
            .image(&latest)
            .line("environment: {PASSWORD: \"${PASSWORD}\"}"),
        Service::counting("kept"),
    ];
    let project = story.project("back", &ComposeFolder::of(&services));
    let secret = |value: &str| {
        let path = format!("/projects/{}/secrets/PASSWORD", project.id);
        story.api.put(&path, &json!({ "value": value })).ok();
    };
    secret("former-password");
    story.engine.image(&latest, &["ENV VERSION=1"]);
    let first = deployed(&project, story.agent.name());
    story.engine.image(&latest, &["ENV VERSION=2"]);
    let second = deployed(&project, story.agent.name());
    let (old, new) = (image_of(&first, "web"), image_of(&second, "web"));
    assert_ne!(old, new, "the tag has moved");
    assert_eq!(first["release_id"], second["release_id"]);
    assert_eq!(runs(story, &project.name, "web"), new);
    secret("present-password");
    let kept = story.engine.creations(&project.name);

    looks_at_a_changed_secret(story, &project);
    assert_eq!(story.engine.creations(&project.name), kept);

    // By the command line, to the release before this one.
    let ran = ada.run(&["rollback", &project.name, "--json"]);
    let back = ran.json();
    assert_eq!(back["status"], "succeeded", "{back}");
    assert_eq!(back["rollback_of"], first["id"]);
    assert_eq!(runs(story, &project.name, "web"), old);
    assert_eq!(image_of(&back, "web"), old);
    let named = ["image", "inspect", "--format", "{{.Id}}", &latest];
    assert_eq!(
        story.engine.run_docker(&named),
        new,
        "the tag stays where it is"
    );
    let made = story.engine.creations(&project.name);
    assert_eq!(made, kept + 1, "what is the same is left alone");

    let deployment = project.deployment(&back);
    let log = deployment.log();
    let has = |part: &str| log.iter().any(|line| line.contains(part));
    let head = format!("rollback to deployment {}", first["id"].as_str().unwrap());
    for part in [
        head.as_str(),
        "the secret PASSWORD has changed since: it ran with version 1 and gets version 2",
        "the named volume kept-count keeps what is in it",
        "today that names another",
    ] {
        assert!(has(part), "{part:?} in {log:#?}");
    }
    assert!(!has("password"), "{log:#?}");

    // Further back there is nothing; forth again it goes by name.
    let path = format!("/projects/{}/rollback", project.id);
    let nothing = story.api.post(&path, &json!({})).problem(409);
    assert!(
        nothing["detail"].as_str().unwrap().contains("no release"),
        "{nothing}"
    );
    let forth = story
        .api
        .post(&path, &json!({ "to": second["id"], "settle_ms": 300 }))
        .ok();
    assert_eq!(forth["warnings"].as_array().unwrap().len(), 2, "{forth}");
    project.deployment(&forth).wait("succeeded", DEPLOY_LIMIT);
    assert_eq!(runs(story, &project.name, "web"), new);

    let (from, to) = (
        first["id"].as_str().unwrap(),
        second["id"].as_str().unwrap(),
    );
    let told = ada.run(&["releases", "diff", &project.name, from, to]).ok();
    assert!(
        told.contains(&format!("image of web: {latest} (")),
        "{told}"
    );
    assert!(!told.contains("image of kept"), "{told}");
    let listed = ada.run(&["releases", "ls", &project.name, "--json"]).json();
    assert_eq!(
        listed.as_array().unwrap().len(),
        1,
        "equal files are one release"
    );
    assert_eq!(
        (&listed[0]["id"], &listed[0]["deployments"]),
        (&first["release_id"], &json!(4))
    );
}

fn a_release_that_does_not_come_up_gives_way_to_the_one_before(story: &mut Installation) {
    let ada = story.cli();
    let target = story.agent.name().to_owned();
    let good = ComposeFolder::of(&[Service::idle("web"), Service::counting("kept")]);
    let project = story.project("way", &good);
    let first = deployed(&project, story.agent.name());
    let kept = story.engine.creations(&project.name);
    let bad = Service::script("web", "echo broken; exit 7");
    let bad = ComposeFolder::of(&[bad, Service::counting("kept")]);
    let path = bad.path().to_str().unwrap().to_owned();
    let (name, way_back) = (project.name.clone(), "--roll-back-on-failure");
    let arguments = [
        "deploy",
        &path,
        "--project",
        &name,
        "--target",
        &target,
        way_back,
        "--json",
    ];
    let ended = ada.run(&arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let failed: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(
        (&failed["reason"], &failed["on_failure"]),
        (&json!("crash_loop"), &json!("roll_back"))
    );
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("ended with exit code 7"), "{message}");
    assert!(message.contains("what ran before runs again"), "{message}");
    let log = project.deployment(&failed).log();
    for part in ["broken", "bringing back what ran before", "started"] {
        assert!(
            log.iter().any(|line| line.contains(part)),
            "{part:?} in {log:#?}"
        );
    }
    assert_eq!(runs(story, &project.name, "web"), image_of(&first, "web"));
    let running = story.engine.containers(&project.name);
    assert!(
        running
            .iter()
            .all(|container| container["State"] == "running"),
        "{running:#?}"
    );
    let made = story.engine.creations(&project.name);
    assert_eq!(made, kept + 2, "the other service was never touched");
}
