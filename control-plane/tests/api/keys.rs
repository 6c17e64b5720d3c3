use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_key_is_made_listed_used_and_ended() {
    let world = World::open().await;
    let ada = world.first().await;
    let made = ada
        .post(
            "/api/v1/api-keys",
            &json!({"name": "ci", "expires_in_days": 30}),
        )
        .await
        .expect(201);
    let ci = world.with_key(made["key"].as_str().unwrap());
    assert_eq!(ci.get("/api/v1/me").await.expect(200)["key"]["name"], "ci");
    let listed = ada.get("/api/v1/api-keys").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(ci.key.as_deref().unwrap()));

    let path = format!("/api/v1/api-keys/{}", made["id"].as_str().unwrap());
    ada.delete(&path).await.expect(204);
    ci.get("/api/v1/me").await.expect(401);
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let world = World::open().await;
    let ada = world.first().await;
    let table = [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": 1}), "name"),
        (
            json!({"name": "a", "expires_in_days": 0}),
            "expires_in_days",
        ),
        (
            json!({"name": "a", "expires_in_days": 3651}),
            "expires_in_days",
        ),
        (
            json!({"name": "a", "expires_in_days": -1}),
            "expires_in_days",
        ),
        (json!({"name": "a", "scope": "all"}), "scope"),
    ];
    for (body, field) in table {
        let problem = ada.post("/api/v1/api-keys", &body).await.expect(422);
        assert_eq!(problem["field"], field, "{body}");
    }
}

#[tokio::test]
async fn lists_are_paged() {
    let world = World::open().await;
    let ada = world.first().await;
    for n in 0..4 {
        ada.post("/api/v1/api-keys", &json!({"name": format!("k{n}")}))
            .await
            .expect(201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ada
            .get(&format!("/api/v1/api-keys?limit=2{cursor}"))
            .await
            .expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(
            items
                .iter()
                .map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names.len(), 5);
    assert_eq!(
        names[..4],
        ["k3", "k2", "k1", "k0"],
        "newest first, none twice"
    );
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("page=1", "page"),
    ] {
        let problem = ada
            .get(&format!("/api/v1/api-keys?{query}"))
            .await
            .expect(422);
        assert_eq!(problem["field"], field, "{query}");
    }
}
