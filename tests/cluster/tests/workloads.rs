//! What the simulated controllers make of what is wanted.

use serde_json::{Value, json};

use crate::stage::{Stage, deployment, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MERGE: &str = "application/merge-patch+json";

fn condition<'o>(object: &'o Value, kind: &str) -> &'o Value {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions
        .find(|there| there["type"] == kind)
        .unwrap_or(&Value::Null)
}

async fn until(stage: &Stage, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    stage
        .until(what, async || {
            last = stage.get(path).await.1;
            holds(&last)
        })
        .await;
    last
}

#[allow(clippy::too_many_lines, reason = "each pod is a row of a table")]
#[tokio::test(flavor = "multi_thread")]
async fn pods_do_what_their_containers_are() {
    let stage = Stage::new().await;
    let mut nowhere = pod("nowhere", &["sleep", "9"], "Always");
    nowhere["spec"]["nodeSelector"] = json!({"disk": "fast"});
    let mut missing = pod("missing", &["sleep", "9"], "Always");
    missing["spec"]["containers"][0]["image"] = json!("registry.example/does-not-exist:1");
    let mut unready = pod("unready", &["sleep", "9"], "Always");
    unready["spec"]["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["false"]}});
    let mut two = pod("two", &["sleep", "9"], "Always");
    two["spec"]["initContainers"] =
        json!([{"name": "first", "image": "busybox:1", "command": ["true"]}]);
    let mut unset = pod("unset", &["sleep", "9"], "Always");
    unset["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "keys"}}]);
    let all = [
        nowhere,
        missing,
        unready,
        two,
        unset,
        pod("runs", &["sleep", "9"], "Always"),
        pod("crashes", &["false"], "Always"),
        pod("fails", &["sh", "-c", "exit 1"], "Never"),
        pod("ends", &["true"], "Never"),
    ];
    for pod in &all {
        let (code, made) = stage.post(PODS, pod).await;
        assert_eq!(code, 201, "{made}");
    }
    let at = |name: &str| format!("{PODS}/{name}");
    let waits = |pod: &Value, reason: &str| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
    };
    let ready = |pod: &Value| condition(pod, "Ready")["status"] == "True";
    until(&stage, &at("runs"), "one runs", |pod| {
        ready(pod) && pod["status"]["phase"] == "Running"
    })
    .await;
    until(&stage, &at("two"), "its first container ends first", ready).await;
    until(&stage, &at("unset"), "one waits for its secret", |pod| {
        waits(pod, "CreateContainerConfigError")
    })
    .await;
    until(&stage, &at("missing"), "one has no image", |pod| {
        waits(pod, "ImagePullBackOff")
    })
    .await;
    until(&stage, &at("ends"), "one ends", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })
    .await;
    until(&stage, &at("fails"), "one fails", |pod| {
        pod["status"]["phase"] == "Failed"
    })
    .await;
    let crashed = until(&stage, &at("crashes"), "one crashes", |pod| {
        waits(pod, "CrashLoopBackOff")
    })
    .await;
    let status = &crashed["status"]["containerStatuses"][0];
    assert!(
        status["restartCount"].as_i64() >= Some(2)
            && status["lastState"]["terminated"]["exitCode"] == 1,
        "{status}"
    );
    let placed = until(&stage, &at("nowhere"), "one has no place", |pod| {
        condition(pod, "PodScheduled")["reason"] == "Unschedulable"
    })
    .await;
    let message = condition(&placed, "PodScheduled")["message"]
        .as_str()
        .unwrap();
    assert!(
        message.starts_with(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
        ),
        "{message}"
    );
    let never = until(&stage, &at("unready"), "one runs", |pod| {
        pod["status"]["containerStatuses"][0]["started"] == true
    })
    .await;
    assert_eq!(
        (
            condition(&never, "Ready")["status"].as_str(),
            condition(&never, "Ready")["reason"].as_str()
        ),
        (Some("False"), Some("ContainersNotReady"))
    );
    for (name, reason) in [
        ("nowhere", "FailedScheduling"),
        ("missing", "Failed"),
        ("crashes", "BackOff"),
        ("unready", "Unhealthy"),
    ] {
        let path = format!(
            "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D{name},reason%3D{reason}"
        );
        until(&stage, &path, reason, |list| {
            list["items"]
                .as_array()
                .is_some_and(|items| !items.is_empty())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_keeps_what_serves_until_the_new_serves() {
    let stage = Stage::new().await;
    stage
        .post(DEPLOYMENTS, &deployment("web", "nginx:1", 4))
        .await;
    let one = format!("{DEPLOYMENTS}/web");
    until(&stage, &one, "it is there", |web| {
        web["status"]["availableReplicas"] == 4
    })
    .await;
    let bad = json!({"spec": {"progressDeadlineSeconds": 1, "template": {"spec": {"containers": [{"name": "web", "image": "nginx:does-not-exist"}]}}}});
    stage
        .ask(
            "PATCH",
            &one,
            "application/strategic-merge-patch+json",
            &bad,
        )
        .await;
    let late = |web: &Value| condition(web, "Progressing")["reason"] == "ProgressDeadlineExceeded";
    let stuck = until(&stage, &one, "it gives up", late).await;
    assert_eq!(
        (
            &stuck["status"]["availableReplicas"],
            &condition(&stuck, "Progressing")["status"]
        ),
        (&json!(3), &json!("False"))
    );
    assert_eq!(
        (
            &stuck["status"]["updatedReplicas"],
            &condition(&stuck, "Available")["status"]
        ),
        (&json!(2), &json!("True"))
    );
    let good = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:3"}]}}}});
    stage.ask("PATCH", &one, MERGE, &good).await;
    let through = |web: &Value| {
        condition(web, "Progressing")["reason"] == "NewReplicaSetAvailable"
            && web["status"]["replicas"] == 4
    };
    let done = until(&stage, &one, "it is through", through).await;
    assert_eq!(
        done["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "3"
    );
    assert_eq!(
        done["status"]["observedGeneration"],
        done["metadata"]["generation"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stateful_sets_go_one_by_one_and_keep_their_claims() {
    let stage = Stage::new().await;
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "serviceName": "db", "replicas": 2, "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [
            {"name": "db", "image": "db:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}});
    stage.post(sets, &set).await;
    let one = format!("{sets}/db");
    until(&stage, &one, "both are ready", |db| {
        db["status"]["readyReplicas"] == 2
    })
    .await;
    let (_, last) = stage.get(&format!("{PODS}/db-1")).await;
    assert_eq!(
        last["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
        "data-db-1"
    );
    let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "db:2"}]);
    stage
        .ask("PATCH", &one, "application/json-patch+json", &image)
        .await;
    until(&stage, &one, "both are new", |db| {
        db["status"]["updatedReplicas"] == 2
            && db["status"]["readyReplicas"] == 2
            && db["status"]["currentRevision"] == db["status"]["updateRevision"]
    })
    .await;
    stage.ask("DELETE", &one, "", &Value::Null).await;
    until(
        &stage,
        &format!("{PODS}/db-0"),
        "its pods are gone",
        |status| status["code"] == 404,
    )
    .await;
    assert_eq!(
        stage
            .get("/api/v1/namespaces/default/persistentvolumeclaims/data-db-0")
            .await
            .1["status"]["phase"],
        "Bound"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_succeed_or_give_up() {
    let stage = Stage::new().await;
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = |name: &str, command: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "backoffLimit": 1, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "j", "image": "j:1", "command": [command]}]}}}})
    };
    stage.post(jobs, &job("good", "true")).await;
    stage.post(jobs, &job("bad", "false")).await;
    let done = |kind: &'static str| move |job: &Value| condition(job, kind)["status"] == "True";
    let good = until(
        &stage,
        &format!("{jobs}/good"),
        "it is done",
        done("Complete"),
    )
    .await;
    assert_eq!(good["status"]["succeeded"], 1);
    let bad = until(
        &stage,
        &format!("{jobs}/bad"),
        "it gives up",
        done("Failed"),
    )
    .await;
    assert_eq!(
        (
            &bad["status"]["failed"],
            &condition(&bad, "Failed")["reason"]
        ),
        (&json!(2), &json!("BackoffLimitExceeded"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_quota_refuses_is_told_by_the_deployment() {
    let stage = Stage::new().await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}});
    stage
        .post("/api/v1/namespaces/default/resourcequotas", &quota)
        .await;
    stage
        .post(DEPLOYMENTS, &deployment("web", "nginx:1", 2))
        .await;
    let refused = |web: &Value| condition(web, "ReplicaFailure")["reason"] == "FailedCreate";
    let web = until(
        &stage,
        &format!("{DEPLOYMENTS}/web"),
        "it is refused",
        refused,
    )
    .await;
    let message = condition(&web, "ReplicaFailure")["message"]
        .as_str()
        .unwrap();
    assert!(
        message.contains(
            "is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
        ),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_an_unknown_class_waits() {
    let stage = Stage::new().await;
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {
        "storageClassName": "none", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    stage.post(claims, &claim).await;
    let events = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dc";
    let told = until(&stage, events, "it is told", |list| {
        list["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    })
    .await;
    assert_eq!(
        told["items"][0]["message"],
        "storageclass.storage.k8s.io \"none\" not found"
    );
    assert_eq!(
        stage.get(&format!("{claims}/c")).await.1["status"]["phase"],
        "Pending"
    );
}
