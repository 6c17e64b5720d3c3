//! What people can see of their hosts: containers, their logs, metrics.

use std::time::Duration;

use serde_json::Value;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::patience::wait_until;
use towline_tests::story::Installation;

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    containers_are_listed_and_their_logs_read_and_followed,
    metrics_come_and_are_scraped,
);

fn containers_are_listed_and_their_logs_read_and_followed(story: &mut Installation) {
    let talk = Service::script(
        "talk",
        "i=0; while true; do echo word $i; i=$((i+1)); sleep 0.1; done",
    );
    let project = story.project("talk", &ComposeFolder::of(&[talk]));
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
    let listed = story
        .api
        .get(&format!("/targets/{}/containers", story.target()))
        .ok();
    let ours = listed["items"]
        .as_array()
        .or_else(|| listed.as_array())
        .unwrap()
        .iter()
        .find(|container| {
            container["project"]
                .as_str()
                .is_some_and(|name| name.contains(&project.name))
        })
        .unwrap_or_else(|| panic!("not listed: {listed}"))
        .clone();
    assert_eq!(ours["service"], "talk");
    assert_eq!(ours["state"], "running");
    let path = format!(
        "/targets/{}/containers/{}/logs",
        story.target(),
        ours["name"].as_str().unwrap()
    );
    let read = story.api.get(&format!("{path}?tail=5")).ok();
    assert!(read.to_string().contains("word "), "{read}");
    let events = story
        .api
        .events(&format!("{path}?tail=1&follow=true"), None);
    let mut last = None;
    for _ in 0..5 {
        let event = events.wait_for("a line", Duration::from_secs(10), |event| {
            event.kind == "line"
        });
        let text = event.data["text"].as_str().unwrap().to_owned();
        let number: u64 = text.strip_prefix("word ").unwrap().parse().unwrap();
        assert!(
            last.is_none_or(|last| number == last + 1),
            "{last:?} then {number}"
        );
        last = Some(number);
    }
}

fn metrics_come_and_are_scraped(story: &mut Installation) {
    let path = format!("/targets/{}/metrics", story.target());
    let host = wait_until("a sample", Duration::from_secs(45), || {
        let range = story.api.get(&path).ok();
        range["host"]
            .as_array()
            .and_then(|host| host.last().cloned())
    });
    assert!(host["memory_total"].as_u64().unwrap() > 0, "{host}");
    let Value::String(text) = story.api.get("/metrics/prometheus").ok() else {
        panic!("the exposition is no text");
    };
    assert!(text.contains("# TYPE"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("towline_host_memory")),
        "{text}"
    );
}
