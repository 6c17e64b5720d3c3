//! Releases: what ran, what differs, and going back to it.

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};
use towline_shared::outcome::{FailureReason, Outcome};
use towline_shared::spec::{DeployRelease, PinnedImage, Work};
use uuid::Uuid;

use crate::database::on_both;
use crate::host::Host;
use crate::world::{Answer, COMPOSE, Somebody, World, tar};

on_both!(
    a_rollback_deploys_what_ran_then,
    what_cannot_be_gone_back_to_is_refused,
    releases_are_listed_and_compared,
);

const KEEPING: &str = "services:\n  web:\n    image: busybox:latest\n    volumes: ['data:/data']\nvolumes: {data: {}}\n";

fn ran(id: &str) -> Outcome {
    let image = PinnedImage {
        service: "web".into(),
        reference: "busybox:latest".into(),
        id: format!("sha256:{id}"),
        digests: vec![format!("busybox@sha256:{id}{id}")],
    };
    Outcome::Ran {
        images: vec![image],
    }
}

/// Deploys, and lets the host end so.
async fn deploy(ada: &Somebody<'_>, host: &mut Host, project: &str, outcome: Outcome) -> Value {
    let path = format!("/api/v1/projects/{project}/deployments");
    let made = ada
        .post(&path, &json!({"target": "web-1"}))
        .await
        .expect(202);
    let attempt = host.begin().await;
    host.finish(attempt, outcome).await;
    let path = format!("/api/v1/deployments/{}", made["id"].as_str().unwrap());
    ada.get(&path).await.expect(200)
}

async fn roll_back(ada: &Somebody<'_>, project: &str, body: &Value, key: Option<&str>) -> Answer {
    let path = format!("/api/v1/projects/{project}/rollback");
    let mut request = ada
        .request(Method::POST, &path)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    ada.ask(request.body(Body::from(body.to_string())).unwrap())
        .await
}

fn release(work: Work) -> DeployRelease {
    match work {
        Work::Release(release) => release,
        other => panic!("{other:?}"),
    }
}

async fn a_rollback_deploys_what_ran_then() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", KEEPING)]).await;
    let secret = format!("/api/v1/projects/{project}/secrets/PASSWORD");
    ada.put(&secret, &json!({"value": "former"})).await;
    let first = deploy(&ada, &mut host, &project, ran("1")).await;
    assert_eq!(first["images"][0]["digests"], json!(["busybox@sha256:11"]));
    let second = deploy(&ada, &mut host, &project, ran("2")).await;
    assert_eq!(second["release_id"], first["release_id"]);
    ada.put(&secret, &json!({"value": "present"})).await;

    let answer = roll_back(&ada, &project, &json!({}), Some("k")).await;
    let back = answer.expect(202);
    let path = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(back["rollback_of"], first["id"], "{back}");
    let warnings: Vec<&str> = back["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    assert!(
        warnings[0]
            .contains("PASSWORD has changed since: it ran with version 1 and gets version 2"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("the named volume data keeps"),
        "{warnings:?}"
    );
    assert_eq!(back["log"]["lines"], 3);
    let repeated = roll_back(&ada, &project, &json!({}), Some("k"))
        .await
        .expect(202);
    assert_eq!(
        (&repeated["id"], &repeated["warnings"]),
        (&back["id"], &back["warnings"])
    );

    let offer = host.offer().await;
    let work = release(offer.spec.open().unwrap().work);
    assert_eq!(work.images[0].id, "sha256:1");
    assert_eq!(work.images[0].digests, ["busybox@sha256:11"]);
    assert_eq!(
        offer.log.next_line, 3,
        "the agent goes on behind what is said already"
    );
    assert_eq!(offer.secrets[0].value, "present");
    let attempt = host.take(&offer).await;
    host.write(attempt, &["up"]).await;
    host.finish(attempt, ran("1")).await;
    let done = ada.get(&path).await.expect(200);
    assert_eq!(
        (&done["status"], &done["rollback_of"]),
        (&json!("succeeded"), &first["id"])
    );
    let log = ada.get(&format!("{path}/log")).await.expect(200);
    let lines = log["lines"].as_array().unwrap();
    let texts: Vec<&str> = lines
        .iter()
        .map(|line| line["text"].as_str().unwrap())
        .collect();
    assert!(texts[0].starts_with("rollback to deployment"), "{texts:?}");
    assert!(
        texts[1].starts_with("warning: the secret PASSWORD"),
        "{texts:?}"
    );
    assert_eq!((texts.len(), texts[3]), (4, "up"));

    once_more(&ada, &mut host, &project, &done).await;
    ada.delete(&secret).await;
    let forth = json!({"to": second["id"], "target": host.target});
    let forth = roll_back(&ada, &project, &forth, None).await.expect(202);
    let warning = forth["warnings"][0].as_str().unwrap();
    assert!(warning.contains("is gone since"), "{forth}");
    let actions = "/api/v1/activity?action=deployment.create";
    let actions = ada.get(actions).await.expect(200);
    let count = actions["items"].as_array().unwrap().len();
    assert_eq!(count, 5, "each is a deployment");
}

/// A retry of a rollback means the same images.
async fn once_more(ada: &Somebody<'_>, host: &mut Host, project: &str, done: &Value) {
    let path = format!("/api/v1/deployments/{}/retry", done["id"].as_str().unwrap());
    let again = ada.post(&path, &json!({})).await.expect(202);
    assert_eq!(again["project"]["id"], project);
    assert_eq!(again["rollback_of"], done["rollback_of"]);
    let offer = host.offer().await;
    let work = release(offer.spec.open().unwrap().work);
    assert_eq!(work.images[0].id, "sha256:1");
    let attempt = host.take(&offer).await;
    host.finish(attempt, ran("1")).await;
}

async fn what_cannot_be_gone_back_to_is_refused() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let other = ada.project("other", &[("compose.yaml", COMPOSE)]).await;
    for (body, field) in [
        (json!({"to": "x"}), "to"),
        (json!({"target": 5}), "target"),
        (json!({"deadline_s": 0}), "deadline_s"),
        (json!({"settle_ms": 100_000_000}), "settle_ms"),
        (json!({"force": true}), "force"),
    ] {
        let refused = roll_back(&ada, &project, &body, None).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
    }
    let refused = |body: Value| {
        let (ada, project) = (&ada, &project);
        async move {
            let refused = roll_back(ada, project, &body, None).await.expect(409);
            refused["detail"].as_str().unwrap().to_owned()
        }
    };
    assert!(
        refused(json!({}))
            .await
            .contains("has never come up anywhere")
    );
    roll_back(&ada, &project, &json!({"target": "nowhere"}), None)
        .await
        .expect(404);
    let first = deploy(&ada, &mut host, &project, ran("1")).await;
    assert!(
        refused(json!({}))
            .await
            .contains("no release of shop before the present one")
    );
    let failed = Outcome::Failed {
        reason: FailureReason::CrashLoop,
        message: "no luck".into(),
    };
    let failed = deploy(&ada, &mut host, &project, failed).await;
    assert!(
        refused(json!({"to": failed["id"]}))
            .await
            .contains("is failed; only what has come up")
    );
    let of_other = deploy(&ada, &mut host, &other, ran("3")).await;
    for foreign in [
        of_other["id"].clone(),
        of_other["release_id"].clone(),
        json!(Uuid::now_v7()),
    ] {
        let unknown = roll_back(&ada, &project, &json!({"to": foreign}), None).await;
        assert_eq!(unknown.expect(422)["field"], "to");
    }
    let mut second = Host::connect(&ada, &world, "web-2").await;
    assert!(
        refused(json!({"to": first["id"], "target": "web-2"}))
            .await
            .contains("ran on web-1, and not on web-2")
    );
    // After a failure, what ran: a release's id means its last deployment.
    let back = roll_back(&ada, &project, &json!({"to": first["release_id"]}), None).await;
    assert_eq!(back.expect(202)["rollback_of"], first["id"]);
    let attempt = host.begin().await;
    host.finish(attempt, ran("1")).await;

    let removals = format!("/api/v1/projects/{project}/removals");
    let removal = ada
        .post(&removals, &json!({"target": "web-1"}))
        .await
        .expect(202);
    let attempt = host.begin().await;
    host.finish(attempt, Outcome::Succeeded { images: vec![] })
        .await;
    assert!(
        refused(json!({"to": removal["id"]}))
            .await
            .contains("took the project away")
    );
    let back = roll_back(&ada, &project, &json!({}), None)
        .await
        .expect(202);
    assert_eq!(
        back["rollback_of"], first["id"],
        "what ran before it was taken away"
    );
    let path = format!("/api/v1/projects/{project}/deployments");
    ada.post(&path, &json!({"target": "web-2"}))
        .await
        .expect(202);
    let attempt = second.begin().await;
    second.finish(attempt, ran("1")).await;
    assert!(
        refused(json!({}))
            .await
            .contains("was deployed to web-1, web-2")
    );
}

async fn releases_are_listed_and_compared() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let project = ada
        .project("shop", &[("compose.yaml", COMPOSE), ("page", "one\n")])
        .await;
    let one = deploy(&ada, &mut host, &project, ran("1")).await;
    let moved = deploy(&ada, &mut host, &project, ran("2")).await;
    let archive = tar(&[
        ("compose.yaml", COMPOSE),
        ("page", "two\n"),
        ("more", "m\n"),
    ]);
    ada.upload(&project, archive).await.expect(200);
    let two = deploy(&ada, &mut host, &project, ran("2")).await;

    let releases = format!("/api/v1/projects/{project}/releases");
    let listed = ada.get(&releases).await.expect(200);
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["id"], two["release_id"], "the newest first");
    let first = &listed[1];
    assert_eq!(
        (&first["deployments"], &first["images"][0]["id"]),
        (&json!(2), &json!("sha256:2"))
    );
    assert!(
        first["first_deployed_at"].as_str() < first["last_deployed_at"].as_str(),
        "{first}"
    );
    assert_eq!(first["digest"].as_str().unwrap().len(), 64);
    let page = ada.get(&format!("{releases}?limit=1")).await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = format!("{releases}?limit=1&cursor={cursor}");
    let next = ada.get(&next).await.expect(200);
    assert_eq!(next["items"][0]["id"], first["id"]);
    let shown = format!("{releases}/{}", first["id"].as_str().unwrap());
    assert_eq!(&ada.get(&shown).await.expect(200), first);

    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let diff = |from: String, to: String| {
        let path = format!("{releases}/{from}/diff/{to}");
        let ada = &ada;
        async move { ada.get(&path).await }
    };
    let told = diff(text(&one["release_id"]), text(&two["release_id"]))
        .await
        .expect(200);
    let files = told["files"].as_array().unwrap();
    assert_eq!(
        (&files[0]["path"], &files[0]["change"]),
        (&json!("more"), &json!("added"))
    );
    assert!(text(&files[1]["text"]).ends_with("-one\n+two\n"), "{told}");
    let told = diff(text(&one["id"]), text(&moved["id"])).await.expect(200);
    assert_eq!(told["files"], json!([]), "the files are the same");
    assert_eq!(told["images"][0]["to"]["id"], "sha256:2");
    let other = ada.project("other", &[("compose.yaml", COMPOSE)]).await;
    let foreign = deploy(&ada, &mut host, &other, ran("1")).await;
    for absent in [
        text(&foreign["id"]),
        text(&foreign["release_id"]),
        Uuid::now_v7().to_string(),
        "x".to_owned(),
    ] {
        diff(text(&one["release_id"]), absent.clone())
            .await
            .expect(404);
        diff(absent, text(&one["release_id"])).await.expect(404);
    }
}
