//! An executor without an engine: it does what a script in the job's files says.
//!
//! The agent's tests run the real agent with it; the binary's `run` has no way to reach it. Its
//! [`FakeHost`] stands for the engine: it outlives the executor, as an engine outlives the agent,
//! and counts what was done to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use towline_shared::ids::{ProjectId, ReleaseId, TargetId};
use towline_shared::log::{LogLine, LogStream};
use towline_shared::metrics::ContainerSample;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::protocol::v1::{Attempt, Capabilities, Engine, Plugin};
use towline_shared::query::{MAX_STREAM_PIECE, Query, Reply, StreamRequest};
use towline_shared::spec::{Deploy, FileMode, Interruption, JobSpec, ProjectFile, Work};
use towline_shared::tunnel::{TunnelEnd, TunnelRefusal};

use super::{BoxFuture, BoxStream, Executor, Reached};
use crate::task::{Start, Task};

const SCRIPT: &str = "script.json";
const SOURCE: &str = "fake";

/// What a fake job does, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// It writes this many numbered lines,
    pub lines: u64,
    /// pausing this long after each hundred, in milliseconds,
    pub pause_ms: u64,
    /// then does nothing for so long, in milliseconds,
    pub sleep_ms: u64,
    /// and ends.
    pub end: ScriptEnd,
    /// Whether it stops when it is told to.
    pub obedience: Obedience,
}

/// How a fake job ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptEnd {
    /// With success.
    #[default]
    Succeed,
    /// With a failure.
    Fail,
    /// With a failure before its gate opens.
    FailPreparing,
    /// By a panic.
    Panic,
    /// Never.
    Hang,
}

/// Whether a fake job stops when it is told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obedience {
    /// It does.
    #[default]
    Obeys,
    /// It does not.
    Ignores,
}

impl Script {
    /// A job that does this on a target.
    pub fn job(&self, target: TargetId, interruption: Interruption) -> JobSpec {
        let content = serde_json::to_vec(self).unwrap_or_default();
        let script = ProjectFile {
            path: SCRIPT.into(),
            content,
            mode: FileMode::Regular,
        };
        JobSpec {
            project: ProjectId::new(),
            target,
            work: Work::Deploy(Deploy {
                release: ReleaseId::new(),
                compose_project: "fake".into(),
                compose_file: SCRIPT.into(),
                files: vec![script],
                settle_ms: 0,
            }),
            interruption,
            deadline_s: 600,
        }
    }

    fn of(spec: &JobSpec) -> Option<Self> {
        let Work::Deploy(deploy) = &spec.work else {
            return None;
        };
        let script = deploy.files.iter().find(|file| file.path == SCRIPT)?;
        serde_json::from_slice(&script.content).ok()
    }
}

/// What fake jobs act on. Clones are the same host.
#[derive(Clone, Debug, Default)]
pub struct FakeHost(Arc<Mutex<HostState>>);

#[derive(Debug, Default)]
struct HostState {
    prepared: Vec<Attempt>,
    begun: Vec<(Attempt, Start)>,
    secrets: Vec<String>,
    busy: HashMap<TargetId, u32>,
    most_busy: u32,
}

impl FakeHost {
    /// The attempts that were prepared, in order.
    pub fn prepared(&self) -> Vec<Attempt> {
        self.state().prepared.clone()
    }

    /// The attempts that had effects, in order, once for each process that worked on them.
    pub fn begun(&self) -> Vec<(Attempt, Start)> {
        self.state().begun.clone()
    }

    /// The values of all secrets that tasks brought, in order.
    pub fn secrets(&self) -> Vec<String> {
        self.state().secrets.clone()
    }

    /// The most tasks that worked on one target at once.
    pub fn most_busy(&self) -> u32 {
        self.state().most_busy
    }

    fn state(&self) -> MutexGuard<'_, HostState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, task: &Task) -> Presence {
        let mut state = self.state();
        state.prepared.push(task.attempt);
        state
            .secrets
            .extend(task.secrets.iter().map(|secret| secret.value.clone()));
        let target = task.spec.target;
        let busy = state.busy.entry(target).or_default();
        *busy += 1;
        let now = *busy;
        state.most_busy = now.max(state.most_busy);
        Presence {
            host: self.clone(),
            target,
        }
    }
}

/// A task's presence on its target; it ends with the task, however that ends.
struct Presence {
    host: FakeHost,
    target: TargetId,
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(busy) = self.host.state().busy.get_mut(&self.target) {
            *busy -= 1;
        }
    }
}

/// The executor.
#[derive(Clone, Debug)]
pub struct FakeExecutor {
    host: FakeHost,
}

impl FakeExecutor {
    /// One that acts on this host.
    pub const fn new(host: FakeHost) -> Self {
        Self { host }
    }
}

impl Executor for FakeExecutor {
    fn run(&self, task: Task) -> BoxFuture<Outcome> {
        let host = self.host.clone();
        Box::pin(async move {
            let presence = host.enter(&task);
            let outcome = play(&host, task).await;
            drop(presence);
            outcome
        })
    }

    fn capabilities(&self) -> BoxFuture<Capabilities> {
        Box::pin(std::future::ready(Capabilities {
            hostname: "fake".into(),
            engine: Engine::Docker {
                version: "0".into(),
                api: "0".into(),
            },
            compose: Plugin::Version("0".into()),
            ..Capabilities::default()
        }))
    }

    fn ask(&self, query: Query) -> BoxFuture<Reply> {
        let reply = match query {
            Query::Containers => Reply::Containers(Vec::new()),
            Query::ClusterEvents(_) | Query::ClusterDrift(_) | Query::ClusterAct(_) => {
                Reply::Failed("no cluster".to_owned())
            }
        };
        Box::pin(std::future::ready(reply))
    }

    /// As many pieces as the request's tail says, each as large as may be and full of its number.
    fn open_stream(&self, request: StreamRequest) -> BoxStream<Result<Vec<u8>, String>> {
        let StreamRequest::ContainerLog { tail, .. } = request;
        let piece = |number: u32| {
            let byte = u8::try_from(number % 251).unwrap_or_default();
            std::future::ready(Ok(vec![byte; MAX_STREAM_PIECE]))
        };
        match tail {
            Some(count) => Box::pin(stream::iter(0..count).then(piece)),
            None => Box::pin(stream::iter([Err("no such container".to_owned())])),
        }
    }

    /// There is nothing that one could lead to.
    fn reach_end(&self, _: TunnelEnd) -> BoxFuture<Reached> {
        let why = "there is no engine".to_owned();
        Box::pin(async move { Err((TunnelRefusal::Unavailable, why)) })
    }

    fn containers(&self) -> BoxFuture<Vec<ContainerSample>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

async fn play(host: &FakeHost, task: Task) -> Outcome {
    let Some(script) = Script::of(&task.spec) else {
        return failed("there is no script in the job");
    };
    if script.end == ScriptEnd::FailPreparing {
        return failed("as the script says, before the gate");
    }
    if task.gate.opened().await.is_err() {
        return Outcome::Cancelled {
            left: "nothing was changed".into(),
        };
    }
    if let Err(refused) = task.progress.begin(Step::Applying).await {
        return failed(&refused.to_string());
    }
    host.state().begun.push((task.attempt, task.start));
    let acts = act(&script, &task);
    if script.obedience == Obedience::Ignores {
        return acts.await;
    }
    tokio::select! {
        biased;
        () = task.cancel.cancelled() => Outcome::Cancelled { left: "what was begun".into() },
        outcome = acts => outcome,
    }
}

async fn act(script: &Script, task: &Task) -> Outcome {
    let resumed = task.log.resume_from(SOURCE).and_then(|point| point.offset);
    for number in resumed.unwrap_or(0)..script.lines {
        task.log.send_at(line(number), number + 1).await;
        if script.pause_ms > 0 && number % 100 == 99 {
            sleep(Duration::from_millis(script.pause_ms)).await;
        }
    }
    sleep(Duration::from_millis(script.sleep_ms)).await;
    match script.end {
        ScriptEnd::Succeed => Outcome::Succeeded { images: Vec::new() },
        ScriptEnd::Fail | ScriptEnd::FailPreparing => failed("as the script says"),
        #[expect(clippy::panic, reason = "the script asks for it")]
        ScriptEnd::Panic => panic!("as the script says"),
        ScriptEnd::Hang => std::future::pending().await,
    }
}

/// The numbered line that a fake job writes.
pub fn line(number: u64) -> LogLine {
    LogLine {
        at_us: chrono::Utc::now().timestamp_micros(),
        stream: LogStream::Stdout,
        source: SOURCE.into(),
        text: format!("line {number:08}"),
    }
}

fn failed(message: &str) -> Outcome {
    Outcome::Failed {
        reason: FailureReason::ComposeFailed,
        message: message.to_owned(),
    }
}
