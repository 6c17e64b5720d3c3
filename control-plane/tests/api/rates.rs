//! How often keys and teams may ask.

use http::header::RETRY_AFTER;
use serde_json::{Value, json};

use crate::world::{Answer, World};

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer
        .headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_key_has_so_many_requests_in_a_minute_and_is_told() {
    let world = World::open().await;
    let ada = world.first().await;
    let new = json!({"name": "ci", "requests_per_minute": 3});
    let made = ada.post("/api/v1/api-keys", &new).await.expect(201);
    assert_eq!(made["requests_per_minute"], 3);
    let ci = world.with_key(made["key"].as_str().unwrap());
    for left in [2, 1, 0] {
        let answer = ci.get("/api/v1/me").await;
        answer.expect(200);
        assert_eq!(header(&answer, "ratelimit-policy"), "\"key\";q=3;w=60");
        let standing = header(&answer, "ratelimit");
        let seconds = standing
            .strip_prefix(&format!("\"key\";r={left};t="))
            .unwrap();
        assert!(
            (1..=60).contains(&seconds.parse::<u32>().unwrap()),
            "{standing}"
        );
    }
    let refused = ci.get("/api/v1/me").await;
    let problem = refused.expect(429);
    assert!(
        problem["detail"].as_str().unwrap().contains("3 requests"),
        "{problem}"
    );
    assert!(header(&refused, "ratelimit").starts_with("\"key\";r=0;t="));
    let wait: u32 = header(&refused, RETRY_AFTER.as_str()).parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let other = ada.get("/api/v1/me").await;
    other.expect(200);
    assert_eq!(
        header(&other, "ratelimit"),
        "",
        "neither the key nor the plan has a limit"
    );
}

#[tokio::test]
async fn a_plan_bounds_all_of_a_team_together() {
    let world = World::open().await;
    let ada = world.first().await;
    let plans = ada.get("/api/v1/plans").await.expect(200);
    let of = |name: &str| {
        plans["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|plan| plan["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        ["Free", "Pro", "Enterprise"].map(|name| of(name)["max_requests_per_minute"].clone()),
        [json!(600), json!(3000), Value::Null]
    );
    let second = ada
        .post("/api/v1/api-keys", &json!({"name": "b"}))
        .await
        .expect(201);
    let second = world.with_key(second["key"].as_str().unwrap());
    let path = format!("/api/v1/plans/{}", of("Enterprise")["id"].as_str().unwrap());
    ada.patch(&path, &json!({"max_requests_per_minute": 4}))
        .await
        .expect(200);
    let browser = world.browser_of(&ada).await;
    for who in [&second, &browser] {
        who.get("/api/v1/me").await.expect(200);
    }
    let last = ada.get("/api/v1/me").await;
    last.expect(200);
    assert!(
        header(&last, "ratelimit").starts_with("\"team\";r=0;t="),
        "{last:?}"
    );
    for who in [&ada, &second, &browser] {
        who.get("/api/v1/me").await.expect(429);
    }
    let bob = world.another("owner").await;
    // Another team of the same plan has its own count.
    bob.get("/api/v1/me").await.expect(200);
}
