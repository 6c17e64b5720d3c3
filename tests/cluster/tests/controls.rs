//! What only tests may do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use towline_cluster::{Failure, RequestKind};

use crate::stage::{Stage, config_map};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_from_a_mark_on() {
    let stage = Stage::new().await;
    stage.cluster.mark();
    stage
        .post(&format!("{MAPS}?dryRun=All"), &config_map("m", "1"))
        .await;
    stage.post(MAPS, &config_map("m", "1")).await;
    stage.get(MAPS).await;
    stage.get(MAPS).await;
    let dry = json!({"dryRun": ["All"]});
    let (code, _) = stage
        .ask("DELETE", &format!("{MAPS}/m"), "application/json", &dry)
        .await;
    assert_eq!((code, stage.get(&format!("{MAPS}/m")).await.0), (200, 200));
    let kind = |verb, dry_run| RequestKind {
        verb,
        dry_run,
        resource: "configmaps".to_owned(),
    };
    let expected = [
        (kind("create", false), 1),
        (kind("create", true), 1),
        (kind("list", false), 2),
        (kind("delete", true), 1),
        (kind("get", false), 1),
    ];
    assert_eq!(stage.cluster.requests(), expected.into_iter().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_fail_and_wait_as_they_are_told() {
    let stage = Stage::new().await;
    let failure = Failure {
        method: "GET".to_owned(),
        path: "/configmaps".to_owned(),
        times: 2,
        code: 503,
        reason: "ServiceUnavailable",
        message: "not now".to_owned(),
    };
    stage.cluster.fail(failure);
    for code in [503, 503, 200] {
        assert_eq!(stage.get(MAPS).await.0, code);
    }
    stage.cluster.delay(Duration::from_millis(200));
    let began = Instant::now();
    stage.get(MAPS).await;
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_away_and_comes_back_with_all_it_had() {
    let stage = Stage::new().await;
    stage.post(MAPS, &config_map("m", "1")).await;
    let mut watch = stage
        .stream(&format!("{MAPS}?watch=true&resourceVersion=1"))
        .await;
    stage.cluster.away(Duration::from_millis(400));
    let cut = tokio::time::timeout(Duration::from_secs(5), async {
        while let Ok(Some(_)) = watch.chunk().await {}
    });
    cut.await.expect("the watch is cut");
    assert!(
        !stage
            .kubectl(&["get", "configmaps", "--request-timeout=100ms"])
            .success
    );
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(stage.get(&format!("{MAPS}/m")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_has_the_same_controls() {
    let stage = Stage::new().await;
    let (code, _) = stage.post("/_towline/fail", &json!({"path": "/secrets", "code": 429, "reason": "TooManyRequests", "message": "slow"})).await;
    assert_eq!(code, 200);
    assert_eq!(stage.get("/api/v1/secrets").await.0, 429);
    let (_, issued) = stage
        .post("/_towline/tokens/default/default", &json!({}))
        .await;
    let token = issued["token"].as_str().unwrap();
    let (code, _) = stage
        .ask_as(
            token,
            "POST",
            "/_towline/compact",
            "application/json",
            &Value::Null,
        )
        .await;
    assert_eq!(code, 403);
    stage
        .post(
            "/_towline/metrics",
            &json!({"name": "node-1", "cpu": "250m", "memory": "1Gi"}),
        )
        .await;
    let (_, metrics) = stage.get("/apis/metrics.k8s.io/v1beta1/nodes/node-1").await;
    assert_eq!(metrics["usage"], json!({"cpu": "250m", "memory": "1Gi"}));
    let (_, counts) = stage.get("/_towline/counts").await;
    assert!(
        counts
            .as_array()
            .is_some_and(|counts| counts.iter().any(|count| count["resource"] == "secrets")),
        "{counts}"
    );
}
