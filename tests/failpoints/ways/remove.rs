//! Taking projects away.

use towline_tests::engine::{BUSYBOX, Engine};

use super::projects;
use crate::cases::Case;
use crate::order::Order;
use crate::rest;
use crate::stage::{Company, Project, Stage};

/// Compose's label of what belongs to a project.
const PROJECT: &str = "com.docker.compose.project";
/// Towline's.
const OWNER: &str = "io.towline.project";

/// A removal that keeps the volumes.
pub fn walk(stage: &mut Stage<'_>, case: &Case) {
    let project = deployed(stage);
    remove(stage, case, &project, "keep");
    let engine = &stage.story.engine;
    assert_eq!(
        engine.resources("volume", &project.name).len(),
        1,
        "the volume stays"
    );
    engine.remove_project(&project.name);
}

/// A removal of everything, also of what compose does not take for its own.
pub fn sweep(stage: &mut Stage<'_>, case: &Case) {
    let project = deployed(stage);
    leave_behind(&stage.story.engine, &project);
    remove(stage, case, &project, "delete");
    let volumes = stage.story.engine.resources("volume", &project.name);
    assert!(volumes.is_empty(), "{volumes:?}");
}

fn deployed(stage: &Stage<'_>) -> Project {
    let (files, expected) = projects::two_services();
    let project = stage.project(&files);
    let mut order = Order::deployment(&project.id, stage.story.agent.name());
    order.place(&stage.story.api);
    rest::deployed(stage, &order, &project, &expected);
    project
}

fn remove(stage: &mut Stage<'_>, case: &Case, project: &Project, volumes: &str) {
    let mut order = Order::removal(&project.id, stage.story.agent.name(), volumes);
    stage.arm(case, Company::Both);
    stage.until_death(|stage| order.place(&stage.story.api));
    stage.recover();
    order.place_again(&stage.story.api);
    order.wait(&stage.story.api, "succeeded");
    let engine = &stage.story.engine;
    let left = engine.containers(&project.name);
    assert!(left.is_empty(), "{left:?}");
    let left = engine.resources("network", &project.name);
    assert!(left.is_empty(), "{left:?}");
    let files = stage
        .story
        .agent
        .state_dir()
        .join("projects")
        .join(&project.name);
    assert!(
        !files.join("files/docker-compose.yml").exists(),
        "the files stay"
    );
}

/// A container of `docker compose run`, a network and a volume that no compose file speaks of.
fn leave_behind(engine: &Engine, project: &Project) {
    let name = compose_name(engine, project);
    let labels = [
        format!("--label={PROJECT}={name}"),
        format!("--label={OWNER}={}", project.id),
    ];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let extra = format!("{name}-extra");
    for kind in ["network", "volume"] {
        engine.run_docker(&[&[kind, "create"], &labels[..], &[extra.as_str()]].concat());
    }
    // Compose does not see this one, and so cannot take the volume that it holds.
    let one_off = "--label=com.docker.compose.oneoff=True";
    let holds = format!("--volume={extra}:/extra");
    engine.run_docker(
        &[
            &["create"],
            &labels[..],
            &[one_off, &holds, BUSYBOX, "true"],
        ]
        .concat(),
    );
}

fn compose_name(engine: &Engine, project: &Project) -> String {
    let containers = engine.containers(&project.name);
    let labels = containers[0]["Labels"].as_str().expect("labels").to_owned();
    let name = labels
        .split(',')
        .find_map(|label| label.strip_prefix(&format!("{PROJECT}=")));
    name.expect("the compose project's label").to_owned()
}
