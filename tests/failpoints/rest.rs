//! What must hold when all is at rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use towline_tests::compose::starts;
use towline_tests::patience::{never_within, wait_until};
use towline_tests::scratch::{Named, processes_of};

use crate::order::Order;
use crate::stage::{Project, Stage};
use crate::tally::Effects;

/// Within which both sides have told each other that a job has ended.
const LIMIT: Duration = Duration::from_secs(20);
/// For how long something is watched that must not happen.
const WATCHED: Duration = Duration::from_secs(1);
/// Names of what is being written or taken away; none stays.
const HALF: [&str; 4] = [".new", ".gone", ".rebased", ".towline-half-written"];

/// Counts that are nothing when the database agrees with itself and nothing is under way.
const NOTHING: [(&str, &str); 8] = [
    (
        "jobs have not ended",
        "SELECT COUNT(*) FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')",
    ),
    (
        "deployments do not say what their jobs say",
        "SELECT COUNT(*) FROM jobs j JOIN deployments d ON d.id = j.deployment_id WHERE d.status <> j.state",
    ),
    (
        "attempts have not ended",
        "SELECT COUNT(*) FROM job_attempts WHERE ended_at IS NULL",
    ),
    (
        "ends of jobs are not in the audit log once",
        "SELECT COUNT(*) FROM jobs j WHERE j.state IN ('succeeded', 'failed', 'cancelled')
            AND 1 <> (SELECT COUNT(*) FROM audit_logs a WHERE a.subject_id = j.deployment_id
                AND a.action IN ('job.finish', 'job.cancel', 'job.fail'))",
    ),
    (
        "offers are not in the audit log once",
        "SELECT COUNT(*) FROM jobs j WHERE (SELECT COUNT(*) FROM job_attempts t WHERE t.job_id = j.id)
            <> (SELECT COUNT(*) FROM audit_logs a WHERE a.subject_id = j.deployment_id AND a.action = 'job.offer')",
    ),
    (
        "deployments have no job, or none of their log",
        "SELECT COUNT(*) FROM deployments d WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.deployment_id = d.id AND j.id = d.log)",
    ),
    (
        "fences are above their target's highest",
        "SELECT COUNT(*) FROM jobs j JOIN deployment_targets t ON t.id = j.target_id
         WHERE j.fence_incarnation > t.fence_incarnation
            OR (j.fence_incarnation = t.fence_incarnation AND j.fence_epoch > t.fence_epoch)",
    ),
    (
        "agents that are trusted have no certificate",
        "SELECT COUNT(*) FROM agents a WHERE a.revoked_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.agent_id = a.id)",
    ),
];

/// What services of a project print, and how many of them there are.
pub struct Expected {
    /// Each container's source and its lines.
    pub printed: Vec<(&'static str, Vec<String>)>,
    /// Whether one of the services counts its starts.
    pub is_counted: bool,
    /// How many containers of a former release are gone.
    pub replaced: usize,
}

/// A deploy has succeeded: its containers were made once and run, and its log is whole.
pub fn deployed(stage: &Stage<'_>, order: &Order, project: &Project, expected: &Expected) {
    let story = &stage.story;
    let shown = order.wait(&story.api, "succeeded");
    let containers = story.engine.containers(&project.name);
    let running = containers
        .iter()
        .filter(|container| container["State"] == "running");
    assert_eq!(running.count(), expected.printed.len(), "{containers:?}");
    assert_eq!(containers.len(), expected.printed.len(), "{containers:?}");
    let counted = usize::from(expected.is_counted);
    let made = story.engine.creations(&project.name);
    let started = if expected.is_counted {
        starts(&story.engine, &project.name)
    } else {
        0
    };
    stage.tally.effects(Effects {
        expected: expected.printed.len() + counted,
        seen: made.saturating_sub(expected.replaced).max(containers.len()) + started,
    });
    // The engine remembers its last 256 events, and other cases make some meanwhile: what it has forgotten was not made
    // twice by that, and the containers that are there were counted above.
    let usual = expected.printed.len() + expected.replaced;
    assert!(made <= usual, "containers were made twice");
    assert_eq!(started, counted, "the counting service was started twice");
    let log = order.log(&story.api);
    whole_log(&shown, &log, expected);
    let followed = order.follow(&story.api);
    let lines = followed.iter().filter(|event| event.kind == "line").count();
    assert_eq!(lines, log.len(), "who follows the log misses lines");
    let last = followed.last().map(|event| event.kind.as_str());
    assert_eq!(last, Some("end"), "who follows the log is not told its end");
}

/// Each line is there once, in its order, without a gap.
fn whole_log(shown: &Value, log: &[Value], expected: &Expected) {
    for (at, line) in log.iter().enumerate() {
        assert_eq!(line["n"], at, "a gap before {line}");
        assert_ne!(line["stream"], "gap", "{line}");
    }
    assert_eq!(shown["log"]["lines"], log.len(), "{shown}");
    for (source, lines) in &expected.printed {
        let printed: Vec<&str> = log
            .iter()
            .filter(|line| line["source"] == *source)
            .filter_map(|line| line["text"].as_str())
            .collect();
        assert_eq!(printed, *lines, "the lines of {source}");
    }
}

/// Nothing of a job has happened, and nothing will.
pub fn untouched(stage: &Stage<'_>, project: &Project) {
    stage.tally.effects(Effects {
        expected: 0,
        seen: stage.story.engine.creations(&project.name),
    });
    never_within("a cancelled deploy has an effect", WATCHED, || {
        (stage.story.engine.creations(&project.name) > 0).then_some(())
    });
}

/// Both sides are done with all jobs, agree, and have left nothing half-done.
pub fn settled(stage: &Stage<'_>) {
    let folder = stage.story.agent.state_dir();
    wait_until("the agent has forgotten all jobs", LIMIT, || {
        let jobs = fs::read_dir(folder.join("jobs")).expect("the agent's folder");
        (jobs.count() == 0).then_some(())
    });
    wait_until("nothing is half-written", LIMIT, || {
        half_written(&folder).is_empty().then_some(())
    });
    wait_until("no compose is at work for the agent", LIMIT, || {
        let processes = processes_of(&folder.display().to_string());
        let is_compose = |process: &Named| process.command.contains("--project-name");
        (!processes.iter().any(is_compose)).then_some(())
    });
    for (what, sql) in NOTHING {
        let found = wait_for_none(stage, sql);
        assert_eq!(found, 0, "{what}");
    }
}

fn wait_for_none(stage: &Stage<'_>, sql: &'static str) -> i64 {
    let mut found = 0;
    let none = towline_tests::patience::within(LIMIT, || {
        found = stage.story.server.count(sql);
        (found == 0).then_some(())
    });
    none.map_or(found, |()| 0)
}

fn half_written(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let inside = entries.flat_map(|entry| {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_half = HALF.iter().any(|half| name.ends_with(half));
        let mut found = if path.is_dir() {
            half_written(&path)
        } else {
            Vec::new()
        };
        found.extend(is_half.then_some(path));
        found
    });
    inside.collect()
}
