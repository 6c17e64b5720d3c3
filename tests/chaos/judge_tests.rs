//! The judge on worlds with one planted fault each.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    diary::{Enrolment, Entries, Injury, Moment, Order, Reading, Wish},
    judge::{Verdict, judge},
    look::{AgentRow, Container, Findings, Found, Line, Row, Start},
    plan::{Fault, HostFault},
    project::LINES,
};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn order(id: &str, wish: Wish) -> Order {
    Order {
        id: id.to_owned(),
        project: 0,
        host: 0,
        wish,
        cancelled: false,
    }
}

fn deploy(id: &str, mark: &str) -> Order {
    let mark = mark.to_owned();
    order(id, Wish::Deploy { mark })
}

fn row(id: &str, kind: &str, status: &str, epoch: u64) -> Row {
    let begin = i64::try_from(epoch).unwrap() * 100;
    Row {
        id: id.to_owned(),
        kind: kind.to_owned(),
        status: status.to_owned(),
        job: status.to_owned(),
        reason: String::new(),
        message: String::new(),
        project: "shop-0".to_owned(),
        target: "host-0".to_owned(),
        fence: (1, epoch),
        accepted: true,
        created: at(begin),
        finished: at(begin + 50),
        lines: Some(LINES),
    }
}

fn start(mark: &str, container: &str, uptime: f64) -> Start {
    Start {
        mark: mark.to_owned(),
        container: container.to_owned(),
        uptime,
    }
}

fn printed(mark: &str, start: &str) -> Vec<Line> {
    let line = |number| Line {
        number: Some(number),
        stream: "stdout".to_owned(),
        text: format!("tick {mark} {start} {}", number + 1),
    };
    (0..LINES).map(line).collect()
}

fn dockerd_killed(from: i64, to: i64) -> Injury {
    let moment = |seconds: i32| Moment {
        utc: at(seconds.into()),
        uptime: seconds.into(),
    };
    Injury {
        fault: Fault::Host(HostFault::DockerKilled),
        host: Some(0),
        begin: moment(i32::try_from(from).unwrap()),
        end: moment(i32::try_from(to).unwrap()),
    }
}

/// Two deploys that went well; the second is what runs.
fn good() -> (Entries, Findings) {
    let entries = Entries {
        orders: vec![deploy("a", "shop-0-1"), deploy("b", "shop-0-2")],
        readings: vec![Reading {
            id: "a".to_owned(),
            connections: 2,
            lines: LINES,
            ended: true,
        }],
        enrolments: vec![Enrolment {
            name: "guest-0".to_owned(),
            seen: true,
            revoked: true,
        }],
        ..Entries::default()
    };
    let agent = |name: &str, revoked: bool| AgentRow {
        name: name.to_owned(),
        revoked,
        connected: !revoked,
    };
    let findings = Findings {
        rows: vec![
            row("a", "deploy", "succeeded", 1),
            row("b", "deploy", "succeeded", 2),
        ],
        hosts: vec![Found {
            starts: vec![
                start("shop-0-1", "c1", 110.0),
                start("shop-0-2", "c2", 210.0),
            ],
            torn: Vec::new(),
            containers: vec![Container {
                mark: "shop-0-2".to_owned(),
                state: "running".to_owned(),
            }],
        }],
        logs: HashMap::from([
            ("a".to_owned(), printed("shop-0-1", "110")),
            ("b".to_owned(), printed("shop-0-2", "210")),
        ]),
        agents: vec![agent("host-0", false), agent("guest-0", true)],
        audit: "The audit log is whole: 9 entries.".to_owned(),
    };
    (entries, findings)
}

fn judged(change: impl Fn(&mut Entries, &mut Findings)) -> Verdict {
    let (mut entries, mut findings) = good();
    change(&mut entries, &mut findings);
    judge(&entries, &findings)
}

#[test]
fn a_good_world_is_found_good() {
    let verdict = judged(|_, _| ());
    assert_eq!(verdict.disagreements, Vec::<String>::new());
    let counts = verdict.counts;
    assert_eq!(
        (
            counts.effects_expected,
            counts.effects_seen,
            counts.effects_doubled
        ),
        (2, 2, 0)
    );
    assert_eq!(
        (counts.lines_sent, counts.lines_stored, counts.lines_lost),
        (2 * LINES, 2 * LINES, 0)
    );
}

type Change = fn(&mut Entries, &mut Findings);

/// Each change makes the judge say these words.
fn are_found(faults: &[(&str, Change)]) {
    for (words, change) in faults {
        let found = judged(change).disagreements;
        assert!(
            found.iter().any(|what| what.contains(words)),
            "{words:?} is not among {found:#?}"
        );
    }
}

#[test]
fn wrong_orders_and_states_are_found() {
    are_found(&[
        ("is not there", |_, found| drop(found.rows.remove(0))),
        ("is there as a remove", |_, found| {
            found.rows[0].kind = "remove".to_owned();
        }),
        ("is there as a deploy of shop-1", |_, found| {
            found.rows[0].project = "shop-1".to_owned();
        }),
        ("nobody ordered b", |entries, _| {
            drop(entries.orders.remove(1));
        }),
        ("two orders were acknowledged", |entries, _| {
            entries.orders.push(deploy("a", "shop-0-1"));
        }),
        ("is running at the end", |_, found| {
            found.rows[0].status = "running".to_owned();
        }),
        ("its job failed", |_, found| {
            found.rows[0].job = "failed".to_owned();
        }),
        ("nobody asked", |_, found| set(found, 0, "cancelled")),
        ("failed (: ) on host-0", |_, found| set(found, 0, "failed")),
    ]);
}

#[test]
fn wrong_effects_are_found() {
    are_found(&[
        ("never started", |_, found| {
            drop(found.hosts[0].starts.remove(0));
        }),
        ("was never accepted", |_, found| {
            found.rows[0].accepted = false;
        }),
        ("nobody ordered the start", |_, found| {
            found.hosts[0].starts.push(start("shop-9-1", "c9", 120.0));
        }),
        ("is torn", |_, found| {
            found.hosts[0].torn.push("shop-0".to_owned());
        }),
        ("started in 2 containers", |_, found| {
            found.hosts[0].starts.push(start("shop-0-1", "c3", 120.0));
        }),
        ("its engine lived on", |_, found| {
            found.hosts[0].starts.push(start("shop-0-1", "c1", 120.0));
        }),
        ("its engine lived on", |entries, found| {
            entries.injuries.push(dockerd_killed(115, 118));
            let again = [120.0, 125.0].map(|uptime| start("shop-0-1", "c1", uptime));
            found.hosts[0].starts.extend(again);
        }),
        ("started after", |_, found| {
            found.hosts[0].starts[0].uptime = 220.0;
        }),
        ("the engine has []", |_, found| {
            found.hosts[0].containers.clear();
        }),
        ("the engine has [(\"shop-0-2\", \"exited\")]", |_, found| {
            found.hosts[0].containers[0].state = "exited".to_owned();
        }),
        ("the database says []", |entries, found| {
            entries.orders.push(order("c", Wish::Remove));
            found.rows.push(row("c", "remove", "succeeded", 3));
            found.rows[2].lines = None;
        }),
    ]);
}

#[test]
fn wrong_logs_are_found() {
    are_found(&[
        ("not numbered", |_, found| drop(log(found, "a").remove(5))),
        ("has a gap", |_, found| {
            log(found, "a")[5].stream = "gap".to_owned();
        }),
        ("1 lines of shop-0-1 are not stored", |_, found| {
            log(found, "a")[5].text.clear();
        }),
        ("1 lines of shop-0-1 are not stored", |_, found| {
            log(found, "a").last_mut().unwrap().text.clear();
        }),
        (
            "has line 5 of the start at 110 behind line 5",
            |_, found| {
                let again = log(found, "a")[4].text.clone();
                log(found, "a")[5].text = again;
            },
        ),
        ("has a line of shop-0-2", |_, found| {
            let newer = log(found, "b")[4].text.clone();
            log(found, "a")[4].text = newer;
        }),
        ("has a line of shop-1-1", |_, found| {
            log(found, "b")[4].text = "tick shop-1-1 210 5".to_owned();
        }),
        ("received 119 lines", |entries, _| {
            entries.readings[0].lines -= 1;
        }),
        ("never told the end", |entries, _| {
            entries.readings[0].ended = false;
        }),
    ]);
}

#[test]
fn wrong_agents_audit_and_promises_are_found() {
    are_found(&[
        ("is not known", |_, found| drop(found.agents.remove(1))),
        ("was revoked and is", |_, found| {
            found.agents[1].connected = true;
        }),
        ("host-0 is not online", |_, found| {
            found.agents[0].connected = false;
        }),
        ("two agents", |_, found| {
            found.agents[1].name = "host-0".to_owned();
        }),
        ("entry 7", |_, found| {
            found.audit = "entry 7 was changed".to_owned();
        }),
        ("a promise", |entries, _| {
            entries.breaches.push("a promise".to_owned());
        }),
    ]);
}

fn set(found: &mut Findings, at: usize, status: &str) {
    let row = &mut found.rows[at];
    for field in [&mut row.status, &mut row.job] {
        status.clone_into(field);
    }
}

fn log<'f>(found: &'f mut Findings, id: &str) -> &'f mut Vec<Line> {
    found.logs.get_mut(id).unwrap()
}

#[test]
fn an_engine_that_died_explains_what_it_did() {
    let verdict = judged(|entries, found| {
        entries.injuries.push(dockerd_killed(115, 118));
        found.hosts[0].starts.push(start("shop-0-1", "c1", 120.0));
        let lines = log(found, "a");
        for line in &mut lines[100..] {
            line.text.clear();
        }
    });
    assert_eq!(verdict.disagreements, Vec::<String>::new());
    assert_eq!(
        (verdict.counts.restarts, verdict.counts.lines_lost_by_engine),
        (1, LINES - 100)
    );
    let failed = judged(|entries, found| {
        entries.injuries.push(dockerd_killed(115, 118));
        set(found, 0, "failed");
    });
    assert_eq!(failed.disagreements, Vec::<String>::new());
}
