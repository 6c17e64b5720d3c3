//! Every line, once, in order, soon.

use std::time::Duration;

use serde_json::{Value, json};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::patience::wait_until;
use towline_tests::server::DatabaseKind;
use towline_tests::story::{Deployment, Installation};

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    a_follower_sees_all_lines_and_the_end,
    a_follower_goes_on_where_it_was,
    a_million_lines_over_twenty_cuts_arrive_complete_and_in_order,
);

fn a_follower_sees_all_lines_and_the_end(story: &mut Installation) {
    let project = story.project("lines", &ComposeFolder::of(&[numbered(1000)]));
    let deployment = project.deploy();
    let events = deployment.follow(None).rest(DEPLOY_LIMIT);
    let lines: Vec<&str> = events
        .iter()
        .filter(|event| event.kind == "line")
        .filter_map(|event| event.data["text"].as_str())
        .collect();
    assert_eq!(lines, deployment.log());
    let end = events
        .iter()
        .find(|event| event.kind == "end")
        .expect("the end is told");
    assert_eq!(end.data["status"], "succeeded");
}

fn a_follower_goes_on_where_it_was(story: &mut Installation) {
    let project = story.project("resume", &ComposeFolder::of(&[numbered(1000)]));
    let deployment = project.deploy();
    let first = deployment
        .follow(None)
        .wait_for("the tenth line", DEPLOY_LIMIT, |event| {
            event.kind == "line" && event.data["n"] == 10
        });
    let rest = deployment.follow(Some(&first.id)).rest(DEPLOY_LIMIT);
    let numbers: Vec<u64> = rest
        .iter()
        .filter(|event| event.kind == "line")
        .filter_map(|event| event.data["n"].as_u64())
        .collect();
    let expected: Vec<u64> = (11..11 + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
    assert_eq!(
        numbers.last().map(|last| last + 1),
        Some(deployment.log().len() as u64)
    );
}

/// Prints its lines, and is healthy when the engine has surely taken them: so all of them belong to the deploy's log.
fn numbered(count: u64) -> Service {
    Service::script(
        "count",
        &format!("seq 1 {count}; sleep 3; touch /done; exec sleep 1000000"),
    )
    .line("healthcheck: {test: [CMD, test, -e, /done], interval: 1s, start_period: 600s}")
}

fn a_million_lines_over_twenty_cuts_arrive_complete_and_in_order(story: &mut Installation) {
    // A million on the embedded database; the other one keeps lines by the same code, and gets a fifth to save minutes.
    let count = match story.server.plan().database {
        DatabaseKind::Sqlite => 1_000_000,
        DatabaseKind::Postgres => 200_000,
    };
    dials_at_once(story);
    let project = story.project("million", &ComposeFolder::of(&[numbered(count)]));
    let body = json!({ "target": story.target(), "deadline_s": 600 });
    let deployment = project.deployment(&project.request_deployment(&body).ok());
    let mut seen = 0;
    for cut in 1..=20 {
        // What is cut is a connection that carries lines.
        let what = format!("a connection for cut {cut}");
        seen = wait_until(&what, Duration::from_mins(1), || {
            let accepted = story.link.accepted();
            (accepted > seen).then_some(accepted)
        });
        std::thread::sleep(Duration::from_millis(200));
        assert!(story.link.break_connections() > 0, "cut {cut} met nothing");
    }
    deployment.wait("succeeded", Duration::from_mins(9));
    let mut expected = 1;
    each_line(story, &deployment, |line| {
        if line["source"] == "count-1" {
            assert_eq!(line["text"], expected.to_string(), "at line {}", line["n"]);
            expected += 1;
        }
    });
    assert_eq!(expected, count + 1);
}

/// Has the agent wait a second at most before it dials again: after twenty cuts it would else be half a minute each time, in
/// which all lines that are there have long been sent.
fn dials_at_once(story: &mut Installation) {
    story.agent.stop();
    let pace = ("TOWLINE_AGENT_RECONNECT_WITHIN".to_owned(), "1".to_owned());
    story.agent.plan().environment.push(pace);
    story.wait_online(0);
    story.agent.start();
    story.wait_online(1);
}

fn each_line(story: &Installation, deployment: &Deployment<'_>, mut take: impl FnMut(&Value)) {
    let mut from = 0;
    loop {
        let page = story
            .api
            .get(&format!(
                "/deployments/{}/log?from={from}&limit=10000",
                deployment.id
            ))
            .ok();
        let lines = page["lines"].as_array().unwrap();
        lines.iter().for_each(&mut take);
        let next = page["next"].as_u64().unwrap();
        if next == from {
            return;
        }
        from = next;
    }
}

/// From the container's write to the client's screen in at most 250 ms, on one machine.
#[test]
fn a_line_is_on_the_screen_soon() {
    let story = crate::embedded();
    let script = "i=0; while [ $i -lt 20 ]; do echo tick $(cut -d' ' -f1 /proc/uptime); i=$((i+1)); sleep 0.1; done; \
        touch /done; exec sleep 1000000";
    let service = Service::script("clock", script).healthy_when("test -e /done");
    let project = story.project("soon", &ComposeFolder::of(&[service]));
    let deployment = project.deploy();
    let events = deployment.follow(None);
    let uptime = || -> f64 {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let mut lags = Vec::new();
    while lags.len() < 20 {
        let event = events.wait_for("a tick", DEPLOY_LIMIT, |event| {
            event.data["text"]
                .as_str()
                .is_some_and(|text| text.starts_with("tick "))
        });
        let age = event.at.elapsed();
        let written: f64 = event.data["text"].as_str().unwrap()[5..].parse().unwrap();
        lags.push(uptime() - age.as_secs_f64() - written);
    }
    lags.sort_by(f64::total_cmp);
    // /proc/uptime counts hundredths; the machine may be busy with other tests, so the median is asked.
    assert!(lags[lags.len() / 2] <= 0.25, "lags in seconds: {lags:?}");
}
