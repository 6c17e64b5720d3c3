//! Which points each way leads past.

use towline_tests::server::DatabaseKind;

/// A way of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A deploy of two services.
    Deploy,
    /// The same with files that do not fit into the journal.
    Large,
    /// A deploy that builds its image.
    Build,
    /// A deploy of a commit.
    Commit,
    /// A deploy that brings what an unhealthy service lacks.
    Repair,
    /// A deploy whose new container runs before the old one stops.
    HandOver,
    /// A deploy whose agent or control plane has died once already.
    Again,
    /// Taking a project away.
    Remove,
    /// Taking a project away with all its data, and what compose does not see.
    Sweep,
    /// A cancel of what waits.
    CancelQueued,
    /// A cancel of what is offered to an agent that does not answer.
    CancelOffered,
    /// A cancel of what runs.
    CancelRunning,
    /// A cancel of a build.
    CancelBuild,
    /// An agent that is out of sight.
    Unseen,
    /// Work that outlasts the renewal of its lease.
    Long,
    /// An offer whose agent died before it accepted.
    Unanswered,
    /// Becoming an agent.
    Enrol,
    /// The first start of a new agent.
    First,
    /// A renewal over the link.
    Renew,
    /// A renewal by proof of the key, after the certificate has ended.
    Expired,
}

/// One process's death at one point of one way.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The way.
    pub way: Way,
    /// The point's name.
    pub point: &'static str,
    /// The how many-th time.
    pub nth: usize,
}

impl Case {
    /// Its name, for filters and messages.
    pub fn name(&self) -> String {
        format!("{:?}: {} #{}", self.way, self.point, self.nth)
    }
}

/// Points that are passed once, by way. The slow ways come first, so that nobody waits for them at the end.
const ONCE: [(Way, &[&str]); 20] = [
    (Way::Unseen, &["plane: committed a loss of sight"]),
    (Way::Long, &["plane: renewed leases"]),
    (
        Way::Expired,
        &[
            "agent: was renewed after its end",
            "agent: stored what was renewed after its end",
        ],
    ),
    (
        Way::Renew,
        &[
            "plane: committed a renewal",
            "plane: sent Certificate",
            "agent: sent Renew",
            "agent: stored its renewed identity",
        ],
    ),
    (
        Way::Build,
        &[
            "agent: started compose",
            "agent: noted compose",
            "agent: saw compose end",
            "agent: sent Log",
            "plane: committed lines of a log",
        ],
    ),
    (
        Way::Commit,
        &["agent: fetched a commit", "agent: checked a commit out"],
    ),
    (
        Way::Repair,
        &["agent: saw compose end", "agent: started a container"],
    ),
    (
        Way::HandOver,
        &[
            "agent: started a container",
            "agent: stopped a former container",
            "agent: took a former container away",
        ],
    ),
    (
        Way::Again,
        &[
            "plane: committed the verdicts",
            "plane: sent Welcome",
            "agent: sent Hello",
            "agent: hashed the services",
            "agent: looked for an image",
        ],
    ),
    (Way::CancelBuild, &["agent: stopped compose"]),
    (
        Way::CancelRunning,
        &[
            "plane: committed a cancel's intent",
            "plane: sent Cancel",
            "plane: committed an end",
            "agent: journalled a result",
            "agent: sent Finished",
        ],
    ),
    (Way::CancelQueued, &["plane: committed a cancel"]),
    (Way::CancelOffered, &["plane: committed a cancel"]),
    (Way::Unanswered, &["plane: committed a requeue"]),
    (
        Way::Remove,
        &[
            "plane: committed a submission",
            "plane: committed an end",
            "agent: journalled a step",
            "agent: found the engine",
            "agent: started compose",
            "agent: noted compose",
            "agent: saw compose end",
            "agent: stored a manifest",
            "agent: removed a project's files",
        ],
    ),
    (
        Way::Sweep,
        &[
            "agent: removed a container",
            "agent: removed a network",
            "agent: removed a volume",
        ],
    ),
    (Way::Large, &["agent: stored a specification"]),
    (
        Way::Enrol,
        &[
            "plane: committed an enrolment token",
            "plane: committed an enrolment",
            "agent: proved its folder",
            "agent: was enrolled",
            "agent: stored its identity",
        ],
    ),
    (Way::First, &["agent: rewrote the journal"]),
    (
        Way::Deploy,
        &[
            "plane: committed a submission",
            "plane: committed an offer",
            "plane: committed an acceptance",
            "plane: committed a beginning",
            "plane: committed a step",
            "plane: committed an end",
            "plane: opened a log",
            "plane: committed lines of a log",
            "plane: ended a log",
            "plane: committed a session",
            "plane: sent Welcome",
            "plane: sent Offer",
            "plane: sent Go",
            "plane: sent LogAck",
            "plane: sent Forget",
            "agent: made a job's folder",
            "agent: journalled an acceptance",
            "agent: journalled a beginning",
            "agent: journalled a step",
            "agent: journalled a result",
            "agent: journalled that a job is forgotten",
            "agent: stored a job's limits",
            "agent: synced a log",
            "agent: moved a job's folder aside",
            "agent: removed a job's folder",
            "agent: stored a manifest",
            "agent: placed a file",
            "agent: resolved a project",
            "agent: found the engine",
            "agent: looked at the containers",
            "agent: started compose",
            "agent: noted compose",
            "agent: saw compose end",
            "agent: sent Hello",
            "agent: sent Accepted",
            "agent: sent Started",
            "agent: sent Progress",
            "agent: sent Log",
            "agent: sent Finished",
        ],
    ),
];

/// Points that are passed more than once on a way, and where the second time is another moment.
const LATER: [(Way, &str, usize); 8] = [
    (Way::Deploy, "agent: journalled a step", 2),
    (Way::Deploy, "agent: stored a manifest", 2),
    (Way::Deploy, "agent: sent Progress", 3),
    (Way::Deploy, "plane: committed a step", 3),
    (Way::Deploy, "plane: committed lines of a log", 2),
    (Way::Build, "agent: started compose", 2),
    (Way::Build, "agent: noted compose", 2),
    (Way::Build, "agent: saw compose end", 2),
];

/// Enrolled in the past, by a database whose clock is the process's own.
const EMBEDDED_ONLY: [Way; 1] = [Way::Expired];

/// The cases on a database: all of them on the embedded one, those of the control plane on both.
pub fn on(database: DatabaseKind) -> Vec<Case> {
    let once = ONCE.iter().flat_map(|(way, points)| {
        points.iter().map(|point| Case {
            way: *way,
            point,
            nth: 1,
        })
    });
    let later = LATER.iter().map(|(way, point, nth)| Case {
        way: *way,
        point,
        nth: *nth,
    });
    let all = once.chain(later);
    match database {
        DatabaseKind::Sqlite => all.collect(),
        DatabaseKind::Postgres => all
            .filter(|case| case.point.starts_with("plane: "))
            .filter(|case| !EMBEDDED_ONLY.contains(&case.way))
            .collect(),
    }
}
