use serde_json::{Value, json};
use towline_pki::{AgentKey, EnrollToken};
use towline_shared::protocol::v1::{FromServer, GoodbyeReason};

use crate::host::{Host, enrol, enrol_request};
use crate::world::World;

#[tokio::test]
async fn a_token_enrols_one_host() {
    let world = World::open().await;
    let ada = world.first().await;
    let made = ada
        .post(
            "/api/v1/enrolment-tokens",
            &json!({"name": "web-1", "ttl_minutes": 5}),
        )
        .await
        .expect(201);
    let text = made["token"].as_str().unwrap();
    assert_eq!(
        made["command"],
        format!("towline-agent enroll --token {text}")
    );
    let token: EnrollToken = text.parse().unwrap();
    assert_eq!(token.address, "https://plane.example:8443");
    assert_eq!(
        token.ca,
        world.store.server_authority().await.unwrap().fingerprint()
    );

    let key = AgentKey::generate().unwrap();
    let request = enrol_request(&token, &key);
    world
        .nobody()
        .post("/api/v1/agent/enroll", &request)
        .await
        .expect(200);
    let problem = world
        .nobody()
        .post("/api/v1/agent/enroll", &request)
        .await
        .expect(403);
    assert!(
        problem["detail"].as_str().unwrap().contains("used"),
        "{problem}"
    );

    let listed = ada.get("/api/v1/enrolment-tokens").await.expect(200);
    assert_eq!(listed["items"][0]["status"], "used");
    assert!(!listed.to_string().contains(text));
    let agents = ada.get("/api/v1/agents").await.expect(200);
    assert_eq!(agents["items"][0]["name"], "web-1");
    assert_eq!(agents["items"][0]["status"], "offline");
}

#[tokio::test]
async fn a_revoked_token_and_a_bad_request_enrol_nobody() {
    let world = World::open().await;
    let ada = world.first().await;
    for (body, field) in [
        (json!({"name": "a", "ttl_minutes": 0}), "ttl_minutes"),
        (json!({"name": "a", "ttl_minutes": 16}), "ttl_minutes"),
        (json!({"name": ""}), "name"),
        (json!({"ttl_minutes": 1}), "name"),
    ] {
        assert_eq!(
            ada.post("/api/v1/enrolment-tokens", &body)
                .await
                .expect(422)["field"],
            field,
            "{body}"
        );
    }
    let made = ada
        .post("/api/v1/enrolment-tokens", &json!({"name": "web-1"}))
        .await
        .expect(201);
    let token: EnrollToken = made["token"].as_str().unwrap().parse().unwrap();
    let key = AgentKey::generate().unwrap();
    let mut damaged = enrol_request(&token, &key);
    damaged["csr"] = Value::from("nonsense");
    assert_eq!(
        world
            .nobody()
            .post("/api/v1/agent/enroll", &damaged)
            .await
            .expect(422)["field"],
        "csr"
    );

    let path = format!("/api/v1/enrolment-tokens/{}", made["id"].as_str().unwrap());
    ada.delete(&path).await.expect(204);
    let refused = world
        .nobody()
        .post("/api/v1/agent/enroll", &enrol_request(&token, &key))
        .await
        .expect(403);
    assert!(refused["remedy"].is_string(), "{refused}");
}

#[tokio::test]
async fn guessing_tokens_is_slowed_down() {
    let world = World::open().await;
    let authority = world.store.server_authority().await.unwrap().fingerprint();
    let token = EnrollToken::mint("https://a.example", authority).unwrap();
    let guess = enrol_request(&token, &AgentKey::generate().unwrap());
    assert_eq!(
        world
            .nobody()
            .post("/api/v1/agent/enroll", &guess)
            .await
            .status
            .as_u16(),
        403
    );
    let mut last = 0;
    for _ in 0..300 {
        last = world
            .nobody()
            .post("/api/v1/agent/enroll", &guess)
            .await
            .status
            .as_u16();
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn an_agent_is_online_while_connected_and_cut_off_when_revoked() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let path = format!("/api/v1/agents/{}", host.agent);
    let shown = ada.get(&path).await.expect(200);
    assert_eq!(shown["status"], "online");
    assert_eq!(shown["engine"], "29.1.0");
    let target = ada
        .get(&format!("/api/v1/targets/{}", host.target))
        .await
        .expect(200);
    assert_eq!(
        (&target["status"], &target["ready"]),
        (&json!("online"), &json!("ready"))
    );
    assert_eq!(target["type"], "docker_agent");
    assert_eq!(
        ada.get("/api/v1/targets").await.expect(200)["items"][0]["id"],
        target["id"]
    );

    let revoked = ada
        .post(&format!("{path}/revoke"), &json!({}))
        .await
        .expect(200);
    assert_eq!(revoked["status"], "revoked");
    let FromServer::Goodbye(goodbye) = host.hear().await else {
        panic!("no goodbye")
    };
    assert_eq!(goodbye.reason, GoodbyeReason::Revoked);
}

#[tokio::test]
async fn a_live_certificate_is_not_renewed_without_its_key() {
    let world = World::open().await;
    let ada = world.first().await;
    let (_, identity, _) = enrol(&ada, &world, "web-1").await;
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    pem.push_str(&base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        &identity.chain[0],
    ));
    pem.push_str("\n-----END CERTIFICATE-----\n");
    let body = json!({"certificate": pem, "csr": AgentKey::generate().unwrap().csr_pem().unwrap()});
    let refused = world.nobody().post("/api/v1/agent/renew", &body).await;
    assert!(matches!(refused.status.as_u16(), 403 | 422), "{refused:?}");
}
