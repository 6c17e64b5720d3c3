//! People come, change and go.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn somebody_is_invited_joins_rises_and_leaves() {
    let world = World::open().await;
    let ada = world.first().await;
    let invited = ada
        .post(
            "/api/v1/invitations",
            &json!({"email": "bob@example.org", "role": "viewer"}),
        )
        .await
        .expect(201);
    let link = invited["link"].as_str().unwrap();
    let token = link
        .strip_prefix("https://plane.example:8443/join#")
        .unwrap();
    let (token, fingerprint) = token.split_once('.').unwrap();
    assert_eq!(fingerprint.len(), 64);
    let listed = ada.get("/api/v1/invitations").await.expect(200);
    assert_eq!(listed["items"][0]["email"], "bob@example.org");
    assert!(!listed.to_string().contains(token));

    let accept = json!({"token": token, "name": "Bob"});
    let joined = world
        .nobody()
        .post("/api/v1/invitations/accept", &accept)
        .await
        .expect(201);
    let bob = world.with_key(joined["api_key"]["key"].as_str().unwrap());
    let again = world
        .nobody()
        .post("/api/v1/invitations/accept", &accept)
        .await
        .expect(404);
    assert!(again["remedy"].as_str().unwrap().contains("works once"));
    let me = bob.get("/api/v1/me").await.expect(200);
    assert_eq!(me["role"], "viewer");
    let path = format!("/api/v1/members/{}", me["user"]["id"].as_str().unwrap());
    let refused = bob.put(&path, &json!({"role": "admin"})).await.expect(403);
    assert!(refused["remedy"].as_str().unwrap().contains("admin"));
    ada.put(&path, &json!({"role": "admin"})).await.expect(200);
    assert_eq!(bob.get("/api/v1/me").await.expect(200)["role"], "admin");
    let members = bob.get("/api/v1/members").await.expect(200);
    assert_eq!(members["items"].as_array().unwrap().len(), 2);

    bob.delete(&path).await.expect(204);
    bob.get("/api/v1/me").await.expect(401);
    let members = ada.get("/api/v1/members").await.expect(200);
    assert_eq!(members["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let world = World::open().await;
    let ada = world.first().await;
    for (body, field) in [
        (json!({"role": "viewer"}), "email"),
        (json!({"email": "nobody", "role": "viewer"}), "email"),
        (json!({"email": "bob@example.org", "role": "king"}), "role"),
        (
            json!({"email": "bob@example.org", "role": "viewer", "team": 1}),
            "team",
        ),
    ] {
        let problem = ada.post("/api/v1/invitations", &body).await.expect(422);
        assert_eq!(problem["field"], field, "{body}");
    }
}

#[tokio::test]
async fn guessing_links_is_slowed_down() {
    let world = World::open().await;
    let guess = json!({"token": "twli_guess", "name": "Eve"});
    let (nobody, mut last) = (world.nobody(), None);
    for _ in 0..70 {
        last = Some(nobody.post("/api/v1/invitations/accept", &guess).await);
    }
    last.unwrap().expect(429);
}
