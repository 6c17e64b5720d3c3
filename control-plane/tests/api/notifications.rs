//! Notifications: told in the product, by mail, and over channels that answer on loopback.

use serde_json::{Value, json};

use crate::receiver::{Receiver, until};
use crate::smtp::Postbox;
use crate::world::{Answer, PASSWORD, Somebody, World};

const CHANNELS: &str = "/api/v1/notification-channels";
const RULES: &str = "/api/v1/notification-rules";
const SLACK: &str = "https://hooks.slack.com/services/T0/B0/x";
const BOT: &str = "110201543:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc";

async fn channel(ada: &Somebody<'_>, kind: &str, name: &str, settings: Value) -> Value {
    let new = json!({"kind": kind, "name": name, "settings": settings});
    ada.post(CHANNELS, &new).await.expect(201)
}

fn at(channel: &Value, behind: &str) -> String {
    format!("{CHANNELS}/{}{behind}", channel["id"].as_str().unwrap())
}

async fn choose(ada: &Somebody<'_>, rule: Value) -> Answer {
    ada.put(RULES, &json!({ "rules": [rule] })).await
}

/// Somebody new comes into the team of the one who asks.
async fn newcomer(ada: &Somebody<'_>, world: &World, name: &str) {
    let email = format!("{}@example.org", uuid::Uuid::now_v7().simple());
    let invite = json!({"email": email, "role": "viewer"});
    let invited = ada.post("/api/v1/invitations", &invite).await.expect(201);
    let link = invited["link"].as_str().unwrap();
    let (_, token) = link.split_once('#').unwrap();
    let token = token.split('.').next().unwrap();
    let accept = json!({"token": token, "name": name});
    let path = "/api/v1/invitations/accept";
    world.nobody().post(path, &accept).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_channel_is_called_as_its_service_wants_it_and_keeps_its_secrets() {
    let world = World::open().await;
    let ada = world.first().await;
    let (receiver, url) = Receiver::start(&[]).await;
    let server = url.strip_suffix("/hook").unwrap();
    let secret_path = |name: &str| format!("{server}/{name}/hunter2");
    let made = [
        channel(&ada, "slack", "s", json!({"url": secret_path("slack")})).await,
        channel(&ada, "discord", "d", json!({"url": secret_path("discord")})).await,
        channel(
            &ada,
            "telegram",
            "t",
            json!({"server": server, "bot_token": BOT, "chat_id": "-100"}),
        )
        .await,
        channel(
            &ada,
            "ntfy",
            "n",
            json!({"server": server, "topic": "deploys", "token": "tk_hunter2"}),
        )
        .await,
        channel(&ada, "webhook", "w", json!({"url": secret_path("webhook")})).await,
    ];
    let secret = made[4]["secret"].as_str().unwrap();
    for (place, one) in made.iter().enumerate() {
        let sent = ada.post(&at(one, "/test"), &json!({})).await.expect(200);
        assert_eq!(sent["state"], "delivered", "{sent}");
        assert_eq!(sent["response_status"], 200);
        let message = &receiver.wait_for(place + 1).await[place];
        let body = message.json();
        let said = format!(
            "This is a test of your channel {}",
            one["name"].as_str().unwrap()
        );
        match one["kind"].as_str().unwrap() {
            "slack" => {
                assert_eq!(
                    (message.path.as_str(), &body["text"]),
                    ("/slack/hunter2", &json!(said))
                );
            }
            "discord" => {
                assert_eq!(message.path, "/discord/hunter2");
                assert_eq!(body["allowed_mentions"], json!({"parse": []}));
            }
            "telegram" => {
                assert_eq!(message.path, format!("/bot{BOT}/sendMessage"));
                assert_eq!(body["chat_id"], -100);
            }
            "ntfy" => {
                assert_eq!(
                    (message.path.as_str(), &body["topic"]),
                    ("/", &json!("deploys"))
                );
                assert_eq!(message.headers["authorization"], "Bearer tk_hunter2");
            }
            _ => {
                let body = message.verified(secret);
                assert_eq!(body["type"], "channel.test");
            }
        }
        // The receiver gives back the path that it was asked for.
        let shown = ada
            .get(&at(one, "/deliveries"))
            .await
            .expect(200)
            .to_string();
        assert!(
            shown.contains("delivered") && !shown.contains("hunter2"),
            "{shown}"
        );
        assert!(!shown.contains(BOT), "{shown}");
    }
    let listed = ada.get(CHANNELS).await.expect(200).to_string();
    let audit = ada.get("/api/v1/audit").await.expect(200).to_string();
    for text in [listed, audit] {
        for hidden in ["hunter2", BOT, secret, "whsec_"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
    ada.delete(&at(&made[0], "")).await.expect(204);
    ada.post(&at(&made[0], "/test"), &json!({}))
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_told_until_it_is_taken_and_steers_nothing() {
    let world = World::open().await;
    let ada = world.first().await;
    let (receiver, url) = Receiver::start(&[503]).await;
    let slack = channel(&ada, "slack", "ops", json!({ "url": url })).await;
    let to = json!([{"channel_id": slack["id"], "tell": "all"}]);
    let rule = json!({"event": "member.joined", "in_product": "all", "channels": to});
    let rules = choose(&ada, rule).await.expect(200);
    let joined = rules["items"].as_array().unwrap().iter();
    let mut joined = joined.filter(|rule| rule["event"] == "member.joined");
    assert_eq!(joined.next().unwrap()["is_default"], false);
    newcomer(&ada, &world, "<!channel> & *Bob*").await;
    let messages = receiver.wait_for(2).await;
    assert_eq!(messages[0].body, messages[1].body, "it is the same message");
    let text = messages[0].json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("&lt;!channel&gt; &amp; *Bob* ("), "{text}");
    let deliveries = at(&slack, "/deliveries");
    let listed = until(&ada, &deliveries, |listed| {
        listed["items"][0]["state"] == "delivered"
    })
    .await;
    assert_eq!(listed["items"][0]["attempts"], 2);
    let told = ada
        .get("/api/v1/notifications?unread=true")
        .await
        .expect(200);
    let first = &told["items"][0];
    assert_eq!(first["type"], "member.joined");
    let count =
        async || ada.get("/api/v1/notifications/unread").await.expect(200)["unread"].clone();
    assert_eq!(count().await, 1);
    let path = format!(
        "/api/v1/notifications/{}/read",
        first["id"].as_str().unwrap()
    );
    let read = ada.post(&path, &json!({})).await.expect(200);
    assert_eq!((&read["is_read"], count().await), (&json!(true), json!(0)));
    newcomer(&ada, &world, "Cleo").await;
    let all = ada
        .post("/api/v1/notifications/read", &json!({}))
        .await
        .expect(200);
    assert_eq!((&all["read"], count().await), (&json!(1), json!(0)));
    let unread = ada
        .get("/api/v1/notifications?unread=true")
        .await
        .expect(200);
    assert_eq!(unread["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_gone_is_switched_off_and_the_others_go_on() {
    let world = World::open().await;
    let ada = world.first().await;
    let (gone, gone_url) = Receiver::start(&[404]).await;
    let (well, well_url) = Receiver::start(&[]).await;
    let first = channel(&ada, "discord", "gone", json!({ "url": gone_url })).await;
    let second = channel(&ada, "webhook", "well", json!({ "url": well_url })).await;
    let to = json!([
        {"channel_id": first["id"], "tell": "all"},
        {"channel_id": second["id"], "tell": "all"},
    ]);
    let rule = json!({"event": "member.joined", "in_product": "none", "channels": to});
    choose(&ada, rule).await.expect(200);
    newcomer(&ada, &world, "Bob").await;
    gone.wait_for(1).await;
    let told = &well.wait_for(1).await[0];
    assert_eq!(told.json()["data"]["team"], "Ada");
    let shown = until(&ada, CHANNELS, |listed| {
        let all = listed["items"].as_array().unwrap().iter();
        all.clone().any(|one| one["state"] == "broken")
    })
    .await;
    let broken = shown["items"].as_array().unwrap().iter();
    let broken = broken.clone().find(|one| one["state"] == "broken").unwrap();
    assert_eq!(broken["name"], "gone");
    assert_eq!(broken["last_error"], "the receiver answered 404");
    let told = ada.get("/api/v1/notifications").await.expect(200);
    assert_eq!(told["items"][0]["type"], "channel.broken");
    let on = ada
        .patch(&at(&first, ""), &json!({"enabled": true}))
        .await
        .expect(200);
    assert_eq!(on["state"], "enabled");
    newcomer(&ada, &world, "Cleo").await;
    gone.wait_for(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_guards_an_account_is_mailed_to_its_address() {
    let mut postbox = Postbox::open().await;
    let mailer = postbox.mailer("?tls=none");
    let world = World::with(|parts| parts.mailer = Some(mailer)).await;
    let ada = world.first().await;
    let browser = world.sign_in("ada@example.org", PASSWORD).await;
    let mail = postbox.next().await;
    assert_eq!(mail.to, ["ada@example.org"]);
    for part in [
        "Subject: [Towline] Somebody has signed in to your account",
        "You are told of this by https://plane.example:8443",
    ] {
        assert!(mail.text.contains(part), "{part} in {}", mail.text);
    }
    let new = json!({"password": PASSWORD, "new_password": "a better horse battery"});
    browser.post("/api/v1/me/password", &new).await.expect(204);
    let mail = postbox.next().await;
    assert!(
        mail.text.contains("another password") && !mail.text.contains("horse"),
        "{}",
        mail.text
    );
    let listed = ada.get(CHANNELS).await.expect(200);
    let channel = &listed["items"][0];
    assert_eq!(
        (&channel["kind"], &channel["host"]),
        (&json!("email"), &Value::Null)
    );
    let sent = ada
        .post(&at(channel, "/test"), &json!({}))
        .await
        .expect(200);
    assert_eq!(sent["state"], "delivered", "{sent}");
    assert!(
        postbox
            .next()
            .await
            .text
            .contains("This is a test of your channel email")
    );
    let silent = json!({"event": "account.signed_in", "in_product": "all"});
    choose(&ada, silent).await.expect(200);
    world
        .sign_in("ada@example.org", "a better horse battery")
        .await;
    assert!(postbox.is_empty().await);
    ada.delete(&at(channel, "")).await.expect(409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mail_server_a_test_of_mail_says_so() {
    let world = World::open().await;
    let ada = world.first().await;
    let listed = ada.get(CHANNELS).await.expect(200);
    let test = at(&listed["items"][0], "/test");
    let refused = ada.post(&test, &json!({})).await.expect(409);
    assert!(
        refused["remedy"].as_str().unwrap().contains("smtp"),
        "{refused}"
    );
    let (_receiver, url) = Receiver::start(&[]).await;
    let hook = channel(&ada, "webhook", "w", json!({ "url": url })).await;
    let mut last = None;
    for _ in 0..12 {
        last = Some(ada.post(&at(&hook, "/test"), &json!({})).await);
    }
    let last = last.unwrap();
    last.expect(429);
    assert!(last.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn wrong_channels_are_named() {
    let world = World::with(|parts| parts.chat_hosts.clear()).await;
    let ada = world.first().await;
    let slack = SLACK;
    let long = "x".repeat(101);
    for (kind, name, settings, field, said) in [
        ("email", "e", json!({}), "kind", "already"),
        ("pager", "p", json!({}), "kind", "pager"),
        ("slack", "", json!({ "url": slack }), "name", "empty"),
        ("slack", &long, json!({ "url": slack }), "name", "long"),
        ("slack", "s", json!({}), "settings.url", "missing"),
        (
            "slack",
            "s",
            json!({"url": "https://evil.example/x"}),
            "settings.url",
            "evil.example",
        ),
        (
            "slack",
            "s",
            json!({"url": "https://10.0.0.1/x"}),
            "settings.url",
            "private",
        ),
        (
            "slack",
            "s",
            json!({"url": "http://127.0.0.1:9/x"}),
            "settings.url",
            "not a host of slack",
        ),
        (
            "slack",
            "s",
            json!({ "url": slack, "topic": "t" }),
            "settings.topic",
            "no such",
        ),
        (
            "slack",
            "s",
            json!({ "url": slack, "more": 1 }),
            "settings.more",
            "more",
        ),
        (
            "discord",
            "d",
            json!({ "url": slack }),
            "settings.url",
            "discord",
        ),
        (
            "telegram",
            "t",
            json!({"bot_token": "x", "chat_id": "1"}),
            "settings.bot_token",
            "token",
        ),
        (
            "telegram",
            "t",
            json!({"bot_token": BOT, "chat_id": "me"}),
            "settings.chat_id",
            "chat",
        ),
        (
            "telegram",
            "t",
            json!({"bot_token": BOT}),
            "settings.chat_id",
            "missing",
        ),
        (
            "telegram",
            "t",
            json!({"bot_token": BOT, "chat_id": "1", "server": "https://a.example"}),
            "settings.server",
            "a.example",
        ),
        (
            "ntfy",
            "n",
            json!({"topic": "a/b"}),
            "settings.topic",
            "topic",
        ),
        (
            "ntfy",
            "n",
            json!({"topic": "t", "token": "a b"}),
            "settings.token",
            "token",
        ),
        (
            "ntfy",
            "n",
            json!({"topic": "t", "server": "https://ntfy.sh/x"}),
            "settings.server",
            "ends",
        ),
        (
            "webhook",
            "w",
            json!({"url": "ftp://a/"}),
            "settings.url",
            "https",
        ),
    ] {
        let new = json!({"kind": kind, "name": name, "settings": settings});
        let refused = ada.post(CHANNELS, &new).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{refused}");
        assert!(
            !detail.contains(BOT) && !detail.contains("services"),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_rules_are_named() {
    let world = World::open().await;
    let ada = world.first().await;
    for (rule, said) in [
        (json!({"event": "x.y", "in_product": "all"}), "x.y"),
        (
            json!({"event": "member.joined", "in_product": "own"}),
            "own",
        ),
        (
            json!({"event": "member.joined", "in_product": "some"}),
            "some",
        ),
        (json!({"event": "member.joined", "channels": []}), "missing"),
        (
            json!({"event": "member.joined", "in_product": "all", "more": 1}),
            "more",
        ),
        (
            json!({"event": "member.joined", "in_product": "all", "channels": [{"channel_id": uuid::Uuid::now_v7(), "tell": "all"}]}),
            "none of yours",
        ),
    ] {
        let refused = choose(&ada, rule).await.expect(422);
        assert!(
            refused["detail"].as_str().unwrap().contains(said),
            "{refused}"
        );
        assert!(
            refused["field"].as_str().unwrap().starts_with("rules"),
            "{refused}"
        );
    }
    let twice = json!({"event": "member.joined", "in_product": "all"});
    let refused = ada
        .put(RULES, &json!({"rules": [twice, twice]}))
        .await
        .expect(422);
    assert!(refused["detail"].as_str().unwrap().contains("twice"));
    ada.get("/api/v1/notifications?limit=0").await.expect(422);
    ada.get("/api/v1/notifications?seen=1").await.expect(422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_have_names_of_their_own_and_are_not_too_many() {
    let world = World::open().await;
    let ada = world.first().await;
    let slack = SLACK;
    let one = channel(&ada, "slack", "s", json!({ "url": slack })).await;
    let again = json!({"kind": "slack", "name": "s", "settings": { "url": slack }});
    ada.post(CHANNELS, &again).await.expect(409);
    ada.patch(&at(&one, ""), &json!({"settings": {"topic": "t"}}))
        .await
        .expect(422);
    ada.patch(&at(&one, ""), &json!({"name": "email"}))
        .await
        .expect(409);
    for number in 0..19 {
        channel(
            &ada,
            "slack",
            &format!("s{number}"),
            json!({ "url": slack }),
        )
        .await;
    }
    let more = json!({"kind": "slack", "name": "more", "settings": { "url": slack }});
    ada.post(CHANNELS, &more).await.expect(409);
}
