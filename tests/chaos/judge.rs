//! The judgement: what was acknowledged, what the database says, what the engines run and what the containers
//! themselves wrote down must agree. Pure, and tried on planted faults below: a judge that finds nothing wrong with a
//! wrong world would be worse than none.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    diary::{Entries, Injury, Order, Wish},
    look::{Findings, Line, Row, Start},
    plan::HostFault,
    project::{LINES, Tick},
};

/// What the judge counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Releases that must have started: their deploys have succeeded.
    pub effects_expected: usize,
    /// Those that have.
    pub effects_seen: usize,
    /// Releases that ran in two containers, or again without a death of their engine.
    pub effects_doubled: usize,
    /// Starts that an engine repeated when it came back.
    pub restarts: usize,
    /// Lines that containers printed before their deploy had succeeded.
    pub lines_sent: u64,
    /// Those that are stored.
    pub lines_stored: u64,
    /// Those that are not, nor lost by an engine that died.
    pub lines_lost: u64,
    /// Those that the engine lost when it died.
    pub lines_lost_by_engine: u64,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The figures.
    pub counts: Counts,
    /// Every disagreement, in words.
    pub disagreements: Vec<String>,
}

impl Verdict {
    fn wrong(&mut self, what: String) {
        self.disagreements.push(what);
    }
}

struct Case<'c> {
    entries: &'c Entries,
    findings: &'c Findings,
    rows: HashMap<&'c str, &'c Row>,
    verdict: Verdict,
}

/// Judges a run.
pub fn judge(entries: &Entries, findings: &Findings) -> Verdict {
    let rows = findings.rows.iter().map(|row| (row.id.as_str(), row));
    let mut case = Case {
        entries,
        findings,
        rows: rows.collect(),
        verdict: Verdict::default(),
    };
    case.verdict.disagreements.clone_from(&entries.breaches);
    case.orders();
    case.states();
    case.failures();
    case.effects();
    case.order_of_effects();
    case.rest();
    case.logs();
    case.readings();
    case.agents();
    case.audit();
    case.verdict
}

impl<'c> Case<'c> {
    /// What was acknowledged is there, once, and nothing else is.
    fn orders(&mut self) {
        let mut known = HashSet::new();
        for order in &self.entries.orders {
            if !known.insert(order.id.as_str()) {
                self.verdict
                    .wrong(format!("two orders were acknowledged as {}", order.id));
            }
            match self.row(order) {
                None => self
                    .verdict
                    .wrong(format!("{} was acknowledged and is not there", order.id)),
                Some(row) if !is_what_was_ordered(row, order) => self.verdict.wrong(format!(
                    "{} is there as a {} of {} on {}",
                    row.id, row.kind, row.project, row.target
                )),
                Some(_) => {}
            }
        }
        let unasked: Vec<&Row> = self
            .findings
            .rows
            .iter()
            .filter(|row| !known.contains(row.id.as_str()))
            .collect();
        if unasked.len() > self.entries.unanswered {
            let ids: Vec<&str> = unasked.iter().map(|row| row.id.as_str()).collect();
            self.verdict
                .wrong(format!("nobody ordered {}", ids.join(", ")));
        }
    }

    /// Everything has ended, and deployments and jobs tell the same.
    fn states(&mut self) {
        for row in &self.findings.rows {
            if !["succeeded", "failed", "cancelled"].contains(&row.status.as_str()) {
                self.verdict
                    .wrong(format!("{} is {} at the end", row.id, row.status));
            }
            if row.status != row.job {
                self.verdict
                    .wrong(format!("{} is {}, its job {}", row.id, row.status, row.job));
            }
        }
        for order in &self.entries.orders {
            let cancelled = self.row(order).is_some_and(|row| row.status == "cancelled");
            if cancelled && !order.cancelled {
                self.verdict
                    .wrong(format!("{} is cancelled and nobody asked", order.id));
            }
        }
    }

    /// A deploy fails only when its host was struck by what takes the engine or the disk away.
    fn failures(&mut self) {
        for order in &self.entries.orders {
            let Some(row) = self.row(order).filter(|row| row.status == "failed") else {
                continue;
            };
            let excused = self.strikes(order, row).any(HostFault::excuses_failure);
            if !excused {
                self.verdict.wrong(format!(
                    "{} failed ({}: {}) on {} from {} to {} though neither engine nor disk was broken",
                    row.id, row.reason, row.message, row.target, row.created, row.finished
                ));
            }
        }
    }

    /// Who succeeded started once; nobody started twice; who was never accepted never started.
    fn effects(&mut self) {
        let mut marks = HashSet::new();
        for order in &self.entries.orders {
            let (Wish::Deploy { mark }, Some(row)) = (&order.wish, self.row(order)) else {
                continue;
            };
            marks.insert(mark.as_str());
            let starts = self.starts(order.host, mark);
            if row.status == "succeeded" {
                self.verdict.counts.effects_expected += 1;
                self.verdict.counts.effects_seen += usize::from(!starts.is_empty());
                if starts.is_empty() {
                    self.verdict
                        .wrong(format!("{mark} ({}) succeeded and never started", row.id));
                }
            }
            if !row.accepted && !starts.is_empty() {
                self.verdict.wrong(format!(
                    "{mark} ({}) is {}, was never accepted, and started",
                    row.id, row.status
                ));
            }
            self.repetitions(order.host, mark, &starts);
        }
        for (host, found) in self.findings.hosts.iter().enumerate() {
            for line in &found.torn {
                self.verdict
                    .wrong(format!("host {host}: a ledger's line is torn: {line:?}"));
            }
            for start in found
                .starts
                .iter()
                .filter(|start| !marks.contains(start.mark.as_str()))
            {
                // An order whose acknowledgement never came may have been carried out.
                if self.entries.unanswered == 0 {
                    self.verdict.wrong(format!(
                        "host {host}: nobody ordered the start of {}",
                        start.mark
                    ));
                }
            }
        }
    }

    /// A second container is a double; a second start of the same is one unless the engine died in between.
    fn repetitions(&mut self, host: usize, mark: &str, starts: &[&Start]) {
        let containers: HashSet<&str> = starts
            .iter()
            .map(|start| start.container.as_str())
            .collect();
        let mut doubled = containers.len() > 1;
        if doubled {
            self.verdict
                .wrong(format!("{mark} started in {} containers", containers.len()));
        }
        let mut deaths = self.engine_deaths(host);
        for pair in starts.windows(2) {
            let (from, to) = (pair[0].uptime, pair[1].uptime);
            let between = |death: &&Injury| death.begin.uptime <= to && death.end.uptime >= from;
            // Each death explains one start.
            if let Some(at) = deaths.iter().position(between) {
                deaths.remove(at);
                self.verdict.counts.restarts += 1;
            } else {
                doubled = true;
                self.verdict.wrong(format!(
                    "{mark} started again at {to} after {from} though its engine lived on"
                ));
            }
        }
        self.verdict.counts.effects_doubled += usize::from(doubled);
    }

    /// On one host, releases start in the order of their fences: no effect under a lower one.
    fn order_of_effects(&mut self) {
        for host in 0..self.findings.hosts.len() {
            let orders = self
                .entries
                .orders
                .iter()
                .filter(|order| order.host == host);
            let firsts = orders.filter_map(|order| {
                let Wish::Deploy { mark } = &order.wish else {
                    return None;
                };
                let first = self.starts(host, mark).first()?.uptime;
                Some((self.row(order)?.fence, first, mark))
            });
            let mut firsts: Vec<_> = firsts.collect();
            firsts.sort_by_key(|(fence, ..)| *fence);
            for pair in firsts.windows(2) {
                let ((low, first, earlier), (high, second, later)) = (pair[0], pair[1]);
                if second < first {
                    self.verdict.wrong(format!(
                        "{earlier} (fence {low:?}) started after {later} (fence {high:?})"
                    ));
                }
            }
        }
    }

    /// At rest each project runs what its last successful order asked for, and nothing else.
    fn rest(&mut self) {
        let projects: BTreeMap<usize, usize> = self
            .entries
            .orders
            .iter()
            .map(|order| (order.project, order.host))
            .collect();
        for (project, host) in projects {
            let expected = self.last_success(project);
            let prefix = format!("shop-{project}-");
            let containers = self.findings.hosts[host].containers.iter();
            let ours: Vec<_> = containers
                .filter(|container| container.mark.starts_with(&prefix))
                .map(|container| (container.mark.as_str(), container.state.as_str()))
                .collect();
            let expected: Vec<_> = expected.map(|mark| (mark, "running")).into_iter().collect();
            if ours != expected {
                self.verdict.wrong(format!(
                    "host {host}, shop-{project}: the engine has {ours:?}, the database says {expected:?}"
                ));
            }
        }
    }

    fn last_success(&self, project: usize) -> Option<&'c str> {
        let orders = self
            .entries
            .orders
            .iter()
            .filter(|order| order.project == project);
        let done = orders.filter_map(|order| {
            let row = self.row(order).filter(|row| row.status == "succeeded")?;
            Some((row.fence, order))
        });
        match &done.max_by_key(|(fence, _)| *fence)?.1.wish {
            Wish::Deploy { mark } => Some(mark),
            Wish::Remove => None,
        }
    }

    /// Stored logs are gap-free and equal to what was printed.
    fn logs(&mut self) {
        for order in &self.entries.orders {
            let Some(row) = self.row(order) else { continue };
            let empty = Vec::new();
            let lines = self.findings.logs.get(&order.id).unwrap_or(&empty);
            self.numbering(row, lines);
            if let Wish::Deploy { mark } = &order.wish {
                self.ticks(order, row, mark, lines);
            }
        }
    }

    fn numbering(&mut self, row: &Row, lines: &[Line]) {
        let numbers = lines.iter().map(|line| line.number);
        if !numbers.eq((0..lines.len() as u64).map(Some)) {
            self.verdict
                .wrong(format!("the log of {} is not numbered from 0 on", row.id));
        }
        if row.lines.is_some_and(|told| told != lines.len() as u64) {
            self.verdict.wrong(format!(
                "{} tells {:?} lines and has {}",
                row.id,
                row.lines,
                lines.len()
            ));
        }
        if let Some(gap) = lines.iter().find(|line| line.stream == "gap") {
            self.verdict
                .wrong(format!("the log of {} has a gap: {}", row.id, gap.text));
        }
    }

    fn ticks(&mut self, order: &'c Order, row: &Row, mark: &str, lines: &[Line]) {
        let mut runs: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for tick in lines.iter().filter_map(|line| Tick::read(&line.text)) {
            if tick.mark == mark {
                runs.entry(tick.start).or_default().push(tick.number);
            } else if release_of(tick.mark) > release_of(mark) || !is_same_project(tick.mark, mark)
            {
                // The container of an older release may still be printing when its successor comes.
                self.verdict
                    .wrong(format!("the log of {mark} has a line of {}", tick.mark));
            }
        }
        let engine_died = self.strikes(order, row).any(HostFault::ends_engine);
        for (start, numbers) in &runs {
            let backwards = numbers
                .iter()
                .zip(&numbers[1..])
                .find(|(one, next)| next <= one);
            if let Some((one, next)) = backwards {
                self.verdict.wrong(format!(
                    "the log of {mark} ({} on {} from {} to {}, {}) has line {next} of the start at {start} behind line {one}",
                    row.id, row.target, row.created, row.finished, row.status
                ));
            }
            let distinct = numbers.iter().collect::<HashSet<_>>().len() as u64;
            let holes = numbers.iter().max().map_or(0, |last| last - distinct);
            self.missing(mark, holes, engine_died);
            self.verdict.counts.lines_stored += distinct;
            self.verdict.counts.lines_sent += distinct;
        }
        // What a deploy waited for is printed by then, and in the engine's hands.
        let longest = runs.values().flatten().max();
        if row.status == "succeeded" {
            self.missing(mark, LINES - longest.copied().unwrap_or(0), engine_died);
        }
    }

    fn missing(&mut self, mark: &str, missing: u64, engine_died: bool) {
        self.verdict.counts.lines_sent += missing;
        if engine_died {
            self.verdict.counts.lines_lost_by_engine += missing;
        } else if missing > 0 {
            self.verdict.counts.lines_lost += missing;
            self.verdict
                .wrong(format!("{missing} lines of {mark} are not stored"));
        }
    }

    /// Followers received what is stored.
    fn readings(&mut self) {
        for reading in &self.entries.readings {
            let stored = self.findings.logs.get(&reading.id).map_or(0, Vec::len) as u64;
            if !reading.ended {
                self.verdict.wrong(format!(
                    "a follower of {} was never told the end",
                    reading.id
                ));
            } else if reading.lines != stored {
                self.verdict.wrong(format!(
                    "a follower of {} received {} lines of {stored}",
                    reading.id, reading.lines
                ));
            }
        }
    }

    /// Who was told that it is enrolled is known; who is revoked stays out; the hosts are there.
    fn agents(&mut self) {
        let agents: HashMap<&str, _> = self
            .findings
            .agents
            .iter()
            .map(|agent| (agent.name.as_str(), agent))
            .collect();
        for guest in &self.entries.enrolments {
            match agents.get(guest.name.as_str()) {
                None => self
                    .verdict
                    .wrong(format!("{} was enrolled and is not known", guest.name)),
                Some(agent) if guest.revoked && (!agent.revoked || agent.connected) => self
                    .verdict
                    .wrong(format!("{} was revoked and is {agent:?}", guest.name)),
                Some(_) => {}
            }
        }
        if agents.len() < self.findings.agents.len() {
            self.verdict.wrong("two agents have one name".to_owned());
        }
        for host in 0..self.findings.hosts.len() {
            let name = format!("host-{host}");
            let there = agents.get(name.as_str());
            if !there.is_some_and(|agent| agent.connected && !agent.revoked) {
                self.verdict
                    .wrong(format!("{name} is not online at the end"));
            }
        }
    }

    fn audit(&mut self) {
        if !self.findings.audit.contains("The audit log is whole") {
            self.verdict
                .wrong(format!("the audit log: {}", self.findings.audit));
        }
    }

    fn row(&self, order: &Order) -> Option<&'c Row> {
        self.rows.get(order.id.as_str()).copied()
    }

    /// The starts of a release, the first one first.
    fn starts(&self, host: usize, mark: &str) -> Vec<&'c Start> {
        let starts = self.findings.hosts[host].starts.iter();
        let mut starts: Vec<&Start> = starts.filter(|start| start.mark == mark).collect();
        starts.sort_by(|a, b| a.uptime.total_cmp(&b.uptime));
        starts
    }

    /// What came over an order's host while it was carried out.
    fn strikes(&self, order: &'c Order, row: &Row) -> impl Iterator<Item = HostFault> {
        let (host, from, to) = (order.host, row.created, row.finished);
        let injuries = self.entries.injuries.iter();
        injuries.filter_map(move |injury| injury.struck(host, from, to))
    }

    fn engine_deaths(&self, host: usize) -> Vec<&'c Injury> {
        let injuries = self.entries.injuries.iter();
        let deaths = injuries.filter(|injury| injury.ended_engine_of(host));
        deaths.collect()
    }
}

fn is_what_was_ordered(row: &Row, order: &Order) -> bool {
    let kind = match order.wish {
        Wish::Deploy { .. } => "deploy",
        Wish::Remove => "remove",
    };
    let (project, target) = (
        format!("shop-{}", order.project),
        format!("host-{}", order.host),
    );
    row.kind == kind && row.project == project && row.target == target
}

fn release_of(mark: &str) -> Option<u64> {
    mark.rsplit_once('-')?.1.parse().ok()
}

fn is_same_project(mark: &str, other: &str) -> bool {
    let project = |mark: &str| mark.rsplit_once('-').map(|(project, _)| project.to_owned());
    project(mark) == project(other)
}
