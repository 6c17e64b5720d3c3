//! What is there at the end: in the database, on the engines, in the ledgers that the containers wrote, and in the
//! stored logs.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;
use towline_tests::{api::Api, engine::Engine, patience::within, server::ServerProcess};

use crate::{lane::Host, project, world::World};

/// How long a container may be on its way back.
const SETTLE_LIMIT: Duration = Duration::from_mins(1);

/// A deployment in the database.
#[derive(Clone, Debug)]
pub struct Row {
    /// The deployment.
    pub id: String,
    /// `deploy` or `remove`.
    pub kind: String,
    /// The deployment's status.
    pub status: String,
    /// Its job's state.
    pub job: String,
    /// The kind of its failure.
    pub reason: String,
    /// How it ended in words, on one line.
    pub message: String,
    /// The project's name.
    pub project: String,
    /// The target's name.
    pub target: String,
    /// The last fence: incarnation and epoch.
    pub fence: (u64, u64),
    /// Whether any attempt was accepted.
    pub accepted: bool,
    /// When it was ordered.
    pub created: DateTime<Utc>,
    /// When it ended; now, when it has not.
    pub finished: DateTime<Utc>,
    /// How many lines its log has, as it says.
    pub lines: Option<u64>,
}

/// A line of a ledger: a container's start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The release's mark.
    pub mark: String,
    /// The container.
    pub container: String,
    /// Seconds since the machine's start.
    pub uptime: f64,
}

impl Start {
    fn read(line: &str) -> Option<Self> {
        let [mark, container, uptime] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some(Self {
            mark: mark.to_owned(),
            container: container.to_owned(),
            uptime: uptime.parse().ok()?,
        })
    }
}

/// A container that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The release's mark.
    pub mark: String,
    /// `running`, `exited`, …
    pub state: String,
}

/// What a host has.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// All ledgers' lines.
    pub starts: Vec<Start>,
    /// Lines of ledgers that cannot be read.
    pub torn: Vec<String>,
    /// All containers of ours.
    pub containers: Vec<Container>,
}

/// A line of a stored log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub number: Option<u64>,
    /// Which stream: `gap` stands for lines that were dropped.
    pub stream: String,
    /// Its text.
    pub text: String,
}

/// An agent in the database.
#[derive(Clone, Debug)]
pub struct AgentRow {
    /// Its name.
    pub name: String,
    /// Whether it is revoked.
    pub revoked: bool,
    /// Whether a session speaks for it.
    pub connected: bool,
}

/// All of it.
#[derive(Debug)]
pub struct Findings {
    /// Every deployment, the oldest first.
    pub rows: Vec<Row>,
    /// What each host has.
    pub hosts: Vec<Found>,
    /// The stored log of each deployment.
    pub logs: HashMap<String, Vec<Line>>,
    /// Every agent.
    pub agents: Vec<AgentRow>,
    /// What `towline-server admin verify-audit` says.
    pub audit: String,
}

impl Findings {
    /// Looks at everything, when nothing moves any more.
    pub fn gather(world: &mut World) -> Self {
        let rows = rows(&mut world.server);
        let logs = rows
            .iter()
            .map(|row| (row.id.clone(), log(&world.api, &row.id)))
            .collect();
        Self {
            hosts: world.hosts.iter().map(found).collect(),
            logs,
            agents: agents(&mut world.server),
            audit: world.server.admin(&["verify-audit"]),
            rows,
        }
    }
}

/// How many jobs have not ended.
pub fn unfinished(server: &mut ServerProcess) -> usize {
    let sql = "SELECT count(*) FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')";
    let count = server.database().query(sql);
    count.parse().expect("a count is a number")
}

fn rows(server: &mut ServerProcess) -> Vec<Row> {
    let text = server.database().query(
        "SELECT d.id, d.kind, d.status, j.state, coalesce(d.reason, ''), \
         translate(coalesce(d.message, ''), E'|\\n', '/ '), p.name, t.name, j.fence_incarnation, j.fence_epoch, \
         EXISTS (SELECT 1 FROM job_attempts a WHERE a.job_id = j.id AND a.accepted_at IS NOT NULL), \
         (extract(epoch FROM d.created_at) * 1000)::bigint, (extract(epoch FROM coalesce(d.finished_at, now())) * 1000)::bigint, \
         coalesce(d.log_lines::text, '') \
         FROM deployments d JOIN jobs j ON j.deployment_id = d.id JOIN projects p ON p.id = d.project_id \
         JOIN deployment_targets t ON t.id = d.target_id ORDER BY d.id",
    );
    text.lines()
        .map(|line| row(line).unwrap_or_else(|| panic!("no row of a deployment: {line}")))
        .collect()
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split('|').collect();
    let [
        id,
        kind,
        status,
        job,
        reason,
        message,
        project,
        target,
        incarnation,
        epoch,
        accepted,
        created,
        finished,
        lines,
    ] = fields[..]
    else {
        return None;
    };
    Some(Row {
        id: id.to_owned(),
        kind: kind.to_owned(),
        status: status.to_owned(),
        job: job.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        project: project.to_owned(),
        target: target.to_owned(),
        fence: (incarnation.parse().ok()?, epoch.parse().ok()?),
        accepted: accepted == "t",
        created: DateTime::from_timestamp_millis(created.parse().ok()?)?,
        finished: DateTime::from_timestamp_millis(finished.parse().ok()?)?,
        lines: lines.parse().ok(),
    })
}

fn agents(server: &mut ServerProcess) -> Vec<AgentRow> {
    let sql = "SELECT name, revoked_at IS NOT NULL, session_id IS NOT NULL FROM agents";
    let text = server.database().query(sql);
    let rows = text.lines().map(|line| {
        let fields: Vec<&str> = line.split('|').collect();
        AgentRow {
            name: fields[0].to_owned(),
            revoked: fields[1] == "t",
            connected: fields[2] == "t",
        }
    });
    rows.collect()
}

fn log(api: &Api, id: &str) -> Vec<Line> {
    let (mut lines, mut from) = (Vec::new(), 0);
    loop {
        let page = api
            .get(&format!("/deployments/{id}/log?from={from}&limit=10000"))
            .ok();
        let new = page["lines"].as_array().expect("a page has lines");
        lines.extend(new.iter().map(|line| Line {
            number: line["n"].as_u64(),
            stream: text(&line["stream"]),
            text: text(&line["text"]),
        }));
        let next = page["next"].as_u64().unwrap_or(from);
        if next <= from {
            return lines;
        }
        from = next;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn found(host: &Host) -> Found {
    // An engine that came back starts its containers one after the other, with growing pauses.
    let running = || {
        let containers = containers(&host.engine)?;
        let settled = |container: &Container| container.state != "restarting";
        containers.iter().all(settled).then_some(containers)
    };
    let containers = within(SETTLE_LIMIT, running)
        .or_else(|| containers(&host.engine))
        .expect("the engine answers");
    let mut found = Found {
        containers,
        ..Found::default()
    };
    for text in host.engine.files_in_volumes(project::LEDGER) {
        for line in text.lines() {
            match Start::read(line) {
                Some(start) => found.starts.push(start),
                None => found.torn.push(line.to_owned()),
            }
        }
    }
    found
}

fn containers(engine: &Engine) -> Option<Vec<Container>> {
    let mark = project::MARK;
    let format = format!("{{{{.State}}}} {{{{.Label \"{mark}\"}}}}");
    let filter = format!("label={mark}");
    let text = engine.try_docker(&["ps", "-a", "--filter", &filter, "--format", &format])?;
    let containers = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(state, mark)| Container {
            state: state.to_owned(),
            mark: mark.to_owned(),
        });
    Some(containers.collect())
}
