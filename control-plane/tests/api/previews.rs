//! What a deploy would change.

use serde_json::{Value, json};
use towline_shared::outcome::Outcome;
use towline_shared::preview::{KeyChange, Preview, PreviewedService, ServiceChange};
use towline_shared::spec::Work;

use crate::database::on_both;
use crate::host::Host;
use crate::plans::plan;
use crate::receiver::Receiver;
use crate::world::{COMPOSE, World};

on_both!(
    a_preview_is_answered_by_its_agent_and_counts_as_nothing,
    what_cannot_be_previewed_is_refused,
);

/// Of a service with a text that PostgreSQL would not take.
fn found() -> Preview {
    let key = KeyChange {
        key: "environment.LEVEL".into(),
        before: Some("in\0fo".into()),
        after: None,
    };
    let service = PreviewedService {
        service: "web".into(),
        change: ServiceChange::Changed,
        keys: vec![key],
    };
    Preview {
        services: vec![service],
        ..Preview::default()
    }
}

async fn a_preview_is_answered_by_its_agent_and_counts_as_nothing() {
    let world = World::open().await;
    let ada = world.first().await;
    let limits = json!({"max_deployments_per_day": 1});
    let enterprise = plan(&ada, "Enterprise").await;
    ada.patch(&enterprise, &limits).await.expect(200);
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let (receiver, url) = Receiver::start(&[]).await;
    let hook = json!({"url": url, "event_types": ["deployment.created", "deployment.succeeded"]});
    let webhooks = format!("/api/v1/projects/{project}/webhooks");
    let webhook = ada.post(&webhooks, &hook).await.expect(201);
    let secret = format!("/api/v1/projects/{project}/secrets/PASSWORD");
    ada.put(&secret, &json!({"value": "hunter2"})).await;
    let previews = format!("/api/v1/projects/{project}/previews");
    let mut seen = Value::Null;
    for _ in 0..2 {
        let asked = ada.post(&previews, &json!({"target": "web-1"})).await;
        let path = asked.headers["location"].to_str().unwrap().to_owned();
        assert_eq!(asked.expect(202)["kind"], "preview");
        let offer = host.offer().await;
        let Work::Preview(proposal) = offer.spec.open().unwrap().work else {
            panic!("{offer:?}");
        };
        assert_eq!(proposal.deploy.compose_file, "compose.yaml");
        assert_eq!(offer.secrets[0].value, "hunter2");
        let attempt = host.take(&offer).await;
        host.finish(attempt, Outcome::Previewed(Box::new(found())))
            .await;
        seen = ada.get(&path).await.expect(200);
    }
    assert_eq!(seen["status"], "succeeded");
    let key = json!({"key": "environment.LEVEL", "before": "in\u{fffd}fo", "after": null});
    let services = json!([{"service": "web", "change": "changed", "keys": [key]}]);
    let expected = json!({"services": services, "resources": [], "left_out": 0});
    assert_eq!(seen["preview"], expected);

    let listed = ada.get("/api/v1/deployments").await.expect(200);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert!(items.iter().all(|item| item.get("preview").is_none()));
    let deliveries = format!(
        "/api/v1/webhooks/{}/deliveries",
        webhook["id"].as_str().unwrap()
    );
    let told = ada.get(&deliveries).await.expect(200);
    assert_eq!(told["items"], json!([]));
    drop(receiver);
    let notices = ada.get("/api/v1/notifications").await.expect(200);
    let text = notices.to_string();
    assert!(!text.contains("has succeeded"), "{text}");

    // Nothing runs yet, and the plan's one deployment is still to be had.
    let releases = format!("/api/v1/projects/{project}/releases");
    let releases = ada.get(&releases).await.expect(200);
    assert_eq!(releases["items"][0]["deployments"], 0, "{releases}");
    let rollback = format!("/api/v1/projects/{project}/rollback");
    ada.post(&rollback, &json!({})).await.expect(409);
    let back = ada.post(&rollback, &json!({"to": seen["id"]})).await;
    assert!(
        back.expect(409)["detail"]
            .to_string()
            .contains("was a preview")
    );
    let again = format!("/api/v1/deployments/{}/retry", seen["id"].as_str().unwrap());
    let again = ada.post(&again, &json!({})).await;
    assert!(
        again.expect(409)["detail"]
            .to_string()
            .contains("is a preview")
    );
    let deployments = format!("/api/v1/projects/{project}/deployments");
    let target = json!({"target": "web-1"});
    ada.post(&deployments, &target).await.expect(202);
    ada.post(&deployments, &target).await.expect(403);
    ada.post(&previews, &target).await.expect(202);
}

async fn what_cannot_be_previewed_is_refused() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let previews = format!("/api/v1/projects/{project}/previews");
    let table = [
        (json!({}), 422, "target"),
        (json!({"target": "web-9"}), 404, "target"),
        (
            json!({"target": "web-1", "branch": "main"}),
            409,
            "repository",
        ),
        (
            json!({"target": "web-1", "environment": "No!"}),
            422,
            "environment",
        ),
        (
            json!({"target": "web-1", "deadline_s": 0}),
            422,
            "deadline_s",
        ),
        (
            json!({"target": "web-1", "build_on": "web-1"}),
            422,
            "build_on",
        ),
    ];
    for (body, status, word) in table {
        let refused = ada.post(&previews, &body).await.expect(status);
        assert!(refused.to_string().contains(word), "{body}: {refused}");
    }
    let empty = ada.project("empty", &[]).await;
    let empty = format!("/api/v1/projects/{empty}/previews");
    let refused = ada
        .post(&empty, &json!({"target": "web-1"}))
        .await
        .expect(409);
    assert!(refused.to_string().contains("no files"), "{refused}");
    let listed = ada.get("/api/v1/deployments").await.expect(200);
    assert_eq!(listed["items"], json!([]));
}
