//! Plugins: a receiver on loopback is asked and told.

use std::time::Duration;

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};
use towline_server::egress::{Egress, PlainHttp, Policy};
use towline_server::outbox;
use towline_shared::outcome::{FailureReason, Outcome};
use uuid::Uuid;

use crate::host::Host;
use crate::receiver::{Receiver, Reply, until};
use crate::world::{Answer, COMPOSE, Somebody, World};

/// A plugin, as it was made.
struct Made {
    id: String,
    secret: String,
}

async fn plugin(ada: &Somebody<'_>, name: &str, url: &str, more: &Value) -> Made {
    let mut new = json!({"name": name, "url": url, "hooks": ["before_deploy", "before_project"]});
    new.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let made = ada.post("/api/v1/plugins", &new).await.expect(201);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    Made {
        id: text("id"),
        secret: text("secret"),
    }
}

impl Made {
    fn at(&self, rest: &str) -> String {
        format!("/api/v1/plugins/{}{rest}", self.id)
    }

    async fn last_run(&self, ada: &Somebody<'_>) -> Value {
        ada.get(&self.at("/runs")).await.expect(200)["items"][0].clone()
    }
}

fn says(answer: &Value) -> Reply {
    Reply::Says(200, answer.to_string())
}

async fn deploy(ada: &Somebody<'_>, project: &str, key: &str) -> Answer {
    let request = ada
        .request(
            Method::POST,
            &format!("/api/v1/projects/{project}/deployments"),
        )
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key);
    let wish = json!({"target": "web-1", "environment": "production"}).to_string();
    ada.ask(request.body(Body::from(wish)).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_veto_stops_a_deployment_and_nothing_is_queued_or_counted() {
    let world = World::open().await;
    let (ada, bob) = (world.first().await, world.another("owner").await);
    let _host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let veto =
        says(&json!({"message": "see the calendar", "veto": {"reason": "frozen until Monday"}}));
    let (receiver, url) = Receiver::replying(vec![], veto).await;
    let (foreign, foreign_url) = Receiver::start(&[]).await;
    let gate = plugin(&ada, "gate", &url, &json!({"hooks": ["before_deploy"]})).await;
    plugin(&bob, "gate", &foreign_url, &json!({})).await;

    let refused = deploy(&ada, &project, "one").await.expect(403);
    assert_eq!(refused["type"], "urn:towline:problem:plugin_veto");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("gate") && detail.contains("frozen until Monday"));
    let listed = ada.get("/api/v1/deployments").await.expect(200);
    assert_eq!(listed["items"], json!([]));
    let usage = ada.get("/api/v1/usage").await.expect(200);
    assert_eq!(usage["current"]["deployments"], 0);
    let asked = receiver.wait_for(1).await[0].verified(&gate.secret);
    assert_eq!(asked["type"], "before_deploy");
    let data = &asked["data"];
    assert_eq!(
        (
            &data["project"]["name"],
            &data["target"]["name"],
            &data["environment"]
        ),
        (&json!("shop"), &json!("web-1"), &json!("production"))
    );
    let run = gate.last_run(&ada).await;
    assert_eq!(
        (
            &run["state"],
            &run["effect"],
            &run["message"],
            &run["project_id"]
        ),
        (
            &json!("vetoed"),
            &json!("refused"),
            &json!("frozen until Monday"),
            &json!(project)
        )
    );
    assert_eq!(
        run["id"],
        receiver.wait_for(1).await[0].header("webhook-id")
    );
    let path = format!("/api/v1/plugin-runs/{}", run["id"].as_str().unwrap());
    let whole = ada.get(&path).await.expect(200);
    assert!(
        whole["response_body"]
            .as_str()
            .unwrap()
            .contains("calendar")
    );

    // The same request may be made again, and when it was accepted nobody is asked once more.
    receiver.reply(says(&json!({"message": "go ahead"})));
    let made = deploy(&ada, &project, "one").await.expect(202);
    assert_eq!(receiver.count(), 2);
    receiver.reply(Reply::Echo(500));
    let again = deploy(&ada, &project, "one").await.expect(202);
    assert_eq!((&again["id"], receiver.count()), (&made["id"], 2));
    let activity = ada
        .get("/api/v1/activity?action=deployment.create")
        .await
        .expect(200);
    assert_eq!(
        activity["items"][0]["metadata"]["plugins"],
        json!([{"plugin": "gate", "message": "go ahead"}])
    );

    // A retry is another deployment; a removal is none.
    let one = format!("/api/v1/deployments/{}", made["id"].as_str().unwrap());
    ada.post(&format!("{one}/cancel"), &json!({}))
        .await
        .expect(200);
    until(&ada, &one, |shown| shown["status"] == "cancelled").await;
    ada.post(&format!("{one}/retry"), &json!({}))
        .await
        .expect(503);
    let asked = receiver.wait_for(3).await[2].verified(&gate.secret);
    assert_eq!(asked["data"]["retry_of"], made["id"]);
    let removals = format!("/api/v1/projects/{project}/removals");
    ada.post(&removals, &json!({"target": "web-1"}))
        .await
        .expect(202);
    assert_eq!((receiver.count(), foreign.count()), (3, 0));

    let audit = ada.get("/api/v1/audit").await.expect(200).to_string();
    assert!(audit.contains("deployment.refuse") && audit.contains("frozen until Monday"));
    assert!(!audit.contains("whsec_") && !audit.contains("/hook"));
    let shown = ada.get(&gate.at("")).await.expect(200).to_string();
    assert!(!shown.contains("whsec_"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_answer_does_as_the_policy_says() {
    let world = World::open().await;
    let ada = world.first().await;
    let (receiver, url) = Receiver::start(&[]).await;
    let (elsewhere, other) = Receiver::start(&[]).await;
    let slow = json!({"timeout_s": 1, "hooks": ["before_project"]});
    let gate = plugin(&ada, "gate", &url, &slow).await;
    let large = format!(r#"{{"message":"{}"}}"#, " ".repeat(64 * 1024));
    for (number, (reply, said)) in [
        (Reply::Echo(200), "cannot be read"),
        (says(&json!({"vetoed": true})), "vetoed"),
        (Reply::Says(200, large), "more than"),
        (Reply::Echo(500), "answered 500"),
        (Reply::Moved(other), "answered 302"),
        (Reply::Late(Duration::from_secs(3)), "within 1 seconds"),
    ]
    .into_iter()
    .enumerate()
    {
        receiver.reply(reply);
        for (policy, status, effect) in [("closed", 503, "refused"), ("open", 201, "allowed")] {
            let change = json!({"failure_policy": policy});
            ada.patch(&gate.at(""), &change).await.expect(200);
            let new = json!({"name": format!("p{number}")});
            let answer = ada.post("/api/v1/projects", &new).await.expect(status);
            let run = gate.last_run(&ada).await;
            assert_eq!(
                (&run["state"], &run["effect"]),
                (&json!("failed"), &json!(effect))
            );
            assert!(run["error"].as_str().unwrap().contains(said), "{run}");
            if status == 503 {
                assert_eq!(answer["type"], "urn:towline:problem:plugin_unavailable");
                assert!(
                    answer["detail"].as_str().unwrap().contains(said),
                    "{answer}"
                );
            }
        }
    }
    assert_eq!(elsewhere.count(), 0, "no redirect is followed");
    receiver.reply(says(&json!({"veto": {"reason": "no more"}})));
    let refused = ada
        .post("/api/v1/projects", &json!({"name": "one-more"}))
        .await;
    assert_eq!(
        refused.expect(403)["type"],
        "urn:towline:problem:plugin_veto"
    );
    let listed = ada.get("/api/v1/projects").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 6);
    let audit = ada
        .get("/api/v1/activity?action=project.refuse")
        .await
        .expect(200);
    assert_eq!(audit["items"].as_array().unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_leads_inside_is_not_called() {
    let world = World::with(|parts| {
        let policy = Policy {
            allow: Vec::new(),
            plain_http: PlainHttp::Allowed,
        };
        parts.egress = Egress::new(policy, outbox::LIMITS);
    })
    .await;
    let ada = world.first().await;
    let (receiver, url) = Receiver::start(&[]).await;
    let inside = url.replace("127.0.0.1", "localhost");
    let gate = plugin(&ada, "gate", &inside, &json!({})).await;
    let refused = ada.post("/api/v1/projects", &json!({"name": "shop"})).await;
    let refused = refused.expect(503);
    assert!(
        refused["detail"].as_str().unwrap().contains("loopback"),
        "{refused}"
    );
    let tested = ada.post(&gate.at("/test"), &json!({})).await.expect(200);
    assert_eq!(
        (&tested["state"], &tested["effect"]),
        (&json!("failed"), &json!("told"))
    );
    assert_eq!(receiver.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_happened_is_told_once_it_is_taken() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let thanks = says(&json!({"message": "noted", "veto": {"reason": "too late"}}));
    let (receiver, url) = Receiver::replying(vec![Reply::Echo(500)], thanks).await;
    let hooks = json!({"hooks": ["after_project", "after_deploy", "failed_deploy"]});
    let told = plugin(&ada, "told", &url, &hooks).await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let failed = Outcome::Failed {
        reason: FailureReason::Unhealthy,
        message: "it is not well".to_owned(),
    };
    let succeeded = Outcome::Succeeded { images: Vec::new() };
    for (key, outcome) in [("one", succeeded), ("two", failed)] {
        deploy(&ada, &project, key).await.expect(202);
        let attempt = host.begin().await;
        host.finish(attempt, outcome).await;
    }
    let messages = receiver.wait_for(4).await;
    let mut types: Vec<_> = messages
        .iter()
        .map(|message| {
            let told = message.verified(&told.secret);
            assert_eq!(told["data"]["project"]["name"], "shop");
            told["type"].as_str().unwrap().to_owned()
        })
        .collect();
    types.sort_unstable();
    let ended = |all: &Value| {
        let items = all["items"].as_array().unwrap();
        items.iter().all(|run| run["state"] == "delivered")
    };
    let runs = until(&ada, &told.at("/runs"), ended).await;
    let runs = runs["items"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    assert!(
        runs.iter()
            .all(|run| run["effect"] == "told" && run["message"] == "too late")
    );
    assert_eq!(receiver.count(), 4, "{types:?}");
    types.dedup();
    assert_eq!(types, ["after_deploy", "after_project", "failed_deploy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_tried_and_its_secret_exchanged() {
    let world = World::open().await;
    let ada = world.first().await;
    let (receiver, url) = Receiver::replying(vec![], says(&json!({"message": "here"}))).await;
    let gate = plugin(&ada, "gate", &url, &json!({})).await;
    let tested = ada.post(&gate.at("/test"), &json!({})).await.expect(200);
    assert_eq!(
        (&tested["state"], &tested["hook"], &tested["message"]),
        (&json!("delivered"), &json!("test"), &json!("here"))
    );
    let first = receiver.wait_for(1).await[0].verified(&gate.secret);
    assert_eq!(first["type"], "plugin.test");
    let rotated = ada
        .post(&gate.at("/rotate-secret"), &json!({}))
        .await
        .expect(200);
    let secret = rotated["secret"].as_str().unwrap();
    assert_ne!(secret, gate.secret);
    ada.post(&gate.at("/test"), &json!({})).await.expect(200);
    receiver.wait_for(2).await[1].verified(secret);
    let off = ada.patch(&gate.at(""), &json!({"enabled": false})).await;
    assert_eq!(off.expect(200)["state"], "disabled");
    ada.post("/api/v1/projects", &json!({"name": "shop"}))
        .await
        .expect(201);
    assert_eq!(receiver.count(), 2, "what is switched off is not asked");
    ada.delete(&gate.at("")).await.expect(204);
    let run = format!("/api/v1/plugin-runs/{}", tested["id"].as_str().unwrap());
    ada.get(&run).await.expect(404);
    let audit = ada.get("/api/v1/audit").await.expect(200).to_string();
    for action in ["create", "test", "rotate_secret", "change", "delete"] {
        assert!(audit.contains(&format!("plugin.{action}")), "{action}");
    }
}

#[tokio::test]
async fn wrong_input_is_named() {
    let world = World::open().await;
    let ada = world.first().await;
    let good =
        json!({"name": "gate", "url": "https://example.org/hook", "hooks": ["before_deploy"]});
    let long = format!("https://example.org/{}", "x".repeat(2048));
    let with = |field: &str, value: &Value| {
        let mut body = good.clone();
        body[field] = value.clone();
        body
    };
    let made = ada.post("/api/v1/plugins", &good).await.expect(201);
    let one = format!("/api/v1/plugins/{}", made["id"].as_str().unwrap());
    assert_eq!(
        (&made["timeout_s"], &made["failure_policy"], &made["state"]),
        (&json!(5), &json!("closed"), &json!("enabled"))
    );
    for (field, value, said) in [
        ("name", json!("Gate!"), "name"),
        ("name", json!(Uuid::nil()), "id"),
        ("url", json!("https://10.0.0.1/"), "private"),
        ("url", json!("https://169.254.169.254/"), "metadata"),
        ("url", json!("ftp://a/"), "https"),
        ("url", json!("https://u:p@a.example/"), "password"),
        ("url", json!(long), "2048"),
        ("hooks", json!([]), "one hook"),
        ("hooks", json!(["before_lunch"]), "before_lunch"),
        ("hooks", json!("before_deploy"), "sequence"),
        ("timeout_s", json!(0), "1 to 30"),
        ("timeout_s", json!(31), "1 to 30"),
        ("timeout_s", json!(-1), "-1"),
        ("failure_policy", json!("ajar"), "open, closed"),
        ("secret", json!("mine"), "secret"),
    ] {
        let refused = ada
            .post("/api/v1/plugins", &with(field, &value))
            .await
            .expect(422);
        assert_eq!(refused["field"], field, "{refused}");
        assert!(
            refused["detail"].as_str().unwrap().contains(said),
            "{refused}"
        );
        let refused = ada.patch(&one, &json!({ field: value })).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
    }
    ada.post("/api/v1/plugins", &good).await.expect(409);
    for number in 1..10 {
        let name = json!(format!("gate-{number}"));
        ada.post("/api/v1/plugins", &with("name", &name))
            .await
            .expect(201);
    }
    let refused = ada
        .post("/api/v1/plugins", &with("name", &json!("more")))
        .await;
    assert!(
        refused.expect(409)["detail"]
            .as_str()
            .unwrap()
            .contains("at most 10")
    );
}
