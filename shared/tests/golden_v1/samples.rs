//! One value of each kind and variant, with all fields away from their defaults.

use std::fmt::Debug;

use towline_shared::cluster::{ClusterFacts, ClusterPolicy};
use towline_shared::enrolment::{EnrolRequest, Enrolled, RenewRequest, Renewed};
use towline_shared::fence::Fence;
use towline_shared::ids::{AgentId, JobId, TargetId};
use towline_shared::log::{LogChunk, LogPosition};
use towline_shared::metrics::{self, ContainerSample, Health, HostSample};
use towline_shared::outcome::{FailureReason, Outcome, ServiceImage, Step};
use towline_shared::policy::{HostPolicy, Permission};
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::*;
use towline_shared::query::{ContainerSummary, Follow, Query, Reply, StreamRequest};
use towline_shared::spec::{JobSpec, SealedSpec, Secret};
use uuid::Uuid;

use super::clusters::clusters;
use super::results::{built, pinned, preview};
use super::specs::specs;
use super::tunnels::tunnels;
use super::upgrades::upgrades;

/// A moment: 2023-11-14 22:13:20 UTC.
pub const AT_MS: i64 = 1_700_000_000_000;

/// Says how what was read differs from what was written.
type ReadsBack = Box<dyn Fn(&[u8]) -> Result<(), String>>;

/// A value, its bytes, and the check that the bytes read back to it.
pub struct Sample {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub reads_back: ReadsBack,
}

fn same<T: PartialEq + Debug>(read: &T, written: &T) -> Result<(), String> {
    if read == written {
        Ok(())
    } else {
        Err(format!("reads back as {read:?}, not {written:?}"))
    }
}

pub(super) fn agent(name: &'static str, message: FromAgent) -> Sample {
    Sample {
        name,
        bytes: message.encode().unwrap(),
        reads_back: Box::new(move |bytes| match FromAgent::decode(bytes) {
            Ok(Received::Message(read)) => same(&read, &message),
            other => Err(format!("{other:?}")),
        }),
    }
}

pub(super) fn server(name: &'static str, message: FromServer) -> Sample {
    Sample {
        name,
        bytes: message.encode().unwrap(),
        reads_back: Box::new(move |bytes| match FromServer::decode(bytes) {
            Ok(Received::Message(read)) => same(&read, &message),
            other => Err(format!("{other:?}")),
        }),
    }
}

pub(super) fn spec(name: &'static str, spec: JobSpec) -> Sample {
    let sealed = SealedSpec::seal(&spec).unwrap();
    Sample {
        name,
        bytes: sealed.bytes().to_vec(),
        reads_back: Box::new(move |bytes| {
            let read = SealedSpec::from_parts(bytes.to_vec(), sealed.digest()).open();
            same(&read.map_err(|error| error.to_string())?, &spec)
        }),
    }
}

fn json<T: serde::Serialize + serde::de::DeserializeOwned>(name: &'static str, body: &T) -> Sample {
    let bytes = serde_json::to_vec(body).unwrap();
    let written = bytes.clone();
    Sample {
        name,
        bytes,
        reads_back: Box::new(move |bytes| {
            let read: T = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            same(&serde_json::to_vec(&read).unwrap(), &written)
        }),
    }
}

pub(super) fn id<T: From<Uuid>>(number: u128) -> T {
    Uuid::from_u128((0x0193_5a2b << 96) | number).into()
}

fn attempt() -> Attempt {
    Attempt {
        job: id::<JobId>(0x10),
        fence: Fence::new(2, 300),
    }
}

fn position() -> LogPosition {
    LogPosition {
        next_line: 4096,
        chain: [0xab; 32],
    }
}

fn secret() -> Secret {
    Secret {
        name: "DB_PASSWORD".into(),
        value: "päss".into(),
    }
}

fn capabilities(engine: Engine, compose: Plugin) -> Capabilities {
    Capabilities {
        hostname: "host-1".into(),
        os: "Debian GNU/Linux 12".into(),
        arch: "amd64".into(),
        cores: 300,
        memory: 1 << 40,
        engine,
        compose,
        policy: HostPolicy {
            privileged: Permission::Allow,
            host_namespaces: Permission::Deny,
            bind_mounts: vec!["/srv".into()],
            capabilities: vec!["NET_ADMIN".into()],
            devices: Permission::Allow,
            unconfined: Permission::Deny,
            registries: vec!["docker.io".into(), "ghcr.io/acme".into()],
            build: Permission::Allow,
        },
    }
}

fn docker() -> Engine {
    Engine::Docker {
        version: "29.1.0".into(),
        api: "1.52".into(),
    }
}

fn kubernetes() -> Engine {
    Engine::Kubernetes(ClusterFacts {
        version: "v1.33.2".into(),
        namespace: "shop".into(),
        policy: ClusterPolicy {
            namespaces: vec!["shop-live".into()],
            create_namespaces: Permission::Allow,
            cluster_scoped: vec!["CustomResourceDefinition".into()],
            service_accounts: vec!["web".into()],
        },
    })
}

fn hello() -> Hello {
    let held = |phase, secrets| Held {
        attempt: attempt(),
        phase,
        secrets,
        log_from: position(),
    };
    Hello {
        version: "0.1.0".into(),
        at_ms: AT_MS,
        capabilities: capabilities(docker(), Plugin::Version("2.40.0".into())),
        fences: vec![(id::<TargetId>(0x20), Fence::new(1, 7))],
        held: vec![
            held(HeldPhase::Accepted, SecretsNeed::Known),
            held(HeldPhase::Running, SecretsNeed::Lost),
            held(HeldPhase::Finished, SecretsNeed::Known),
        ],
    }
}

fn finished(outcome: Outcome) -> FromAgent {
    FromAgent::Finished(Finished {
        attempt: attempt(),
        outcome,
        log: position(),
    })
}

fn failed(reason: FailureReason) -> FromAgent {
    finished(Outcome::Failed {
        reason,
        message: "why".into(),
    })
}

fn refused(reason: Refusal) -> FromAgent {
    FromAgent::Refused(Refused {
        attempt: attempt(),
        reason,
        message: "why".into(),
    })
}

fn progress(step: Step) -> FromAgent {
    FromAgent::Progress(Progress {
        attempt: attempt(),
        step,
    })
}

fn step_line() -> StepLine {
    StepLine {
        attempt: attempt(),
        step: Step::Building,
        line: 4096,
    }
}

fn container(health: Health) -> ContainerSample {
    ContainerSample {
        id: "0123456789ab".into(),
        name: "shop-web-1".into(),
        project: "shop".into(),
        service: "web".into(),
        cpu_percent: 150.5,
        memory_used: 1,
        memory_limit: 2,
        net_received: 3,
        net_sent: 4,
        block_read: 5,
        block_written: 6,
        restarts: 7,
        health,
    }
}

fn metrics() -> metrics::Sample {
    metrics::Sample {
        at_ms: AT_MS,
        host: HostSample {
            cpu_percent: 12.5,
            cores: 8,
            load: [0.5, 1.5, 2.5],
            memory_used: 1,
            memory_total: 2,
            disk_used: 3,
            disk_total: 4,
            disk_read: 5,
            disk_written: 6,
            net_received: 7,
            net_sent: 8,
        },
        containers: [
            Health::None,
            Health::Starting,
            Health::Healthy,
            Health::Unhealthy,
        ]
        .map(container)
        .into(),
    }
}

fn containers() -> Reply {
    Reply::Containers(vec![ContainerSummary {
        id: "0123".into(),
        name: "shop-web-1".into(),
        image: "shop:1".into(),
        project: "shop".into(),
        service: "web".into(),
        state: "running".into(),
        status: "Up 3 minutes (healthy)".into(),
        health: Health::Healthy,
        created_s: 1_700_000_000,
        ports: vec!["127.0.0.1:8080->80/tcp".into()],
    }])
}

fn reply(reply: Reply) -> FromAgent {
    FromAgent::Reply(QueryReply { id: 70_000, reply })
}

fn stream_end(error: Option<String>) -> FromAgent {
    FromAgent::StreamEnd(StreamEnd { stream: 300, error })
}

fn failures() -> Vec<Sample> {
    let all = [
        ("agent/failed-policy-refused", FailureReason::PolicyRefused),
        (
            "agent/failed-invalid-project",
            FailureReason::InvalidProject,
        ),
        (
            "agent/failed-engine-unavailable",
            FailureReason::EngineUnavailable,
        ),
        ("agent/failed-compose-failed", FailureReason::ComposeFailed),
        ("agent/failed-unhealthy", FailureReason::Unhealthy),
        ("agent/failed-crash-loop", FailureReason::CrashLoop),
        ("agent/failed-deadline", FailureReason::Deadline),
        ("agent/failed-interrupted", FailureReason::Interrupted),
        ("agent/failed-journal-lost", FailureReason::JournalLost),
        ("agent/failed-agent-revoked", FailureReason::AgentRevoked),
        ("agent/failed-disk-full", FailureReason::DiskFull),
        ("agent/failed-internal", FailureReason::Internal),
        (
            "agent/failed-source-unavailable",
            FailureReason::SourceUnavailable,
        ),
        ("agent/failed-build-failed", FailureReason::BuildFailed),
        ("agent/failed-relay-failed", FailureReason::RelayFailed),
        ("agent/failed-push-failed", FailureReason::PushFailed),
        ("agent/failed-conflict", FailureReason::Conflict),
        (
            "agent/failed-cluster-refused",
            FailureReason::ClusterRefused,
        ),
        ("agent/failed-superseded", FailureReason::Superseded),
    ];
    all.map(|(name, reason)| agent(name, failed(reason))).into()
}

/// One of each change.
fn from_agent() -> Vec<Sample> {
    let cluster = capabilities(kubernetes(), Plugin::default());
    let mut samples = from_agent_of_docker();
    samples.push(agent(
        "agent/capabilities-kubernetes",
        FromAgent::Capabilities(cluster),
    ));
    samples
}

fn from_agent_of_docker() -> Vec<Sample> {
    let chunk = LogChunk {
        first_line: 4096,
        lines: 2,
        chain: [0xcd; 32],
        payload: vec![1, 2, 3],
    };
    let missing = capabilities(
        Engine::Missing("no socket".into()),
        Plugin::Missing("apt-get".into()),
    );
    let image = ServiceImage {
        service: "web".into(),
        reference: "shop:1".into(),
        id: "sha256:00".into(),
    };
    vec![
        agent("agent/hello", FromAgent::Hello(hello())),
        agent(
            "agent/heartbeat",
            FromAgent::Heartbeat(Heartbeat { at_ms: AT_MS }),
        ),
        agent("agent/accepted", FromAgent::Accepted(attempt())),
        agent("agent/refused-stale-fence", refused(Refusal::StaleFence)),
        agent("agent/refused-busy", refused(Refusal::Busy)),
        agent("agent/refused-unreadable", refused(Refusal::Unreadable)),
        agent("agent/refused-journal", refused(Refusal::Journal)),
        agent("agent/refused-stopping", refused(Refusal::Stopping)),
        agent("agent/started", FromAgent::Started(attempt())),
        agent("agent/progress-preparing", progress(Step::Preparing)),
        agent("agent/progress-applying", progress(Step::Applying)),
        agent("agent/progress-verifying", progress(Step::Verifying)),
        agent("agent/progress-removing", progress(Step::Removing)),
        agent("agent/progress-building", progress(Step::Building)),
        agent("agent/progress-cloning", progress(Step::Cloning)),
        agent("agent/progress-publishing", progress(Step::Publishing)),
        agent("agent/progress-receiving", progress(Step::Receiving)),
        agent("agent/progress-pruning", progress(Step::Pruning)),
        agent("agent/step-line", FromAgent::StepLine(step_line())),
        agent(
            "agent/log",
            FromAgent::Log(Log {
                attempt: attempt(),
                chunk,
            }),
        ),
        agent(
            "agent/finished-succeeded",
            finished(Outcome::Succeeded {
                images: vec![image],
            }),
        ),
        agent(
            "agent/finished-ran",
            finished(Outcome::Ran {
                images: vec![pinned()],
            }),
        ),
        agent(
            "agent/finished-built",
            finished(Outcome::Built {
                images: vec![pinned()],
                built: vec![built()],
            }),
        ),
        agent(
            "agent/finished-previewed",
            finished(Outcome::Previewed(Box::new(preview()))),
        ),
        agent(
            "agent/finished-cancelled",
            finished(Outcome::Cancelled {
                left: "nothing".into(),
            }),
        ),
        agent("agent/metrics", FromAgent::Metrics(metrics())),
        agent("agent/capabilities", FromAgent::Capabilities(missing)),
        agent(
            "agent/renew",
            FromAgent::Renew(Renew {
                csr: vec![0x30, 0x82],
            }),
        ),
        agent("agent/reply-containers", reply(containers())),
        agent(
            "agent/reply-failed",
            reply(Reply::Failed("no engine".into())),
        ),
        agent(
            "agent/stream-data",
            FromAgent::StreamData(StreamData {
                stream: 300,
                bytes: vec![9, 8],
            }),
        ),
        agent("agent/stream-end-complete", stream_end(None)),
        agent("agent/stream-end-broken", stream_end(Some("gone".into()))),
    ]
}

fn welcome() -> Welcome {
    let log = position();
    let verdicts = [
        Verdict::Continue {
            log,
            secrets: vec![secret()],
        },
        Verdict::Cancel {
            log,
            secrets: vec![],
        },
        Verdict::Resend { log },
        Verdict::Forget,
    ];
    Welcome {
        at_ms: AT_MS,
        verdicts: verdicts.map(|verdict| (attempt(), verdict)).into(),
    }
}

fn offer() -> Offer {
    let spec = SealedSpec::from_parts(vec![1, 2, 3], [0xee; 32]);
    Offer {
        attempt: attempt(),
        spec,
        secrets: vec![secret()],
        log: position(),
    }
}

fn open_stream(tail: Option<u32>, follow: Follow) -> FromServer {
    let request = StreamRequest::ContainerLog {
        container: "web".into(),
        tail,
        follow,
    };
    FromServer::OpenStream(OpenStream {
        stream: 300,
        request,
    })
}

fn goodbye(reason: GoodbyeReason) -> FromServer {
    FromServer::Goodbye(Goodbye { reason })
}

fn from_server() -> Vec<Sample> {
    let certificate = Certificate {
        certificate: "PEM".into(),
        roots: "PEMS".into(),
    };
    vec![
        server("server/welcome", FromServer::Welcome(welcome())),
        server(
            "server/heartbeat",
            FromServer::Heartbeat(Heartbeat { at_ms: -1 }),
        ),
        server("server/offer", FromServer::Offer(offer())),
        server("server/go", FromServer::Go(attempt())),
        server("server/cancel", FromServer::Cancel(attempt())),
        server(
            "server/log-ack",
            FromServer::LogAck(LogAck {
                attempt: attempt(),
                next_line: 1 << 33,
            }),
        ),
        server("server/forget", FromServer::Forget(attempt())),
        server("server/certificate", FromServer::Certificate(certificate)),
        server(
            "server/renew-refused",
            FromServer::RenewRefused(RenewRefused {
                message: "why".into(),
            }),
        ),
        server(
            "server/ask-containers",
            FromServer::Ask(Ask {
                id: 70_000,
                query: Query::Containers,
            }),
        ),
        server(
            "server/open-stream-tail",
            open_stream(Some(100), Follow::Yes),
        ),
        server("server/open-stream-all", open_stream(None, Follow::No)),
        server(
            "server/credit",
            FromServer::Credit(Credit {
                stream: 300,
                bytes: 65_536,
            }),
        ),
        server(
            "server/close-stream",
            FromServer::CloseStream(CloseStream { stream: 300 }),
        ),
        server("server/goodbye-stopping", goodbye(GoodbyeReason::Stopping)),
        server(
            "server/goodbye-superseded",
            goodbye(GoodbyeReason::Superseded),
        ),
        server("server/goodbye-revoked", goodbye(GoodbyeReason::Revoked)),
        server("server/goodbye-protocol", goodbye(GoodbyeReason::Protocol)),
    ]
}

fn bodies() -> Vec<Sample> {
    let enrol = EnrolRequest {
        secret: "s".into(),
        csr: "c".into(),
        hostname: "h".into(),
        version: "0.1.0".into(),
    };
    let enrolled = Enrolled {
        agent: id::<AgentId>(0x50),
        certificate: "c".into(),
        roots: "r".into(),
        agent_address: "host:8444".into(),
    };
    vec![
        json("enrolment/request", &enrol),
        json("enrolment/enrolled", &enrolled),
        json(
            "enrolment/renew",
            &RenewRequest {
                certificate: "c".into(),
                csr: "r".into(),
            },
        ),
        json(
            "enrolment/renewed",
            &Renewed {
                certificate: "c".into(),
                roots: "r".into(),
            },
        ),
    ]
}

/// All samples.
pub fn all() -> Vec<Sample> {
    [
        from_agent(),
        failures(),
        from_server(),
        tunnels(),
        upgrades(),
        clusters(),
        specs(),
        bodies(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
