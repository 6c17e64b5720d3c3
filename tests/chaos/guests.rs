//! Hosts that come and go: enrolled by a token, seen online, revoked.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use towline_tests::{
    agent::{AgentPlan, AgentProcess, Place},
    engine::Engine,
    patience::within,
    process::Process,
    scratch::Scratch,
};

use crate::{
    client::{Client, id},
    curtain::Curtain,
    diary::{Diary, Enrolment},
};

/// An enrolment that takes longer is given up, as a person would.
const ENROL_LIMIT: Duration = Duration::from_secs(30);
/// How long a new host is given to come online.
const ONLINE_LIMIT: Duration = Duration::from_secs(15);
/// How long a revoked host goes on trying to come back.
const AFTERWARDS: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(250);

/// Lets hosts come and go until work is over, on each engine in turn.
pub fn come_and_go(client: Client<'_>, diary: &Diary, curtain: &Curtain, engines: &[Engine]) {
    for (number, engine) in engines.iter().cycle().enumerate() {
        if curtain.work_is_over() {
            return;
        }
        come(client, diary, curtain, engine, &format!("guest-{number}"));
        curtain.sleep(LOOK, Curtain::work_is_over);
    }
}

fn come(
    client: Client<'_>,
    diary: &Diary,
    curtain: &Curtain,
    engine: &Engine,
    name: &str,
) -> Option<()> {
    let made = client.insist("an enrolment token", |api| {
        api.request(Method::POST, "/enrolment-tokens")
            .json(&json!({ "name": name }))
    })?;
    let mut plan = AgentPlan::new(name);
    plan.place = Place::Host;
    let mut agent = AgentProcess::prepare(engine, plan);
    if !enrol(&agent, made["token"].as_str().unwrap_or_default()) {
        diary.open().failed_enrolments += 1;
        return None;
    }
    agent.start();
    let mut guest = Enrolment {
        name: name.to_owned(),
        seen: false,
        revoked: false,
    };
    within(ONLINE_LIMIT, || {
        guest.seen = find(client, name).is_some_and(|agent| agent["status"] == "online");
        (guest.seen || curtain.is_down()).then_some(())
    });
    guest.revoked = revoke(client, curtain, name).is_some();
    curtain.sleep(AFTERWARDS, Curtain::is_down);
    diary.open().enrolments.push(guest);
    Some(())
}

/// Runs `towline-agent enroll`; whether it says that the host is enrolled.
fn enrol(agent: &AgentProcess, token: &str) -> bool {
    let folder = Scratch::new("enroll");
    let mut enroll = Process::start(
        "towline-agent enroll",
        agent.enrol_command(token),
        &folder.join("enroll.log"),
    );
    within(ENROL_LIMIT, || enroll.ended()).is_some_and(|ended| ended.success())
}

fn revoke(client: Client<'_>, curtain: &Curtain, name: &str) -> Option<Value> {
    let found = loop {
        match find(client, name) {
            Some(agent) => break agent,
            None if curtain.is_down() => return None,
            None => curtain.sleep(LOOK, Curtain::is_down),
        }
    };
    let path = format!("/agents/{}/revoke", id(&found));
    client.insist("a revocation", |api| {
        api.request(Method::POST, &path).json(&json!({}))
    })
}

fn find(client: Client<'_>, name: &str) -> Option<Value> {
    let request = client.api().request(Method::GET, "/agents?limit=200");
    let answer = client.api().try_send(request).ok()?;
    let agents = answer.body["items"].as_array()?;
    agents.iter().find(|agent| agent["name"] == name).cloned()
}
