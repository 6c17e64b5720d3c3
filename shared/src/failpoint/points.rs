//! All failpoints. The tests hold this list and the code against each other.

/// A failpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name: the side, and what has just happened there.
    pub name: &'static str,
    /// What it stands behind.
    pub behind: Behind,
}

/// What has just happened at a failpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A transaction was committed.
    Commit,
    /// A message has left.
    Send,
    /// Something was made durable on a disk, or taken from it.
    Disk,
    /// The engine, or compose, has done something.
    Engine,
    /// An answer has come.
    Answer,
}

const fn point(name: &'static str, behind: Behind) -> Point {
    Point { name, behind }
}

use Behind::{Answer, Commit, Disk, Engine, Send};

/// All failpoints on the ways of deploy, build, remove, cancel, enrol and renew.
pub const POINTS: [Point; 71] = [
    // The control plane: what people ask for.
    point("plane: committed a submission", Commit),
    point("plane: committed a cancel", Commit),
    point("plane: committed a cancel's intent", Commit),
    // Its jobs.
    point("plane: committed an offer", Commit),
    point("plane: committed an acceptance", Commit),
    point("plane: committed a beginning", Commit),
    point("plane: committed a step", Commit),
    point("plane: committed an end", Commit),
    point("plane: committed a requeue", Commit),
    point("plane: committed a loss of sight", Commit),
    point("plane: renewed leases", Commit),
    // Its logs.
    point("plane: opened a log", Commit),
    point("plane: committed lines of a log", Commit),
    point("plane: ended a log", Commit),
    // Its agents.
    point("plane: committed an enrolment token", Commit),
    point("plane: committed an enrolment", Commit),
    point("plane: committed a renewal", Commit),
    point("plane: committed a session", Commit),
    point("plane: committed the verdicts", Commit),
    // What it says.
    point("plane: sent Welcome", Send),
    point("plane: sent Offer", Send),
    point("plane: sent Go", Send),
    point("plane: sent Cancel", Send),
    point("plane: sent LogAck", Send),
    point("plane: sent Forget", Send),
    point("plane: sent Certificate", Send),
    // The agent: who it is.
    point("agent: proved its folder", Disk),
    point("agent: was enrolled", Answer),
    point("agent: stored its identity", Disk),
    point("agent: stored its renewed identity", Disk),
    point("agent: was renewed after its end", Answer),
    point("agent: stored what was renewed after its end", Disk),
    // Its journal and its jobs' folders.
    point("agent: rewrote the journal", Disk),
    point("agent: made a job's folder", Disk),
    point("agent: stored a specification", Disk),
    point("agent: journalled an acceptance", Disk),
    point("agent: journalled a beginning", Disk),
    point("agent: journalled a step", Disk),
    point("agent: journalled a result", Disk),
    point("agent: journalled that a job is forgotten", Disk),
    point("agent: stored a job's limits", Disk),
    point("agent: synced a log", Disk),
    point("agent: moved a job's folder aside", Disk),
    point("agent: removed a job's folder", Disk),
    // Its projects' folders.
    point("agent: stored a manifest", Disk),
    point("agent: placed a file", Disk),
    point("agent: removed a project's files", Disk),
    // The commits that they are built from.
    point("agent: fetched a commit", Disk),
    point("agent: checked a commit out", Disk),
    // The engine.
    point("agent: resolved a project", Engine),
    point("agent: found the engine", Engine),
    point("agent: looked at the containers", Engine),
    point("agent: started compose", Engine),
    point("agent: noted compose", Disk),
    point("agent: saw compose end", Engine),
    point("agent: stopped compose", Engine),
    point("agent: hashed the services", Engine),
    point("agent: looked for an image", Engine),
    point("agent: started a container", Engine),
    point("agent: stopped a former container", Engine),
    point("agent: took a former container away", Engine),
    point("agent: removed a container", Engine),
    point("agent: removed a network", Engine),
    point("agent: removed a volume", Engine),
    // What it says.
    point("agent: sent Hello", Send),
    point("agent: sent Accepted", Send),
    point("agent: sent Started", Send),
    point("agent: sent Progress", Send),
    point("agent: sent Log", Send),
    point("agent: sent Finished", Send),
    point("agent: sent Renew", Send),
];
