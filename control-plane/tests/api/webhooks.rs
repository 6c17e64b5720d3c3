//! Webhooks: a receiver on loopback is told what happens, however often it fails.

use serde_json::json;

use crate::host::Host;
use crate::receiver::{Receiver, until};
use crate::world::{COMPOSE, Somebody, World};

async fn hook(ada: &Somebody<'_>, project: &str, url: &str, events: &[&str]) -> (String, String) {
    let new = json!({"url": url, "event_types": events});
    let made = ada
        .post(&format!("/api/v1/projects/{project}/webhooks"), &new)
        .await
        .expect(201);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_told_and_a_receiver_that_failed_is_told_again() {
    let world = World::open().await;
    let ada = world.first().await;
    Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let (receiver, url) = Receiver::start(&[500]).await;
    let (id, secret) = hook(&ada, &project, &url, &["deployment.created"]).await;
    assert!(secret.starts_with("whsec_"), "{secret}");
    let deploy = ada
        .post(
            &format!("/api/v1/projects/{project}/deployments"),
            &json!({"target": "web-1"}),
        )
        .await
        .expect(202);
    let messages = receiver.wait_for(2).await;
    for message in &messages {
        let told = message.verified(&secret);
        assert_eq!(told["type"], "deployment.created");
        assert_eq!(told["data"]["id"], deploy["id"]);
        assert_eq!(told["data"]["project"]["name"], "shop");
    }
    let same = |name: &str| messages[0].headers[name] == messages[1].headers[name];
    assert!(same("webhook-id") && messages[0].body == messages[1].body);
    let deliveries = format!("/api/v1/webhooks/{id}/deliveries");
    let listed = until(&ada, &deliveries, |listed| {
        listed["items"][0]["state"] == "delivered"
    })
    .await;
    let first = &listed["items"][0];
    assert_eq!(
        (&first["attempts"], &first["response_status"]),
        (&json!(2), &json!(200))
    );

    let one = format!(
        "/api/v1/webhook-deliveries/{}",
        first["id"].as_str().unwrap()
    );
    let shown = ada.get(&one).await.expect(200);
    assert_eq!(shown["response_body"], "thanks for /hook");
    assert_eq!(shown["request_body"].as_str().unwrap(), messages[0].body);
    let replay = ada
        .post(&format!("{one}/replay"), &json!({}))
        .await
        .expect(202);
    assert_eq!(replay["replay_of"], first["id"]);
    let messages = receiver.wait_for(3).await;
    assert_eq!(
        messages[2].headers["webhook-id"],
        messages[0].headers["webhook-id"]
    );
    messages[2].verified(&secret);
    let shown = ada
        .get(&format!("/api/v1/projects/{project}/webhooks"))
        .await
        .expect(200);
    assert!(!shown.to_string().contains("whsec_"), "{shown}");
    let audit = ada.get("/api/v1/audit").await.expect(200).to_string();
    assert!(audit.contains("webhook.replay") && !audit.contains("whsec_"));
    assert!(!audit.contains("/hook"), "an address may be a secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_gone_is_not_told_again() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[]).await;
    let (receiver, url) = Receiver::start(&[410]).await;
    let (id, secret) = hook(&ada, &project, &url, &["deployment.failed"]).await;
    let test = format!("/api/v1/webhooks/{id}/test");
    let queued = ada.post(&test, &json!({})).await.expect(202);
    assert_eq!(
        receiver.wait_for(1).await[0].verified(&secret)["type"],
        "webhook.test"
    );
    let one = format!(
        "/api/v1/webhook-deliveries/{}",
        queued["id"].as_str().unwrap()
    );
    let shown = until(&ada, &one, |shown| shown["state"] == "failed").await;
    assert_eq!(shown["response_status"], 410);
    let webhooks = format!("/api/v1/projects/{project}/webhooks");
    let listed = ada.get(&webhooks).await.expect(200);
    assert_eq!(listed["items"][0]["state"], "gone");
    ada.post(&test, &json!({})).await.expect(409);
    let on = ada
        .patch(&format!("/api/v1/webhooks/{id}"), &json!({"enabled": true}))
        .await
        .expect(200);
    assert_eq!(on["state"], "enabled");
    ada.post(&test, &json!({})).await.expect(202);
    receiver.wait_for(2).await;
    ada.delete(&format!("/api/v1/webhooks/{id}"))
        .await
        .expect(204);
    ada.get(&one).await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_input_is_named() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[]).await;
    let webhooks = format!("/api/v1/projects/{project}/webhooks");
    let good = "https://example.org/hook";
    let long = format!("https://example.org/{}", "x".repeat(2048));
    for (url, events, field, said) in [
        (
            "https://10.0.0.1/",
            json!(["deployment.failed"]),
            "url",
            "private",
        ),
        (
            "https://169.254.169.254/",
            json!(["deployment.failed"]),
            "url",
            "metadata",
        ),
        ("ftp://a/", json!(["deployment.failed"]), "url", "https"),
        ("nonsense", json!(["deployment.failed"]), "url", "address"),
        (
            "https://u:p@a.example/",
            json!(["deployment.failed"]),
            "url",
            "password",
        ),
        (&long, json!(["deployment.failed"]), "url", "2048"),
        (good, json!([]), "event_types", "one event"),
        (
            good,
            json!(["deployment.exploded"]),
            "event_types",
            "deployment.exploded",
        ),
    ] {
        let refused = ada
            .post(&webhooks, &json!({"url": url, "event_types": events}))
            .await;
        let refused = refused.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
        assert!(
            refused["detail"].as_str().unwrap().contains(said),
            "{refused}"
        );
    }
    let unknown = json!({"url": good, "event_types": ["deployment.failed"], "secret": "mine"});
    let refused = ada.post(&webhooks, &unknown).await;
    assert!(refused.status.is_client_error(), "{refused:?}");
    for _ in 0..20 {
        hook(&ada, &project, good, &["deployment.failed"]).await;
    }
    let one_more = json!({"url": good, "event_types": ["deployment.failed"]});
    ada.post(&webhooks, &one_more).await.expect(409);
}
