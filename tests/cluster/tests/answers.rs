//! Requests, and what a real server answers.

use serde_json::{Value, json};

use crate::stage::{Stage, config_map, deployment};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    *document.pointer_mut(pointer).unwrap() = value;
    document
}

/// Method, path, media type, body; status, reason, message.
type Row = (
    &'static str,
    String,
    &'static str,
    Value,
    u16,
    &'static str,
    String,
);

fn row(
    method: &'static str,
    path: &str,
    kind: &'static str,
    body: Value,
    (code, reason, message): (u16, &'static str, &str),
) -> Row {
    (
        method,
        path.to_owned(),
        kind,
        body,
        code,
        reason,
        message.to_owned(),
    )
}

#[allow(clippy::too_many_lines, reason = "it is a table")]
fn errors() -> Vec<Row> {
    let web = deployment("web", "nginx:1", 1);
    let no_match = with(
        web.clone(),
        "/spec/template/metadata/labels/app",
        json!("other"),
    );
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}});
    vec![
        row(
            "GET",
            &format!("{MAPS}/none"),
            "",
            Value::Null,
            (404, "NotFound", "configmaps \"none\" not found"),
        ),
        row(
            "GET",
            &format!("{DEPLOYMENTS}/none"),
            "",
            Value::Null,
            (404, "NotFound", "deployments.apps \"none\" not found"),
        ),
        row(
            "GET",
            "/apis/none.dev/v1/things",
            "",
            Value::Null,
            (
                404,
                "NotFound",
                "the server could not find the requested resource",
            ),
        ),
        row(
            "POST",
            MAPS,
            JSON,
            config_map("there", "1"),
            (409, "AlreadyExists", "configmaps \"there\" already exists"),
        ),
        row(
            "POST",
            "/api/v1/namespaces/none/configmaps",
            JSON,
            config_map("x", "1"),
            (404, "NotFound", "namespaces \"none\" not found"),
        ),
        row(
            "POST",
            MAPS,
            JSON,
            config_map("", "1"),
            (
                422,
                "Invalid",
                "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
            ),
        ),
        row(
            "POST",
            MAPS,
            JSON,
            config_map("A", "1"),
            (
                422,
                "Invalid",
                "ConfigMap \"A\" is invalid: metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
        ),
        row(
            "PUT",
            &format!("{MAPS}/there"),
            JSON,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there", "resourceVersion": "1"}}),
            (
                409,
                "Conflict",
                "Operation cannot be fulfilled on configmaps \"there\": the object has been modified; please apply your changes to the latest version and try again",
            ),
        ),
        row(
            "PUT",
            &format!("{MAPS}/there"),
            JSON,
            config_map("other", "1"),
            (
                400,
                "BadRequest",
                "the name of the object (other) does not match the name on the URL (there)",
            ),
        ),
        row(
            "PATCH",
            &format!("{MAPS}/there"),
            "text/plain",
            json!({}),
            (
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
            ),
        ),
        row(
            "PATCH",
            &format!("{MAPS}/none"),
            MERGE,
            json!({}),
            (404, "NotFound", "configmaps \"none\" not found"),
        ),
        row(
            "DELETE",
            &format!("{MAPS}/there"),
            JSON,
            json!({"preconditions": {"uid": "x"}}),
            (409, "Conflict", ""),
        ),
        row(
            "POST",
            DEPLOYMENTS,
            JSON,
            no_match,
            (
                422,
                "Invalid",
                "Deployment.apps \"web\" is invalid: spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"other\"}: `selector` does not match template `labels`",
            ),
        ),
        row(
            "POST",
            DEPLOYMENTS,
            JSON,
            with(
                web.clone(),
                "/spec/template/spec/containers/0/image",
                json!(""),
            ),
            (
                422,
                "Invalid",
                "Deployment.apps \"web\" is invalid: spec.template.spec.containers[0].image: Required value",
            ),
        ),
        row(
            "POST",
            DEPLOYMENTS,
            JSON,
            with(web.clone(), "/spec/replicas", json!("two")),
            (
                400,
                "BadRequest",
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field .spec.replicas of type int32",
            ),
        ),
        row(
            "POST",
            &format!("{DEPLOYMENTS}?fieldValidation=Strict"),
            JSON,
            with(
                web,
                "/spec/selector",
                json!({"matchLabels": {"app": "web"}, "more": 1}),
            ),
            (
                400,
                "BadRequest",
                "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.selector.more\"",
            ),
        ),
        row(
            "POST",
            "/api/v1/namespaces/default/secrets",
            JSON,
            secret,
            (
                422,
                "Invalid",
                "Secret \"s\" is invalid: data[tls.key]: Required value",
            ),
        ),
        row(
            "GET",
            &format!("{MAPS}?fieldSelector=data.a%3D1"),
            "",
            Value::Null,
            (400, "BadRequest", "field label not supported: data.a"),
        ),
        row(
            "GET",
            &format!("{MAPS}?resourceVersion=99999"),
            "",
            Value::Null,
            (504, "Timeout", ""),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_worded_as_the_real_ones() {
    let stage = Stage::new().await;
    let (code, _) = stage.post(MAPS, &config_map("there", "1")).await;
    assert_eq!(code, 201);
    for (method, path, kind, body, code, reason, message) in errors() {
        let (got, status) = stage.ask(method, &path, kind, &body).await;
        let said = status["message"].as_str().unwrap_or_default();
        assert_eq!(
            (got, &status["reason"]),
            (code, &json!(reason)),
            "{method} {path}: {status}"
        );
        assert!(
            message.is_empty() || said == message,
            "{method} {path}:\n{said}\n{message}"
        );
        assert_eq!(
            (&status["kind"], &status["code"]),
            (&json!("Status"), &json!(code))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_object_has_all_its_causes() {
    let stage = Stage::new().await;
    let web = with(deployment("web", "", 1), "/spec/replicas", json!(-1));
    let (_, status) = stage.post(DEPLOYMENTS, &web).await;
    let expected = json!({
        "name": "web", "group": "apps", "kind": "Deployment",
        "causes": [
            {"reason": "FieldValueInvalid", "field": "spec.replicas", "message": "Invalid value: -1: must be greater than or equal to 0"},
            {"reason": "FieldValueRequired", "field": "spec.template.spec.containers[0].image", "message": "Required value"},
        ],
    });
    assert_eq!(status["details"], expected);
}

/// What is made, how it is changed by a merge, and the cause.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_change_is_refused_and_stays() {
    let stage = Stage::new().await;
    let base = "/api/v1/namespaces/default";
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}}});
    let fixed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fixed"}, "data": {"a": "1"}, "immutable": true});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "j", "image": "j:1"}]}}}});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let table = [
        (
            DEPLOYMENTS.to_owned(),
            "web",
            deployment("web", "nginx:1", 0),
            json!({"spec": {
            "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}}}}),
            "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{\"app\":\"x\"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable",
        ),
        (
            sets.to_owned(),
            "db",
            set,
            json!({"spec": {"serviceName": "x"}}),
            "Forbidden: updates to statefulset spec for fields other than 'replicas'",
        ),
        (
            MAPS.to_owned(),
            "fixed",
            fixed,
            json!({"data": {"a": "2"}}),
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            format!("{base}/services"),
            "s",
            service,
            json!({"spec": {"clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"]}}),
            "may not change once set",
        ),
        (
            format!("{base}/secrets"),
            "s",
            secret,
            json!({"type": "x/y"}),
            "type: Invalid value: \"x/y\": field is immutable",
        ),
        (
            "/apis/batch/v1/namespaces/default/jobs".to_owned(),
            "j",
            job,
            json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
            "spec.template: Invalid value",
        ),
        (
            format!("{base}/persistentvolumeclaims"),
            "c",
            claim,
            json!({"spec": {"accessModes": ["ReadOnlyMany"]}}),
            "spec: Forbidden: spec is immutable after creation",
        ),
    ];
    for (path, name, object, change, words) in table {
        let (code, made) = stage.post(&path, &object).await;
        assert_eq!(code, 201, "{made}");
        let one = format!("{path}/{name}");
        let (code, status) = stage.ask("PATCH", &one, MERGE, &change).await;
        let said = status["message"].as_str().unwrap();
        assert!(code == 422 && said.contains(words), "{code} {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_rise_with_changes_alone() {
    let stage = Stage::new().await;
    let (_, made) = stage.post(MAPS, &config_map("m", "1")).await;
    let version = |object: &Value| {
        object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let one = format!("{MAPS}/m");
    let (code, same) = stage
        .ask("PATCH", &one, MERGE, &json!({"data": {"a": "1"}}))
        .await;
    assert_eq!((code, version(&same)), (200, version(&made)));
    let (_, dry) = stage
        .ask(
            "PATCH",
            &format!("{one}?dryRun=All"),
            MERGE,
            &json!({"data": {"a": "2"}}),
        )
        .await;
    assert_eq!(dry["data"]["a"], "2");
    assert_eq!(stage.get(&one).await.1, made);
    let (_, changed) = stage
        .ask(
            "PATCH",
            &one,
            "application/json-patch+json",
            &json!([{"op": "replace", "path": "/data/a", "value": "3"}]),
        )
        .await;
    assert!(version(&changed).parse::<u64>().unwrap() > version(&made).parse::<u64>().unwrap());
    let (_, web) = stage
        .post(DEPLOYMENTS, &deployment("web", "nginx:1", 0))
        .await;
    assert_eq!(web["metadata"]["generation"], 1);
    let (_, web) = stage
        .ask(
            "PATCH",
            &format!("{DEPLOYMENTS}/web"),
            MERGE,
            &json!({"metadata": {"labels": {"a": "b"}}}),
        )
        .await;
    assert_eq!(web["metadata"]["generation"], 1);
    let (_, web) = stage
        .ask(
            "PATCH",
            &format!("{DEPLOYMENTS}/web"),
            MERGE,
            &json!({"spec": {"paused": true}}),
        )
        .await;
    assert_eq!(web["metadata"]["generation"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_by_selectors() {
    let stage = Stage::new().await;
    for at in 0..5 {
        let mut map = config_map(&format!("m{at}"), "1");
        map["metadata"]["labels"] = json!({"odd": (at % 2 == 1).to_string()});
        stage.post(MAPS, &map).await;
    }
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, odd) = stage.get(&format!("{MAPS}?labelSelector=odd%3Dtrue")).await;
    assert_eq!(names(&odd), ["m1", "m3"]);
    let (_, one) = stage
        .get(&format!("{MAPS}?fieldSelector=metadata.name%3Dm4"))
        .await;
    assert_eq!(names(&one), ["m4"]);
    let (_, first) = stage.get(&format!("{MAPS}?limit=4")).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    let token = first["metadata"]["continue"]
        .as_str()
        .unwrap()
        .replace('=', "%3D")
        .replace('+', "%2B");
    let (_, rest) = stage.get(&format!("{MAPS}?limit=4&continue={token}")).await;
    assert_eq!(names(&rest), ["m3", "m4"]);
    stage.cluster.compact();
    let (code, status) = stage.get(&format!("{MAPS}?limit=4&continue={token}")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let stage = Stage::new().await;
    let large = config_map("large", &"x".repeat(1024 * 1024 + 1));
    let (code, status) = stage.post(MAPS, &large).await;
    assert_eq!(
        (code, &status["details"]["causes"][0]["reason"]),
        (422, &json!("FieldValueTooLong"))
    );
    let mut annotated = deployment("web", "nginx:1", 0);
    annotated["spec"]["template"]["metadata"]["annotations"] = json!({"a": "x".repeat(1_600_000)});
    let (code, status) = stage.post(DEPLOYMENTS, &annotated).await;
    assert_eq!(
        (code, &status["message"]),
        (500, &json!("etcdserver: request is too large"))
    );
    let (code, status) = stage
        .post(MAPS, &config_map("huge", &"x".repeat(3 * 1024 * 1024)))
        .await;
    assert_eq!(
        (code, &status["reason"]),
        (413, &json!("RequestEntityTooLarge"))
    );
}
