use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn the_link_makes_the_first_user_once() {
    let world = World::open().await;
    let token = world.store.ensure_setup_link().await.unwrap().unwrap();
    let body = json!({"token": *token, "email": "ada@example.org", "name": "Ada"});
    let made = world
        .nobody()
        .post("/api/v1/setup", &body)
        .await
        .expect(201);
    assert_eq!(made["user"]["email"], "ada@example.org");
    let me = world.with_key(made["api_key"]["key"].as_str().unwrap());
    let shown = me.get("/api/v1/me").await.expect(200);
    assert_eq!(shown["user"]["id"], made["user"]["id"]);
    assert_eq!(shown["team"]["id"], made["team"]["id"]);
    assert_eq!(shown["key"]["id"], made["api_key"]["id"]);
    assert!(
        !shown.to_string().contains(me.key.as_deref().unwrap()),
        "the key is shown once"
    );

    world
        .nobody()
        .post("/api/v1/setup", &body)
        .await
        .expect(410);
    assert!(world.store.ensure_setup_link().await.unwrap().is_none());
}

#[tokio::test]
async fn a_newer_link_outdates_the_former_and_bad_input_does_not_use_it_up() {
    let world = World::open().await;
    let former = world.store.ensure_setup_link().await.unwrap().unwrap();
    let token = world.store.ensure_setup_link().await.unwrap().unwrap();
    let body = |token: &str, email: &str, name: &str| json!({"token": token, "email": email, "name": name});
    let setup = async |body| world.nobody().post("/api/v1/setup", &body).await;
    setup(body(&former, "ada@example.org", "Ada"))
        .await
        .expect(410);
    assert_eq!(
        setup(body(&token, "nonsense", "Ada")).await.expect(422)["field"],
        "email"
    );
    assert_eq!(
        setup(body(&token, "ada@example.org", " "))
            .await
            .expect(422)["field"],
        "name"
    );
    setup(body(&token, "ada@example.org", "Ada"))
        .await
        .expect(201);
}

#[tokio::test]
async fn guessing_the_link_is_slowed_down() {
    let world = World::open().await;
    let body = json!({"token": "guess", "email": "ada@example.org", "name": "Ada"});
    let mut statuses = Vec::new();
    for _ in 0..70 {
        statuses.push(
            world
                .nobody()
                .post("/api/v1/setup", &body)
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses[0], 410);
    assert_eq!(*statuses.last().unwrap(), 429);
}

#[tokio::test]
async fn the_page_brings_its_script_and_style_under_a_strict_policy() {
    let world = World::open().await;
    let page = world.nobody().get("/setup").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = page.text();
    for part in [
        "src=\"/setup.js\"",
        "href=\"/setup.css\"",
        "lang=\"en\"",
        "<label for=\"email\">",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for inline in [
        "<style", "style=", "onclick", "<script>", "http://", "https://",
    ] {
        assert!(!html.contains(inline), "{inline}");
    }
    for (path, media) in [
        ("/setup.js", "text/javascript; charset=utf-8"),
        ("/setup.css", "text/css; charset=utf-8"),
    ] {
        let file = world.nobody().get(path).await;
        assert_eq!(
            (
                file.status.as_u16(),
                file.headers["content-type"].to_str().unwrap()
            ),
            (200, media)
        );
    }
}
