//! The one seam of the agent: what can do a job on a host.
//!
//! It is a trait because there really are several: a Docker engine with its compose plugin, a
//! Kubernetes cluster, and [`fake`], which the agent's own tests drive. The rest of the agent knows nothing of engines.
//!
//! What an executor may rely on, and what is asked of it:
//! - [`Executor::run`] prepares at once (files in `task.dir`, policy, resolving) and awaits
//!   `task.gate` before its first effect on the engine. A resumed task's gate is open already.
//! - It announces each step by `task.progress.begin(step).await` before it begins the step; the
//!   intent is durable when that returns.
//! - When `task.cancel` is tripped it stops at the next safe point, ends what it started itself
//!   (also what a former agent process left running for this job), and returns `Cancelled` with
//!   what it leaves in place. It returns soon: within 30 s.
//! - The future may be dropped at any await, because the agent process may die at any moment:
//!   what must survive is in `task.dir`, in the engine, or in a child of its own session.
//! - `task.dir` belongs to the attempt and is removed with it. What deployed containers mount must
//!   live elsewhere in the state folder.

pub mod docker;
mod errand;
pub mod fake;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod limits;
mod pieces;
mod registry_login;
mod source;
mod stop;

use std::pin::Pin;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use towline_shared::metrics::ContainerSample;
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::Capabilities;
use towline_shared::query::{Query, Reply, StreamRequest};
use towline_shared::tunnel::{TunnelEnd, TunnelRefusal};

use crate::task::Task;

/// A future that owns all it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// A stream that owns all it needs.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Bytes both ways, each of which ends by itself.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a tunnel leads to on the host, or who is in the way, and why in words for a person.
pub type Reached = Result<Box<dyn Duplex>, (TunnelRefusal, String)>;

/// What can do a job on a host.
pub trait Executor: Send + Sync + 'static {
    /// Does the work to its end. It never panics; what goes wrong is an outcome.
    fn run(&self, task: Task) -> BoxFuture<Outcome>;

    /// What the host is and can do. Answers within a few seconds whether or not the engine does.
    fn capabilities(&self) -> BoxFuture<Capabilities>;

    /// Answers a question; what goes wrong is [`Reply::Failed`].
    fn ask(&self, query: Query) -> BoxFuture<Reply>;

    /// Opens a stream of pieces of at most [`towline_shared::query::MAX_STREAM_PIECE`] bytes. It is
    /// polled only while its reader has credit, and dropped when the reader has gone. An error is
    /// its last item, in words for a person.
    fn open_stream(&self, request: StreamRequest) -> BoxStream<Result<Vec<u8>, String>>;

    /// Reaches what a tunnel is to lead to, if the host's owner allows it.
    fn reach_end(&self, end: TunnelEnd) -> BoxFuture<Reached>;

    /// The state of all running containers, for the metrics.
    fn containers(&self) -> BoxFuture<Vec<ContainerSample>>;
}
