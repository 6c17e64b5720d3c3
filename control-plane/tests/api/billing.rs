//! Plans that are granted, and plans that are bought at Stripe. Stripe itself is not called: a server of the test takes
//! its place, and looks at what is sent.

use std::collections::BTreeMap;

use axum::body::Body;
use chrono::{TimeDelta, Utc};
use http::Method;
use serde_json::{Value, json};
use towline_server::stripe::{SIGNATURE, Stripe, StripeKeys, sign};
use uuid::Uuid;

use crate::receiver::{Receiver, Reply};
use crate::world::{Answer, Somebody, World, egress};

const SECRET: &str = "whsec_of_this_endpoint";
const EVENTS: &str = "/api/v1/billing/stripe/events";

async fn plan(somebody: &Somebody<'_>, name: &str) -> String {
    let listed = somebody.get("/api/v1/plans").await.expect(200);
    let plans = listed["items"].as_array().unwrap();
    let found = plans.iter().find(|plan| plan["name"] == name).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

/// The plan Pro, as every installation has it.
const PRO: &str = "01980000-0000-7000-8000-000000000002";

/// An installation that sells Pro by a Stripe of the test.
async fn selling(url: &str) -> World {
    let keys = StripeKeys {
        secret_key: "sk_test_hunter2".to_owned().into(),
        webhook_secret: SECRET.to_owned().into(),
    };
    let prices = BTreeMap::from([("price_pro".to_owned(), PRO.parse().unwrap())]);
    let own = "https://plane.example:8443".parse().unwrap();
    let stripe = Stripe::new(egress(), url, keys, prices, &own).unwrap();
    World::with(|parts| parts.stripe = Some(stripe)).await
}

async fn user(somebody: &Somebody<'_>) -> String {
    let me = somebody.get("/api/v1/me").await.expect(200);
    me["user"]["id"].as_str().unwrap().to_owned()
}

async fn tell(world: &World, event: &Value) -> Answer {
    let body = event.to_string();
    send(world, &sign(SECRET, Utc::now(), body.as_bytes()), body).await
}

async fn send(world: &World, signature: &str, body: String) -> Answer {
    let nobody = world.nobody();
    let request = nobody
        .request(Method::POST, EVENTS)
        .header(SIGNATURE, signature);
    nobody.ask(request.body(Body::from(body)).unwrap()).await
}

fn event(id: &str, kind: &str, status: &str, user: &str) -> Value {
    let now = Utc::now().timestamp();
    json!({"id": id, "type": kind, "created": now, "data": {"object": {
        "id": "sub_1", "customer": "cus_1", "status": status, "start_date": now,
        "metadata": {"towline_user": user},
        "items": {"data": [{"price": {"id": "price_pro"}, "current_period_end": now + 2_592_000}]},
    }}})
}

#[tokio::test]
async fn an_administrator_grants_a_plan_and_ends_it() {
    let world = World::open().await;
    let ada = world.first().await;
    let bob = world.on_free().await;
    let bobs = user(&bob).await;
    let own = bob.get("/api/v1/billing").await.expect(200);
    assert_eq!(
        (&own["plan"]["name"], &own["until"]),
        (&json!("Free"), &Value::Null)
    );
    assert_eq!(
        (&own["subscriptions"], &own["for_sale"]),
        (&json!([]), &json!([]))
    );

    let until = (Utc::now() + TimeDelta::days(30))
        .format("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let wish = json!({"user": bobs, "plan": PRO, "until": until});
    bob.post("/api/v1/subscriptions", &wish).await.expect(403);
    bob.get("/api/v1/subscriptions").await.expect(403);
    let made = ada.post("/api/v1/subscriptions", &wish).await.expect(201);
    assert_eq!(
        (&made["plan"], &made["gives_until"]),
        (&json!("Pro"), &json!(until))
    );
    let own = bob.get("/api/v1/billing").await.expect(200);
    assert_eq!(
        (&own["plan"]["name"], &own["until"]),
        (&json!("Pro"), &json!(until))
    );
    let usage = bob.get("/api/v1/usage").await.expect(200);
    assert_eq!(usage["plan"]["name"], "Pro");
    let listed = ada
        .get(&format!("/api/v1/subscriptions?user={bobs}&limit=1"))
        .await;
    assert_eq!(listed.expect(200)["items"], json!([made]));
    let others = ada
        .get(&format!("/api/v1/subscriptions?user={}", Uuid::now_v7()))
        .await;
    assert_eq!(others.expect(200)["items"], json!([]));

    for (field, value) in [
        ("user", json!("bob")),
        ("user", json!(Uuid::now_v7())),
        ("plan", json!(Uuid::now_v7())),
        ("plan", json!(plan(&ada, "Free").await)),
        ("until", json!("tomorrow")),
        ("until", json!("2020-01-01T00:00:00Z")),
        ("until", json!("2999-01-01T00:00:00Z")),
        ("price", json!(1)),
    ] {
        let mut wrong = wish.clone();
        wrong[field] = value;
        let refused = ada.post("/api/v1/subscriptions", &wrong).await.expect(422);
        assert_eq!(refused["field"], field, "{wrong}");
    }
    for query in ["limit=0", "cursor=x", "user=x", "plan=x"] {
        let refused = ada
            .get(&format!("/api/v1/subscriptions?{query}"))
            .await
            .expect(422);
        assert!(
            query.starts_with(refused["field"].as_str().unwrap()),
            "{query}"
        );
    }
    let one = format!("/api/v1/subscriptions/{}", made["id"].as_str().unwrap());
    ada.delete(&one).await.expect(204);
    ada.delete(&one).await.expect(409);
    for absent in [&Uuid::now_v7().to_string(), "nonsense"] {
        ada.delete(&format!("/api/v1/subscriptions/{absent}"))
            .await
            .expect(404);
    }
    let own = bob.get("/api/v1/billing").await.expect(200);
    assert_eq!(
        (&own["plan"]["name"], &own["until"]),
        (&json!("Free"), &Value::Null)
    );
}

#[tokio::test]
async fn nothing_is_sold_where_it_is_not_set_up() {
    let world = World::open().await;
    let ada = world.first().await;
    let buy = ada
        .post("/api/v1/billing/checkout", &json!({"plan": PRO}))
        .await;
    let portal = ada.post("/api/v1/billing/portal", &json!({})).await;
    for answer in [buy, portal, tell(&world, &json!({})).await] {
        let refused = answer.expect(409);
        assert_eq!(refused["type"], "urn:towline:problem:billing_off");
        assert!(
            refused["remedy"]
                .as_str()
                .unwrap()
                .contains("[billing.stripe]")
        );
    }
}

/// What stands for Stripe and answers with this, and an address of it.
async fn answering(answer: &Value) -> (Receiver, String) {
    Receiver::replying(Vec::new(), Reply::Says(200, answer.to_string())).await
}

#[tokio::test]
async fn a_plan_is_bought_used_and_cancelled() {
    let (stripe, url) = answering(&json!({"url": "https://checkout.stripe.com/c/pay_1"})).await;
    let world = selling(&url).await;
    world.first().await;
    let bob = world.on_free().await;
    let bobs = user(&bob).await;
    assert_eq!(
        bob.get("/api/v1/billing").await.expect(200)["for_sale"],
        json!([PRO])
    );
    bob.post("/api/v1/billing/portal", &json!({}))
        .await
        .expect(409);
    for (body, field) in [
        (json!({"plan": Uuid::now_v7()}), "plan"),
        (json!({"plan": "Pro"}), "plan"),
        (json!({"plan": PRO, "price": 1}), "price"),
    ] {
        let refused = bob
            .post("/api/v1/billing/checkout", &body)
            .await
            .expect(422);
        assert_eq!(refused["field"], field, "{body}");
    }
    let link = bob
        .post("/api/v1/billing/checkout", &json!({"plan": PRO}))
        .await
        .expect(201);
    assert_eq!(link["url"], "https://checkout.stripe.com/c/pay_1");
    let sent = stripe.wait_for(1).await.remove(0);
    assert_eq!(sent.path, "/hook/v1/checkout/sessions");
    assert_eq!(sent.header("authorization"), "Bearer sk_test_hunter2");
    assert_eq!(
        sent.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    let form = std::str::from_utf8(&sent.body).unwrap();
    for field in [
        "mode=subscription".to_owned(),
        "line_items%5B0%5D%5Bprice%5D=price_pro".to_owned(),
        "line_items%5B0%5D%5Bquantity%5D=1".to_owned(),
        format!("client_reference_id={bobs}"),
        format!("subscription_data%5Bmetadata%5D%5Btowline_user%5D={bobs}"),
        "success_url=https%3A%2F%2Fplane.example%3A8443%2Fsign-in".to_owned(),
    ] {
        assert!(
            form.split('&').any(|sent| sent == field),
            "{field} in {form}"
        );
    }
    assert!(
        form.contains("customer_email=") && !form.contains("customer="),
        "{form}"
    );

    let paid = event("evt_1", "customer.subscription.created", "active", &bobs);
    tell(&world, &paid).await.expect(204);
    tell(&world, &paid).await.expect(204);
    let own = bob.get("/api/v1/billing").await.expect(200);
    assert_eq!(
        (&own["plan"]["name"], &own["subscriptions"][0]["status"]),
        (&json!("Pro"), &json!("active"))
    );
    bob.post("/api/v1/billing/checkout", &json!({"plan": PRO}))
        .await
        .expect(409);
    bob.post("/api/v1/billing/portal", &json!({}))
        .await
        .expect(201);
    let sent = stripe.wait_for(2).await.remove(1);
    assert_eq!(sent.path, "/hook/v1/billing_portal/sessions");
    assert!(
        sent.body.starts_with(b"customer=cus_1&return_url="),
        "{sent:?}"
    );

    let over = event("evt_2", "customer.subscription.deleted", "canceled", &bobs);
    tell(&world, &over).await.expect(204);
    tell(&world, &paid).await.expect(204);
    let own = bob.get("/api/v1/billing").await.expect(200);
    assert_eq!(
        (&own["plan"]["name"], &own["subscriptions"][0]["status"]),
        (&json!("Free"), &json!("canceled"))
    );
}

#[tokio::test]
async fn what_stripe_refuses_is_not_told_to_people() {
    let secret = json!({"error": {"message": "No such price for sk_test_hunter2"}, "url": "http://evil.example"});
    let (stripe, url) = answering(&secret).await;
    let world = selling(&url).await;
    let ada = world.first().await;
    // The last answer is a link that no browser should follow.
    for status in [400, 500, 302, 200] {
        stripe.reply(Reply::Says(status, secret.to_string()));
        let answer = ada
            .post("/api/v1/billing/checkout", &json!({"plan": PRO}))
            .await;
        assert!(!answer.text().contains("hunter2"), "{answer:?}");
        answer.expect(503);
    }
}

#[tokio::test]
async fn what_stripe_has_not_signed_is_not_taken() {
    let world = selling("http://127.0.0.1:9").await;
    world.first().await;
    let bob = world.on_free().await;
    let event = event(
        "evt_1",
        "customer.subscription.created",
        "active",
        &user(&bob).await,
    );
    let body = event.to_string();
    let (now, old) = (Utc::now(), Utc::now() - TimeDelta::minutes(6));
    for signature in [
        String::new(),
        "t=1,v1=00".to_owned(),
        sign("whsec_another", now, body.as_bytes()),
        sign(SECRET, old, body.as_bytes()),
        sign(SECRET, now, b"{}"),
        "x".repeat(5000),
    ] {
        let refused = send(&world, &signature, body.clone()).await.expect(400);
        assert_eq!(
            refused["detail"], "the signature is missing, wrong or too old",
            "{signature}"
        );
    }
    let long = format!("{body}{}", " ".repeat(256 * 1024));
    let signature = sign(SECRET, now, long.as_bytes());
    send(&world, &signature, long).await.expect(413);
    assert_eq!(
        bob.get("/api/v1/billing").await.expect(200)["plan"]["name"],
        "Free"
    );

    // Signed, and nothing that we know, or can read.
    tell(
        &world,
        &json!({"id": "evt_2", "type": "charge.refunded", "created": 1, "data": {"object": {}}}),
    )
    .await
    .expect(204);
    let mut damaged = event.clone();
    damaged["data"]["object"]["status"] = json!("golden");
    tell(&world, &damaged).await.expect(400);

    // Whoever guesses is slowed down.
    for _ in 0..60 {
        send(&world, "t=1,v1=00", body.clone()).await;
    }
    let refused = send(&world, "t=1,v1=00", body.clone()).await;
    refused.expect(429);
}
