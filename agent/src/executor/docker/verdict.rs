//! Whether a deployed project runs: a pure judgement of what the engine shows.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::metrics::Health;
use towline_shared::outcome::FailureReason;

use super::engine::{Fate, Observed, Phase};
use super::model::Service;

/// A container that the engine had to start again so often within one deploy crash-loops. The first
/// restarts may be a service that comes up before what it needs.
const CRASH_LOOP: i64 = 3;

/// How a project stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// All services run as they should.
    Ready,
    /// Not yet; look again at this time at the latest, and when something happens.
    Wait {
        until: Option<DateTime<Utc>>,
        /// What is waited for, for a person.
        what: String,
    },
    /// It will not run.
    Failed(Failure),
}

/// Why a project will not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub reason: FailureReason,
    pub message: String,
    /// The container that failed.
    pub container: String,
    pub source: String,
}

/// How often each container had been restarted before this deploy.
pub(super) type Restarts = HashMap<String, i64>;

/// By what a project is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub before: &'a Restarts,
    /// When this deploy began: what was started before, it has not touched.
    pub began: DateTime<Utc>,
    /// How long a service without a check must stay up.
    pub settle: TimeDelta,
    /// Since when the project is waited for.
    pub since: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

/// What one container lets the project do.
enum Part {
    Ready,
    Wait(Option<DateTime<Utc>>, String),
    Failed(FailureReason, String),
}

/// Judges a project by its containers.
pub(super) fn judge(services: &[Service], containers: &[Observed], terms: Terms<'_>) -> Standing {
    let mut until: Option<DateTime<Utc>> = None;
    let mut waiting = Vec::new();
    for service in services {
        let of_service = || {
            containers
                .iter()
                .filter(|container| container.service == service.name)
        };
        for container in of_service() {
            match part(container, terms) {
                Part::Ready => {}
                Part::Wait(at, what) => {
                    until = [until, at].into_iter().flatten().min();
                    waiting.push(what);
                }
                Part::Failed(reason, message) => {
                    return Standing::Failed(Failure {
                        reason,
                        message,
                        container: container.id.clone(),
                        source: container.source.clone(),
                    });
                }
            }
        }
        let there = of_service().count();
        if there < service.replicas {
            waiting.push(format!(
                "{} has {there} of {} containers",
                service.name, service.replicas
            ));
        }
    }
    if waiting.is_empty() {
        return Standing::Ready;
    }
    let what = waiting.join(", ");
    Standing::Wait { until, what }
}

/// The container that cannot come up any more, whatever else happens; looked for while compose
/// still waits for it.
pub(super) fn crash_loop(containers: &[Observed], before: &Restarts) -> Option<Failure> {
    containers.iter().find_map(|container| {
        let (reason, message) = looping(container, before)?;
        Some(Failure {
            reason,
            message,
            container: container.id.clone(),
            source: container.source.clone(),
        })
    })
}

fn part(container: &Observed, terms: Terms<'_>) -> Part {
    if let Some((reason, message)) = looping(container, terms.before) {
        return Part::Failed(reason, message);
    }
    let name = &container.source;
    match container.phase {
        Phase::Running => running(container, terms),
        Phase::Exited => match container.fate() {
            Fate::Done => Part::Ready,
            Fate::Failed => Part::Failed(FailureReason::CrashLoop, exit_message(container)),
            Fate::ComesBack => Part::Wait(None, format!("{name} is being restarted")),
        },
        Phase::Restarting => Part::Wait(None, format!("{name} is being restarted")),
        Phase::Created => Part::Wait(None, format!("{name} has not started")),
        Phase::Paused => Part::Wait(None, format!("{name} is paused")),
        Phase::Gone => Part::Wait(None, format!("{name} is being removed")),
    }
}

fn running(container: &Observed, terms: Terms<'_>) -> Part {
    let name = &container.source;
    match container.health {
        Health::Healthy => Part::Ready,
        Health::Starting => Part::Wait(None, format!("{name} is not yet healthy")),
        Health::Unhealthy => unhealthy(container, terms),
        Health::None => {
            let settled = container.started_at + terms.settle;
            if settled <= terms.now {
                Part::Ready
            } else {
                Part::Wait(Some(settled), format!("{name} has just started"))
            }
        }
    }
}

/// A container that was unhealthy before may recover by what this deploy has changed around it: it
/// gets the time that its check gives one that has just started.
fn unhealthy(container: &Observed, terms: Terms<'_>) -> Part {
    let name = &container.source;
    let until = terms.since.checked_add_signed(container.health_patience);
    if container.was_unhealthy_before(terms.began) && until.is_none_or(|until| terms.now < until) {
        return Part::Wait(until, format!("{name} is still unhealthy"));
    }
    let output = match container.health_output.as_str() {
        "" => "without output".to_owned(),
        output => format!("with: {output}"),
    };
    Part::Failed(
        FailureReason::Unhealthy,
        format!("{name} is unhealthy: its check ended {output}"),
    )
}

fn looping(container: &Observed, before: &Restarts) -> Option<(FailureReason, String)> {
    let restarts = container.restarts - before.get(&container.id).copied().unwrap_or_default();
    (restarts >= CRASH_LOOP).then(|| {
        let message = format!(
            "{} starts and exits again: restarted {restarts} times, last {}",
            container.source,
            ending(container)
        );
        (FailureReason::CrashLoop, message)
    })
}

fn exit_message(container: &Observed) -> String {
    format!("{} ended {}", container.source, ending(container))
}

fn ending(container: &Observed) -> String {
    match container.exit_code {
        _ if container.is_out_of_memory => "for lack of memory; raise its memory limit".to_owned(),
        137 => "with exit code 137 (killed, perhaps for lack of memory)".to_owned(),
        126 => "with exit code 126 (its command cannot be run)".to_owned(),
        127 => "with exit code 127 (its command was not found in the image)".to_owned(),
        139 => "with exit code 139 (it crashed: segmentation fault)".to_owned(),
        code => format!("with exit code {code}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::engine::RestartPolicy;
    use super::super::model::{Duty, Source, Succession};
    use super::*;

    pub(in super::super) fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap_or_default()
    }

    /// A container of the service `web`, running since second 0.
    pub(in super::super) fn container(change: impl FnOnce(&mut Observed)) -> Observed {
        let mut container = Observed {
            id: "c1".into(),
            service: "web".into(),
            source: "web-1".into(),
            config_hash: "h".into(),
            owner: String::new(),
            phase: Phase::Running,
            exit_code: 0,
            started_at: at(0),
            finished_at: at(0),
            restarts: 0,
            restart_policy: RestartPolicy::Never,
            health: Health::None,
            health_output: String::new(),
            health_patience: TimeDelta::seconds(4),
            is_out_of_memory: false,
            image_id: "sha256:1".into(),
            unnamed_volumes: 0,
        };
        change(&mut container);
        container
    }

    pub(in super::super) fn service(name: &str, replicas: usize) -> Service {
        Service {
            name: name.into(),
            replicas,
            image: "image".into(),
            reference: "image".into(),
            source: Source::Image,
            needs: Vec::new(),
            duty: Duty::Serve,
            succession: Succession::StopFirst,
        }
    }

    /// The terms of a deploy that began at second 0 and is judged at second 3.
    fn terms(before: &Restarts) -> Terms<'_> {
        Terms {
            before,
            began: at(0),
            settle: TimeDelta::seconds(5),
            since: at(1),
            now: at(3),
        }
    }

    #[derive(Debug, PartialEq)]
    enum Expected {
        Ready,
        Wait,
        WaitUntil(i64),
        Failed(FailureReason, &'static str),
    }

    fn standing(change: impl FnOnce(&mut Observed)) -> Expected {
        let containers = [container(change)];
        match judge(&[service("web", 1)], &containers, terms(&Restarts::new())) {
            Standing::Ready => Expected::Ready,
            Standing::Wait {
                until: Some(until), ..
            } => Expected::WaitUntil((until - at(0)).num_seconds()),
            Standing::Wait { until: None, .. } => Expected::Wait,
            Standing::Failed(failure) => {
                let words = [
                    "exit code 3",
                    "lack of memory",
                    "not found",
                    "restarted 3 times",
                    "refused by peer",
                    "without output",
                ];
                let word = words
                    .into_iter()
                    .find(|word| failure.message.contains(word))
                    .unwrap_or("?");
                Expected::Failed(failure.reason, word)
            }
        }
    }

    #[test]
    fn a_container_is_judged_by_its_state() {
        use Expected::{Failed, Ready, Wait, WaitUntil};
        use FailureReason::{CrashLoop, Unhealthy};
        type Change = fn(&mut Observed);
        let cases: [(&str, Change, Expected); 20] = [
            ("just started", |_| {}, WaitUntil(5)),
            ("settled", |c| c.started_at = at(-2), Ready),
            ("healthy at once", |c| c.health = Health::Healthy, Ready),
            (
                "not yet healthy, long since",
                |c| (c.health, c.started_at) = (Health::Starting, at(-90)),
                Wait,
            ),
            (
                "unhealthy",
                |c| (c.health, c.health_output) = (Health::Unhealthy, "refused by peer".into()),
                Failed(Unhealthy, "refused by peer"),
            ),
            (
                "unhealthy in silence",
                |c| c.health = Health::Unhealthy,
                Failed(Unhealthy, "without output"),
            ),
            (
                "unhealthy since before, with time to recover",
                |c| (c.health, c.started_at) = (Health::Unhealthy, at(-90)),
                WaitUntil(5),
            ),
            (
                "unhealthy since before, and all the time since",
                |c| {
                    (c.health, c.started_at, c.health_patience) =
                        (Health::Unhealthy, at(-90), TimeDelta::seconds(2));
                },
                Failed(Unhealthy, "without output"),
            ),
            ("done", |c| c.phase = Phase::Exited, Ready),
            (
                "done, restarted on failure only",
                |c| (c.phase, c.restart_policy) = (Phase::Exited, RestartPolicy::OnFailure(0)),
                Ready,
            ),
            (
                "failed",
                |c| (c.phase, c.exit_code) = (Phase::Exited, 3),
                Failed(CrashLoop, "exit code 3"),
            ),
            (
                "killed",
                |c| (c.phase, c.exit_code, c.is_out_of_memory) = (Phase::Exited, 137, true),
                Failed(CrashLoop, "lack of memory"),
            ),
            (
                "no such command",
                |c| (c.phase, c.exit_code) = (Phase::Exited, 127),
                Failed(CrashLoop, "not found"),
            ),
            (
                "comes back",
                |c| {
                    (c.phase, c.exit_code, c.restart_policy) =
                        (Phase::Exited, 3, RestartPolicy::Always);
                },
                Wait,
            ),
            (
                "given up",
                |c| {
                    (c.phase, c.exit_code, c.restarts, c.restart_policy) =
                        (Phase::Exited, 3, 2, RestartPolicy::OnFailure(2));
                },
                Failed(CrashLoop, "exit code 3"),
            ),
            (
                "restarting",
                |c| (c.phase, c.restarts) = (Phase::Restarting, 2),
                Wait,
            ),
            (
                "restarted twice and settled",
                |c| (c.restarts, c.started_at) = (2, at(-5)),
                Ready,
            ),
            (
                "restarted thrice",
                |c| (c.restarts, c.exit_code) = (3, 1),
                Failed(CrashLoop, "restarted 3 times"),
            ),
            ("not started", |c| c.phase = Phase::Created, Wait),
            ("paused", |c| c.phase = Phase::Paused, Wait),
        ];
        for (name, change, expected) in cases {
            assert_eq!(standing(change), expected, "{name}");
        }
    }

    #[test]
    fn restarts_before_the_deploy_do_not_count() {
        let containers = [container(|c| (c.restarts, c.started_at) = (9, at(-60)))];
        let before = Restarts::from([("c1".to_owned(), 8)]);
        assert_eq!(
            judge(&[service("web", 1)], &containers, terms(&before)),
            Standing::Ready
        );
        assert!(crash_loop(&containers, &before).is_none());
        assert!(crash_loop(&containers, &Restarts::new()).is_some());
    }

    #[test]
    fn all_replicas_of_all_services_count() {
        let containers = [container(|c| c.started_at = at(-60))];
        let judged = |services: &[Service]| judge(services, &containers, terms(&Restarts::new()));
        assert_eq!(
            judged(&[service("web", 1), service("off", 0)]),
            Standing::Ready
        );
        let Standing::Wait { what, .. } = judged(&[service("web", 2), service("db", 1)]) else {
            panic!("not waiting")
        };
        assert_eq!(what, "web has 1 of 2 containers, db has 0 of 1 containers");
    }
}
