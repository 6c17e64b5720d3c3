//! Agents that do not answer, and work that takes long.

use super::{cancel, projects};
use crate::cases::Case;
use crate::order::Order;
use crate::rest;
use crate::stage::{Company, Stage};

/// The agent of a running deploy stays away until its lease has run out, and comes back.
pub fn unseen(stage: &mut Stage<'_>, case: &Case) {
    let (project, order) = cancel::begun(stage);
    stage.story.agent.kill();
    stage.arm(case, Company::Alone);
    stage.until_death(|_| {});
    stage.recover();
    order.wait(&stage.story.api, "unknown");
    stage.story.agent.start();
    order.wait(&stage.story.api, "running");
    end(stage, &order, &project.name);
}

/// A deploy runs for longer than it takes until its lease is renewed.
pub fn long(stage: &mut Stage<'_>, case: &Case) {
    let (project, order) = cancel::begun(stage);
    stage.arm(case, Company::Alone);
    stage.until_death(|_| {});
    stage.recover();
    order.wait(&stage.story.api, "running");
    end(stage, &order, &project.name);
}

fn end(stage: &Stage<'_>, order: &Order, project: &str) {
    order.try_cancel(&stage.story.api);
    cancel::says_what_it_left(&order.wait(&stage.story.api, "cancelled"));
    // As in `rest::deployed`: what the engine has forgotten is no second creation.
    assert!(stage.story.engine.creations(project) <= 1);
    stage.story.engine.remove_project(project);
}

/// The agent dies with an offer that it has not answered: the next one gets it anew.
pub fn unanswered(stage: &mut Stage<'_>, case: &Case) {
    let (files, expected) = projects::two_services();
    let project = stage.project(&files);
    let mut order = Order::deployment(&project.id, stage.story.agent.name());
    stage.story.agent.freeze();
    order.place(&stage.story.api);
    order.wait(&stage.story.api, "offered");
    stage.story.agent.kill();
    stage.arm(case, Company::Both);
    stage.until_death(|_| {});
    stage.recover();
    rest::deployed(stage, &order, &project, &expected);
    stage.story.engine.remove_project(&project.name);
}
