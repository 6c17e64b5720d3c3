//! How objects come, stay, and go together: namespaces, quotas, webhooks, definitions, owners.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::stage::{Stage, config_map, deployment};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_end_with_their_content() {
    let stage = Stage::new().await;
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    stage.post("/api/v1/namespaces", &shop).await;
    let account = "/api/v1/namespaces/shop/serviceaccounts/default";
    stage
        .until("it has an account", async || {
            stage.get(account).await.0 == 200
        })
        .await;
    let maps = "/api/v1/namespaces/shop/configmaps";
    let mut held = config_map("held", "1");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    stage.post(maps, &held).await;
    stage.post(maps, &config_map("free", "1")).await;
    let (code, going) = stage
        .ask("DELETE", "/api/v1/namespaces/shop", JSON, &Value::Null)
        .await;
    assert_eq!(
        (code, &going["status"]["phase"]),
        (200, &json!("Terminating"))
    );
    stage
        .until("the free one is gone", async || {
            stage.get(&format!("{maps}/free")).await.0 == 404
        })
        .await;
    let (code, status) = stage.post(maps, &config_map("late", "1")).await;
    let words = "configmaps \"late\" is forbidden: unable to create new content in namespace shop because it is being terminated";
    assert_eq!((code, &status["message"]), (403, &json!(words)));
    assert_eq!(
        status["details"]["causes"][0]["reason"],
        "NamespaceTerminating"
    );
    let remaining = async || {
        let (_, namespace) = stage.get("/api/v1/namespaces/shop").await;
        let conditions = namespace["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        conditions.iter().any(|there| {
            there["type"] == "NamespaceFinalizersRemaining" && there["status"] == "True"
        })
    };
    stage.until("it says what holds it", remaining).await;
    stage
        .ask(
            "PATCH",
            &format!("{maps}/held"),
            MERGE,
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    stage
        .until("it is gone", async || {
            stage.get("/api/v1/namespaces/shop").await.0 == 404
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_refuse_one_too_many() {
    let stage = Stage::new().await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"count/deployments.apps": "1"}}});
    stage
        .post("/api/v1/namespaces/default/resourcequotas", &quota)
        .await;
    let (code, _) = stage
        .post(DEPLOYMENTS, &deployment("one", "nginx:1", 0))
        .await;
    assert_eq!(code, 201);
    let (code, status) = stage
        .post(
            &format!("{DEPLOYMENTS}?dryRun=All"),
            &deployment("two", "nginx:1", 0),
        )
        .await;
    let words = "deployments.apps \"two\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1";
    assert_eq!((code, &status["message"]), (403, &json!(words)));
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_cannot_be_called_decide_by_their_policy() {
    let stage = Stage::new().await;
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "h"},
        "webhooks": [{
            "name": "policy.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": {"name": "policy", "namespace": "policy-system", "path": "/validate"}},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}],
        }],
    });
    stage.post(hooks, &hook).await;
    let (code, _) = stage.post(MAPS, &config_map("m", "1")).await;
    assert_eq!(code, 201);
    let (code, status) = stage
        .post(DEPLOYMENTS, &deployment("web", "nginx:1", 0))
        .await;
    let words = "Internal error occurred: failed calling webhook \"policy.example.com\": failed to call webhook: Post \"https://policy.policy-system.svc:443/validate?timeout=10s\": dial tcp: lookup policy.policy-system.svc on 10.96.0.10:53: no such host";
    assert_eq!(
        (code, &status["reason"], &status["message"]),
        (500, &json!("InternalError"), &json!(words))
    );
    let ignore = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    stage
        .ask(
            "PATCH",
            &format!("{hooks}/h"),
            "application/json-patch+json",
            &ignore,
        )
        .await;
    assert_eq!(
        stage
            .post(DEPLOYMENTS, &deployment("web", "nginx:1", 0))
            .await
            .0,
        201
    );
}

/// Answers each review with a denial, at a port of its own.
async fn denier() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 65536];
            let _ = stream.read(&mut request).await;
            let answer = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
                "response": {"allowed": false, "status": {"message": "no images without a digest"}}});
            let body = answer.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_denies_in_its_own_words_and_dry_runs_too() {
    let stage = Stage::new().await;
    let port = denier().await;
    stage
        .ask(
            "PATCH",
            "/api/v1/namespaces/default",
            MERGE,
            &json!({"metadata": {"labels": {"policy": "strict"}}}),
        )
        .await;
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "h"},
        "webhooks": [{
            "name": "policy.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": format!("http://127.0.0.1:{port}/validate")},
            "namespaceSelector": {"matchLabels": {"policy": "strict"}},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}],
        }],
    });
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    stage.post(hooks, &hook).await;
    let words =
        "admission webhook \"policy.example.com\" denied the request: no images without a digest";
    let web = deployment("web", "nginx:1", 0);
    for query in ["", "?dryRun=All"] {
        let (code, status) = stage.post(&format!("{DEPLOYMENTS}{query}"), &web).await;
        assert_eq!(
            (code, &status["reason"], &status["message"]),
            (403, &json!("Forbidden"), &json!(words))
        );
    }
    let (code, _) = stage
        .apply(&format!("{DEPLOYMENTS}/web"), "one", &web)
        .await;
    assert_eq!(code, 403);
    let elsewhere = "/apis/apps/v1/namespaces/kube-public/deployments";
    assert_eq!(stage.post(elsewhere, &web).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_are_served_when_they_are_defined() {
    let stage = Stage::new().await;
    let things = "/apis/example.com/v1/namespaces/default/things";
    assert_eq!(stage.get(things).await.0, 404);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "enum": ["red", "blue"], "default": "red"}}},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}],
        },
    });
    stage
        .post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        )
        .await;
    stage
        .until("it is served", async || stage.get(things).await.0 == 200)
        .await;
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"size": 2, "odd": 1}});
    let (code, made) = stage.post(things, &thing).await;
    assert_eq!(
        (code, &made["spec"]),
        (201, &json!({"size": 2, "color": "red"}))
    );
    let wrong = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "w"}, "spec": {"color": "green"}});
    let (code, status) = stage.post(things, &wrong).await;
    let words = "Thing.example.com \"w\" is invalid: [spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\", spec.size: Required value]";
    let said = status["message"].as_str().unwrap();
    assert!(
        code == 422 && (said == words || said.contains("spec.size: Required value")),
        "{said}"
    );
    let deleted = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com";
    stage.ask("DELETE", deleted, JSON, &Value::Null).await;
    stage
        .until("it is no longer served", async || {
            stage.get(things).await.0 == 404
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_deleted_object_goes_or_stays_as_it_is_told() {
    let stage = Stage::new().await;
    for (policy, stays) in [
        ("Background", false),
        ("Foreground", false),
        ("Orphan", true),
    ] {
        let (_, owner) = stage.post(MAPS, &config_map("owner", "1")).await;
        let mut child = config_map("child", "1");
        child["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true}]);
        stage.post(MAPS, &child).await;
        stage
            .ask(
                "DELETE",
                &format!("{MAPS}/owner"),
                JSON,
                &json!({"propagationPolicy": policy}),
            )
            .await;
        stage
            .until("the owner is gone", async || {
                stage.get(&format!("{MAPS}/owner")).await.0 == 404
            })
            .await;
        if stays {
            let (code, child) = stage.get(&format!("{MAPS}/child")).await;
            assert_eq!(
                (code, &child["metadata"]["ownerReferences"]),
                (200, &json!([])),
                "{child}"
            );
        } else {
            stage
                .until("the child is gone", async || {
                    stage.get(&format!("{MAPS}/child")).await.0 == 404
                })
                .await;
        }
    }
}
