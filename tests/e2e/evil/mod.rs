//! A host was taken over, and its certificate is good: whatever is said by it, others notice nothing.

mod acts;
mod floods;
mod texts;

use std::time::Duration;

use serde_json::{Value, json};
use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::protocol::v1::Attempt;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::patience::wait_until;
use towline_tests::peer::{Identity, enrol};
use towline_tests::story::{Deployment, Installation, Project, unique};

use crate::DEPLOY_LIMIT;

/// A host that was enrolled like any other, and does as it likes.
struct Evil {
    name: String,
    identity: Identity,
}

impl Evil {
    fn enrol(story: &Installation) -> Self {
        let name = unique("evil");
        let identity = enrol(&story.api, &story.server.public_api(), &name);
        Self { name, identity }
    }

    /// What the audit log says of it, from the first entry to the last.
    fn entries(&self, story: &Installation) -> Vec<Entry> {
        let actor = story.server.hex("actor_id");
        let id = self.identity.agent.uuid().simple();
        let sql = format!(
            "SELECT action || ' ' || detail FROM audit_logs WHERE {actor} = '{id}'
                AND action IN ('agent.violation', 'agent.report_refused') ORDER BY created_at, seq"
        );
        let rows = story.server.rows(&sql);
        rows.iter().map(|row| Entry::read(row)).collect()
    }

    /// Asks for a deployment to it.
    fn deploy<'p>(&self, project: &'p Project<'p>) -> Deployment<'p> {
        let asked = project.request_deployment(&json!({ "target": self.name }));
        project.deployment(&asked.ok())
    }
}

/// An entry of the audit log about something that was refused.
#[derive(Debug)]
struct Entry {
    action: String,
    detail: Value,
}

impl Entry {
    fn read(row: &str) -> Self {
        let (action, detail) = row.split_once(' ').unwrap();
        Self {
            action: action.to_owned(),
            detail: serde_json::from_str(detail).unwrap(),
        }
    }

    fn why(&self) -> &str {
        self.detail["why"].as_str().unwrap()
    }

    fn said(&self) -> &str {
        self.detail["said"].as_str().unwrap()
    }
}

/// The job of a deployment, as only its own agent knows it.
fn attempt(story: &Installation, deployment: &Deployment<'_>) -> Attempt {
    let (id, of) = (story.server.hex("id"), story.server.hex("deployment_id"));
    let deployment = deployment.id.replace('-', "");
    let sql = format!(
        "SELECT {id} || ' ' || fence_incarnation || ' ' || fence_epoch FROM jobs WHERE {of} = '{deployment}'"
    );
    let rows = story.server.rows(&sql);
    let words: Vec<&str> = rows[0].split(' ').collect();
    let job: JobId = words[0].parse().unwrap();
    let fence = Fence::new(words[1].parse().unwrap(), words[2].parse().unwrap());
    Attempt { job, fence }
}

/// A deploy of the honest agent that goes on until it is let go.
fn at_work(story: &Installation) -> Project<'_> {
    let waits = Service::script("waits", "echo honest; exec sleep 1000000")
        .line("healthcheck: {test: [CMD, test, -e, /done], interval: 1s, start_period: 600s}");
    story.project("victim", &ComposeFolder::of(&[waits]))
}

/// Waits until the deploy's container runs.
fn wait_for_container(story: &Installation, project: &Project<'_>) -> String {
    wait_until("the container runs", DEPLOY_LIMIT, || {
        let containers = story.engine.containers(&project.name);
        let running = containers
            .iter()
            .find(|container| container["State"] == "running")?;
        Some(running["ID"].as_str()?.to_owned())
    })
}

/// How long a small deploy of the honest agent takes.
fn time_of_a_deploy(story: &Installation) -> Duration {
    let project = story.project("honest", &ComposeFolder::of(&[Service::idle("web")]));
    let began = std::time::Instant::now();
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
    began.elapsed()
}
