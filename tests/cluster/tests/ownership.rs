//! Server-side apply: who owns what, and what that means.

use serde_json::{Value, json};

use crate::stage::{Stage, config_map, deployment};

const ONE: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const MAP: &str = "/api/v1/namespaces/default/configmaps/m";
const MERGE: &str = "application/merge-patch+json";

fn owners(object: &Value) -> Vec<(String, String)> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|entry| (text(entry, "manager"), text(entry, "operation")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_its_owners_and_fields() {
    let stage = Stage::new().await;
    let path =
        "/apis/apps/v1/namespaces/default/deployments?fieldManager=kubectl-client-side-apply";
    let (code, _) = stage.post(path, &deployment("web", "nginx:1", 2)).await;
    assert_eq!(code, 201);
    let (code, status) = stage
        .apply(ONE, "towline", &deployment("web", "nginx:1", 3))
        .await;
    let words = "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas";
    assert_eq!(
        (code, &status["reason"], &status["message"]),
        (409, &json!("Conflict"), &json!(words))
    );
    let cause = json!([{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-client-side-apply\" using apps/v1", "field": ".spec.replicas"}]);
    assert_eq!(status["details"]["causes"], cause);
    let (code, status) = stage
        .apply(ONE, "towline", &deployment("web", "nginx:2", 3))
        .await;
    let words = "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name=\"web\"].image";
    assert_eq!((code, &status["message"]), (409, &json!(words)));
    let (code, forced) = stage
        .apply(
            &format!("{ONE}?force=true"),
            "towline",
            &deployment("web", "nginx:2", 3),
        )
        .await;
    assert_eq!((code, &forced["spec"]["replicas"]), (200, &json!(3)));
    let (code, status) = stage
        .apply(ONE, "other", &deployment("web", "nginx:2", 4))
        .await;
    let words = "Apply failed with 1 conflict: conflict with \"towline\": .spec.replicas";
    assert_eq!((code, &status["message"]), (409, &json!(words)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_equal_is_shared_and_what_nobody_wants_goes() {
    let stage = Stage::new().await;
    let (code, _) = stage.apply(MAP, "one", &config_map("m", "1")).await;
    assert_eq!(code, 201);
    let (code, both) = stage.apply(MAP, "two", &config_map("m", "1")).await;
    assert_eq!((code, owners(&both).len()), (200, 2));
    let mut without = config_map("m", "1");
    without["data"] = json!({"b": "2"});
    let (_, left) = stage.apply(MAP, "one", &without).await;
    assert_eq!(left["data"], json!({"a": "1", "b": "2"}));
    without["data"] = json!({});
    let (_, left) = stage.apply(MAP, "one", &without).await;
    assert_eq!(left["data"], json!({"a": "1"}));
    let (_, left) = stage
        .apply(
            MAP,
            "two",
            &json!({"apiVersion": "v1", "kind": "ConfigMap"}),
        )
        .await;
    assert!(left["data"]["a"].is_null(), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_changes_nothing_writes_nothing() {
    let stage = Stage::new().await;
    let (_, first) = stage.apply(MAP, "one", &config_map("m", "1")).await;
    let (code, again) = stage.apply(MAP, "one", &config_map("m", "1")).await;
    assert_eq!((code, &again), (200, &first));
    let (_, web) = stage
        .apply(ONE, "one", &deployment("web", "nginx:1", 0))
        .await;
    let (_, same) = stage
        .apply(ONE, "one", &deployment("web", "nginx:1", 0))
        .await;
    assert_eq!(
        web["metadata"]["generation"],
        same["metadata"]["generation"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_lists_have_owners_of_their_own() {
    let stage = Stage::new().await;
    let mut web = deployment("web", "nginx:1", 0);
    let container = |env: Value| json!([{"name": "web", "image": "nginx:1", "env": env}]);
    web["spec"]["template"]["spec"]["containers"] =
        container(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));
    stage.apply(ONE, "one", &web).await;
    let extra = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "C", "value": "3"}]}, {"name": "side", "image": "side:1"}]}}}});
    let (code, both) = stage.apply(ONE, "two", &extra).await;
    assert_eq!(code, 200, "{both}");
    web["spec"]["template"]["spec"]["containers"] = container(json!([{"name": "B", "value": "2"}]));
    let (_, left) = stage.apply(ONE, "one", &web).await;
    let containers = &left["spec"]["template"]["spec"]["containers"];
    assert_eq!(
        containers[0]["env"],
        json!([{"name": "B", "value": "2"}, {"name": "C", "value": "3"}])
    );
    assert_eq!(containers[1]["name"], "side");
    let twice = container(json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]));
    web["spec"]["template"]["spec"]["containers"] = twice;
    let (code, status) = stage.apply(ONE, "one", &web).await;
    let words = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.template.spec.containers[name=\"web\"].env: duplicate entries for key [name=\"A\"]";
    assert_eq!((code, &status["message"]), (500, &json!(words)));
    web["spec"]["template"]["spec"]["containers"] =
        json!([{"name": "web", "image": "nginx:1", "imagee": "x"}]);
    let (code, status) = stage.apply(ONE, "one", &web).await;
    let words = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.template.spec.containers[name=\"web\"].imagee: field not declared in schema";
    assert_eq!((code, &status["message"]), (500, &json!(words)));
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_are_written_as_the_real_server_writes_them() {
    let stage = Stage::new().await;
    let mut map = config_map("m", "1");
    map["metadata"]["labels"] = json!({"x": "y"});
    let (_, applied) = stage.apply(MAP, "one", &map).await;
    let entry = &applied["metadata"]["managedFields"][0];
    let expected = json!({
        "manager": "one", "operation": "Apply", "apiVersion": "v1", "time": entry["time"], "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:x": {}}}},
    });
    assert_eq!(*entry, expected);
    let (_, patched) = stage
        .ask(
            "PATCH",
            MAP,
            MERGE,
            &json!({"data": {"b": "2"}, "metadata": {"annotations": {"n": "1"}}}),
        )
        .await;
    let entry = &patched["metadata"]["managedFields"][1];
    assert_eq!(
        (&entry["manager"], &entry["operation"]),
        (&json!("stage"), &json!("Update"))
    );
    let fields =
        json!({"f:data": {"f:b": {}}, "f:metadata": {"f:annotations": {".": {}, "f:n": {}}}});
    assert_eq!(entry["fieldsV1"], fields);
    // Who changes an applied value takes it over.
    let (_, taken) = stage
        .ask("PATCH", MAP, MERGE, &json!({"data": {"a": "9"}}))
        .await;
    assert_eq!(
        taken["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {"f:x": {}}}})
    );
    let (code, status) = stage.apply(MAP, "one", &map).await;
    let words = "Apply failed with 1 conflict: conflict with \"stage\" using v1: .data.a";
    assert_eq!((code, &status["message"]), (409, &json!(words)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_has_an_owner_of_its_own() {
    let stage = Stage::new().await;
    stage
        .apply(ONE, "one", &deployment("web", "nginx:1", 1))
        .await;
    let (code, scale) = stage
        .ask(
            "PATCH",
            &format!("{ONE}/scale"),
            MERGE,
            &json!({"spec": {"replicas": 2}}),
        )
        .await;
    assert_eq!(
        (code, &scale["kind"], &scale["spec"]["replicas"]),
        (200, &json!("Scale"), &json!(2))
    );
    let (code, status) = stage
        .apply(ONE, "one", &deployment("web", "nginx:1", 1))
        .await;
    let words = "Apply failed with 1 conflict: conflict with \"stage\" with subresource \"scale\" using apps/v1: .spec.replicas";
    assert_eq!((code, &status["message"]), (409, &json!(words)));
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_can_be_written_by_hand_as_an_upgrade_of_kubectl_does() {
    let stage = Stage::new().await;
    stage.apply(MAP, "one", &config_map("m", "1")).await;
    let renamed =
        json!([{"op": "replace", "path": "/metadata/managedFields/0/manager", "value": "two"}]);
    let (code, map) = stage
        .ask("PATCH", MAP, "application/json-patch+json", &renamed)
        .await;
    assert_eq!(
        (code, owners(&map)),
        (200, vec![("two".to_owned(), "Apply".to_owned())])
    );
    let (code, map) = stage
        .ask(
            "PATCH",
            MAP,
            MERGE,
            &json!({"metadata": {"managedFields": [{}]}}),
        )
        .await;
    assert_eq!((code, owners(&map)), (200, Vec::new()));
}
