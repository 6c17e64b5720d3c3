//! What is left to do when a job goes on after an interruption: a pure judgement of what the engine
//! shows. The engine is the true ledger of what has been done.
//!
//! Compose makes all containers before it starts the first. So either nothing of the job has started
//! and compose may simply be called again, or what has not started is started here, one by one;
//! compose would start again what has run to its end. What is missing although something has
//! started, because somebody has taken it away, compose makes and does not start.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use towline_shared::metrics::Health;

use super::engine::{Observed, Phase};
use super::model::{Condition, Duty, Service};

/// What happened to the job before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past<'a> {
    /// When the job's effects began.
    pub began: DateTime<Utc>,
    /// When the engine went away, if this process saw it.
    pub engine_lost: Option<DateTime<Utc>>,
    /// When the host was started.
    pub booted: DateTime<Utc>,
    /// The containers that were seen to be stopped from outside, by the engine's own end too.
    pub stopped: &'a HashSet<String>,
}

/// What a service's containers must be made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Compose's hash of the configuration.
    pub hash: String,
    /// The engine's id of the image, if the engine has it.
    pub image_id: Option<String>,
}

/// What is left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// All is in place.
    Nothing,
    /// The project is to be applied; nothing of this job has started yet.
    Everything,
    /// These containers are made and are to be started.
    Start(Vec<String>),
    /// Some are still to be made, and then started, beside others of this job that have started.
    Make,
}

/// What a container means for the rest of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It runs.
    Runs,
    /// It ran under this job and ended by itself.
    Ran,
    /// It is to be started.
    Made,
    /// It is on its way out.
    Gone,
}

/// Compares what runs with what should run.
pub(super) fn left(
    services: &[Service],
    wanted: &HashMap<String, Wanted>,
    containers: &[Observed],
    past: Past<'_>,
) -> Left {
    let is_made = services.iter().all(|service| {
        let mut of_service = of(service, containers);
        let wanted = wanted.get(&service.name);
        of_service.clone().count() == service.replicas
            && of_service.all(|container| {
                wanted.is_some_and(|wanted| wanted.is_met_by(container))
                    && container.phase != Phase::Gone
            })
    });
    let has_begun = containers
        .iter()
        .any(|container| container.started_at >= past.began);
    let to_start = made(services, containers, past);
    match (is_made, has_begun) {
        (true, _) if to_start.is_empty() => Left::Nothing,
        (true, _) => Left::Start(to_start),
        (false, true) => Left::Make,
        (false, false) => Left::Everything,
    }
}

/// The containers that are made and are to be started, given that all are what the project wants.
pub(super) fn made(services: &[Service], containers: &[Observed], past: Past<'_>) -> Vec<String> {
    let of_service = services.iter().flat_map(|service| {
        of(service, containers)
            .filter(|container| state(container, service.duty, past) == State::Made)
    });
    of_service.map(|container| container.id.clone()).collect()
}

fn of<'a>(
    service: &'a Service,
    containers: &'a [Observed],
) -> impl Iterator<Item = &'a Observed> + Clone {
    containers
        .iter()
        .filter(|container| container.service == service.name)
}

impl Wanted {
    pub fn is_met_by(&self, container: &Observed) -> bool {
        let image = self.image_id.as_ref();
        self.hash == container.config_hash && image.is_none_or(|image| *image == container.image_id)
    }
}

fn state(container: &Observed, duty: Duty, past: Past<'_>) -> State {
    match container.phase {
        Phase::Running | Phase::Restarting | Phase::Paused => State::Runs,
        Phase::Exited
            if container.started_at >= past.began && !was_cut_off(container, duty, past) =>
        {
            State::Ran
        }
        Phase::Exited | Phase::Created => State::Made,
        Phase::Gone => State::Gone,
    }
}

/// Whether it ended because the engine or the host did.
fn was_cut_off(container: &Observed, duty: Duty, past: Past<'_>) -> bool {
    // Killed, stopped, or found dead by an engine that came back.
    let is_cut = matches!(container.exit_code, 137 | 143 | 255);
    let with_engine = is_cut
        && past
            .engine_lost
            .is_some_and(|lost| container.finished_at >= lost);
    let with_host = container.exit_code != 0 && container.started_at < past.booted;
    with_engine || with_host || was_stopped(container, duty, past.stopped)
}

/// Whether it ended because it was told to. One that is there to complete and ended well has
/// completed, whatever it was told.
pub(super) fn was_stopped(container: &Observed, duty: Duty, stopped: &HashSet<String>) -> bool {
    let has_completed = duty == Duty::Complete && container.exit_code == 0;
    container.phase == Phase::Exited && !has_completed && stopped.contains(&container.id)
}

/// What services that are still to be started wait for.
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

/// The first container to start now: one whose service waits for nothing more.
pub(super) fn startable<'a>(
    services: &[Service],
    to_start: &[String],
    containers: &'a [Observed],
) -> Option<&'a Observed> {
    containers
        .iter()
        .filter(|container| to_start.contains(&container.id))
        .find(|container| {
            awaited(
                services,
                std::slice::from_ref(&container.service),
                containers,
            )
            .is_none()
        })
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

    type Change = fn(&mut Observed);

    fn wanted() -> HashMap<String, Wanted> {
        let wanted = Wanted {
            hash: "h".into(),
            image_id: Some("sha256:1".into()),
        };
        ["web", "job", "db"]
            .map(|name| (name.to_owned(), wanted.clone()))
            .into()
    }

    fn past(stopped: &HashSet<String>) -> Past<'_> {
        Past {
            began: at(10),
            engine_lost: None,
            booted: at(-1000),
            stopped,
        }
    }

    /// The rest when `web` runs since before and `job` is in the state given.
    fn with_job(past: Past<'_>, change: impl FnOnce(&mut Observed)) -> Left {
        let web = container(|_| {});
        let mut job = container(|c| {
            (c.id, c.service, c.phase, c.started_at) =
                ("c2".into(), "job".into(), Phase::Exited, at(20));
        });
        change(&mut job);
        left(
            &[service("web", 1), service("job", 1)],
            &wanted(),
            &[web, job],
            past,
        )
    }

    #[test]
    fn what_ran_to_its_end_never_runs_again() {
        let none = HashSet::new();
        let usual = past(&none);
        let start = Left::Start(vec!["c2".into()]);
        let anew = Left::Everything;
        assert_eq!(with_job(usual, |_| {}), Left::Nothing);
        assert_eq!(with_job(usual, |c| c.exit_code = 1), Left::Nothing);
        assert_eq!(
            with_job(usual, |c| c.started_at = at(9)),
            start,
            "it ran for a former deploy"
        );
        assert_eq!(with_job(usual, |c| c.phase = Phase::Created), start);
        assert_eq!(
            with_job(usual, |c| (c.config_hash, c.started_at) =
                ("old".into(), at(0))),
            anew
        );
        assert_eq!(
            with_job(usual, |c| (c.image_id, c.started_at) =
                ("old".into(), at(0))),
            anew
        );
        let lost = Past {
            engine_lost: Some(at(25)),
            ..usual
        };
        assert_eq!(
            with_job(lost, |c| (c.finished_at, c.exit_code) = (at(26), 137)),
            start,
            "the engine's end ended it"
        );
        assert_eq!(
            with_job(lost, |c| c.finished_at = at(26)),
            Left::Nothing,
            "it ended well without the engine"
        );
        assert_eq!(
            with_job(lost, |c| (c.finished_at, c.exit_code) = (at(22), 137)),
            Left::Nothing
        );
        let stopped = HashSet::from(["c2".to_owned()]);
        assert_eq!(with_job(past(&stopped), |_| {}), start, "it was stopped");
        let job = container(|c| (c.id, c.phase) = ("c2".into(), Phase::Exited));
        assert!(was_stopped(&job, Duty::Serve, &stopped));
        assert!(
            !was_stopped(&job, Duty::Complete, &stopped),
            "it completed in spite of that"
        );
        let rebooted = Past {
            booted: at(100),
            ..usual
        };
        assert_eq!(with_job(rebooted, |c| c.exit_code = 255), start);
        assert_eq!(with_job(rebooted, |_| {}), Left::Nothing);
    }

    #[test]
    fn what_is_missing_is_made_without_what_ran() {
        let none = HashSet::new();
        let job = container(|c| {
            (c.service, c.phase, c.started_at) = ("job".into(), Phase::Exited, at(20));
        });
        let services = [service("web", 1), service("job", 1), service("db", 1)];
        let db = container(|c| c.service = "db".into());
        let rest = left(&services, &wanted(), &[job.clone(), db], past(&none));
        assert_eq!(rest, Left::Make);
        assert_eq!(
            left(&services, &wanted(), &[], past(&none)),
            Left::Everything
        );
        let many = [service("web", 2)];
        let web = || container(|_| {});
        assert_eq!(
            left(&many, &wanted(), &[web()], past(&none)),
            Left::Everything
        );
        assert_eq!(
            left(&many, &wanted(), &[web(), web()], past(&none)),
            Left::Nothing
        );
        assert_eq!(left(&[], &wanted(), &[job], past(&none)), Left::Nothing);
    }

    #[test]
    fn containers_are_started_in_the_order_of_their_needs() {
        let mut web = service("web", 1);
        web.needs = vec![Need {
            service: "db".into(),
            condition: Condition::Started,
        }];
        let services = [web, service("db", 1)];
        let of = |name: &str, phase: Phase| {
            container(|c| (c.id, c.service, c.phase) = (name.into(), name.into(), phase))
        };
        let to_start = ["web".to_owned(), "db".to_owned()];
        let next = |containers: &[Observed]| {
            startable(&services, &to_start, containers).map(|container| container.id.clone())
        };
        let web = || of("web", Phase::Created);
        assert_eq!(
            next(&[web(), of("db", Phase::Created)]).as_deref(),
            Some("db")
        );
        assert_eq!(
            startable(
                &services,
                &to_start[..1],
                &[web(), of("db", Phase::Running)]
            )
            .map(|c| c.id.as_str()),
            Some("web")
        );
        assert!(
            startable(
                &services,
                &to_start[..1],
                &[web(), of("db", Phase::Created)]
            )
            .is_none()
        );
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
        let cases: [(Change, Change, Option<&str>); 5] = [
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
