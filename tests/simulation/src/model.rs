//! The store's promises, in memory: the real transitions, and around them what the store does by transactions.

use std::collections::BTreeMap;

use towline_server::agents::conversation::Report;
use towline_server::job::state::{Change, Requeue};
use towline_server::job::{Begun, Cancel, Ending, Event, Job, JobState, Reply, Step, state};
use towline_server::store::{Appended, Reaction, Standing};
use towline_shared::Fence;
use towline_shared::failpoint::is_planted;
use towline_shared::ids::{JobId, ProjectId, TargetId};
use towline_shared::log::{Fit, LogChunk, LogPosition};
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{
    Attempt, Finished, Held, Hello, LogAck, Offer, SecretsNeed, Verdict,
};
use towline_shared::spec::{JobSpec, Remove, SealedSpec, Secret, VolumeFate, Work};
use uuid::Uuid;

use crate::dice::Dice;
use crate::plane::{Entry, JobView, Plane, Secrets, Stored, Wish};

/// How long a lease lasts, in milliseconds.
const LEASE: i64 = 30_000;
/// How long a job waits after its agent could not take it, in milliseconds.
const RETRY_AFTER: i64 = 5_000;

/// A control plane's memory.
pub struct Model {
    now: i64,
    ids: Dice,
    rows: Rows,
    backup: Option<Rows>,
}

#[derive(Clone, Default)]
struct Rows {
    hosts: Vec<HostRow>,
    jobs: BTreeMap<JobId, JobRow>,
}

#[derive(Clone)]
struct HostRow {
    target: TargetId,
    fence: Fence,
    session: Option<Uuid>,
    connections: i64,
    service: Service,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    On,
    Revoked,
}

#[derive(Clone)]
struct JobRow {
    job: Job,
    wish: Wish,
    spec: SealedSpec,
    taken: Taken,
    lease: Option<i64>,
    not_before: Option<i64>,
    log: LogRow,
}

/// Whether the host's agent was ever offered the job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Never,
    Once,
}

#[derive(Clone, Default)]
struct LogRow {
    position: LogPosition,
    fence: Fence,
    entries: Vec<Stored>,
}

/// What an event did to a job.
struct Moved {
    step: Step,
}

impl Model {
    /// An installation with so many hosts, whose identifiers come from this seed.
    pub fn new(hosts: usize, seed: u64) -> Self {
        let mut ids = Dice::new(seed ^ 0x1d5);
        let host = |_| HostRow {
            target: TargetId::from(Uuid::from_u128(ids.bits())),
            fence: Fence::new(1, 0),
            session: None,
            connections: 0,
            service: Service::On,
        };
        Self {
            now: 0,
            rows: Rows {
                hosts: (0..hosts).map(host).collect(),
                jobs: BTreeMap::new(),
            },
            ids,
            backup: None,
        }
    }

    /// Lets an event happen to a job, and writes what follows.
    fn apply(&mut self, id: JobId, event: Event) -> Option<Moved> {
        let (now, rows) = (self.now, &mut self.rows);
        let row = rows.jobs.get_mut(&id)?;
        let step = state::step(&row.job, event);
        match step.change {
            Change::None | Change::Note => {}
            Change::Offer(fence) => {
                row.job.state = JobState::Offered;
                row.job.fence = fence;
                row.taken = Taken::Once;
                row.lease = Some(now + LEASE);
                row.not_before = None;
            }
            Change::Go(to) => {
                row.job.state = to;
                row.lease = (to != JobState::Unknown).then_some(now + LEASE);
                if to == JobState::Running {
                    row.job.begun = Begun::Yes;
                }
            }
            Change::Requeue(when) => {
                row.job.state = JobState::Queued;
                row.lease = None;
                row.not_before = (when == Requeue::Later).then_some(now + RETRY_AFTER);
                if when == Requeue::RaisedFence {
                    raise(&mut rows.hosts[row.wish.host], row.job.fence.incarnation);
                }
            }
            Change::RequestCancel => row.job.cancel = Cancel::Requested,
            Change::End(ending) => row.end(match ending {
                Ending::Succeeded => JobState::Succeeded,
                Ending::Failed => JobState::Failed,
                Ending::Cancelled => JobState::Cancelled,
            }),
            Change::CancelNow => row.end(JobState::Cancelled),
            Change::Fail(_) => row.end(JobState::Failed),
        }
        Some(Moved { step })
    }

    /// The same for a report of the host's agent: another's job and none at all are one.
    fn happen(&mut self, host: usize, id: JobId, event: Event) -> Option<Moved> {
        self.rows.jobs.get(&id).filter(|row| row.is_of(host))?;
        self.apply(id, event)
    }

    fn jobs_of(&self, host: usize, wanted: impl Fn(&JobRow) -> bool) -> Vec<JobId> {
        let jobs = self.rows.jobs.iter();
        jobs.filter(|(_, row)| row.wish.host == host && wanted(row))
            .map(|(id, _)| *id)
            .collect()
    }

    fn finished(&mut self, host: usize, finished: &Finished) -> Reaction {
        let attempt = finished.attempt;
        let Some(row) = self
            .rows
            .jobs
            .get(&attempt.job)
            .filter(|row| row.is_of(host))
        else {
            return Reaction::Forget;
        };
        let at_work = row.job.fence == attempt.fence
            && matches!(
                row.job.state,
                JobState::Accepted | JobState::Running | JobState::Unknown
            );
        if row.log.position.next_line < finished.log.next_line && at_work {
            return Reaction::Nothing;
        }
        let ending = match finished.outcome {
            Outcome::Succeeded { .. }
            | Outcome::Ran { .. }
            | Outcome::Built { .. }
            | Outcome::Previewed(_) => Ending::Succeeded,
            Outcome::Failed { .. } => Ending::Failed,
            Outcome::Cancelled { .. } => Ending::Cancelled,
        };
        reaction(self.apply(attempt.job, Event::Finished(attempt.fence, ending)))
    }

    fn verdict(&mut self, held: &Held, reply: Reply) -> Verdict {
        let Some(row) = self.rows.jobs.get_mut(&held.attempt.job) else {
            return Verdict::Forget;
        };
        if matches!(reply, Reply::Forget | Reply::Nothing) {
            return Verdict::Forget;
        }
        let log = row.adopt_gap(held.log_from);
        let secrets = match held.secrets {
            SecretsNeed::Lost => row.secrets(),
            SecretsNeed::Known => Vec::new(),
        };
        match reply {
            Reply::Continue | Reply::Go => Verdict::Continue { log, secrets },
            Reply::Cancel => Verdict::Cancel { log, secrets },
            Reply::Resend => Verdict::Resend { log },
            Reply::Forget | Reply::Nothing => Verdict::Forget,
        }
    }
}

impl JobRow {
    fn is_of(&self, host: usize) -> bool {
        self.wish.host == host && self.taken == Taken::Once
    }

    fn end(&mut self, state: JobState) {
        self.job.state = state;
        self.lease = None;
        self.not_before = None;
    }

    fn secrets(&self) -> Vec<Secret> {
        match self.wish.secrets {
            Secrets::None => Vec::new(),
            Secrets::One => vec![Secret {
                name: "PASSWORD".into(),
                value: "correct horse".into(),
            }],
        }
    }

    fn adopt_gap(&mut self, to: LogPosition) -> LogPosition {
        let from = self.log.position.next_line;
        if !self.job.state.is_terminal() && to.next_line > from {
            self.log.entries.push(Stored::Gap(to.next_line - from));
            self.log.position = to;
        }
        self.log.position
    }
}

fn raise(host: &mut HostRow, beyond: u32) {
    host.fence = Fence::new(host.fence.incarnation.max(beyond) + 1, 0);
}

fn reaction(moved: Option<Moved>) -> Reaction {
    moved.map_or(Reaction::Forget, |moved| moved.step.reply.into())
}

impl Plane for Model {
    fn submit(&mut self, wish: Wish) -> Option<JobId> {
        let host = &self.rows.hosts[wish.host];
        if host.service == Service::Revoked {
            return None;
        }
        let spec = JobSpec {
            project: ProjectId::from(Uuid::nil()),
            target: host.target,
            work: Work::Remove(Remove {
                compose_project: "shop".into(),
                volumes: VolumeFate::Keep,
            }),
            interruption: wish.interruption,
            deadline_s: 600,
        };
        let row = JobRow {
            job: Job {
                state: JobState::Queued,
                fence: Fence::new(0, 0),
                cancel: Cancel::No,
                begun: Begun::No,
                interruption: wish.interruption,
            },
            wish,
            spec: SealedSpec::seal(&spec).expect("a small specification"),
            taken: Taken::Never,
            lease: None,
            not_before: None,
            log: LogRow::default(),
        };
        // Ids are in the order of their making, as the real ones are; a restore does not make one anew.
        let id = JobId::from(Uuid::from_u128(
            (self.ids.made() << 64) | (self.ids.bits() >> 64),
        ));
        self.rows.jobs.insert(id, row);
        Some(id)
    }

    fn retry(&mut self, job: JobId) -> Option<JobId> {
        let row = self.rows.jobs.get(&job)?;
        if !row.job.state.is_terminal() {
            return None;
        }
        self.submit(row.wish)
    }

    fn cancel(&mut self, job: JobId) -> JobState {
        self.apply(job, Event::CancelRequested);
        self.rows.jobs[&job].job.state
    }

    fn revoke(&mut self, host: usize) {
        if self.rows.hosts[host].service == Service::Revoked {
            return;
        }
        self.rows.hosts[host].service = Service::Revoked;
        for job in self.jobs_of(host, |row| !row.job.state.is_terminal()) {
            self.apply(job, Event::AgentRevoked);
        }
    }

    fn admit(&mut self, host: usize) -> Entry {
        let host = &self.rows.hosts[host];
        match host.service {
            Service::On => Entry::Open(host.connections),
            Service::Revoked => Entry::Revoked,
        }
    }

    fn connect(&mut self, host: usize, session: Uuid, ticket: i64, _: &Hello) -> Standing {
        let host = &mut self.rows.hosts[host];
        if host.service == Service::Revoked {
            return Standing::Revoked;
        }
        if host.connections != ticket && !is_planted("store: forget the superseded session") {
            return Standing::Superseded;
        }
        host.connections += 1;
        host.session = Some(session);
        Standing::Current
    }

    fn judge(&mut self, host: usize, hello: &Hello) -> Vec<(Attempt, Verdict)> {
        let row = &mut self.rows.hosts[host];
        let seen = hello.fences.iter().filter(|(of, _)| *of == row.target);
        if let Some(theirs) = seen
            .map(|(_, fence)| *fence)
            .max()
            .filter(|theirs| *theirs > row.fence)
        {
            raise(row, theirs.incarnation);
        }
        let mut replies = Vec::new();
        for held in &hello.held {
            let moved = self.happen(
                host,
                held.attempt.job,
                Event::Held(held.attempt.fence, held.phase),
            );
            replies.push((held, moved.map_or(Reply::Forget, |moved| moved.step.reply)));
        }
        for job in self.jobs_of(host, |row| row.job.state.is_live()) {
            let fence = self.rows.jobs[&job].job.fence;
            let held = |held: &Held| {
                held.attempt == Attempt { job, fence }
                    || held.attempt.job == job
                        && is_planted("store: miss a job under another fence")
            };
            if !hello.held.iter().any(held) {
                self.apply(job, Event::Lost);
            }
        }
        let verdicts = replies.into_iter();
        verdicts
            .map(|(held, reply)| (held.attempt, self.verdict(held, reply)))
            .collect()
    }

    fn disconnect(&mut self, host: usize, session: Uuid) {
        self.rows.hosts[host]
            .session
            .take_if(|current| *current == session);
    }

    fn standing(&mut self, host: usize, session: Uuid) -> Standing {
        let host = &self.rows.hosts[host];
        match host.service {
            Service::Revoked => Standing::Revoked,
            Service::On if host.session == Some(session) => Standing::Current,
            Service::On => Standing::Superseded,
        }
    }

    fn claim(&mut self, host: usize) -> Vec<Offer> {
        let now = self.now;
        let due = |row: &JobRow| {
            row.job.state == JobState::Queued && row.not_before.is_none_or(|at| at <= now)
        };
        let busy = !self.jobs_of(host, |row| row.job.state.is_live()).is_empty();
        let waiting = self.jobs_of(host, due);
        let (Some(id), false, Service::On) = (waiting.first(), busy, self.rows.hosts[host].service)
        else {
            return Vec::new();
        };
        let last = self.rows.hosts[host].fence;
        let raised = u64::from(!is_planted("store: reuse an epoch"));
        let fence = Fence::new(last.incarnation, last.epoch + raised);
        self.rows.hosts[host].fence = fence;
        self.apply(*id, Event::Claim(fence));
        let Some(row) = self.rows.jobs.get_mut(id) else {
            return Vec::new();
        };
        row.log.fence = row.log.fence.max(fence);
        vec![Offer {
            attempt: Attempt { job: *id, fence },
            spec: row.spec.clone(),
            secrets: row.secrets(),
            log: row.log.position,
        }]
    }

    fn cancels(&mut self, host: usize) -> Vec<Attempt> {
        let asked = self.jobs_of(host, |row| {
            row.job.cancel == Cancel::Requested
                && matches!(
                    row.job.state,
                    JobState::Accepted | JobState::Running | JobState::Unknown
                )
        });
        let attempts = asked.into_iter();
        attempts
            .map(|job| Attempt {
                job,
                fence: self.rows.jobs[&job].job.fence,
            })
            .collect()
    }

    fn report(&mut self, host: usize, report: &Report) -> Reaction {
        let (job, event) = match report {
            Report::Accepted(attempt) => (attempt.job, Event::Accepted(attempt.fence)),
            Report::Started(attempt) => (attempt.job, Event::Started(attempt.fence)),
            Report::Progress(progress) => (
                progress.attempt.job,
                Event::Progress(progress.attempt.fence),
            ),
            Report::Refused(refused) => (
                refused.attempt.job,
                Event::Refused(refused.attempt.fence, refused.reason),
            ),
            Report::Finished(finished) => return self.finished(host, finished),
        };
        reaction(self.happen(host, job, event))
    }

    fn append(
        &mut self,
        host: usize,
        attempt: Attempt,
        chunk: &LogChunk,
    ) -> Result<Appended, String> {
        let row = self.rows.jobs.get_mut(&attempt.job);
        let held = |row: &&mut JobRow| {
            row.is_of(host)
                && row.job.fence == attempt.fence
                && row.job.state.is_live()
                && row.job.state != JobState::Offered
                && row.log.fence <= attempt.fence
        };
        let Some(row) = row.filter(held) else {
            return Ok(Appended::Forget);
        };
        let fit = chunk
            .fit(row.log.position)
            .map_err(|error| error.to_string())?;
        if is_planted("store: acknowledge lines before they are stored") {
            return Ok(Appended::Ack(LogAck {
                attempt,
                next_line: chunk.end().next_line,
            }));
        }
        if let Fit::Next(after) = fit {
            let lines = chunk.decode().map_err(|error| error.to_string())?;
            let texts = lines.into_iter().map(|line| Stored::Line(line.text));
            row.log.entries.extend(texts);
            row.log.position = after;
        }
        Ok(Appended::Ack(LogAck {
            attempt,
            next_line: row.log.position.next_line,
        }))
    }

    fn renew_leases(&mut self, host: usize, session: Uuid) {
        if self.rows.hosts[host].session != Some(session) {
            return;
        }
        let lease = self.now + LEASE;
        for job in self.jobs_of(host, |row| row.job.state == JobState::Unknown) {
            self.apply(job, Event::LeaseRenewed);
        }
        for row in self.rows.jobs.values_mut() {
            if row.is_of(host) && matches!(row.job.state, JobState::Accepted | JobState::Running) {
                row.lease = Some(lease);
            }
        }
    }

    fn sweep(&mut self) {
        let now = self.now;
        if !is_planted("store: keep the times of a clock that was set back") {
            for row in self.rows.jobs.values_mut() {
                row.lease = row.lease.map(|lease| lease.min(now + LEASE));
                row.not_before = row.not_before.map(|at| at.min(now + RETRY_AFTER));
            }
        }
        let jobs = self.rows.jobs.iter();
        let expired: Vec<_> = jobs
            .filter(|(_, row)| row.lease.is_some_and(|lease| lease < now))
            .map(|(id, _)| *id)
            .collect();
        for job in expired {
            self.apply(job, Event::LeaseExpired);
        }
    }

    fn set_clock(&mut self, now_ms: i64) {
        self.now = now_ms;
    }

    fn restart(&mut self) {
        for host in &mut self.rows.hosts {
            host.session = None;
        }
    }

    fn back_up(&mut self) {
        self.backup = Some(self.rows.clone());
    }

    fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.clone() else {
            return false;
        };
        self.rows = backup;
        self.restart();
        true
    }

    fn view(&mut self, job: JobId) -> Option<JobView> {
        let job = &self.rows.jobs.get(&job)?.job;
        Some(JobView {
            state: job.state,
            fence: job.fence,
        })
    }

    fn log(&mut self, job: JobId) -> Vec<Stored> {
        let row = self.rows.jobs.get(&job);
        row.map(|row| row.log.entries.clone()).unwrap_or_default()
    }
}
