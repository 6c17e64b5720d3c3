//! Either side dies at any moment of a deploy; the effect happens once and the truth is told.

use std::time::Duration;

use towline_tests::agent::AgentPlan;
use towline_tests::compose::{ComposeFolder, Service, starts};
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::patience::wait_until;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    the_control_plane_dies_at_any_moment,
    the_agent_dies_at_any_moment,
    both_die_together,
    the_control_plane_stops_gracefully_in_the_middle,
);

/// Moments after the POST, in milliseconds: dense where the conversation is, sparse where compose works. Each commit, send and
/// call on the way is met by name in the walk over the failpoints; these are for what has no name.
const MOMENTS: [u64; 6] = [0, 5, 20, 80, 300, 800];

/// What a deploy of a counting service must have come to, whatever died.
fn deployed_once(story: &Installation, id: &str, project: &str) {
    wait_until("the deploy has its end", DEPLOY_LIMIT, || {
        let shown = story.api.get(&format!("/deployments/{id}")).ok();
        let status = shown["status"].as_str().unwrap().to_owned();
        assert!(status != "failed" && status != "cancelled", "{shown}");
        (status == "succeeded").then_some(())
    });
    assert_eq!(starts(&story.engine, project), 1, "{project} started twice");
    assert_eq!(
        story.engine.creations(project),
        1,
        "{project} was created twice"
    );
}

/// Deploys a counting project and lets something die `moment` milliseconds later, for each moment.
fn at_each_moment(story: &mut Installation, die: fn(&mut Installation)) {
    for moment in MOMENTS {
        let (id, name) = {
            let project = story.project("count", &ComposeFolder::of(&[Service::counting("count")]));
            let names = (project.deploy().id.clone(), project.name.clone());
            // What it leaves is removed below, when the story is ours again.
            std::mem::forget(project);
            names
        };
        std::thread::sleep(Duration::from_millis(moment));
        die(story);
        deployed_once(story, &id, &name);
        story.engine.remove_project(&name);
    }
}

fn the_control_plane_dies_at_any_moment(story: &mut Installation) {
    at_each_moment(story, |story| {
        story.server.kill();
        story.server.start_again();
    });
}

fn the_agent_dies_at_any_moment(story: &mut Installation) {
    at_each_moment(story, |story| {
        story.agent.kill();
        story.agent.start();
    });
}

fn both_die_together(story: &mut Installation) {
    at_each_moment(story, |story| {
        story.agent.kill();
        story.server.kill();
        story.agent.start();
        story.server.start_again();
    });
}

fn the_control_plane_stops_gracefully_in_the_middle(story: &mut Installation) {
    at_each_moment(story, |story| {
        assert!(story.server.stop().success(), "{}", story.server.log());
        story.server.start_again();
    });
}

/// The engine may refuse a container that it was starting when it died, until it has cleaned up some seconds later.
/// Sometimes it never does ("cannot delete running task", again and again): then somebody takes the container away.
fn retry_until_it_succeeds(story: &Installation, project: &str, mut id: String) {
    let mut failures = 0;
    wait_until("a retry succeeds", 2 * DEPLOY_LIMIT, || {
        let shown = story.api.get(&format!("/deployments/{id}")).ok();
        if shown["status"] == "failed" {
            failures += 1;
            std::thread::sleep(Duration::from_secs(2));
            if failures > 2 {
                story.engine.remove_project(project);
            }
            let again = story
                .api
                .post(&format!("/deployments/{id}/retry"), &serde_json::json!({}));
            again.ok()["id"].as_str().unwrap().clone_into(&mut id);
        }
        (shown["status"] == "succeeded").then_some(())
    });
}

fn the_engine_restarts_in_the_middle(database: DatabaseKind, engine: EngineKind) {
    let plan = ServerPlan::new(database);
    let mut story =
        Installation::over(plan, Engine::start(engine), AgentPlan::new(&unique("host")));
    for moment in [50, 300, 700] {
        let service = Service::counting("count").line("restart: always");
        let project = story.project("engine", &ComposeFolder::of(&[service]));
        let (id, name) = (project.deploy().id.clone(), project.name.clone());
        std::mem::forget(project);
        std::thread::sleep(Duration::from_millis(moment));
        story.engine.kill_dockerd();
        story.engine.start_dockerd();
        wait_until("the deploy has an end", 2 * DEPLOY_LIMIT, || {
            let shown = story.api.get(&format!("/deployments/{id}")).ok();
            let status = shown["status"].as_str().unwrap().to_owned();
            assert!(status != "cancelled", "{shown}");
            (status == "succeeded" || status == "failed").then_some(())
        });
        // An honest failure may be retried; what runs then is one container.
        retry_until_it_succeeds(&story, &name, id);
        assert_eq!(story.engine.containers(&name).len(), 1);
        story.engine.remove_project(&name);
    }
}

#[test]
fn the_new_engine_restarts_in_the_middle() {
    the_engine_restarts_in_the_middle(DatabaseKind::Sqlite, EngineKind::New);
}

#[test]
fn the_old_engine_restarts_in_the_middle() {
    the_engine_restarts_in_the_middle(DatabaseKind::Postgres, EngineKind::Old);
}
