//! The account of what was promised and what became of it: the invariants of the job protocol, asserted as a run goes.

use std::collections::{BTreeMap, BTreeSet};

use towline_agent::task::Start;
use towline_server::agents::conversation::Report;
use towline_server::job::JobState;
use towline_server::store::Reaction;
use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::protocol::v1::Attempt;

use crate::engine::Engine;
use crate::host::Broken;
use crate::plane::{JobView, Plane, Stored};

/// How long a job may be shown as out of reach while its agent is connected, in milliseconds.
const UNTRUE: i64 = 45_000;

/// What is known of all jobs, besides what the two sides say.
#[derive(Debug, Default)]
pub struct Account {
    jobs: BTreeMap<JobId, Promise>,
    /// How many were ever submitted.
    made: usize,
    /// Hosts whose agents were revoked.
    revoked: BTreeSet<usize>,
    /// The highest fence that was given out, per host.
    claimed: BTreeMap<usize, Fence>,
    /// The highest fence that was accepted, per host.
    accepted: BTreeMap<usize, Fence>,
    /// Attempts whose acceptance the control plane has recorded.
    recorded: BTreeSet<(JobId, Fence)>,
    /// How many lines were printed, stored, and seen lost to a power cut.
    pub lines: Lines,
}

/// Counts of lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    /// Spooled by an agent.
    pub printed: u64,
    /// In the control plane's logs at the end.
    pub stored: u64,
}

#[derive(Debug)]
struct Promise {
    number: usize,
    host: usize,
    state: JobState,
    cancelled: Cancelled,
    /// The numbers of the lines that each attempt has printed.
    printed: BTreeMap<Fence, Vec<u64>>,
    keeping: Keeping,
    repeats: Repeats,
    stored: usize,
    /// Since when it is shown as out of reach.
    unknown_since: Option<i64>,
}

/// Whether a cancel was final before anything was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelled {
    No,
    BeforeAccept,
}

/// Whether a job may be done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeats {
    /// It may not.
    Never,
    /// The database was put back to a time before it was done, and cannot know.
    AfterRestore,
}

/// What a log must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// Every line.
    All,
    /// Every acknowledged line; a host that lost its power may have lost others.
    Acknowledged,
}

impl Account {
    /// A job was queued, and its submitter told so.
    pub fn submitted(&mut self, job: JobId, host: usize) {
        self.made += 1;
        let promise = Promise {
            number: self.made,
            host,
            state: JobState::Queued,
            cancelled: Cancelled::No,
            printed: BTreeMap::new(),
            keeping: Keeping::All,
            repeats: Repeats::Never,
            stored: 0,
            unknown_since: None,
        };
        self.jobs.insert(job, promise);
    }

    /// All jobs so far.
    pub fn jobs(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }

    /// A job's name in the story.
    pub fn name(&self, job: JobId) -> String {
        let number = self.jobs.get(&job).map(|promise| promise.number);
        number.map_or_else(
            || "a job that is gone".into(),
            |number| format!("job {number}"),
        )
    }

    /// Which host a job is for.
    pub fn host_of(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, |promise| promise.host)
    }

    /// Those in one of these states.
    pub fn jobs_that(&self, wanted: impl Fn(JobState) -> bool) -> Vec<JobId> {
        let jobs = self.jobs.iter();
        jobs.filter(|(_, promise)| wanted(promise.state))
            .map(|(job, _)| *job)
            .collect()
    }

    /// Somebody asked to stop a job that was in `before`, and was told that it is in `after`.
    pub fn cancelled(&mut self, job: JobId, before: JobState, after: JobState) {
        let early = !before.is_terminal() && after == JobState::Cancelled;
        // A database that was put back does not know what it had permitted.
        let knows = |promise: &&mut Promise| promise.repeats == Repeats::Never;
        if let Some(promise) = self.jobs.get_mut(&job).filter(knows).filter(|_| early) {
            promise.cancelled = Cancelled::BeforeAccept;
        }
    }

    /// The control plane gives out a fence.
    pub fn claimed(&mut self, host: usize, attempt: Attempt) -> Result<(), Broken> {
        let last = self.claimed.insert(host, attempt.fence);
        match last.filter(|last| *last >= attempt.fence) {
            Some(last) => Err(format!("fence {} is given out after {last}", attempt.fence)),
            None => Ok(()),
        }
    }

    /// The control plane has answered a report about a job that was so before, and is so after.
    pub fn reported(
        &mut self,
        report: &Report,
        reaction: Reaction,
        [before, after]: [Option<JobView>; 2],
    ) -> Result<(), Broken> {
        let attempt = match report {
            Report::Accepted(attempt) | Report::Started(attempt) => *attempt,
            Report::Refused(refused) => refused.attempt,
            Report::Progress(progress) => progress.attempt,
            Report::Finished(finished) => finished.attempt,
        };
        if before != after && before.is_none_or(|before| before.fence != attempt.fence) {
            return Err(format!(
                "a report under the outdated {} is applied",
                attempt.fence
            ));
        }
        if !matches!((report, reaction), (Report::Accepted(_), Reaction::Go)) {
            return Ok(());
        }
        let recorded = after.is_some_and(|after| {
            after.fence == attempt.fence
                && !matches!(after.state, JobState::Queued | JobState::Offered)
        });
        if !recorded {
            return Err(format!(
                "{} is told to begin, and its acceptance is not recorded",
                attempt.fence
            ));
        }
        self.permit(attempt);
        Ok(())
    }

    /// A host's agent has journalled that it accepts an attempt.
    pub fn accepted(&mut self, host: usize, attempt: Attempt) -> Result<(), Broken> {
        let last = self.accepted.insert(host, attempt.fence);
        match last.filter(|last| *last >= attempt.fence) {
            Some(last) => Err(format!("{} is accepted after {last}", attempt.fence)),
            None => Ok(()),
        }
    }

    /// The control plane has said to go on with an attempt.
    pub fn permit(&mut self, attempt: Attempt) {
        self.recorded.insert((attempt.job, attempt.fence));
    }

    /// The gate of an attempt has opened on its host.
    pub fn opened(&self, attempt: Attempt, start: Start, engine: &Engine) -> Result<(), Broken> {
        if !self.recorded.contains(&(attempt.job, attempt.fence)) {
            return Err(format!(
                "{} may have effects, and its acceptance was never recorded",
                attempt.fence
            ));
        }
        let done = engine.changes(attempt.job) > 0;
        if start == Start::Fresh && done && !self.may_repeat(attempt.job) {
            return Err(format!("{} is begun anew after it was done", attempt.fence));
        }
        Ok(())
    }

    /// The engine has changed under an attempt.
    pub fn changed(&self, attempt: Attempt, engine: &Engine) -> Result<(), Broken> {
        let Some(promise) = self.jobs.get(&attempt.job) else {
            return Ok(());
        };
        if promise.cancelled == Cancelled::BeforeAccept {
            return Err(format!(
                "{} has an effect, and its cancel was final before it was accepted",
                attempt.fence
            ));
        }
        if engine.changes(attempt.job) > 1 && promise.repeats == Repeats::Never {
            return Err(format!(
                "{}: the job's effect was made twice",
                attempt.fence
            ));
        }
        Ok(())
    }

    fn may_repeat(&self, job: JobId) -> bool {
        self.jobs
            .get(&job)
            .is_none_or(|promise| promise.repeats == Repeats::AfterRestore)
    }

    /// An attempt has printed a line.
    pub fn printed(&mut self, attempt: Attempt, number: u64) {
        self.lines.printed += 1;
        // What is printed after the end was told belongs to no log.
        let open = |promise: &&mut Promise| !promise.state.is_terminal();
        if let Some(promise) = self.jobs.get_mut(&attempt.job).filter(open) {
            promise
                .printed
                .entry(attempt.fence)
                .or_default()
                .push(number);
        }
    }

    /// A host has lost its power.
    pub fn power_cut(&mut self, host: usize) {
        for promise in self
            .jobs
            .values_mut()
            .filter(|promise| promise.host == host)
        {
            if !promise.state.is_terminal() {
                promise.keeping = Keeping::Acknowledged;
            }
        }
    }

    /// A host's agent was revoked.
    pub fn revoke(&mut self, host: usize) {
        self.revoked.insert(host);
    }

    /// Whether a host's agent was revoked.
    pub fn is_revoked(&self, host: usize) -> bool {
        self.revoked.contains(&host)
    }

    /// The database was put back: what it says now is what was promised.
    pub fn restored(&mut self, plane: &mut dyn Plane, revoked: BTreeSet<usize>) {
        self.revoked = revoked;
        // What was given out since the backup is known to those who took it, and they say so.
        self.claimed.clear();
        self.jobs.retain(|job, promise| {
            let Some(view) = plane.view(*job) else {
                return false;
            };
            promise.state = view.state;
            promise.cancelled = Cancelled::No;
            promise.keeping = Keeping::Acknowledged;
            promise.repeats = Repeats::AfterRestore;
            promise.stored = plane.log(*job).len();
            true
        });
    }

    /// Compares what the control plane says with what it said before. `healthy_since` tells for each host since when
    /// its agent is well connected.
    pub fn look(
        &mut self,
        plane: &mut dyn Plane,
        now: i64,
        healthy_since: &[Option<i64>],
        engines: &[&Engine],
    ) -> Result<(), Broken> {
        for (job, promise) in &mut self.jobs {
            let Some(view) = plane.view(*job) else {
                return Err("a job whose submission was acknowledged is gone".into());
            };
            promise.compare(*job, view, engines[promise.host])?;
            promise.unknown_since = match view.state {
                JobState::Unknown => promise.unknown_since.or(Some(now)),
                _ => None,
            };
            let (Some(unknown), Some(healthy)) =
                (promise.unknown_since, healthy_since[promise.host])
            else {
                continue;
            };
            if now - unknown.max(healthy) > UNTRUE {
                return Err("a job is shown as out of reach while its agent is connected".into());
            }
        }
        Ok(())
    }

    /// Looks at all logs: each is what its attempts have printed, in order, as far as it goes.
    pub fn read_logs(&mut self, plane: &mut dyn Plane) -> Result<(), Broken> {
        for (job, promise) in &mut self.jobs {
            let log = plane.log(*job);
            if log.len() < promise.stored {
                return Err("stored lines are gone".into());
            }
            promise.stored = log.len();
            promise.read(&log)?;
        }
        Ok(())
    }

    /// Everything has come to rest.
    pub fn at_rest(&mut self, plane: &mut dyn Plane, engines: &[&Engine]) -> Result<(), Broken> {
        self.read_logs(plane)?;
        for (host, engine) in engines.iter().enumerate() {
            let jobs = self.jobs.iter().filter(|(_, promise)| promise.host == host);
            let changed = jobs.filter(|(job, _)| engine.changes(**job) > 0);
            let views = changed
                .filter_map(|(job, _)| plane.view(*job).map(|view| (view.fence, *job, view.state)));
            let last = views.max_by_key(|(fence, ..)| *fence);
            // A database that was put back does not know what the host has done since.
            if let Some((_, job, JobState::Succeeded)) = last
                && !self.may_repeat(job)
                && engine.runs != Some(job)
            {
                return Err("the host does not run what the database says".into());
            }
        }
        for (job, promise) in &self.jobs {
            let stored = plane
                .log(*job)
                .iter()
                .filter(|entry| matches!(entry, Stored::Line(_)))
                .count();
            self.lines.stored += stored as u64;
            let last = promise.printed.last_key_value();
            let whole = promise.state == JobState::Succeeded && promise.keeping == Keeping::All;
            if let (true, Some((fence, printed))) = (whole, last) {
                Promise::ends_with(&plane.log(*job), *fence, printed)?;
            }
        }
        Ok(())
    }
}

impl Promise {
    fn compare(&mut self, job: JobId, view: JobView, engine: &Engine) -> Result<(), Broken> {
        if self.state == view.state {
            return Ok(());
        }
        if self.state.is_terminal() {
            return Err(format!(
                "a job that was {} is {} now",
                self.state, view.state
            ));
        }
        if view.state == JobState::Succeeded
            && engine.changes(job) == 0
            && self.keeping == Keeping::All
        {
            return Err("a job has succeeded without an effect".into());
        }
        self.state = view.state;
        Ok(())
    }

    fn read(&self, log: &[Stored]) -> Result<(), Broken> {
        let mut last = 0;
        let mut numbers = BTreeSet::new();
        for entry in log {
            match entry {
                Stored::Gap(_) if self.keeping == Keeping::All => {
                    return Err("a gap in a log, and no disk has lost anything".into());
                }
                Stored::Gap(_) => {}
                Stored::Line(text) => {
                    let number: u64 = text
                        .parse()
                        .map_err(|_| format!("{text:?} was never printed"))?;
                    if number <= last {
                        return Err(format!("line {number} is stored after line {last}"));
                    }
                    last = number;
                    numbers.insert(number);
                }
            }
        }
        if self.keeping == Keeping::Acknowledged {
            return Ok(());
        }
        for printed in self.printed.values() {
            let stored = printed
                .iter()
                .take_while(|number| numbers.contains(number))
                .count();
            if printed[stored..]
                .iter()
                .any(|number| numbers.contains(number))
            {
                return Err("a log has a hole that nobody is told of".into());
            }
        }
        Ok(())
    }

    fn ends_with(log: &[Stored], fence: Fence, printed: &[u64]) -> Result<(), Broken> {
        let stored = log.iter().filter_map(|entry| match entry {
            Stored::Line(text) => text.parse::<u64>().ok(),
            Stored::Gap(_) => None,
        });
        let stored: BTreeSet<u64> = stored.collect();
        match printed.iter().find(|number| !stored.contains(number)) {
            Some(lost) => Err(format!(
                "line {lost} of {fence} is lost, and the job has succeeded"
            )),
            None => Ok(()),
        }
    }
}
