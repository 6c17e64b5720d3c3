//! It must not be what a test waits for.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::stage::{Stage, config_map};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_applies_take_a_few_seconds() {
    let stage = Stage::new().await;
    let began = Instant::now();
    for at in 0..1000 {
        let name = format!("m{at}");
        let path = format!("/api/v1/namespaces/default/configmaps/{name}");
        let (code, _) = stage.apply(&path, "pace", &config_map(&name, "1")).await;
        assert_eq!(code, 201);
    }
    let took = began.elapsed();
    println!("1,000 applies took {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_pods_are_there_in_a_moment() {
    let stage = Stage::new().await;
    let began = Instant::now();
    let (code, _) = stage
        .post(
            "/_towline/pods/bulk",
            &json!({"namespace": "default", "count": 5000}),
        )
        .await;
    assert_eq!(code, 200);
    let (_, list) = stage
        .get("/api/v1/namespaces/default/pods?labelSelector=app%3Dbulk")
        .await;
    assert_eq!(list["items"].as_array().unwrap().len(), 5000);
    let (_, one) = stage.get("/api/v1/namespaces/default/pods/bulk-0").await;
    assert_eq!(one["status"]["phase"], "Running");
    println!("5,000 pods took {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15));
}
