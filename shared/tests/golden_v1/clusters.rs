//! What is asked and told of clusters.

use towline_shared::cluster::{
    ClusterAct, ClusterAction, ClusterDrift, ClusterEvent, Drift, DriftedObject, EventWeight,
    Workload, WorkloadKind,
};
use towline_shared::ids::ProjectId;
use towline_shared::protocol::v1::{Ask, FromAgent, FromServer, QueryReply};
use towline_shared::query::{Query, Reply};

use super::samples::{AT_MS, Sample, agent, id, server};

pub(super) fn clusters() -> Vec<Sample> {
    let ask = |name, query| server(name, FromServer::Ask(Ask { id: 300, query }));
    let told = |name, reply| agent(name, FromAgent::Reply(QueryReply { id: 300, reply }));
    let project = id::<ProjectId>(0x30);
    let act = |name, action| {
        let namespace = Some("shop".into());
        ask(
            name,
            Query::ClusterAct(ClusterAct {
                project,
                namespace,
                action,
            }),
        )
    };
    let workload = |kind| Workload {
        kind,
        name: "web".into(),
    };
    vec![
        ask("server/ask-cluster-events", Query::ClusterEvents(project)),
        ask("server/ask-cluster-drift", Query::ClusterDrift(project)),
        act(
            "server/ask-cluster-restart",
            ClusterAction::Restart(workload(WorkloadKind::Deployment)),
        ),
        act(
            "server/ask-cluster-restart-daemons",
            ClusterAction::Restart(workload(WorkloadKind::DaemonSet)),
        ),
        act(
            "server/ask-cluster-scale",
            ClusterAction::Scale(workload(WorkloadKind::StatefulSet), 300),
        ),
        act(
            "server/ask-cluster-delete-pod",
            ClusterAction::DeletePod("web-0".into()),
        ),
        told("agent/reply-cluster-events", Reply::ClusterEvents(events())),
        told("agent/reply-cluster-drift", Reply::ClusterDrift(drift())),
        told("agent/reply-acted", Reply::Acted("done".into())),
    ]
}

fn events() -> Vec<ClusterEvent> {
    [EventWeight::Normal, EventWeight::Warning]
        .map(|weight| ClusterEvent {
            at_ms: AT_MS,
            object: "Pod/web-0".into(),
            namespace: "shop".into(),
            weight,
            reason: "BackOff".into(),
            message: "again".into(),
            count: 300,
        })
        .into()
}

fn drift() -> ClusterDrift {
    let drifted = [Drift::Changed, Drift::Gone].map(|drift| DriftedObject {
        object: "Deployment/web".into(),
        namespace: "shop".into(),
        drift,
        fields: vec!["spec.replicas".into()],
        managers: vec!["kubectl".into()],
    });
    ClusterDrift {
        release: "r".into(),
        compared: 300,
        drifted: drifted.into(),
    }
}
