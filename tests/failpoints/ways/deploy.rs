//! Deploys and builds.

use towline_tests::engine::wait_for_container;
use towline_tests::git_server::GitServer;
use towline_tests::story::unique;

use super::projects;
use crate::cases::{Case, Way};
use crate::order::Order;
use crate::rest;
use crate::stage::{Company, Stage};

/// From the order to its end, with one death on the way.
pub fn walk(stage: &mut Stage<'_>, case: &Case) {
    let (files, expected) = match case.way {
        Way::Build => projects::built(&unique("page")),
        Way::Large => projects::large(),
        _ => projects::two_services(),
    };
    let project = stage.project(&files);
    let mut order = Order::deployment(&project.id, stage.story.agent.name());
    stage.arm(case, Company::Both);
    stage.until_death(|stage| order.place(&stage.story.api));
    stage.recover();
    order.place_again(&stage.story.api);
    rest::deployed(stage, &order, &project, &expected);
    stage.story.engine.remove_project(&project.name);
}

/// The same of a project that comes from a repository.
pub fn commit(stage: &mut Stage<'_>, case: &Case) {
    let (files, expected) = projects::two_services();
    let server = GitServer::start();
    let repository = server.repository("point");
    repository.commit_folder("Begin", files.path());
    let project = stage.project_from(&repository);
    let mut order = Order::deployment(&project.id, stage.story.agent.name());
    stage.arm(case, Company::Both);
    stage.until_death(|stage| order.place(&stage.story.api));
    stage.recover();
    order.place_again(&stage.story.api);
    rest::deployed(stage, &order, &project, &expected);
    stage.story.engine.remove_project(&project.name);
}

/// The deploy finds a service that is unhealthy, and brings what it lacks.
pub fn repair(stage: &mut Stage<'_>, case: &Case) {
    let (first, second, expected) = projects::lacking();
    let project = stage.project(&first);
    let target = stage.story.agent.name().to_owned();
    let mut lacking = Order::deployment(&project.id, &target);
    lacking.place(&stage.story.api);
    lacking.wait(&stage.story.api, "failed");
    stage.replace_files(&project, &second);
    let mut order = Order::deployment(&project.id, &target);
    stage.arm(case, Company::Both);
    stage.until_death(|stage| order.place(&stage.story.api));
    stage.recover();
    order.place_again(&stage.story.api);
    rest::deployed(stage, &order, &project, &expected);
    stage.story.engine.remove_project(&project.name);
}

/// The new container is made beside the old one, which serves until then and is gone in the end.
pub fn hand_over(stage: &mut Stage<'_>, case: &Case) {
    let (first, second, expected) = projects::handing();
    let project = stage.project(&first);
    let target = stage.story.agent.name().to_owned();
    let mut serving = Order::deployment(&project.id, &target);
    serving.place(&stage.story.api);
    serving.wait(&stage.story.api, "succeeded");
    stage.replace_files(&project, &second);
    let mut order = Order::deployment(&project.id, &target);
    stage.arm(case, Company::Both);
    stage.until_death(|stage| order.place(&stage.story.api));
    stage.recover();
    order.place_again(&stage.story.api);
    rest::deployed(stage, &order, &project, &expected);
    stage.story.engine.remove_project(&project.name);
}

/// The process dies once in the middle, and once more at the point on the way back.
pub fn again(stage: &mut Stage<'_>, case: &Case) {
    stage.reconnect();
    let (files, expected) = projects::slow();
    let project = stage.project(&files);
    let mut order = Order::deployment(&project.id, stage.story.agent.name());
    order.place(&stage.story.api);
    order.wait(&stage.story.api, "running");
    wait_for_container(&stage.story.engine, &project.name, "running");
    stage.arm(case, Company::Alone);
    stage.until_death(|_| {});
    stage.recover();
    order.place_again(&stage.story.api);
    rest::deployed(stage, &order, &project, &expected);
    stage.story.engine.remove_project(&project.name);
}
