//! A project's secrets and logins in a cluster.

use towline_shared::outcome::FailureReason;
use towline_shared::spec::{RegistryLogin, Secret, Term};

use crate::host::{Host, Options};

const TEXT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: app
          image: ghcr.io/acme/shop:1
          env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: shop-secrets, key: PASSWORD}}}]
";

fn secret(name: &str, value: &str) -> Secret {
    Secret {
        name: name.into(),
        value: value.into(),
    }
}

async fn named(host: &Host) -> String {
    let web = host.object("deployment", "web").await.unwrap();
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    let name = &container["env"][0]["valueFrom"]["secretKeyRef"]["name"];
    name.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_immutable_rolled_by_their_name_and_shown_nowhere() {
    let host = Host::new().await;
    let with = |value: &str| Options {
        secrets: vec![secret("PASSWORD", value)],
        ..Options::default()
    };
    let first = host.run(Host::one(TEXT), with("hunter2-canary")).await;
    first.succeeded();
    let name = named(&host).await;
    assert!(name.starts_with("shop-secrets-"), "{name}");
    let kept = host.object("secret", &name).await.unwrap();
    assert_eq!(kept["immutable"], true);
    assert_eq!(kept["data"]["PASSWORD"], "aHVudGVyMi1jYW5hcnk=");
    let second = host.run(Host::one(TEXT), with("another-canary")).await;
    second.succeeded();
    let renamed = named(&host).await;
    assert_ne!(renamed, name);
    assert!(
        host.object("secret", &name).await.is_none(),
        "the former one is pruned"
    );
    let logs = format!("{:?}{:?}", first.texts(), second.texts());
    let mut shown = logs;
    for kind in ["configmap", "deployment"] {
        for object in host.names(kind).await {
            shown += &host.object(kind, &object).await.unwrap().to_string();
        }
    }
    let annotations = host.object("secret", &renamed).await.unwrap()["metadata"].to_string();
    shown += &annotations;
    for canary in ["hunter2-canary", "another-canary", "aHVudGVyMi1jYW5hcnk"] {
        assert!(!shown.contains(canary), "{canary}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_no_secret_of_the_project_is_named() {
    let host = Host::new().await;
    let options = Options {
        secrets: vec![secret("OTHER", "value-1")],
        ..Options::default()
    };
    let message = host
        .run(Host::one(TEXT), options)
        .await
        .failed(FailureReason::InvalidProject);
    assert!(
        message.contains("towline secrets set PASSWORD"),
        "{message}"
    );
    let without = host.deploy(TEXT).await;
    without.succeeded();
    assert!(
        without
            .texts()
            .iter()
            .any(|text| text.starts_with("warning: the manifests name the Secret shop-secrets"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_of_registries_become_pull_secrets_of_the_pods_that_need_them() {
    let host = Host::new().await;
    let login = RegistryLogin {
        registry: "ghcr.io".into(),
        user: "ada".into(),
        secret: "TOWLINE_REGISTRY_1".into(),
    };
    let options = Options {
        secrets: vec![
            secret("PASSWORD", "value-1"),
            secret("TOWLINE_REGISTRY_1", "registry-canary"),
        ],
        terms: vec![Term::Registry(login)],
        ..Options::default()
    };
    let other = TEXT
        .replace("name: web", "name: other")
        .replace("ghcr.io/acme/shop:1", "quay.io/acme/shop:1");
    let ended = host
        .run(Host::one(&format!("{TEXT}---\n{other}")), options)
        .await;
    ended.succeeded();
    let pulls =
        |web: serde_json::Value| web["spec"]["template"]["spec"]["imagePullSecrets"].clone();
    let web = pulls(host.object("deployment", "web").await.unwrap());
    let name = web[0]["name"].as_str().unwrap();
    assert_eq!(
        host.object("secret", name).await.unwrap()["type"],
        "kubernetes.io/dockerconfigjson"
    );
    assert!(pulls(host.object("deployment", "other").await.unwrap()).is_null());
    assert!(!format!("{:?}", ended.texts()).contains("registry-canary"));
    // Of the registry's password nothing of the project sees anything.
    let own = host.object("secret", &named(&host).await).await.unwrap();
    assert!(own["data"].get("TOWLINE_REGISTRY_1").is_none());
}
