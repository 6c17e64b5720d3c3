//! What a cluster does not take is refused by name, and changes nothing.

use towline_shared::outcome::FailureReason;

use crate::host::{Host, Options};

const GOOD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\ndata: {a: b}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_and_nothing_is_changed() {
    let host = Host::new().await;
    let table: Vec<(String, FailureReason, &str)> = vec![
        (
            "a: [".into(),
            FailureReason::InvalidProject,
            "kubernetes/all.yaml:",
        ),
        (
            format!("{GOOD}---\n{GOOD}"),
            FailureReason::InvalidProject,
            "ConfigMap/good stands in kubernetes/all.yaml:1 already",
        ),
        (
            format!("{GOOD}---\napiVersion: example.com/v1\nkind: Gadget\nmetadata: {{name: x}}\n"),
            FailureReason::InvalidProject,
            "kubernetes/all.yaml:6: this cluster has no kind Gadget of example.com/v1",
        ),
        (
            format!(
                "{GOOD}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: '{{{{ name }}}}'}}\n"
            ),
            FailureReason::InvalidProject,
            "helm template",
        ),
        (
            format!("{GOOD}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: Not_A_Name}}\n"),
            FailureReason::ClusterRefused,
            "ConfigMap/Not_A_Name",
        ),
        (
            format!(
                "{GOOD}---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{ports: [{{prot: 80}}]}}\n"
            ),
            FailureReason::ClusterRefused,
            "Service/web",
        ),
        (
            format!(
                "{GOOD}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: far, namespace: kube-system}}\n"
            ),
            FailureReason::PolicyRefused,
            "kubernetes/all.yaml:6: ConfigMap/far: metadata.namespace: the namespace kube-system",
        ),
        (
            format!(
                "{GOOD}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: root}}\nspec: {{hostPID: true, containers: [{{name: a, image: b}}]}}\n"
            ),
            FailureReason::PolicyRefused,
            "spec.hostPID",
        ),
    ];
    for (text, reason, words) in table {
        let ended = host.deploy(&text).await;
        let message = ended.failed(reason);
        assert!(message.contains(words), "{words:?}: {message}");
        assert!(
            ended.texts().iter().any(|line| message.contains(line)),
            "the log says it, too"
        );
        assert!(host.object("configmap", "good").await.is_none(), "{words}");
    }
    let names = host.names("configmap").await;
    assert!(
        names.iter().all(|name| !name.starts_with("towline-")),
        "{names:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_not_there_is_named() {
    let mut host = Host::new().await;
    let absent = host.own("absent");
    host.config.cluster.namespaces = vec![absent.clone()];
    let text = GOOD.replace(
        "{name: good}",
        &format!("{{name: good, namespace: {absent}}}"),
    );
    let message = host
        .deploy(&text)
        .await
        .failed(FailureReason::ClusterRefused);
    assert!(
        message.contains(&absent) && message.contains("put the Namespace into the release"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_works_in_the_namespace_of_the_agent() {
    let mut host = Host::new().await;
    host.config.cluster.namespaces = vec!["*".into()];
    let text = GOOD.replace("{name: good}", "{name: good, namespace: towline}");
    let message = host
        .deploy(&text)
        .await
        .failed(FailureReason::PolicyRefused);
    assert!(message.contains("the agent's own"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_refuses_in_its_own_words() {
    let host = Host::new().await;
    let quota = serde_json::json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"count/services": "0"}}});
    host.applied_by("owner", &quota).await;
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
    // The quota counts from the moment in which its controller has seen it.
    let mut message = String::new();
    for _ in 0..50 {
        let ended = host
            .run(
                Host::one(&format!("{GOOD}---\n{service}")),
                Options::default(),
            )
            .await;
        if let towline_shared::outcome::Outcome::Failed {
            reason,
            message: said,
        } = &ended.outcome
        {
            assert_eq!(*reason, FailureReason::ClusterRefused);
            message.clone_from(said);
            break;
        }
        host.run(
            Host::remove(towline_shared::spec::VolumeFate::Keep),
            Options::default(),
        )
        .await
        .succeeded();
    }
    assert!(message.contains("exceeded quota: few"), "{message}");
    assert!(
        host.object("configmap", "good").await.is_none(),
        "nothing was changed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_refuses_is_named() {
    let host = Host::new().await;
    let name = host.own("hook");
    let hook = serde_json::json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name},
        "webhooks": [{
            "name": "refuses.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "clientConfig": {"url": "https://127.0.0.1:1/"}, "timeoutSeconds": 1,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": host.namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}]
        }]
    });
    host.applied_by("owner", &hook).await;
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
    let ended = host.deploy(&format!("{GOOD}---\n{service}")).await;
    let _ = host
        .kubectl(&["delete", "validatingwebhookconfiguration", &name])
        .await;
    let message = ended.failed(FailureReason::ClusterRefused);
    assert!(
        message.contains("Service/web") && message.contains("refuses.example.com"),
        "{message}"
    );
    assert!(
        host.object("configmap", "good").await.is_none(),
        "nothing was changed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_too_large_for_the_cluster_is_named() {
    let host = Host::new().await;
    let half = |key: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: big}}\ndata: {{{key}: {}}}\n",
            "y".repeat(600_000)
        )
    };
    let work = towline_shared::spec::Work::Deploy(Host::files(&[
        ("kubernetes/good.yaml", GOOD),
        ("kubernetes/big.yaml", &half("one")),
        ("kubernetes/overlays/live/big.yaml", &half("other")),
    ]));
    let live = towline_shared::cluster::ClusterTerms {
        environment: Some("live".into()),
        ..towline_shared::cluster::ClusterTerms::default()
    };
    let message = host
        .run(work, Options::cluster(live))
        .await
        .failed(FailureReason::ClusterRefused);
    assert!(message.contains("ConfigMap/big"), "{message}");
    assert!(
        host.object("configmap", "good").await.is_none(),
        "nothing was changed"
    );
}
