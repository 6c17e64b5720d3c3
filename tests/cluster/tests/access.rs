//! Who may do what, and in which words that is refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{Stage, config_map};

const JSON: &str = "application/json";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn allow(stage: &Stage, verbs: &[&str]) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    stage
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps", "pods/log"], "verbs": verbs}]});
    stage.post(&format!("{rbac}/roles"), &role).await;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]});
    stage.post(&format!("{rbac}/rolebindings"), &binding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_allow_what_they_say_and_nothing_else() {
    let stage = Stage::new().await;
    allow(&stage, &["get", "list", "create"]).await;
    let token = stage.cluster.service_account_token("default", "robot");
    let robot = "system:serviceaccount:default:robot";
    let table = [
        ("GET", MAPS.to_owned(), 200, String::new()),
        (
            "GET",
            format!("{MAPS}/kube-root-ca.crt"),
            200,
            String::new(),
        ),
        (
            "DELETE",
            format!("{MAPS}/kube-root-ca.crt"),
            403,
            format!(
                "configmaps \"kube-root-ca.crt\" is forbidden: User \"{robot}\" cannot delete resource \"configmaps\" in API group \"\" in the namespace \"default\""
            ),
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/default/deployments/web".to_owned(),
            403,
            format!(
                "deployments.apps \"web\" is forbidden: User \"{robot}\" cannot patch resource \"deployments\" in API group \"apps\" in the namespace \"default\""
            ),
        ),
        (
            "GET",
            "/api/v1/configmaps".to_owned(),
            403,
            format!(
                "configmaps is forbidden: User \"{robot}\" cannot list resource \"configmaps\" in API group \"\" at the cluster scope"
            ),
        ),
        (
            "GET",
            "/api/v1/namespaces/default".to_owned(),
            403,
            format!(
                "namespaces \"default\" is forbidden: User \"{robot}\" cannot get resource \"namespaces\" in API group \"\" in the namespace \"default\""
            ),
        ),
        (
            "GET",
            "/metrics".to_owned(),
            403,
            format!("forbidden: User \"{robot}\" cannot get path \"/metrics\""),
        ),
        ("GET", "/version".to_owned(), 200, String::new()),
    ];
    for (method, path, code, message) in table {
        let (got, answer) = stage
            .ask_as(&token, method, &path, JSON, &Value::Null)
            .await;
        assert_eq!(got, code, "{method} {path}: {answer}");
        if code == 403 {
            assert_eq!(answer["message"], message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_with_their_time_and_their_account() {
    let stage = Stage::new().await;
    allow(&stage, &["list"]).await;
    let (code, status) = stage
        .ask_as("no-such-token", "GET", MAPS, "", &Value::Null)
        .await;
    assert_eq!((code, &status["message"]), (401, &json!("Unauthorized")));
    let token = stage.cluster.service_account_token("default", "robot");
    let asked = async |token: &str| stage.ask_as(token, "GET", MAPS, "", &Value::Null).await.0;
    assert_eq!(asked(&token).await, 200);
    stage
        .cluster
        .expire_tokens("default", "robot", Duration::ZERO);
    assert_eq!(asked(&token).await, 401);
    let token = stage.cluster.service_account_token("default", "robot");
    stage
        .ask(
            "DELETE",
            "/api/v1/namespaces/default/serviceaccounts/robot",
            JSON,
            &Value::Null,
        )
        .await;
    assert_eq!(asked(&token).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_makes_tokens_and_asks_what_it_may() {
    let stage = Stage::new().await;
    allow(&stage, &["get", "list"]).await;
    let token = stage.does(&["create", "token", "robot"]).trim().to_owned();
    let asks = |arguments: &[&str]| {
        let output = stage.command_as(&token, arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(asks(&["auth", "can-i", "get", "configmaps"]), "yes");
    assert_eq!(asks(&["auth", "can-i", "create", "configmaps"]), "no");
    assert_eq!(
        asks(&["auth", "can-i", "get", "pods", "--subresource=log"]),
        "yes"
    );
    assert_eq!(
        asks(&["get", "configmaps", "-o", "name"]),
        "configmap/kube-root-ca.crt"
    );
    let code = stage
        .ask_as(&token, "POST", MAPS, JSON, &config_map("m", "1"))
        .await
        .0;
    assert_eq!(code, 403);
}
