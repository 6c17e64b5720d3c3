//! Rights: an agent that lacks one says which.

use towline_agent::executor::kubernetes::Access;
use towline_shared::outcome::FailureReason;

use crate::host::Host;

/// Lets the agent be a service account with these rules.
async fn restrict(host: &mut Host, rules: &str) {
    let text = format!(
        "apiVersion: v1
kind: ServiceAccount
metadata: {{name: agent}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: agent}}
rules: {rules}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: agent}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: agent}}
subjects: [{{kind: ServiceAccount, name: agent, namespace: {}}}]
",
        host.namespace
    );
    let apply = [
        "apply",
        "--server-side",
        "--validate=false",
        "-n",
        &host.namespace,
        "-f",
        "-",
    ];
    host.kubectl_with(&apply, &text).await.unwrap();
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/agent/token",
        host.namespace
    );
    let request =
        r#"{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}"#;
    let create = ["create", "--raw", &path, "-f", "-"];
    let answer = host.kubectl_with(&create, request).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let token = answer["status"]["token"].as_str().unwrap();
    let Access::Kubeconfig(path, _) = &host.config.access else {
        unreachable!()
    };
    let text = std::fs::read_to_string(path).unwrap();
    // The admin's stays where it is, for the test's own calls.
    let restricted = path.with_extension("agent");
    let shown = host
        .kubectl(&[
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "-o",
            "json",
        ])
        .await
        .unwrap();
    let mut config: serde_json::Value =
        serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{text}"));
    config["users"][0]["user"] = serde_json::json!({"token": token});
    std::fs::write(&restricted, config.to_string()).unwrap();
    host.config.access = Access::Kubeconfig(restricted, None);
}

const ALL: &str = "[{apiGroups: ['', apps], resources: [configmaps, secrets, services, deployments, replicasets, pods, events], verbs: [get, list, watch, create, update, patch, delete]}]";
const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: registry.example.com/web}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_the_manifests_that_we_install_are_enough() {
    let mut host = Host::new().await;
    restrict(&mut host, ALL).await;
    host.deploy(DEPLOYMENT).await.succeeded();
    assert!(host.object("deployment", "web").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_is_named_to_the_letter() {
    let mut host = Host::new().await;
    let rules = ALL.replace("services, ", "");
    restrict(&mut host, &rules).await;
    let text = format!(
        "{DEPLOYMENT}---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{ports: [{{port: 80}}]}}\n"
    );
    let message = host
        .deploy(&text)
        .await
        .failed(FailureReason::ClusterRefused);
    for words in ["services", "is forbidden", &host.namespace] {
        assert!(message.contains(words), "{words:?}: {message}");
    }
    assert!(
        host.object("deployment", "web").await.is_none(),
        "nothing was changed"
    );
    let without_patch = "[{apiGroups: ['', apps], resources: [configmaps, secrets, deployments, replicasets, pods, events], verbs: [get, list, watch]}]";
    restrict(&mut host, without_patch).await;
    let message = host
        .deploy(DEPLOYMENT)
        .await
        .failed(FailureReason::ClusterRefused);
    let rule = "the agent's role lacks: {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"patch\"]}";
    assert!(message.contains(rule), "{message}");
}
