//! Renewals of certificates.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use towline_tests::agent::AgentPlan;
use towline_tests::clock;
use towline_tests::patience::wait_until;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::unique;

use crate::cases::Case;
use crate::stage::{Company, Stage};

/// The agent looks every ten seconds at what is due, and its control plane comes back at once.
const RENEWAL_LIMIT: Duration = Duration::from_mins(1);
/// Past the half of a certificate's seven days, and before its end.
const LATER: &str = "+4d";

/// An agent whose clock says that its certificate is due renews it, with a death on the way.
pub fn walk(stage: &mut Stage<'_>, case: &Case) {
    let before = certificate(stage);
    let issued = issued(stage);
    stage.story.agent.plan().clock = Some(LATER.to_owned());
    stage.arm(case, Company::Both);
    stage.until_death(|_| {});
    stage.recover();
    wait_until("the agent has another certificate", RENEWAL_LIMIT, || {
        (certificate(stage) != before).then_some(())
    });
    stage.wait_online();
    // What was lost with its answer was asked for once more.
    let more = self::issued(stage) - issued;
    assert!((1..=2).contains(&more), "{more} certificates were issued");
    stage.story.agent.plan().clock = None;
    lives_by_what_it_has(stage);
}

/// An agent that slept past its certificate's end renews by proof of its key, with a death on the way. It needs an
/// installation that was made in the past.
pub fn expired(stage: &Stage<'_>, case: &Case) {
    let mut then = ServerPlan::new(DatabaseKind::Sqlite);
    then.environment = clock::faked("-8d").to_vec();
    let mut host = AgentPlan::new(&unique("sleeper"));
    host.clock = Some("-8d".to_owned());
    let kind = stage.story.engine.kind();
    let mut own = Stage::over(then, kind, host, stage.tally);
    let before = certificate(&own);
    own.story.agent.stop();
    own.story.server.stop();
    own.story.server.plan().environment.clear();
    own.story.agent.plan().clock = None;
    own.story.server.start_again();
    own.arm(case, Company::Alone);
    own.until_death(|_| {});
    own.recover();
    own.wait_online();
    assert_ne!(certificate(&own), before);
    assert!(issued(&own) <= 3, "a certificate was issued without need");
    lives_by_what_it_has(&mut own);
    crate::rest::settled(&own);
    own.recovered(case);
    own.close();
}

/// The certificate that the agent has, as it stands in its folder.
fn certificate(stage: &Stage<'_>) -> String {
    let identity = stage.story.agent.state_dir().join("identity.json");
    let identity = fs::read(identity).expect("the agent has an identity");
    let identity: Value = serde_json::from_slice(&identity).expect("which is JSON");
    identity["certificate"]
        .as_str()
        .expect("with a certificate")
        .to_owned()
}

fn issued(stage: &Stage<'_>) -> i64 {
    stage
        .story
        .server
        .count("SELECT COUNT(*) FROM certificates")
}

/// It connects anew by the certificate that it has, and there is still one agent of its name.
fn lives_by_what_it_has(stage: &mut Stage<'_>) {
    stage.reconnect();
    let agents = stage.story.api.get("/agents?limit=200").ok();
    let items = agents["items"].as_array().expect("a list").iter();
    let name = stage.story.agent.name();
    assert_eq!(items.filter(|agent| agent["name"] == name).count(), 1);
}
