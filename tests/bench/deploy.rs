//! What a deploy costs over the bare `docker compose up -d --wait` of the same project, in the same run, in turns.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::story::{Installation, Project};

use crate::container::Bare;
use crate::report::{Row, median_and_p99};
use crate::salt;

const LIMIT: Duration = Duration::from_mins(1);

/// Measures first deploys (compose takes a service that has started for one that runs; so do these, and one row says
/// what our own care adds), deploys of nothing new, and the way from the request to the agent's first action.
pub fn measure(story: &Installation, rounds: usize) -> Vec<Row> {
    let folder = ComposeFolder::of(&[Service::idle("a"), Service::idle("b"), Service::idle("c")]);
    let project = story.project("bench", &folder);
    let bare = Bare::of(&story.engine, &folder);
    let mut figures = Figures::default();
    for _ in 0..rounds {
        figures.bare_up.push(milliseconds(|| bare.up()));
        figures.bare_same.push(milliseconds(|| bare.up()));
        bare.down();
        let like_compose = json!({ "target": story.target(), "settle_ms": 0 });
        figures
            .up
            .push(deploy(&project, &like_compose, &mut figures.dispatch));
        figures
            .same
            .push(deploy(&project, &like_compose, &mut figures.dispatch));
        story.engine.remove_project(&project.name);
        let watched = json!({ "target": story.target() });
        figures
            .watched
            .push(deploy(&project, &watched, &mut figures.dispatch));
        story.engine.remove_project(&project.name);
    }
    figures.salt = salt::dispatches(3 * rounds);
    figures.rows()
}

#[derive(Default)]
struct Figures {
    up: Vec<f64>,
    bare_up: Vec<f64>,
    same: Vec<f64>,
    watched: Vec<f64>,
    bare_same: Vec<f64>,
    dispatch: Vec<f64>,
    salt: Vec<f64>,
}

impl Figures {
    fn rows(self) -> Vec<Row> {
        let row = |what: &str, ours, theirs, bar| {
            let (ours, p99) = median_and_p99(ours);
            Row {
                p99: Some(p99),
                against: Some((
                    "docker compose up -d --wait".into(),
                    median_and_p99(theirs).0,
                )),
                at_most: Some(bar),
                ..Row::figure(what, "ms", ours)
            }
        };
        let (dispatch, p99) = median_and_p99(self.dispatch);
        vec![
            row("deploy of three services", self.up, self.bare_up, 1.05),
            Row::figure(
                "the same, seen to stay up for 3 s (the default)",
                "ms",
                median_and_p99(self.watched).0,
            ),
            row("deploy of nothing new", self.same, self.bare_same, 1.3),
            Row {
                p99: Some(p99),
                against: Some(("Salt's LocalClient.cmd".into(), median_and_p99(self.salt).0)),
                at_most: Some(0.05),
                ..Row::figure("POST to the agent's first action", "ms", dispatch)
            },
        ]
    }
}

fn deploy(project: &Project<'_>, body: &Value, dispatch: &mut Vec<f64>) -> f64 {
    let mut shown = Value::Null;
    let asked = Utc::now();
    let took = milliseconds(|| {
        let deployment = project.deployment(&project.request_deployment(body).ok());
        let end = deployment
            .follow(None)
            .wait_for("the end", LIMIT, |event| event.kind == "end");
        shown = end.data;
    });
    assert_eq!(shown["status"], "succeeded", "{shown}");
    let started: DateTime<Utc> = shown["started_at"].as_str().unwrap().parse().unwrap();
    dispatch.push((started - asked).num_microseconds().unwrap() as f64 / 1e3);
    took
}

pub(crate) fn milliseconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64() * 1e3
}
