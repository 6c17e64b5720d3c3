//! Every variant of the protocol, by an exhaustive match: a new one does not compile until it has a sample.

use towline_shared::cluster::{
    ClusterAction, Conflicts, Drift, EventWeight, Immutable, WorkloadKind,
};
use towline_shared::metrics::Health;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::preview::{ResourceChange, ResourceKind, ServiceChange};
use towline_shared::protocol::v1::*;
use towline_shared::query::{Query, Reply, StreamRequest};
use towline_shared::spec::{Interruption, OnFailure, Submodules, Term, TermedWork, Work};
use towline_shared::tunnel::{TunnelEnd, TunnelRefusal};
use towline_shared::upgrade::{UpgradeState, UpgradeWish};

/// Lists the sample of each variant by a match without a rest, so that a new variant does not
/// compile before it has one.
macro_rules! variants {
    ($($type:ty { $($pattern:pat => $name:literal),+ $(,)? })+) => {{
        $({
            #[expect(dead_code, reason = "it only has to be exhaustive")]
            fn exhaustive(value: &$type) -> &'static str {
                match value { $($pattern => $name),+ }
            }
        })+
        vec![$($($name),+),+]
    }};
}

/// The name of the sample that each variant must have.
pub fn variants() -> Vec<&'static str> {
    [
        of_messages(),
        of_clusters_and_previews(),
        of_tunnels_and_upgrades(),
        of_specifications(),
    ]
    .concat()
}

fn of_messages() -> Vec<&'static str> {
    variants! {
        FromAgent {
            FromAgent::Hello(_) => "agent/hello", FromAgent::Heartbeat(_) => "agent/heartbeat",
            FromAgent::Accepted(_) => "agent/accepted", FromAgent::Refused(_) => "agent/refused-busy",
            FromAgent::Started(_) => "agent/started", FromAgent::Progress(_) => "agent/progress-preparing",
            FromAgent::Log(_) => "agent/log", FromAgent::Finished(_) => "agent/finished-succeeded",
            FromAgent::Metrics(_) => "agent/metrics", FromAgent::Capabilities(_) => "agent/capabilities",
            FromAgent::Renew(_) => "agent/renew", FromAgent::Reply(_) => "agent/reply-containers",
            FromAgent::StreamData(_) => "agent/stream-data", FromAgent::StreamEnd(_) => "agent/stream-end-complete",
            FromAgent::TunnelRefused(_) => "agent/tunnel-refused-policy",
            FromAgent::StepLine(_) => "agent/step-line",
        }
        FromServer {
            FromServer::Welcome(_) => "server/welcome", FromServer::Heartbeat(_) => "server/heartbeat",
            FromServer::Offer(_) => "server/offer", FromServer::Go(_) => "server/go",
            FromServer::Cancel(_) => "server/cancel", FromServer::LogAck(_) => "server/log-ack",
            FromServer::Forget(_) => "server/forget", FromServer::Certificate(_) => "server/certificate",
            FromServer::RenewRefused(_) => "server/renew-refused", FromServer::Ask(_) => "server/ask-containers",
            FromServer::OpenStream(_) => "server/open-stream-tail", FromServer::Credit(_) => "server/credit",
            FromServer::CloseStream(_) => "server/close-stream", FromServer::Goodbye(_) => "server/goodbye-stopping",
            FromServer::OpenTunnel(_) => "server/open-tunnel-docker-api",
            FromServer::AskUpgrade(_) => "server/ask-upgrade-show",
        }
        Refusal {
            Refusal::StaleFence => "agent/refused-stale-fence", Refusal::Busy => "agent/refused-busy",
            Refusal::Unreadable => "agent/refused-unreadable", Refusal::Journal => "agent/refused-journal",
            Refusal::Stopping => "agent/refused-stopping",
        }
        Step {
            Step::Preparing => "agent/progress-preparing", Step::Applying => "agent/progress-applying",
            Step::Verifying => "agent/progress-verifying", Step::Removing => "agent/progress-removing",
            Step::Building => "agent/progress-building", Step::Cloning => "agent/progress-cloning",
            Step::Publishing => "agent/progress-publishing", Step::Receiving => "agent/progress-receiving",
            Step::Pruning => "agent/progress-pruning",
        }
        Outcome {
            Outcome::Succeeded { .. } => "agent/finished-succeeded", Outcome::Failed { .. } => "agent/failed-internal",
            Outcome::Cancelled { .. } => "agent/finished-cancelled", Outcome::Ran { .. } => "agent/finished-ran",
            Outcome::Previewed(_) => "agent/finished-previewed", Outcome::Built { .. } => "agent/finished-built",
        }
        FailureReason {
            FailureReason::PolicyRefused => "agent/failed-policy-refused",
            FailureReason::InvalidProject => "agent/failed-invalid-project",
            FailureReason::EngineUnavailable => "agent/failed-engine-unavailable",
            FailureReason::ComposeFailed => "agent/failed-compose-failed",
            FailureReason::Unhealthy => "agent/failed-unhealthy",
            FailureReason::CrashLoop => "agent/failed-crash-loop",
            FailureReason::Deadline => "agent/failed-deadline",
            FailureReason::Interrupted => "agent/failed-interrupted",
            FailureReason::JournalLost => "agent/failed-journal-lost",
            FailureReason::AgentRevoked => "agent/failed-agent-revoked",
            FailureReason::DiskFull => "agent/failed-disk-full",
            FailureReason::Internal => "agent/failed-internal",
            FailureReason::SourceUnavailable => "agent/failed-source-unavailable",
            FailureReason::BuildFailed => "agent/failed-build-failed",
            FailureReason::RelayFailed => "agent/failed-relay-failed",
            FailureReason::PushFailed => "agent/failed-push-failed",
            FailureReason::Conflict => "agent/failed-conflict",
            FailureReason::ClusterRefused => "agent/failed-cluster-refused",
            FailureReason::Superseded => "agent/failed-superseded",
        }
        HeldPhase {
            HeldPhase::Accepted => "agent/hello", HeldPhase::Running => "agent/hello",
            HeldPhase::Finished => "agent/hello",
        }
        Engine { Engine::Docker { .. } => "agent/hello", Engine::Missing(_) => "agent/capabilities",
            Engine::Kubernetes(_) => "agent/capabilities-kubernetes",
        }
        Plugin { Plugin::Version(_) => "agent/hello", Plugin::Missing(_) => "agent/capabilities" }
        Health {
            Health::None => "agent/metrics", Health::Starting => "agent/metrics",
            Health::Healthy => "agent/metrics", Health::Unhealthy => "agent/metrics",
        }
        Reply { Reply::Containers(_) => "agent/reply-containers", Reply::Failed(_) => "agent/reply-failed",
            Reply::Upgrade(_) => "agent/reply-upgrade-refused", Reply::ClusterEvents(_) => "agent/reply-cluster-events",
            Reply::ClusterDrift(_) => "agent/reply-cluster-drift", Reply::Acted(_) => "agent/reply-acted",
        }
        Query {
            Query::Containers => "server/ask-containers", Query::ClusterEvents(_) => "server/ask-cluster-events",
            Query::ClusterDrift(_) => "server/ask-cluster-drift", Query::ClusterAct(_) => "server/ask-cluster-restart",
        }
        StreamRequest { StreamRequest::ContainerLog { .. } => "server/open-stream-tail" }
        Verdict {
            Verdict::Continue { .. } => "server/welcome", Verdict::Cancel { .. } => "server/welcome",
            Verdict::Resend { .. } => "server/welcome", Verdict::Forget => "server/welcome",
        }
        GoodbyeReason {
            GoodbyeReason::Stopping => "server/goodbye-stopping",
            GoodbyeReason::Superseded => "server/goodbye-superseded",
            GoodbyeReason::Revoked => "server/goodbye-revoked",
            GoodbyeReason::Protocol => "server/goodbye-protocol",
        }
    }
}

fn of_clusters_and_previews() -> Vec<&'static str> {
    variants! {
        ServiceChange {
            ServiceChange::Added => "agent/finished-previewed", ServiceChange::Changed => "agent/finished-previewed",
            ServiceChange::Rebuilt => "agent/finished-previewed", ServiceChange::Unchanged => "agent/finished-previewed",
            ServiceChange::Removed => "agent/finished-previewed",
        }
        ResourceKind {
            ResourceKind::Network => "agent/finished-previewed", ResourceKind::Volume => "agent/finished-previewed",
        }
        ResourceChange {
            ResourceChange::Added => "agent/finished-previewed", ResourceChange::Unused => "agent/finished-previewed",
        }
        ClusterAction {
            ClusterAction::Restart(_) => "server/ask-cluster-restart", ClusterAction::Scale(..) => "server/ask-cluster-scale",
            ClusterAction::DeletePod(_) => "server/ask-cluster-delete-pod",
        }
        WorkloadKind {
            WorkloadKind::Deployment => "server/ask-cluster-restart", WorkloadKind::StatefulSet => "server/ask-cluster-scale",
            WorkloadKind::DaemonSet => "server/ask-cluster-restart-daemons",
        }
        EventWeight { EventWeight::Normal => "agent/reply-cluster-events", EventWeight::Warning => "agent/reply-cluster-events" }
        Drift { Drift::Changed => "agent/reply-cluster-drift", Drift::Gone => "agent/reply-cluster-drift" }
    }
}

fn of_tunnels_and_upgrades() -> Vec<&'static str> {
    variants! {
        TunnelEnd {
            TunnelEnd::DockerApi => "server/open-tunnel-docker-api",
            TunnelEnd::Exec(_) => "server/open-tunnel-exec-terminal",
        }
        TunnelRefusal {
            TunnelRefusal::Policy => "agent/tunnel-refused-policy",
            TunnelRefusal::Unavailable => "agent/tunnel-refused-unavailable",
        }
        UpgradeState {
            UpgradeState::Idle => "agent/reply-upgrade-idle", UpgradeState::Preparing => "agent/reply-upgrade-preparing",
            UpgradeState::Waiting => "agent/reply-upgrade-waiting", UpgradeState::Proving => "agent/reply-upgrade-proving",
            UpgradeState::Done => "agent/reply-upgrade-done", UpgradeState::Refused(_) => "agent/reply-upgrade-refused",
            UpgradeState::RolledBack(_) => "agent/reply-upgrade-rolled-back",
        }
        UpgradeWish {
            UpgradeWish::Show => "server/ask-upgrade-show", UpgradeWish::Begin(_) => "server/ask-upgrade-begin",
        }
    }
}

fn of_specifications() -> Vec<&'static str> {
    variants! {
        Work {
            Work::Deploy(_) => "spec/deploy", Work::Remove(_) => "spec/remove-keep", Work::Release(_) => "spec/release-leave",
            Work::Build(_) => "spec/build", Work::Relayed(_) => "spec/relayed",
            Work::Preview(_) => "spec/preview", Work::Termed(_) => "spec/termed-release",
        }
        TermedWork {
            TermedWork::Release(_) => "spec/termed-release", TermedWork::Build(_) => "spec/termed-build",
            TermedWork::Relayed(_) => "spec/termed-relayed", TermedWork::Preview(_) => "spec/termed-preview",
        }
        Term {
            Term::KeepReleases(_) => "spec/termed-release", Term::Registry(_) => "spec/termed-push",
            Term::Push(_) => "spec/termed-push", Term::Cluster(_) => "spec/termed-cluster-refuse",
        }
        Conflicts { Conflicts::Refuse => "spec/termed-cluster-refuse", Conflicts::Force => "spec/termed-cluster-force" }
        Immutable { Immutable::Refuse => "spec/termed-cluster-refuse", Immutable::Replace => "spec/termed-cluster-force" }
        Submodules { Submodules::Leave => "spec/release-leave", Submodules::Take => "spec/release-take" }
        OnFailure { OnFailure::Leave => "spec/release-leave", OnFailure::RollBack => "spec/release-take" }
        Interruption {
            Interruption::Resume => "spec/deploy", Interruption::Fail => "spec/remove-keep",
            Interruption::RequeueIfNotStarted => "spec/remove-delete",
        }
    }
}
