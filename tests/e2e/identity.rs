//! Who may be an agent: enrolment, revocation, expiry, wrong clocks.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use serde_json::{Value, json};
use towline_tests::agent::{AgentPlan, AgentProcess};
use towline_tests::api::Api;
use towline_tests::clock;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::patience::{never_within, wait_until};
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, enrolment_token, unique};

use crate::on_both;

on_both!(
    a_token_used_by_two_hundred_at_once_enrols_one,
    a_revoked_agent_is_cut_off_and_stays_out,
);

fn a_token_used_by_two_hundred_at_once_enrols_one(story: &mut Installation) {
    let token: towline_pki::EnrollToken = enrolment_token(&story.api).parse().unwrap();
    let secret = token.secret.reveal().to_string();
    let start = Arc::new(Barrier::new(20));
    let racers: Vec<_> = (0..20)
        .map(|_| {
            let (start, secret, api) = (start.clone(), secret.clone(), story.server.public_api());
            std::thread::spawn(move || {
                let requests: Vec<Value> = (0..10).map(|_| enrol_request(&secret)).collect();
                start.wait();
                requests.iter().filter(|body| enrolled(&api, body)).count()
            })
        })
        .collect();
    let winners: usize = racers.into_iter().map(|racer| racer.join().unwrap()).sum();
    assert_eq!(winners, 1);
}

fn enrol_request(secret: &str) -> Value {
    let csr = towline_pki::AgentKey::generate()
        .unwrap()
        .csr_pem()
        .unwrap();
    json!({ "secret": secret, "csr": csr, "hostname": unique("racer"), "version": "test" })
}

fn enrolled(api: &Api, body: &Value) -> bool {
    let answer = api.post("/agent/enroll", body);
    assert!(
        [200, 201, 403, 409, 429].contains(&answer.status),
        "{answer:?}"
    );
    answer.status < 300
}

fn a_revoked_agent_is_cut_off_and_stays_out(story: &mut Installation) {
    let id = story.first_agent()["id"].as_str().unwrap().to_owned();
    story
        .api
        .post(&format!("/agents/{id}/revoke"), &json!({}))
        .ok();
    wait_until("it is cut off", Duration::from_secs(3), || {
        (story.online() == 0).then_some(())
    });
    assert_eq!(story.first_agent()["status"], "revoked");
    story.agent.kill();
    story.agent.start();
    never_within("it comes back", Duration::from_secs(4), || {
        (story.online() > 0).then_some(())
    });
}

/// Enrolled eight days ago, asleep since: the leaf lives for seven days. Only with the embedded database, because
/// certificates are dated by the database's clock, and PostgreSQL's cannot be turned back for one client.
#[test]
fn an_expired_certificate_is_renewed_by_proof_of_its_key() {
    let mut then = ServerPlan::new(DatabaseKind::Sqlite);
    then.environment = clock::faked("-8d").to_vec();
    let mut host = AgentPlan::new(&unique("sleeper"));
    host.clock = Some("-8d".into());
    let mut story = Installation::over(then, Engine::shared(EngineKind::New), host);
    let before = story.first_agent()["certificate_expires_at"].clone();
    story.agent.stop();
    story.server.stop();
    story.server.plan().environment.clear();
    story.agent.plan().clock = None;
    story.server.start_again();
    story.agent.start();
    story.wait_online(1);
    assert_ne!(story.first_agent()["certificate_expires_at"], before);
}

/// The authority is exchanged under an agent that slept past its certificate's end: it renews under the new one, and
/// goes on when the old one is trusted no more. With the embedded database for the same reason.
#[test]
fn the_authority_is_exchanged_without_losing_an_agent() {
    let mut then = ServerPlan::new(DatabaseKind::Sqlite);
    then.environment = clock::faked("-8d").to_vec();
    let mut host = AgentPlan::new(&unique("mover"));
    host.clock = Some("-8d".into());
    let mut story = Installation::over(then, Engine::shared(EngineKind::New), host);
    let name = story.agent.name().to_owned();
    story.agent.stop();
    story.server.stop();
    story.server.plan().environment.clear();
    story.agent.plan().clock = None;
    let roots = |story: &Installation| {
        let pem = std::fs::read_to_string(story.server.ca()).unwrap();
        pem.matches("BEGIN CERTIFICATE").count()
    };

    let begun = story.server.admin(&["rotate-ca", "start"]);
    assert!(begun.contains(&name), "{begun}");
    let early = story.server.command_of(&["admin", "rotate-ca", "finish"]);
    let early = { early }.output().unwrap();
    assert!(!early.status.success(), "the agent sleeps, and may renew");
    story.server.start_again();
    assert_eq!(roots(&story), 2);
    story.agent.start();
    story.wait_online(1);

    story.server.stop();
    let ended = story.server.admin(&["rotate-ca", "finish"]);
    assert!(ended.contains("One authority is trusted"), "{ended}");
    story.server.start_again();
    assert_eq!(roots(&story), 1);
    let after = story.server.public_api().with_key(story.api.key());
    wait_until("the agent is back", Duration::from_secs(40), || {
        let agents = after.get("/agents").ok();
        (agents["items"][0]["status"] == "online").then_some(())
    });
}

/// What `towline-agent enroll` prints when it fails.
fn refusal(story: &Installation, plan: AgentPlan, token: &str) -> String {
    let agent = AgentProcess::prepare(&story.engine, plan);
    let ended = agent.enrol_command(token).output().unwrap();
    assert!(!ended.status.success(), "it enrolled");
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[test]
fn a_bad_enrolment_says_what_to_do() {
    let story = crate::embedded();
    let plan = || AgentPlan::new(&unique("new"));
    let has = |text: &str, words: &[&str]| {
        for word in words {
            assert!(
                text.to_lowercase().contains(word),
                "{word:?} is missing in: {text}"
            );
        }
    };

    let used = enrolment_token(&story.api);
    AgentProcess::enrol(&story.engine, plan(), &used);
    has(&refusal(&story, plan(), &used), &["token", "used"]);

    has(&refusal(&story, plan(), "twl1_nonsense"), &["token"]);
    has(
        &refusal(&story, plan(), &used[..used.len() - 4]),
        &["token"],
    );

    let mut foreign: towline_pki::EnrollToken = enrolment_token(&story.api).parse().unwrap();
    foreign.ca = towline_pki::Fingerprint([7; 32]);
    has(
        &refusal(&story, plan(), &foreign.to_string()),
        &["made for"],
    );

    let mut astray: towline_pki::EnrollToken = enrolment_token(&story.api).parse().unwrap();
    astray.address = "https://127.0.0.1:9".into();
    has(
        &refusal(&story, plan(), &astray.to_string()),
        &["127.0.0.1:9"],
    );

    let mut late = plan();
    late.clock = Some("-1h".into());
    has(
        &refusal(&story, late, &enrolment_token(&story.api)),
        &["clock"],
    );
}
