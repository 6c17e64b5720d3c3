//! Releases: applied, applied again, changed, pruned, given way, removed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use towline_shared::cluster::{ClusterTerms, Conflicts, Immutable};
use towline_shared::ids::ProjectId;
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::preview::ServiceChange;
use towline_shared::spec::VolumeFate;

use crate::host::{Host, Options, has_pods};

const CONFIG: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {text: one}
";
const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";
const CLAIM: &str = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: none-of-these, resources: {requests: {storage: 1Gi}}}
";

/// What runs no pod and is waited for by nobody.
fn still() -> String {
    format!(
        "{CONFIG}---\n{SERVICE}---\n{}",
        deployment("web", 0, "registry.example.com/web:1")
    )
}

fn deployment(name: &str, replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers: [{{name: app, image: '{image}', ports: [{{containerPort: 8080}}]}}]
"
    )
}

async fn versions(host: &Host) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for kind in ["configmap", "service", "deployment", "secret"] {
        for name in host.names(kind).await {
            let object = host.object(kind, &name).await.unwrap();
            let version = object["metadata"]["resourceVersion"].as_str().unwrap();
            found.insert(format!("{kind}/{name}"), version.to_owned());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_applied_and_the_same_once_more_writes_nothing() {
    let host = Host::new().await;
    let work = Host::one(&still());
    let first = host.run(work.clone(), Options::default()).await;
    first.succeeded();
    assert_eq!(
        first.steps,
        [Step::Preparing, Step::Applying, Step::Verifying]
    );
    let texts = first.texts();
    for line in [
        "ConfigMap/page created",
        "Service/web created",
        "Deployment/web created",
    ] {
        assert!(texts.iter().any(|text| text == line), "{texts:#?}");
    }
    let applied = host.object("deployment", "web").await.unwrap();
    assert_eq!(
        applied["metadata"]["labels"]["towline.io/project"],
        host.project.to_string()
    );
    let managers = applied["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers
            .iter()
            .any(|entry| entry["manager"] == "towline" && entry["operation"] == "Apply")
    );
    let before = versions(&host).await;
    if let Some(fake) = &host.fake {
        fake.mark();
    }
    let again = host.run(work, Options::default()).await;
    again.succeeded();
    assert!(
        again.texts().contains(&"nothing has changed".to_owned()),
        "{:#?}",
        again.texts()
    );
    assert_eq!(versions(&host).await, before);
    if let Some(fake) = &host.fake {
        let writes: Vec<_> = fake
            .requests()
            .into_keys()
            .filter(|kind| !matches!(kind.verb, "get" | "list" | "watch"))
            .collect();
        assert!(writes.is_empty(), "{writes:?}");
    }
    // Another release of the same objects is written down, and no object of it is.
    host.deploy(&still()).await.succeeded();
    let after = versions(&host).await;
    let written: Vec<&String> = after
        .keys()
        .filter(|name| after[*name] != before[*name])
        .collect();
    assert!(
        written.iter().all(|name| name.contains("/towline-")),
        "{written:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_applied_and_what_is_gone_from_the_release_is_pruned() {
    let host = Host::new().await;
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign"}, "data": {"a": "b"}});
    host.applied_by("somebody", &foreign).await;
    host.deploy(&format!("{}---\n{CLAIM}", still())).await;
    let changed = format!(
        "{}---\n{}",
        CONFIG.replace("one", "two"),
        deployment("other", 0, "registry.example.com/web:1")
    );
    let ended = host.deploy(&changed).await;
    ended.succeeded();
    assert_eq!(ended.steps.last(), Some(&Step::Pruning));
    assert_eq!(
        host.object("configmap", "page").await.unwrap()["data"]["text"],
        "two"
    );
    assert_eq!(host.names("deployment").await, ["other"]);
    assert!(host.object("service", "web").await.is_none());
    assert!(host.object("configmap", "foreign").await.is_some());
    let kept = "PersistentVolumeClaim/data stays: volumes are kept";
    assert!(
        ended.texts().iter().any(|text| text.starts_with(kept)),
        "{:#?}",
        ended.texts()
    );
    assert!(host.object("pvc", "data").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_before_is_taken_over_and_never_deleted() {
    let host = Host::new().await;
    let found = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "page"}, "data": {"text": "one", "own": "x"}});
    host.applied_by("somebody", &found).await;
    host.deploy(&format!("{CONFIG}---\n{SERVICE}"))
        .await
        .succeeded();
    let ended = host.deploy(SERVICE).await;
    ended.succeeded();
    let kept = "ConfigMap/page stays: it was there before Towline deployed to it";
    assert!(
        ended.texts().contains(&kept.to_owned()),
        "{:#?}",
        ended.texts()
    );
    assert_eq!(
        host.object("configmap", "page").await.unwrap()["data"]["own"],
        "x"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_others_are_named_with_their_manager_and_taken_only_when_asked() {
    let host = Host::new().await;
    host.deploy(&still()).await.succeeded();
    let scaled = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "page"}, "data": {"text": "theirs"}});
    host.applied_by("their-tool", &scaled).await;
    let changed = still()
        .replace("{text: one}", "{text: two}")
        .replace("port: 80,", "port: 81,");
    let refused = host.deploy(&changed).await.failed(FailureReason::Conflict);
    for words in [
        "kubernetes/all.yaml:1: ConfigMap/page",
        ".data.text",
        "their-tool",
        "--force-conflicts",
        "Nothing was changed",
    ] {
        assert!(refused.contains(words), "{words:?}: {refused}");
    }
    let port = |service: Value| service["spec"]["ports"][0]["port"].clone();
    assert_eq!(
        port(host.object("service", "web").await.unwrap()),
        80,
        "nothing was changed"
    );
    let force = ClusterTerms {
        conflicts: Conflicts::Force,
        ..ClusterTerms::default()
    };
    host.run(Host::one(&changed), Options::cluster(force))
        .await
        .succeeded();
    assert_eq!(
        host.object("configmap", "page").await.unwrap()["data"]["text"],
        "two"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_and_its_objects_come_in_one_release() {
    let mut host = Host::new().await;
    host.config.cluster.cluster_scoped = vec!["CustomResourceDefinition".into()];
    let group = format!("{}.example.com", host.namespace);
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: Widget, plural: widgets, singular: widget}}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}
"
    );
    let widget = format!(
        "apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: one}}\nspec: {{size: 3}}\n"
    );
    let ended = host.deploy(&format!("{widget}---\n{definition}")).await;
    ended.succeeded();
    let kind = format!("widgets.{group}");
    assert_eq!(host.object(&kind, "one").await.unwrap()["spec"]["size"], 3);
    // What belongs to the whole cluster goes only where its owner lets it.
    host.config.cluster.cluster_scoped.clear();
    let kept = host
        .run(Host::remove(VolumeFate::Keep), Options::default())
        .await;
    kept.succeeded();
    let words = "belongs to the whole cluster";
    assert!(
        kept.texts().iter().any(|text| text.contains(words)),
        "{:#?}",
        kept.texts()
    );
    host.kubectl(&["delete", "crd", &kind]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_changes_is_explained_and_replaced_when_asked() {
    let host = Host::new().await;
    host.deploy(&still()).await.succeeded();
    let before = host.object("deployment", "web").await.unwrap();
    let changed = still()
        .replace("app: web}}", "app: web, tier: front}}")
        .replace("labels: {app: web}", "labels: {app: web, tier: front}");
    let refused = host
        .deploy(&changed)
        .await
        .failed(FailureReason::ClusterRefused);
    for words in [
        "Deployment/web",
        "immutable",
        "--replace-immutable",
        "Nothing was changed",
    ] {
        assert!(refused.contains(words), "{words:?}: {refused}");
    }
    let replace = ClusterTerms {
        immutable: Immutable::Replace,
        ..ClusterTerms::default()
    };
    let ended = host
        .run(Host::one(&changed), Options::cluster(replace))
        .await;
    ended.succeeded();
    assert!(
        ended
            .texts()
            .contains(&"Deployment/web replaced".to_owned()),
        "{:#?}",
        ended.texts()
    );
    let after = host.object("deployment", "web").await.unwrap();
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(after["spec"]["selector"]["matchLabels"]["tier"], "front");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_made_where_that_is_allowed() {
    let mut host = Host::new().await;
    let other = host.own("other");
    let text = format!(
        "{}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {other}}}\n",
        CONFIG.replace(
            "{name: page}",
            &format!("{{name: page, namespace: {other}}}")
        )
    );
    let refused = host
        .deploy(&text)
        .await
        .failed(FailureReason::PolicyRefused);
    assert!(
        refused.contains("create_namespaces") && refused.contains("rule namespaces"),
        "{refused}"
    );
    host.config.cluster.namespaces = vec![other.clone()];
    host.config.cluster.create_namespaces = towline_shared::policy::Permission::Allow;
    let work = Host::one(&text);
    host.run(work.clone(), Options::default()).await.succeeded();
    // Once it is there, what is in it is looked at as anywhere.
    let again = host.run(work, Options::default()).await;
    again.succeeded();
    let texts = again.texts();
    assert!(
        texts.contains(&"nothing has changed".to_owned()),
        "{texts:#?}"
    );
    let first = std::mem::replace(&mut host.project, ProjectId::new());
    let refused = host
        .deploy(&text)
        .await
        .failed(FailureReason::ClusterRefused);
    assert!(refused.contains("another project of Towline"), "{refused}");
    host.project = first;
    let found = host
        .kubectl(&["get", "configmap", "page", "-n", &other, "-o", "name"])
        .await;
    assert_eq!(found.unwrap().trim(), "configmap/page");
    host.run(Host::remove(VolumeFate::Keep), Options::default())
        .await
        .succeeded();
    assert!(
        host.kubectl(&["get", "configmap", "page", "-n", &other])
            .await
            .is_err()
    );
    let _ = host
        .kubectl(&["delete", "namespace", &other, "--wait=false"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_moves_to_another_namespace_leaves_nothing_behind() {
    let mut host = Host::new().await;
    let other = host.own("other");
    host.make_namespace(&other).await;
    host.config.cluster.namespaces = vec![other.clone()];
    host.deploy(&still()).await.succeeded();
    let moved = ClusterTerms {
        namespace: Some(other.clone()),
        ..ClusterTerms::default()
    };
    host.run(Host::one(&still()), Options::cluster(moved))
        .await
        .succeeded();
    assert!(host.names("deployment").await.is_empty());
    assert!(
        host.names("configmap")
            .await
            .iter()
            .all(|name| !name.starts_with("towline-"))
    );
    let found = host
        .kubectl(&["get", "deployment", "web", "-n", &other, "-o", "name"])
        .await;
    assert_eq!(found.unwrap().trim(), "deployment.apps/web");
    let _ = host
        .kubectl(&["delete", "namespace", &other, "--wait=false"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_s_overlay_lies_over_the_manifests() {
    let host = Host::new().await;
    let overlay =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\ndata: {text: live, more: x}\n";
    let files = Host::files(&[
        ("kubernetes/all.yaml", CONFIG),
        ("kubernetes/overlays/live/page.yaml", overlay),
    ]);
    let live = ClusterTerms {
        environment: Some("live".into()),
        ..ClusterTerms::default()
    };
    let work = towline_shared::spec::Work::Deploy(files);
    host.run(work, Options::cluster(live)).await.succeeded();
    assert_eq!(
        host.object("configmap", "page").await.unwrap()["data"],
        json!({"text": "live", "more": "x"})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_tells_what_would_change_and_changes_nothing() {
    let host = Host::new().await;
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: own}\nstringData: {password: hunter2}\n";
    host.deploy(&format!("{}---\n{secret}", still()))
        .await
        .succeeded();
    let before = versions(&host).await;
    let changed = format!(
        "{}---\n{}---\n{}---\n{}",
        CONFIG.replace("one", "two"),
        deployment("web", 0, "registry.example.com/web:2"),
        deployment("new", 1, "registry.example.com/web:2"),
        secret.replace("hunter2", "hunter3"),
    );
    let preview = host.preview(&changed).await;
    let of = |name: &str| {
        let found = preview
            .services
            .iter()
            .find(|service| service.service == name);
        found.unwrap_or_else(|| panic!("{name}: {preview:#?}"))
    };
    assert_eq!(of("ConfigMap/page").change, ServiceChange::Changed);
    assert_eq!(of("ConfigMap/page").keys[0].after.as_deref(), Some("two"));
    let image = &of("Deployment/web").keys[0];
    assert_eq!(image.key, "spec.template.spec.containers[app].image");
    assert_eq!(image.before.as_deref(), Some("registry.example.com/web:1"));
    assert_eq!(of("Deployment/new").change, ServiceChange::Added);
    assert_eq!(of("Service/web").change, ServiceChange::Removed);
    assert_eq!(of("Secret/own").change, ServiceChange::Changed);
    let shown = format!("{preview:?}");
    for value in ["hunter2", "hunter3", "aHVudGVy"] {
        assert!(!shown.contains(value), "{shown}");
    }
    assert_eq!(versions(&host).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_takes_all_of_the_project_and_nothing_else() {
    let host = Host::new().await;
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign"}, "data": {"a": "b"}});
    host.applied_by("somebody", &foreign).await;
    host.deploy(&format!("{}---\n{CLAIM}", still())).await;
    let kept = host
        .run(Host::remove(VolumeFate::Keep), Options::default())
        .await;
    kept.succeeded();
    assert!(host.names("deployment").await.is_empty() && host.names("service").await.is_empty());
    assert!(host.object("pvc", "data").await.is_some());
    host.run(Host::remove(VolumeFate::Delete), Options::default())
        .await
        .succeeded();
    assert!(host.object("pvc", "data").await.is_none());
    let names = host.names("configmap").await;
    assert!(names.contains(&"foreign".to_owned()));
    assert!(
        names.iter().all(|name| !name.starts_with("towline-")),
        "{names:?}"
    );
    assert!(
        host.names("secret")
            .await
            .iter()
            .all(|name| !name.starts_with("towline-"))
    );
    let again = host
        .run(Host::remove(VolumeFate::Keep), Options::default())
        .await;
    again.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_project_s_objects_are_not_touched() {
    let mut host = Host::new().await;
    host.deploy(&still()).await.succeeded();
    let first = std::mem::replace(&mut host.project, ProjectId::new());
    let refused = host
        .deploy(&still())
        .await
        .failed(FailureReason::ClusterRefused);
    assert!(refused.contains("another project of Towline"), "{refused}");
    host.run(Host::remove(VolumeFate::Delete), Options::default())
        .await
        .succeeded();
    assert_eq!(host.names("deployment").await, ["web"]);
    host.project = first;
    host.deploy(&still()).await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_does_not_come_up_gives_way_to_the_one_before() {
    if !has_pods() {
        return;
    }
    let host = Host::new().await;
    let good = format!(
        "{CONFIG}---\n{}",
        deployment("web", 1, "registry.k8s.io/pause:3.9")
    );
    host.deploy(&good).await.succeeded();
    let bad = format!(
        "{}---\n{}---\n{SERVICE}",
        CONFIG.replace("one", "two"),
        deployment("web", 1, "registry.example.com/does-not-exist:1")
    );
    let ended = host.run(Host::giving_way(&bad), Options::default()).await;
    let message = ended.failed(FailureReason::Unhealthy);
    assert!(message.contains("what ran before runs again"), "{message}");
    assert_eq!(
        host.object("configmap", "page").await.unwrap()["data"]["text"],
        "one"
    );
    let web = host.object("deployment", "web").await.unwrap();
    assert_eq!(
        web["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.k8s.io/pause:3.9"
    );
    assert!(
        host.object("service", "web").await.is_none(),
        "what the release brought is gone"
    );
}
