//! The summary: a table for people, and the same as JSON.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    diary::{Entries, Injury, Wish},
    judge::Verdict,
    look::{Findings, Row},
    plan::Fault,
};

/// A run, told.
#[derive(Debug)]
pub struct Report {
    rows: Vec<(String, String)>,
    json: Value,
}

impl Report {
    /// What a run came to.
    pub fn new(
        seed: u64,
        length: Duration,
        entries: &Entries,
        findings: &Findings,
        verdict: &Verdict,
    ) -> Self {
        let faults = faults(entries);
        let recovery = longest_recovery(entries, findings);
        let figures = figures(entries, findings, verdict);
        let mut rows = vec![
            ("seed".to_owned(), seed.to_string()),
            ("seconds of faults".to_owned(), length.as_secs().to_string()),
        ];
        let counted = faults
            .iter()
            .map(|(fault, count)| (format!("faults, {}", fault.words()), count.to_string()));
        rows.extend(counted);
        rows.extend(
            figures
                .iter()
                .map(|(name, count)| ((*name).to_owned(), count.to_string())),
        );
        let longest = recovery
            .as_ref()
            .map_or("none".to_owned(), |(time, fault)| {
                format!("{:.1} s ({})", time.as_secs_f64(), fault.words())
            });
        rows.push(("longest recovery".to_owned(), longest));
        rows.push((
            "disagreements".to_owned(),
            verdict.disagreements.len().to_string(),
        ));
        let faults: BTreeMap<&str, usize> = faults
            .iter()
            .map(|(fault, count)| (fault.words(), *count))
            .collect();
        let figures: BTreeMap<&str, u64> = figures.into_iter().collect();
        let json = json!({
            "seed": seed,
            "seconds": length.as_secs(),
            "faults": faults,
            "figures": figures,
            "longest_recovery_s": recovery.map(|(time, _)| time.as_secs_f64()),
            "ended_by_themselves": entries.own_ends,
            "injuries": entries.injuries.iter().map(injury).collect::<Vec<_>>(),
            "disagreements": verdict.disagreements,
        });
        Self { rows, json }
    }

    /// For people.
    pub fn table(&self) -> String {
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or(0);
        let rows = self
            .rows
            .iter()
            .map(|(name, value)| format!("  {name:<width$}  {value}\n"));
        rows.collect()
    }

    /// For programs.
    pub fn json(&self) -> String {
        format!("{:#}\n", self.json)
    }
}

fn injury(injury: &Injury) -> Value {
    json!({
        "fault": injury.fault.words(),
        "host": injury.host,
        "begin": injury.begin.utc,
        "end": injury.end.utc,
    })
}

fn faults(entries: &Entries) -> Vec<(Fault, usize)> {
    let count = |fault: &Fault| {
        let injuries = entries.injuries.iter();
        injuries.filter(|injury| injury.fault == *fault).count()
    };
    Fault::all().map(|fault| (fault, count(&fault))).collect()
}

fn figures(entries: &Entries, findings: &Findings, verdict: &Verdict) -> Vec<(&'static str, u64)> {
    let orders =
        |wanted: &dyn Fn(&Row) -> bool| findings.rows.iter().filter(|row| wanted(row)).count();
    let of = |kind: &'static str, status: &'static str| {
        orders(&move |row: &Row| row.kind == kind && row.status == status)
    };
    let kills = entries
        .injuries
        .iter()
        .filter(|injury| injury.fault.is_kill())
        .count();
    let removals = entries
        .orders
        .iter()
        .filter(|order| order.wish == Wish::Remove)
        .count();
    let cancels = entries
        .orders
        .iter()
        .filter(|order| order.cancelled)
        .count();
    let revoked = entries
        .enrolments
        .iter()
        .filter(|guest| guest.revoked)
        .count();
    let seen = entries.enrolments.iter().filter(|guest| guest.seen).count();
    let connections: usize = entries
        .readings
        .iter()
        .map(|reading| reading.connections)
        .sum();
    let counts = &verdict.counts;
    let wide = |count: usize| count as u64;
    vec![
        ("faults in all", wide(entries.injuries.len())),
        ("kills survived", wide(kills)),
        (
            "programs that ended by themselves",
            wide(entries.own_ends.len()),
        ),
        ("orders acknowledged", wide(entries.orders.len())),
        ("requests repeated with their key", wide(entries.repeated)),
        ("requests never answered", wide(entries.unanswered)),
        ("orders refused, no engine", wide(entries.refused)),
        ("deploys succeeded", wide(of("deploy", "succeeded"))),
        ("deploys failed, honestly", wide(of("deploy", "failed"))),
        ("deploys cancelled", wide(of("deploy", "cancelled"))),
        ("cancels acknowledged", wide(cancels)),
        ("removals ordered", wide(removals)),
        ("removals succeeded", wide(of("remove", "succeeded"))),
        ("hosts enrolled", wide(entries.enrolments.len())),
        ("hosts seen online", wide(seen)),
        ("hosts revoked", wide(revoked)),
        (
            "enrolments failed, honestly",
            wide(entries.failed_enrolments),
        ),
        ("log followers", wide(entries.readings.len())),
        ("their connections", wide(connections)),
        ("lines sent", counts.lines_sent),
        ("lines stored", counts.lines_stored),
        ("lines lost", counts.lines_lost),
        (
            "lines lost by an engine that died",
            counts.lines_lost_by_engine,
        ),
        ("effects expected", wide(counts.effects_expected)),
        ("effects seen", wide(counts.effects_seen)),
        ("effects doubled", wide(counts.effects_doubled)),
        (
            "containers started again by their engine",
            wide(counts.restarts),
        ),
    ]
}

/// From a fault's end to the next success: of a deploy on that host, or on any when the control plane was hit.
fn longest_recovery(entries: &Entries, findings: &Findings) -> Option<(Duration, Fault)> {
    let recoveries = entries.injuries.iter().filter_map(|injury| {
        let target = injury.host.map(|host| format!("host-{host}"));
        let next = findings
            .rows
            .iter()
            .filter(|row| row.status == "succeeded" && row.finished >= injury.end.utc)
            .filter(|row| target.as_ref().is_none_or(|target| *target == row.target))
            .map(|row| row.finished)
            .min()?;
        Some((time_since(injury, next), injury.fault))
    });
    recoveries.max_by_key(|(time, _)| *time)
}

fn time_since(injury: &Injury, next: chrono::DateTime<chrono::Utc>) -> Duration {
    (next - injury.end.utc).to_std().unwrap_or_default()
}
