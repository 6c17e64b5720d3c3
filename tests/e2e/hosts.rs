//! One host that hangs slows no other.

use std::time::{Duration, Instant};

use serde_json::json;
use towline_tests::agent::AgentPlan;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::story::unique;

use crate::DEPLOY_LIMIT;

#[test]
fn ten_hosts_work_while_one_hangs() {
    let story = crate::embedded();
    let names: Vec<String> = (0..10).map(|_| unique("busy")).collect();
    let add = |name: &String| story.add_agent(&story.engine, AgentPlan::new(name));
    let _agents: Vec<_> = names.iter().map(add).collect();
    let hung = Engine::start(EngineKind::New);
    let name = unique("hung");
    let _agent = story.add_agent(&hung, AgentPlan::new(&name));

    hung.freeze_dockerd();
    let stuck = story.project("stuck", &ComposeFolder::of(&[Service::idle("web")]));
    let asked = stuck.request_deployment(&json!({ "target": name })).ok();
    let begun = Instant::now();
    for name in &names {
        let project = story.project("busy", &ComposeFolder::of(&[Service::idle("web")]));
        let asked = project.request_deployment(&json!({ "target": name })).ok();
        project.deployment(&asked).wait("succeeded", DEPLOY_LIMIT);
    }
    let took = begun.elapsed();
    let status = stuck.deployment(&asked).status();
    hung.resume_dockerd();
    assert!(took < Duration::from_mins(1), "ten deploys took {took:?}");
    assert!(
        !["succeeded", "cancelled"].contains(&status.as_str()),
        "the hung host's deploy is {status}"
    );
    hung.remove_project(&stuck.name);
}
