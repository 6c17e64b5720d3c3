use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};
use towline_shared::outcome::{FailureReason, Outcome, ServiceImage};
use towline_shared::protocol::v1::FromServer;

use crate::host::Host;
use crate::world::{Answer, COMPOSE, Somebody, World, tar};

async fn deploy(somebody: &Somebody<'_>, project: &str, body: &Value, key: Option<&str>) -> Answer {
    let path = format!("/api/v1/projects/{project}/deployments");
    let mut request = somebody
        .request(Method::POST, &path)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    somebody
        .ask(request.body(Body::from(body.to_string())).unwrap())
        .await
}

#[tokio::test]
async fn a_deployment_goes_through_its_life() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let answer = deploy(
        &ada,
        &project,
        &json!({"target": "web-1", "settle_ms": 100}),
        None,
    )
    .await;
    let made = answer.expect(202);
    let path = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(
        (&made["status"], &made["kind"]),
        (&json!("queued"), &json!("deploy"))
    );
    assert_eq!(
        (&made["project"]["name"], &made["target"]["name"]),
        (&json!("shop"), &json!("web-1"))
    );
    assert_eq!(
        made["log"],
        json!({"lines": 0, "url": format!("{path}/log")})
    );

    let attempt = host.begin().await;
    host.write(attempt, &["one", "two"]).await;
    let images = vec![ServiceImage {
        service: "web".into(),
        reference: "busybox".into(),
        id: "sha256:1".into(),
    }];
    host.finish(attempt, Outcome::Succeeded { images }).await;
    let done = ada.get(&path).await.expect(200);
    assert_eq!(done["status"], "succeeded");
    assert_eq!(done["images"][0]["id"], "sha256:1");
    assert_eq!(done["log"]["lines"], 2);
    assert!(
        done["finished_at"].is_string() && done["started_at"].is_string(),
        "{done}"
    );
    let cancelled = ada
        .post(&format!("{path}/cancel"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        cancelled["status"], "succeeded",
        "what has ended stays as it ended"
    );
}

#[tokio::test]
async fn a_failure_says_why_and_can_be_tried_again() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let made = deploy(&ada, &project, &json!({"target": host.target}), None)
        .await
        .expect(202);
    let attempt = host.begin().await;
    let outcome = Outcome::Failed {
        reason: FailureReason::CrashLoop,
        message: "web exits again and again".into(),
    };
    host.finish(attempt, outcome).await;
    let path = format!("/api/v1/deployments/{}", made["id"].as_str().unwrap());
    let failed = ada.get(&path).await.expect(200);
    assert_eq!(
        (&failed["status"], &failed["reason"]),
        (&json!("failed"), &json!("crash_loop"))
    );
    assert_eq!(failed["message"], "web exits again and again");
    let again = ada
        .post(&format!("{path}/retry"), &json!({}))
        .await
        .expect(202);
    assert_ne!(again["id"], failed["id"]);
    assert_eq!(again["release_id"], failed["release_id"]);
    host.offer().await;
}

#[tokio::test]
async fn a_queued_deployment_is_cancelled_for_good_and_a_running_one_is_told() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let running = deploy(&ada, &project, &json!({"target": "web-1"}), None)
        .await
        .expect(202);
    let attempt = host.begin().await;
    let queued = deploy(&ada, &project, &json!({"target": "web-1"}), None)
        .await
        .expect(202);
    let cancel = |made: &Value| {
        format!(
            "/api/v1/deployments/{}/cancel",
            made["id"].as_str().unwrap()
        )
    };
    assert_eq!(
        ada.post(&cancel(&queued), &json!({})).await.expect(200)["status"],
        "cancelled"
    );
    let told = ada.post(&cancel(&running), &json!({})).await.expect(200);
    assert!(told["cancel_requested_at"].is_string(), "{told}");
    assert!(matches!(host.hear().await, FromServer::Cancel(cancelled) if cancelled == attempt));
    host.finish(
        attempt,
        Outcome::Cancelled {
            left: "nothing".into(),
        },
    )
    .await;
    let statuses = ada
        .get("/api/v1/deployments?status=cancelled")
        .await
        .expect(200);
    assert_eq!(statuses["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn repeating_a_request_with_its_key_changes_nothing() {
    let world = World::open().await;
    let ada = world.first().await;
    let host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let body = json!({"target": host.target});
    let first = deploy(&ada, &project, &body, Some("k1")).await.expect(202);
    let repeated = deploy(&ada, &project, &body, Some("k1")).await.expect(202);
    assert_eq!(first["id"], repeated["id"]);
    let other = json!({"target": host.target, "settle_ms": 1});
    let refused = deploy(&ada, &project, &other, Some("k1")).await.expect(409);
    assert_eq!(refused["field"], "Idempotency-Key");
    assert_ne!(
        deploy(&ada, &project, &body, Some("k2")).await.expect(202)["id"],
        first["id"]
    );
    assert_eq!(
        deploy(&ada, &project, &body, Some(&"k".repeat(201)))
            .await
            .expect(422)["field"],
        "Idempotency-Key"
    );
}

#[tokio::test]
async fn what_cannot_be_deployed_is_refused_before_it_is_queued() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let empty = ada.project("empty", &[]).await;
    deploy(&ada, &empty, &json!({"target": "web-1"}), None)
        .await
        .expect(409);
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    for (body, status, field) in [
        (json!({}), 422, "target"),
        (
            json!({"target": "web-1", "settle_ms": -1}),
            422,
            "settle_ms",
        ),
        (
            json!({"target": "web-1", "interruption": "explode"}),
            422,
            "interruption",
        ),
        (json!({"target": "web-1", "force": true}), 422, "force"),
    ] {
        assert_eq!(
            deploy(&ada, &project, &body, None).await.expect(status)["field"],
            field,
            "{body}"
        );
    }
    deploy(&ada, &project, &json!({"target": "elsewhere"}), None)
        .await
        .expect(404);

    let privileged = "services:\n  web:\n    image: busybox\n    privileged: true\n";
    ada.upload(&project, tar(&[("compose.yaml", privileged)]))
        .await
        .expect(200);
    let refused = deploy(&ada, &project, &json!({"target": "web-1"}), None)
        .await
        .expect(422);
    let finding = &refused["findings"][0];
    assert_eq!(
        (&finding["line"], &finding["rule"]),
        (&json!(4), &json!("privileged")),
        "{refused}"
    );
    assert_eq!(
        ada.get("/api/v1/deployments").await.expect(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_removal_is_a_deployment_of_its_own_kind() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let path = format!("/api/v1/projects/{project}/removals");
    for (body, field) in [
        (json!({"volumes": "keep"}), "target"),
        (json!({"target": "web-1", "volumes": "burn"}), "volumes"),
    ] {
        assert_eq!(ada.post(&path, &body).await.expect(422)["field"], field);
    }
    let made = ada
        .post(&path, &json!({"target": "web-1", "volumes": "delete"}))
        .await
        .expect(202);
    assert_eq!(made["kind"], "remove");
    let attempt = host.begin().await;
    host.finish(attempt, Outcome::Succeeded { images: vec![] })
        .await;
    let filter = format!(
        "/api/v1/deployments?project={project}&target={}&status=succeeded&limit=1",
        host.target
    );
    assert_eq!(
        ada.get(&filter).await.expect(200)["items"][0]["id"],
        made["id"]
    );
    assert_eq!(
        ada.get("/api/v1/deployments?status=nonsense")
            .await
            .expect(422)["field"],
        "status"
    );
}
