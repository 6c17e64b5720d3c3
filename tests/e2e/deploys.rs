//! A deploy brings a project to the state its files describe, and touches nothing else.

use serde_json::json;
use towline_tests::compose::{ComposeFolder, Service, starts};
use towline_tests::ports::published_port;
use towline_tests::story::Installation;

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    a_page_is_served_and_its_log_is_told,
    a_changed_image_replaces_what_changed_and_nothing_else,
    an_unchanged_project_is_left_alone,
    a_removed_project_is_gone_and_its_volumes_stay_unless_asked,
    a_secret_reaches_the_service_and_no_log,
    the_same_idempotency_key_deploys_once,
    a_task_that_ends_well_counts_as_done,
    a_failed_deploy_is_retried_as_a_new_attempt_of_the_same_release,
);

fn a_page_is_served_and_its_log_is_told(story: &mut Installation) {
    let port = published_port();
    let project = story.project(
        "page",
        &ComposeFolder::of(&[Service::page("web", port, "hello from towline")]),
    );
    let deployment = project.deploy();
    let shown = deployment.wait("succeeded", DEPLOY_LIMIT);
    assert_eq!(
        story.engine.fetch(port).as_deref(),
        Some("hello from towline")
    );
    assert_eq!(shown["kind"], "deploy");
    assert_eq!(shown["images"][0]["service"], "web");
    let log = deployment.log();
    assert!(
        log.iter().any(|line| line == "started"),
        "the container's first line is missing: {log:#?}"
    );
}

fn a_changed_image_replaces_what_changed_and_nothing_else(story: &mut Installation) {
    let second = story
        .engine
        .image("towline-test/second:1", &[r#"CMD ["sh"]"#]);
    let before = [Service::counting("kept"), Service::idle("changed")];
    let project = story.project("images", &ComposeFolder::of(&before));
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
    let kept = container_of(&project.containers(), "kept");
    let changed = container_of(&project.containers(), "changed");
    let after = [
        Service::counting("kept"),
        Service::idle("changed").image(&second),
    ];
    project.upload(&ComposeFolder::of(&after)).ok();
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
    assert_eq!(container_of(&project.containers(), "kept"), kept);
    assert_ne!(container_of(&project.containers(), "changed"), changed);
}

fn container_of(containers: &[serde_json::Value], service: &str) -> String {
    let label = format!("com.docker.compose.service={service}");
    containers
        .iter()
        .find(|container| {
            container["Labels"]
                .as_str()
                .is_some_and(|labels| labels.contains(&label))
        })
        .and_then(|container| container["ID"].as_str())
        .unwrap_or_else(|| panic!("no container of {service}"))
        .to_owned()
}

fn an_unchanged_project_is_left_alone(story: &mut Installation) {
    let project = story.project("same", &ComposeFolder::of(&[Service::counting("count")]));
    for _ in 0..3 {
        project.deploy().wait("succeeded", DEPLOY_LIMIT);
    }
    assert_eq!(starts(&story.engine, &project.name), 1);
    assert_eq!(story.engine.creations(&project.name), 1);
}

fn a_removed_project_is_gone_and_its_volumes_stay_unless_asked(story: &mut Installation) {
    let project = story.project("gone", &ComposeFolder::of(&[Service::counting("count")]));
    let remove = |volumes: &str| {
        let body = json!({ "target": story.target(), "volumes": volumes });
        let asked = story
            .api
            .post(&format!("/projects/{}/removals", project.id), &body)
            .ok();
        let shown = project.deployment(&asked).wait("succeeded", DEPLOY_LIMIT);
        assert_eq!(shown["kind"], "remove");
        assert!(project.containers().is_empty(), "containers are left");
    };
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
    remove("keep");
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
    assert_eq!(
        starts(&story.engine, &project.name),
        2,
        "the volume was kept"
    );
    remove("delete");
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
    assert_eq!(
        starts(&story.engine, &project.name),
        1,
        "the volume was deleted"
    );
}

fn a_secret_reaches_the_service_and_no_log(story: &mut Installation) {
    let service = Service::script("talk", "echo password is $PASSWORD; exec sleep 1000000")
        .line("environment: {PASSWORD: \"${PASSWORD}\"}");
    let project = story.project("secret", &ComposeFolder::of(&[service]));
    let secret = "correct-horse-battery";
    let put = story.api.put(
        &format!("/projects/{}/secrets/PASSWORD", project.id),
        &json!({ "value": secret }),
    );
    put.ok();
    let deployment = project.deploy();
    deployment.wait("succeeded", DEPLOY_LIMIT);
    let id = container_of(&project.containers(), "talk");
    let inside = story
        .engine
        .run_docker(&["exec", &id, "sh", "-c", "echo $PASSWORD"]);
    assert_eq!(inside, secret);
    let log = deployment.log();
    assert!(
        log.iter().any(|line| line.starts_with("password is ")),
        "{log:#?}"
    );
    assert!(
        !log.iter().any(|line| line.contains(secret)),
        "the secret stands in the log: {log:#?}"
    );
    let listed = story
        .api
        .get(&format!("/projects/{}/secrets", project.id))
        .ok();
    assert!(
        !listed.to_string().contains(secret),
        "the API tells the secret"
    );
}

fn the_same_idempotency_key_deploys_once(story: &mut Installation) {
    let project = story.project("once", &ComposeFolder::of(&[Service::counting("count")]));
    let post = |body: &serde_json::Value| {
        let path = format!("/projects/{}/deployments", project.id);
        let request = story.api.request(reqwest::Method::POST, &path).json(body);
        story
            .api
            .send(request.header("Idempotency-Key", "the-very-same"))
    };
    let body = json!({ "target": story.target() });
    let first = post(&body).ok();
    let second = post(&body).ok();
    assert_eq!(first["id"], second["id"]);
    post(&json!({ "target": story.target(), "settle_ms": 900 })).problem(409);
    project.deployment(&first).wait("succeeded", DEPLOY_LIMIT);
    assert_eq!(starts(&story.engine, &project.name), 1);
}

fn a_task_that_ends_well_counts_as_done(story: &mut Installation) {
    let migrate = Service::script("migrate", "echo migrated").line("restart: \"no\"");
    let web = Service::idle("web")
        .line("depends_on: {migrate: {condition: service_completed_successfully}}");
    let project = story.project("task", &ComposeFolder::of(&[migrate, web]));
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
}

fn a_failed_deploy_is_retried_as_a_new_attempt_of_the_same_release(story: &mut Installation) {
    let image = "towline-test/later:1";
    let project = story.project(
        "retry",
        &ComposeFolder::of(&[Service::idle("web").image(image)]),
    );
    let failed = project.deploy().wait("failed", DEPLOY_LIMIT);
    story.engine.image(image, &[r#"CMD ["sh"]"#]);
    let path = format!("/deployments/{}/retry", failed["id"].as_str().unwrap());
    let again = story.api.post(&path, &json!({})).ok();
    let shown = project.deployment(&again).wait("succeeded", DEPLOY_LIMIT);
    assert_eq!(shown["release_id"], failed["release_id"]);
}
