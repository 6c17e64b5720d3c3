//! What is left to do when a job goes on after an interruption: a pure judgement of what the engine
//! shows. The engine is the true ledger of what has been done.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::metrics::Health;

use super::engine::{Observed, Phase};
use super::model::{Condition, Service};

/// An engine that goes away ends its containers some time before it is missed.
const SLACK: TimeDelta = TimeDelta::seconds(2);

/// What happened to the job before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// When the job's effects began.
    pub began: DateTime<Utc>,
    /// When the engine went away, if this process saw it.
    pub engine_lost: Option<DateTime<Utc>>,
    /// When the host was started.
    pub booted: DateTime<Utc>,
}

/// What is left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// All is in place.
    Nothing,
    /// The project is to be applied.
    Everything,
    /// These services are to be applied and the others left alone: those are in place, and one that
    /// runs only once must not be started again, neither when it has ended nor when it is about to.
    Only(Vec<String>),
}

/// What a container means for the rest of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is what the project wants, and runs.
    Runs,
    /// It ran under this job and ended by itself.
    Ran,
    /// Compose has to see to it.
    Amiss,
}

/// Compares what runs with what should run; `hashes` are compose's, by service.
pub(super) fn left(
    services: &[Service],
    hashes: &HashMap<String, String>,
    containers: &[Observed],
    past: Past,
) -> Left {
    let mut rest = Vec::new();
    for service in services {
        let hash = hashes.get(&service.name);
        let of_service = containers
            .iter()
            .filter(|container| container.service == service.name);
        let states: Vec<State> = of_service
            .map(|container| state(container, hash, past))
            .collect();
        let is_complete = states.len() == service.replicas && !states.contains(&State::Amiss);
        if !is_complete {
            rest.push(service.name.clone());
        }
    }
    match rest.len() {
        0 => Left::Nothing,
        all if all == services.len() => Left::Everything,
        _ => Left::Only(rest),
    }
}

fn state(container: &Observed, hash: Option<&String>, past: Past) -> State {
    if hash != Some(&container.config_hash) {
        return State::Amiss;
    }
    match container.phase {
        Phase::Running | Phase::Restarting | Phase::Paused => State::Runs,
        Phase::Exited if container.started_at >= past.began && !was_cut_off(container, past) => {
            State::Ran
        }
        Phase::Exited | Phase::Created | Phase::Gone => State::Amiss,
    }
}

/// Whether it ended because the engine or the host did.
fn was_cut_off(container: &Observed, past: Past) -> bool {
    let with_engine = past
        .engine_lost
        .is_some_and(|lost| container.finished_at >= lost - SLACK);
    let with_host = container.started_at < past.booted && container.exit_code != 0;
    with_engine || with_host
}

/// What services that are still to be applied wait for among those in place. Compose does not wait
/// for services that it is told to leave alone.
pub(super) fn awaited(
    services: &[Service],
    rest: &[String],
    containers: &[Observed],
) -> Option<String> {
    let waiting = services
        .iter()
        .filter(|service| rest.contains(&service.name));
    let mut needs =
        waiting.flat_map(|service| service.needs.iter().map(move |need| (service, need)));
    let (service, need) = needs.find(|(_, need)| {
        let mut of_need = containers
            .iter()
            .filter(|container| container.service == need.service);
        !rest.contains(&need.service) && of_need.any(|container| !is_met(need.condition, container))
    })?;
    Some(format!("{} waits for {}", service.name, need.service))
}

const fn is_met(condition: Condition, container: &Observed) -> bool {
    let is_done = matches!(container.phase, Phase::Exited) && container.exit_code == 0;
    let is_running = matches!(container.phase, Phase::Running);
    match condition {
        Condition::Started => is_running || is_done,
        Condition::Healthy => {
            is_running && matches!(container.health, Health::Healthy | Health::None)
        }
        Condition::Completed => is_done,
    }
}

/// When the host was started.
pub(super) fn boot_time() -> DateTime<Utc> {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    DateTime::from_timestamp(seconds.unwrap_or_default(), 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::model::Need;
    use super::super::verdict::tests::{at, container, service};
    use super::*;

    fn hashes() -> HashMap<String, String> {
        ["web", "job", "db"]
            .map(|name| (name.to_owned(), "h".to_owned()))
            .into()
    }

    const fn past(
        began: DateTime<Utc>,
        engine_lost: Option<DateTime<Utc>>,
        booted: DateTime<Utc>,
    ) -> Past {
        Past {
            began,
            engine_lost,
            booted,
        }
    }

    /// The rest when `web` runs and `job` is in the state given.
    fn with_job(past: Past, change: impl FnOnce(&mut Observed)) -> Left {
        let web = container(|_| {});
        let mut job = container(|c| {
            (c.service, c.phase, c.started_at) = ("job".into(), Phase::Exited, at(20));
        });
        change(&mut job);
        left(
            &[service("web", 1), service("job", 1)],
            &hashes(),
            &[web, job],
            past,
        )
    }

    #[test]
    fn what_ran_to_its_end_never_runs_again() {
        let usual = past(at(10), None, at(-1000));
        let only_job = Left::Only(vec!["job".into()]);
        assert_eq!(with_job(usual, |_| {}), Left::Nothing);
        assert_eq!(with_job(usual, |c| c.exit_code = 1), Left::Nothing);
        assert_eq!(
            with_job(usual, |c| c.started_at = at(-20)),
            only_job,
            "it ran for a former deploy"
        );
        assert_eq!(with_job(usual, |c| c.config_hash = "old".into()), only_job);
        assert_eq!(with_job(usual, |c| c.phase = Phase::Created), only_job);
        let cut = past(at(10), Some(at(25)), at(-1000));
        assert_eq!(with_job(cut, |c| c.finished_at = at(22)), Left::Nothing);
        assert_eq!(
            with_job(cut, |c| (c.finished_at, c.exit_code) = (at(26), 137)),
            only_job,
            "the engine stopped it"
        );
        let rebooted = past(at(10), None, at(100));
        assert_eq!(with_job(rebooted, |c| c.exit_code = 255), only_job);
        assert_eq!(with_job(rebooted, |_| {}), Left::Nothing);
    }

    #[test]
    fn others_are_applied_without_what_ran() {
        let usual = past(at(10), None, at(-1000));
        let job = container(|c| {
            (c.service, c.phase, c.started_at) = ("job".into(), Phase::Exited, at(20));
        });
        let services = [service("web", 1), service("job", 1), service("db", 1)];
        let db = container(|c| c.service = "db".into());
        let rest = left(&services, &hashes(), &[job.clone(), db], usual);
        assert_eq!(rest, Left::Only(vec!["web".into()]));
        assert_eq!(left(&services, &hashes(), &[], usual), Left::Everything);
        let many = [service("web", 2)];
        assert_eq!(
            left(&many, &hashes(), &[container(|_| {})], usual),
            Left::Everything
        );
        assert_eq!(
            left(
                &many,
                &hashes(),
                &[container(|_| {}), container(|_| {})],
                usual
            ),
            Left::Nothing
        );
        assert_eq!(left(&[], &hashes(), &[job], usual), Left::Nothing);
    }

    #[test]
    fn what_is_left_waits_for_what_is_in_place() {
        let need = |service: &str, condition| Need {
            service: service.into(),
            condition,
        };
        let mut web = service("web", 1);
        web.needs = vec![
            need("job", Condition::Completed),
            need("db", Condition::Healthy),
        ];
        let services = [web, service("job", 1), service("db", 1)];
        let of = |name: &str, change: fn(&mut Observed)| {
            let mut container = container(change);
            container.service = name.into();
            container
        };
        let done: fn(&mut Observed) = |c| c.phase = Phase::Exited;
        let healthy: fn(&mut Observed) = |c| c.health = Health::Healthy;
        let cases: [(fn(&mut Observed), fn(&mut Observed), Option<&str>); 5] = [
            (done, healthy, None),
            (|_| {}, healthy, Some("web waits for job")),
            (
                |c| (c.phase, c.exit_code) = (Phase::Exited, 1),
                healthy,
                Some("web waits for job"),
            ),
            (
                done,
                |c| c.health = Health::Starting,
                Some("web waits for db"),
            ),
            (
                done,
                |c| c.phase = Phase::Restarting,
                Some("web waits for db"),
            ),
        ];
        let rest = ["web".to_owned()];
        for (job, db, expected) in cases {
            let containers = [of("job", job), of("db", db)];
            assert_eq!(awaited(&services, &rest, &containers).as_deref(), expected);
        }
        let all = ["web".to_owned(), "job".to_owned(), "db".to_owned()];
        assert_eq!(
            awaited(&services, &all, &[of("job", |_| {})]),
            None,
            "compose waits itself"
        );
    }
}
