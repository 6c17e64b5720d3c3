//! What administrators of the installation see and do.

use serde_json::json;
use uuid::Uuid;

use crate::world::World;

#[tokio::test]
async fn people_are_suspended_and_let_in_again() {
    let world = World::open().await;
    let ada = world.first().await;
    let bob = world.another("owner").await;
    let me = bob.get("/api/v1/me").await.expect(200);
    let id = me["user"]["id"].as_str().unwrap();
    let path = format!("/api/v1/users/{id}");
    for (body, field) in [
        (json!({"state": "gone"}), "state"),
        (json!({"role": "owner"}), "role"),
        (json!({"plan": "Pro"}), "plan"),
    ] {
        let refused = ada.patch(&path, &body).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
    }
    let suspended = ada
        .patch(&path, &json!({"state": "suspended"}))
        .await
        .expect(200);
    assert_eq!(
        (&suspended["state"], &suspended["second_factor"]),
        (&json!("suspended"), &json!("off"))
    );
    bob.get("/api/v1/me").await.expect(401);
    ada.patch(&path, &json!({"state": "active", "role": "admin"}))
        .await
        .expect(200);
    assert_eq!(
        bob.get("/api/v1/me").await.expect(200)["user"]["role"],
        "admin"
    );
    let listed = bob.get("/api/v1/users?limit=1").await.expect(200);
    assert_eq!(
        (&listed["items"][0]["id"], &listed["items"][0]["plan"]),
        (&json!(id), &json!("Enterprise"))
    );
    let absent = format!("/api/v1/users/{}", Uuid::now_v7());
    bob.patch(&absent, &json!({})).await.expect(404);
    let absent = format!("{absent}/second-factor");
    bob.delete(&absent).await.expect(404);
    let off = ada
        .delete(&format!("{path}/second-factor"))
        .await
        .expect(409);
    assert!(off["detail"].as_str().unwrap().contains("off already"));
}

#[tokio::test]
async fn the_installation_is_shown_as_a_whole() {
    let world = World::open().await;
    let ada = world.first().await;
    world.another("owner").await;
    let get = async |what: &str| {
        ada.get(&format!("/api/v1/installation/{what}"))
            .await
            .expect(200)
    };
    let teams = get("teams").await;
    assert_eq!(teams["items"].as_array().unwrap().len(), 2);
    assert_eq!(teams["items"][1]["owner"], "ada@example.org");
    assert_eq!(get("agents").await["items"], json!([]));
    let storage = get("storage").await;
    assert_eq!(storage["databases"][0]["name"], "main");
    assert!(storage["data_dir"]["available_bytes"].as_u64().unwrap() > 0);
    let shown = get("configuration").await;
    assert_eq!(shown["configuration"]["data-dir"], "/var/lib/towline");
}
