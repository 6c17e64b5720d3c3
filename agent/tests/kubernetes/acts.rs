//! What people look at and do beside deployments: drift, events, restarts, scales, pods that are deleted.

use serde_json::{Value, json};
use towline_agent::executor::Executor as _;
use towline_shared::cluster::{
    ClusterAct, ClusterAction, ClusterDrift, Drift, EventWeight, Workload, WorkloadKind,
};
use towline_shared::ids::ProjectId;
use towline_shared::query::{Query, Reply};

use crate::host::{Host, has_pods};

fn web(replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: app, image: '{image}', resources: {{requests: {{cpu: 1000m, memory: 1024Mi}}}}}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: page}}
data: {{text: one}}
---
apiVersion: v1
kind: Secret
metadata: {{name: own}}
stringData: {{password: hunter2}}
"
    )
}

async fn drift(host: &Host) -> ClusterDrift {
    match host.executor().ask(Query::ClusterDrift(host.project)).await {
        Reply::ClusterDrift(drift) => drift,
        other => panic!("{other:?}"),
    }
}

async fn act(host: &Host, project: ProjectId, action: ClusterAction) -> Result<String, String> {
    let act = ClusterAct {
        project,
        namespace: None,
        action,
    };
    match host.executor().ask(Query::ClusterAct(act)).await {
        Reply::Acted(words) => Ok(words),
        Reply::Failed(why) => Err(why),
        other => panic!("{other:?}"),
    }
}

fn deployment() -> Workload {
    Workload {
        kind: WorkloadKind::Deployment,
        name: "web".into(),
    }
}

async fn spec(host: &Host) -> Value {
    host.object("deployment", "web").await.unwrap()["spec"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_changed_is_told_with_their_names_and_no_values() {
    let host = Host::new().await;
    let text = web(0, "registry.example.com/web:1");
    host.deploy(&text).await.succeeded();
    let none = drift(&host).await;
    assert_eq!((none.compared, &*none.drifted), (3, &[][..]));
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "page"}, "data": {"text": "canary", "more": "x"}});
    host.applied_by("their-tool", &theirs).await;
    host.kubectl(&["delete", "secret", "own", "-n", &host.namespace])
        .await
        .unwrap();
    let found = drift(&host).await;
    let told: Vec<(&str, Drift)> = found
        .drifted
        .iter()
        .map(|drifted| (&*drifted.object, drifted.drift))
        .collect();
    assert!(
        told.contains(&("ConfigMap/page", Drift::Changed)),
        "{found:#?}"
    );
    assert!(told.contains(&("Secret/own", Drift::Gone)), "{found:#?}");
    assert_eq!(told.len(), 2, "{found:#?}");
    let page = found
        .drifted
        .iter()
        .find(|drifted| drifted.object == "ConfigMap/page")
        .unwrap();
    assert_eq!(page.fields, ["data.text"]);
    assert!(page.managers.contains(&"their-tool".to_owned()), "{page:?}");
    assert!(!format!("{found:?}").contains("canary"));
    // Deployed again as it is said, it is as it was.
    let force = towline_shared::cluster::ClusterTerms {
        conflicts: towline_shared::cluster::Conflicts::Force,
        ..Default::default()
    };
    host.run(Host::one(&text), crate::host::Options::cluster(force))
        .await
        .succeeded();
    assert_eq!(drift(&host).await.drifted, []);
    let nothing = host
        .executor()
        .ask(Query::ClusterDrift(ProjectId::new()))
        .await;
    assert_eq!(nothing, Reply::ClusterDrift(ClusterDrift::default()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_is_restarted_and_scaled_until_it_is_deployed_again() {
    let host = Host::new().await;
    let text = web(0, "registry.example.com/web:1");
    host.deploy(&text).await.succeeded();
    let words = act(&host, host.project, ClusterAction::Restart(deployment()))
        .await
        .unwrap();
    assert!(words.starts_with("Deployment/web gets new pods"), "{words}");
    let annotations = &spec(&host).await["template"]["metadata"]["annotations"];
    assert!(annotations["towline.io/restarted-at"].is_string());
    let words = act(&host, host.project, ClusterAction::Scale(deployment(), 3))
        .await
        .unwrap();
    assert!(words.contains("3 pods instead of 0"), "{words}");
    assert_eq!(spec(&host).await["replicas"], 3);
    let drifted = drift(&host).await.drifted;
    assert_eq!(drifted[0].fields, ["spec.replicas"]);
    let by = "an action of Towline".to_owned();
    assert!(drifted[0].managers.contains(&by), "{drifted:?}");
    // Nobody has to force what people have set through Towline itself.
    host.deploy(&text).await.succeeded();
    assert_eq!(spec(&host).await["replicas"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_another_project_is_touched() {
    let host = Host::new().await;
    host.deploy(&web(0, "registry.example.com/web:1"))
        .await
        .succeeded();
    let other = ProjectId::new();
    let before = spec(&host).await;
    for action in [
        ClusterAction::Restart(deployment()),
        ClusterAction::Scale(deployment(), 3),
        ClusterAction::DeletePod("web-0".into()),
    ] {
        let why = act(&host, other, action).await.unwrap_err();
        assert!(why.contains("the project has no"), "{why}");
    }
    assert_eq!(spec(&host).await, before);
    let daemons = Workload {
        kind: WorkloadKind::DaemonSet,
        name: "web".into(),
    };
    let odd = Workload {
        name: "../x".into(),
        ..deployment()
    };
    for (action, words) in [
        (ClusterAction::Scale(daemons, 1), "no number to set"),
        (ClusterAction::Restart(odd), "no name of a Deployment"),
        (ClusterAction::DeletePod("a/b".into()), "no name of a pod"),
    ] {
        let why = act(&host, host.project, action).await.unwrap_err();
        assert!(why.contains(words), "{why}");
    }
    let elsewhere = ClusterAct {
        project: host.project,
        namespace: Some("kube-system".into()),
        action: ClusterAction::Restart(deployment()),
    };
    let reply = host.executor().ask(Query::ClusterAct(elsewhere)).await;
    assert!(
        matches!(&reply, Reply::Failed(why) if why.contains("kube-system")),
        "{reply:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_project_are_told_and_a_pod_is_deleted() {
    if !has_pods() {
        return;
    }
    let host = Host::new().await;
    host.deploy(&web(1, "registry.k8s.io/pause:3.9"))
        .await
        .succeeded();
    let pods = host.names("pod").await;
    let words = act(
        &host,
        host.project,
        ClusterAction::DeletePod(pods[0].clone()),
    )
    .await
    .unwrap();
    assert_eq!(words, format!("Pod/{} is deleted", pods[0]));
    for _ in 0..600 {
        if host.names("pod").await.iter().all(|name| *name != pods[0]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(host.names("pod").await.iter().all(|name| *name != pods[0]));
    let bad = web(1, "registry.example.com/does-not-exist:1");
    let running = host.start(Host::one(&bad), crate::host::Options::default());
    let mut warned = false;
    for _ in 0..600 {
        let Reply::ClusterEvents(events) = host
            .executor()
            .ask(Query::ClusterEvents(host.project))
            .await
        else {
            panic!("no events");
        };
        warned = events.iter().any(|event| {
            event.weight == EventWeight::Warning
                && event.object.starts_with("Pod/web-")
                && event.message.contains("does-not-exist")
        });
        if warned {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    running.cancel.cancel();
    running.ended().await;
    assert!(warned);
}
