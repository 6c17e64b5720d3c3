//! Becoming an agent.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use towline_tests::agent::{AgentPlan, AgentProcess};
use towline_tests::patience::wait_until;
use towline_tests::process::output;
use towline_tests::story::unique;

use crate::cases::Case;
use crate::stage::{Company, Stage};

/// A new agent connects at once.
const ONLINE_LIMIT: Duration = Duration::from_secs(30);

/// A host is enrolled, with a death on either side. What was lost with the answer is enrolled anew, by hand.
pub fn walk(stage: &mut Stage<'_>, case: &Case) {
    let plan = AgentPlan::new(&unique("new"));
    let name = plan.name.clone();
    let mut host = AgentProcess::prepare(&stage.story.engine, plan);
    let is_plane = case.point.starts_with("plane: ");
    if is_plane {
        stage.arm(case, Company::Both);
        stage.until_death(|stage| {
            if let Some(token) = try_token(stage, &name) {
                // It ends by an error when its control plane dies.
                let _ = host.enrol_command(&token).output();
            }
        });
        stage.recover();
    } else {
        let token = try_token(stage, &name).expect("the control plane is there");
        let mut command = host.enrol_command(&token);
        command.envs(stage.variables(case));
        let ended = command.output().expect("the agent starts");
        stage.died(case, ended.status, &String::from_utf8_lossy(&ended.stderr));
        take_up(&host, &token, case);
    }
    if !host.state_dir().join("identity.json").exists() {
        enrol_anew(stage, &host, &name);
    }
    connect(stage, &mut host, &name);
}

/// The agent dies at its first start.
pub fn first(stage: &mut Stage<'_>, case: &Case) {
    let plan = AgentPlan::new(&unique("new"));
    let name = plan.name.clone();
    let token = try_token(stage, &name).expect("the control plane is there");
    let mut host = AgentProcess::enrol(&stage.story.engine, plan, &token);
    host.plan().environment = stage.variables(case);
    host.start();
    let status = host.running().wait(ONLINE_LIMIT);
    stage.died(case, status, &host.log());
    host.kill();
    host.plan().environment.clear();
    connect(stage, &mut host, &name);
}

fn try_token(stage: &Stage<'_>, name: &str) -> Option<String> {
    let api = &stage.story.api;
    let request = api.request(reqwest::Method::POST, "/enrolment-tokens");
    let made = api.try_send(request.json(&json!({ "name": name }))).ok()?;
    made.ok()["token"].as_str().map(str::to_owned)
}

/// A token that was not used up works; one that was is refused.
fn take_up(host: &AgentProcess, token: &str, case: &Case) {
    if host.state_dir().join("identity.json").exists() {
        return;
    }
    let mut again: Command = host.enrol_command(token);
    let again = again.output().expect("the agent starts");
    let is_used = case.point == "agent: was enrolled";
    let errors = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.success(), !is_used, "{errors}");
    assert!(!is_used || errors.contains("used already"), "{errors}");
}

/// The agent whose certificate was lost has never connected: it is revoked, and its name is free.
fn enrol_anew(stage: &Stage<'_>, host: &AgentProcess, name: &str) {
    let api = &stage.story.api;
    for lost in of_name(stage, name) {
        assert_eq!(lost["status"], "offline", "{lost}");
        let id = lost["id"].as_str().expect("an agent has an id");
        api.post(&format!("/agents/{id}/revoke"), &json!({})).ok();
    }
    let token = try_token(stage, name).expect("the control plane is there");
    output(host.enrol_command(&token));
}

/// Connects, and is the one agent of its name; then it goes, so that the next case finds one agent.
fn connect(stage: &Stage<'_>, host: &mut AgentProcess, name: &str) {
    host.start();
    let mine = wait_until("the new agent is online", ONLINE_LIMIT, || {
        of_name(stage, name)
            .into_iter()
            .find(|agent| agent["status"] == "online")
    });
    let trusted = of_name(stage, name);
    assert_eq!(trusted.len(), 1, "{trusted:?}");
    host.stop();
    let id = mine["id"].as_str().expect("an agent has an id");
    stage
        .story
        .api
        .post(&format!("/agents/{id}/revoke"), &json!({}))
        .ok();
}

/// The agents of this name that are trusted.
fn of_name(stage: &Stage<'_>, name: &str) -> Vec<Value> {
    let agents = stage.story.api.get("/agents?limit=200").ok();
    let items = agents["items"].as_array().expect("a list").iter();
    items
        .filter(|agent| agent["name"] == name && agent["status"] != "revoked")
        .cloned()
        .collect()
}
