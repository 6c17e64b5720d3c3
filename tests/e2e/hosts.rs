//! One host that hangs slows no other.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use towline_tests::agent::AgentPlan;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

use crate::DEPLOY_LIMIT;

#[test]
fn ten_hosts_work_while_one_hangs() {
    let plan = ServerPlan::new(DatabaseKind::Sqlite);
    let hung = Engine::start(EngineKind::New);
    let story = Installation::over(plan, hung, AgentPlan::new(&unique("hung")));
    let engine = Engine::shared(EngineKind::New);
    let names: Vec<String> = (0..10).map(|_| unique("busy")).collect();
    let _agents: Vec<_> = names
        .iter()
        .map(|name| story.add_agent(&engine, AgentPlan::new(name)))
        .collect();
    let hung_target = target_named(&story, None, &names);

    story.engine.freeze_dockerd();
    let stuck = story.project("stuck", &ComposeFolder::of(&[Service::idle("web")]));
    let stuck_deploy = stuck
        .request_deployment(&json!({ "target": hung_target }))
        .ok();
    let begun = Instant::now();
    for name in &names {
        let project = story.project("busy", &ComposeFolder::of(&[Service::idle("web")]));
        let asked = project.request_deployment(&json!({ "target": name })).ok();
        project.deployment(&asked).wait("succeeded", DEPLOY_LIMIT);
        engine.remove_project(&project.name);
    }
    assert!(
        begun.elapsed() < Duration::from_mins(1),
        "ten deploys took {:?}",
        begun.elapsed()
    );
    let status = stuck.deployment(&stuck_deploy).status();
    assert!(
        !["succeeded", "cancelled"].contains(&status.as_str()),
        "the hung host's deploy is {status}"
    );
    story.engine.resume_dockerd();
}

fn target_named(story: &Installation, name: Option<&str>, others: &[String]) -> String {
    let targets = story.api.get("/targets?limit=100").ok();
    let wanted = |target: &&Value| {
        let shown = target["name"].as_str().unwrap_or_default().to_owned();
        name.map_or_else(|| !others.contains(&shown), |name| name == shown)
    };
    targets["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(wanted)
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}
