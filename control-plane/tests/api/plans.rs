//! Plans, their quotas and what is used of them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::host::Host;
use crate::world::{COMPOSE, Somebody, World};

pub async fn plan(somebody: &Somebody<'_>, name: &str) -> String {
    let listed = somebody.get("/api/v1/plans").await.expect(200);
    let plans = listed["items"].as_array().unwrap();
    let found = plans.iter().find(|plan| plan["name"] == name).unwrap();
    format!("/api/v1/plans/{}", found["id"].as_str().unwrap())
}

#[tokio::test]
async fn the_limit_is_told_with_what_is_used_and_when_it_ends() {
    let world = World::open().await;
    let ada = world.first().await;
    Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let enterprise = plan(&ada, "Enterprise").await;
    let limits = json!({"max_projects": 1, "max_deployments_per_day": 1});
    ada.patch(&enterprise, &limits).await.expect(200);

    let projects = ada
        .post("/api/v1/projects", &json!({"name": "other"}))
        .await;
    let refused = projects.expect(403);
    assert_eq!(refused["type"], "urn:towline:problem:quota_exceeded");
    assert_eq!(
        (&refused["limit"], &refused["used"]),
        (&json!(1), &json!(1))
    );
    assert!(refused.get("resets_at").is_none(), "{refused}");
    assert!(refused["remedy"].as_str().unwrap().contains("delete one"));

    let deployments = format!("/api/v1/projects/{project}/deployments");
    let wish = json!({"target": "web-1"});
    ada.post(&deployments, &wish).await.expect(202);
    let refused = ada.post(&deployments, &wish).await.expect(403);
    assert_eq!(refused["type"], "urn:towline:problem:quota_exceeded");
    assert_eq!(
        (&refused["limit"], &refused["used"]),
        (&json!(1), &json!(1))
    );
    let usage = ada.get("/api/v1/usage").await.expect(200);
    let midnight = refused["resets_at"].as_str().unwrap();
    assert_eq!(usage["current"]["period_end"], midnight);
    assert!(midnight.ends_with("T00:00:00Z"), "{midnight}");
    assert!(refused["remedy"].as_str().unwrap().contains(midnight));

    assert_eq!(
        (&usage["projects"], &usage["current"]["deployments"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(usage["plan"]["name"], "Enterprise");
    assert_eq!(usage["plan"]["max_deployments_per_day"], 1);
    assert_eq!(
        (&usage["items"], &usage["next_cursor"]),
        (&json!([]), &Value::Null)
    );

    // A reader's own team has used nothing of it.
    let bob = world.another("viewer").await;
    let usage = bob.get("/api/v1/usage").await.expect(200);
    assert_eq!(
        (&usage["projects"], &usage["current"]["deployments"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_plan_is_changed_by_administrators_of_the_installation_alone() {
    let world = World::open().await;
    let ada = world.first().await;
    let free = plan(&ada, "Free").await;
    let bob = world.another("owner").await;
    let change = json!({"max_projects": 1_000_000, "price": 100});
    for path in [&free, &format!("/api/v1/plans/{}", Uuid::now_v7())] {
        let refused = bob.patch(path, &change).await.expect(403);
        assert_eq!(refused["type"], "urn:towline:problem:forbidden");
    }
    assert_eq!(
        bob.get("/api/v1/plans").await.expect(200)["items"][0]["max_projects"],
        3
    );

    let changed = ada.patch(&free, &change).await.expect(200);
    assert_eq!(
        (&changed["max_projects"], &changed["price"]),
        (&json!(1_000_000), &json!(100))
    );
    assert_eq!(
        changed["max_deployments_per_day"], 50,
        "what is left out stays"
    );
    let unlimited = ada
        .patch(&free, &json!({"max_deployments_per_day": null}))
        .await;
    let unlimited = unlimited.expect(200);
    assert!(unlimited["max_deployments_per_day"].is_null());
    assert_eq!(unlimited["max_projects"], 1_000_000);
    ada.patch(&free, &json!({})).await.expect(200);

    for (body, field) in [
        (json!({"max_projects": -1}), "max_projects"),
        (json!({"max_projects": 1_000_001}), "max_projects"),
        (
            json!({"max_deployments_per_day": 1.5}),
            "max_deployments_per_day",
        ),
        (
            json!({"max_deployments_per_day": "none"}),
            "max_deployments_per_day",
        ),
        (json!({"price": -1}), "price"),
        (json!({"price": 100_000_001}), "price"),
        (json!({"name": "Gratis"}), "name"),
    ] {
        assert_eq!(
            ada.patch(&free, &body).await.expect(422)["field"],
            field,
            "{body}"
        );
    }
    for absent in [&Uuid::now_v7().to_string(), "nonsense"] {
        let path = format!("/api/v1/plans/{absent}");
        ada.patch(&path, &change).await.expect(404);
    }
}

#[tokio::test]
async fn a_page_of_days_is_asked_for_by_a_day() {
    let world = World::open().await;
    let ada = world.first().await;
    ada.get("/api/v1/usage?limit=200&cursor=2026-01-31")
        .await
        .expect(200);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=yesterday", "cursor"),
        ("day=1", "day"),
    ] {
        let refused = ada.get(&format!("/api/v1/usage?{query}")).await.expect(422);
        assert_eq!(refused["field"], field, "{query}");
    }
}
