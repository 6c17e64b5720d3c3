//! What the simulation asks of a control plane's memory: the store's verbs, each one atomic and durable when it returns.
//!
//! Two things answer: [`crate::model::Model`], the store's promises in a few structures around the real transitions, fast
//! enough for thousands of seeds; and [`crate::real::Real`], the real store on SQLite. The same seed must give the same
//! run on both, which is what makes the model worth believing.

use towline_server::agents::conversation::Report;
use towline_server::job::JobState;
use towline_server::store::{Appended, Reaction, Standing};
use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::log::LogChunk;
use towline_shared::protocol::v1::{Attempt, Hello, Offer, Verdict};
use towline_shared::spec::Interruption;
use uuid::Uuid;

/// What somebody wants done.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// On which host.
    pub host: usize,
    /// What happens when the agent dies in the middle.
    pub interruption: Interruption,
    /// Whether values come with it that only the executing agent sees.
    pub secrets: Secrets,
}

/// Whether a job comes with secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// It comes with none.
    None,
    /// It comes with one.
    One,
}

/// Whether an agent may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It may, and this is its ticket for [`Plane::connect`].
    Open(i64),
    /// It was revoked.
    Revoked,
}

/// A job as everybody may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Where it is.
    pub state: JobState,
    /// Under which fence it was offered last.
    pub fence: Fence,
}

/// An entry of a stored log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A line.
    Line(String),
    /// A record that says that so many lines are missing.
    Gap(u64),
}

/// A control plane's memory.
pub trait Plane {
    /// Queues a job; `None` when the host's agent was revoked.
    fn submit(&mut self, wish: Wish) -> Option<JobId>;
    /// Queues a job like an ended one; `None` when that is refused.
    fn retry(&mut self, job: JobId) -> Option<JobId>;
    /// Asks for a job to stop; gives where it is then.
    fn cancel(&mut self, job: JobId) -> JobState;
    /// Takes a host's agent out of service.
    fn revoke(&mut self, host: usize);

    /// Decides about a connection.
    fn admit(&mut self, host: usize) -> Entry;
    /// A session begins to speak for its agent, or is told that a later one does.
    fn connect(&mut self, host: usize, session: Uuid, ticket: i64, hello: &Hello) -> Standing;
    /// Judges what an agent holds.
    fn judge(&mut self, host: usize, hello: &Hello) -> Vec<(Attempt, Verdict)>;
    /// A session has ended.
    fn disconnect(&mut self, host: usize, session: Uuid);
    /// Whether a session still speaks for its agent.
    fn standing(&mut self, host: usize, session: Uuid) -> Standing;
    /// What an agent may take now.
    fn claim(&mut self, host: usize) -> Vec<Offer>;
    /// What an agent is to stop.
    fn cancels(&mut self, host: usize) -> Vec<Attempt>;
    /// What an agent says about a job.
    fn report(&mut self, host: usize, report: &Report) -> Reaction;
    /// Stores a piece of log; `Err` when it does not continue what is stored.
    fn append(
        &mut self,
        host: usize,
        attempt: Attempt,
        chunk: &LogChunk,
    ) -> Result<Appended, String>;
    /// Renews the leases of an agent's jobs.
    fn renew_leases(&mut self, host: usize, session: Uuid);
    /// Lets leases expire.
    fn sweep(&mut self);

    /// Sets the database's clock, in Unix milliseconds.
    fn set_clock(&mut self, now_ms: i64);
    /// The only process dies; what was committed stays.
    fn restart(&mut self);
    /// Takes a backup, in place of an earlier one.
    fn back_up(&mut self);
    /// Puts the backup back, if there is one; whether there was.
    fn restore(&mut self) -> bool;

    /// A job.
    fn view(&mut self, job: JobId) -> Option<JobView>;
    /// A job's log.
    fn log(&mut self, job: JobId) -> Vec<Stored>;
}
