//! What an API key with scopes, or for one project, may ask.

use serde_json::{Value, json};
use towline_server::domain::scope::{Area, Scope, Verb};
use uuid::Uuid;

use crate::authorization::{Route, ask, routes};
use crate::database::on_both;
use crate::host::Host;
use crate::world::{Answer, COMPOSE, Somebody, World};

on_both!(
    a_key_opens_what_its_scopes_say_and_no_more,
    a_key_for_one_project_sees_that_alone,
    somebody_invited_to_one_project_sees_that_alone,
    scopes_that_are_none_are_refused_by_name,
);

/// What a key needs for a route.
#[derive(PartialEq, Eq)]
enum Needs {
    /// Nothing but to be valid.
    Nothing,
    /// A scope of the area.
    Area(Area),
    /// Every scope.
    All,
}

/// The test fails on a route that it does not know.
fn needs(route: &Route) -> Needs {
    let area = match (route.resource(), route.path.as_str()) {
        (_, "/api/v1/me") => return Needs::Nothing,
        (
            "billing"
            | "me"
            | "session"
            | "sessions"
            | "teams"
            | "notifications"
            | "notification-channels"
            | "notification-rules",
            _,
        )
        | (_, "/api/v1/invitations/join") => return Needs::All,
        ("plans", _) if route.method == "patch" => Area::Installation,
        ("installation" | "subscriptions" | "users", _) => Area::Installation,
        ("plans" | "usage", _) => Area::Usage,
        ("activity", _) => Area::Activity,
        ("agents" | "enrolment-tokens", _) => Area::Agents,
        ("api-keys", _) => Area::ApiKeys,
        ("audit", _) => Area::Audit,
        ("integrations" | "registries", _) => Area::Integrations,
        ("plugins" | "plugin-runs", _) => Area::Plugins,
        ("invitations" | "members" | "team", _) => Area::Members,
        ("projects", path) if path.contains("/members") => Area::Members,
        ("metrics", _) => Area::Metrics,
        ("targets", path) if path.contains("/metrics") => Area::Metrics,
        ("targets", path) if path.contains("/docker/") => Area::Docker,
        ("targets", _) => Area::Targets,
        ("projects", path)
            if ["/deployments", "/removals", "/previews", "/rollback"]
                .iter()
                .any(|end| path.ends_with(end)) =>
        {
            Area::Deployments
        }
        ("projects", path) if path.contains("/cluster/") => Area::Deployments,
        ("projects", path) if path.contains("/pipelines") => Area::Deployments,
        ("projects", path) if path.contains("/push") => Area::Deployments,
        ("projects", path) if path.contains("/releases") => Area::Deployments,
        ("projects", path) if path.contains("/secrets") => Area::Secrets,
        ("projects", path) if path.contains("/webhooks") => Area::Webhooks,
        ("projects" | "templates", _) => Area::Projects,
        ("deployments", _) => Area::Deployments,
        ("webhooks" | "webhook-deliveries", _) => Area::Webhooks,
        _ => panic!("what does a key need for {} {}?", route.method, route.path),
    };
    Needs::Area(area)
}

/// Whether the key is what does not allow it.
fn is_refused(answer: &Answer) -> bool {
    answer.status.as_u16() == 403 && answer.text().contains("this API key is for")
}

async fn key<'a>(world: &'a World, of: &Somebody<'_>, body: Value) -> Somebody<'a> {
    let made = of.post("/api/v1/api-keys", &body).await.expect(201);
    world.with_key(made["key"].as_str().unwrap())
}

async fn with_scopes<'a>(world: &'a World, of: &Somebody<'_>, scopes: &[String]) -> Somebody<'a> {
    key(world, of, json!({"name": "k", "scopes": scopes})).await
}

async fn a_key_opens_what_its_scopes_say_and_no_more() {
    let world = World::open().await;
    let ada = world.first().await;
    let id = Uuid::now_v7().to_string();
    let scope = |area, verb| Scope { area, verb }.to_string();
    let (mut seen, mut known) = (0, Vec::new());
    for route in routes(&world)
        .await
        .iter()
        .filter(|route| !route.is_public())
    {
        let name = format!("{} {}", route.method, route.path);
        let documented = &route.operation["security"][0]["api_key"];
        let Needs::Area(area) = needs(route) else {
            let nearly = Area::ALL.map(|area| scope(area, Verb::Write));
            let nearly = with_scopes(&world, &ada, &nearly).await;
            let refused = is_refused(&ask(&nearly, route, &id).await);
            assert_eq!(refused, needs(route) == Needs::All, "{name}");
            let words = if refused { json!(["all"]) } else { json!([]) };
            assert_eq!(documented, &words, "{name}");
            continue;
        };
        let verb = if route.method == "get" {
            Verb::Read
        } else {
            Verb::Write
        };
        assert_eq!(documented, &json!([scope(area, verb)]), "{name}");
        let others = Area::ALL.into_iter().filter(|other| *other != area);
        let others: Vec<_> = others.map(|other| scope(other, Verb::Write)).collect();
        let table = [
            (vec![scope(area, Verb::Write)], false),
            (vec![scope(area, Verb::Read)], verb == Verb::Write),
            (others, true),
        ];
        for (scopes, refused) in table {
            let answer = ask(&with_scopes(&world, &ada, &scopes).await, route, &id).await;
            assert_eq!(
                is_refused(&answer),
                refused,
                "{scopes:?}: {name} gives {answer:?}"
            );
            seen += 1;
        }
        known.push(area);
    }
    assert!(seen > 150, "{seen}");
    assert!(
        Area::ALL.iter().all(|area| known.contains(area)),
        "each area has a route"
    );
}

async fn a_key_for_one_project_sees_that_alone() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let shop = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let blog = ada.project("blog", &[("compose.yaml", COMPOSE)]).await;
    let ci = key(&world, &ada, json!({"name": "ci", "project": "shop"})).await;
    let me = ci.get("/api/v1/me").await.expect(200);
    assert_eq!(
        (&me["role"], &me["key"]["project_name"]),
        (&Value::Null, &json!("shop"))
    );

    // Its own.
    let deployments = |project: &str| format!("/api/v1/projects/{project}/deployments");
    let to = json!({"target": "web-1"});
    let ours = ci.post(&deployments(&shop), &to).await.expect(202);
    let theirs = ada.post(&deployments(&blog), &to).await.expect(202);
    let at = |deployment: &Value, rest: &str| {
        format!(
            "/api/v1/deployments/{}{rest}",
            deployment["id"].as_str().unwrap()
        )
    };
    ci.get(&at(&ours, "")).await.expect(200);
    ci.post(&at(&ours, "/cancel"), &json!({})).await.expect(200);
    ci.get("/api/v1/targets").await.expect(200);
    let hooks = |project: &str| format!("/api/v1/projects/{project}/webhooks");
    let hook = json!({"url": "http://127.0.0.1:9/", "event_types": ["deployment.failed"]});
    let own_hook = ci.post(&hooks(&shop), &hook).await.expect(201);
    ci.delete(&format!(
        "/api/v1/webhooks/{}",
        own_hook["id"].as_str().unwrap()
    ))
    .await
    .expect(204);
    for (list, names) in [
        ("projects", json!(["shop"])),
        ("deployments", json!([ours["id"]])),
    ] {
        let listed = ci.get(&format!("/api/v1/{list}")).await.expect(200);
        let name = if list == "projects" { "name" } else { "id" };
        let items: Vec<_> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one[name].clone())
            .collect();
        assert_eq!(json!(items), names, "{list}");
    }
    let activity = ci.get("/api/v1/activity").await.expect(200);
    let of = |entry: &Value| entry["project"]["id"].as_str() == Some(shop.as_str());
    assert!(
        activity["items"].as_array().unwrap().iter().all(of),
        "{activity}"
    );

    // The other project's things are as absent ones.
    let foreign_hook = ada.post(&hooks(&blog), &hook).await.expect(201);
    let absent = Uuid::now_v7().to_string();
    let swapped = |path: &str, id: &str| path.replace(id, &absent);
    let foreign_hook = foreign_hook["id"].as_str().unwrap();
    for (path, id) in [
        (format!("/api/v1/projects/{blog}"), blog.as_str()),
        (format!("/api/v1/projects/{blog}/files"), blog.as_str()),
        (format!("/api/v1/projects/{blog}/secrets"), blog.as_str()),
        (at(&theirs, ""), theirs["id"].as_str().unwrap()),
        (at(&theirs, "/log"), theirs["id"].as_str().unwrap()),
        (
            format!("/api/v1/webhooks/{foreign_hook}/deliveries"),
            foreign_hook,
        ),
        (format!("/api/v1/deployments?project={blog}"), blog.as_str()),
        (format!("/api/v1/activity?project={blog}"), blog.as_str()),
    ] {
        let foreign = ci.get(&path).await.expect(404);
        assert_eq!(
            foreign,
            ci.get(&swapped(&path, id)).await.expect(404),
            "{path}"
        );
    }
    ci.post(&deployments(&blog), &to).await.expect(404);
    ci.post(&at(&theirs, "/cancel"), &json!({}))
        .await
        .expect(404);

    nothing_of_the_team(&ci).await;
    let untouched = ada.get(&at(&theirs, "")).await.expect(200);
    assert!(untouched["cancel_requested_at"].is_null());
}

async fn somebody_invited_to_one_project_sees_that_alone() {
    let world = World::open().await;
    let ada = world.first().await;
    let shop = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let blog = ada.project("blog", &[("compose.yaml", COMPOSE)]).await;
    let invite = json!({"email": "bob@example.org", "role": "developer", "project": "shop"});
    let invited = ada.post("/api/v1/invitations", &invite).await.expect(201);
    assert_eq!(invited["project"]["name"], "shop");
    let link = invited["link"].as_str().unwrap();
    let token = link.split_once('#').unwrap().1.split_once('.').unwrap().0;
    let accept = json!({"token": token, "name": "Bob", "password": "correct horse battery"});
    let joined = world
        .nobody()
        .post("/api/v1/invitations/accept", &accept)
        .await
        .expect(201);
    let by_key = world.with_key(joined["api_key"]["key"].as_str().unwrap());
    let team = joined["team"]["id"].as_str().unwrap();
    let browser = world
        .sign_in("bob@example.org", "correct horse battery")
        .await;
    for bob in [&by_key, &browser.in_team(team)] {
        let me = bob.get("/api/v1/me").await.expect(200);
        assert_eq!(
            (&me["role"], &me["projects"][0]["id"]),
            (&Value::Null, &json!(shop))
        );
        bob.put(
            &format!("/api/v1/projects/{shop}/secrets/KEY"),
            &json!({"value": "v"}),
        )
        .await
        .expect(200);
        bob.get(&format!("/api/v1/projects/{blog}"))
            .await
            .expect(404);
        bob.put(
            &format!("/api/v1/projects/{blog}/secrets/KEY"),
            &json!({"value": "v"}),
        )
        .await
        .expect(404);
        let listed = bob.get("/api/v1/projects").await.expect(200);
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
        for path in [
            "members",
            "agents",
            "api-keys",
            "usage",
            "audit",
            "metrics/latest",
        ] {
            bob.get(&format!("/api/v1/{path}")).await.expect(403);
        }
        let to = json!({"role": "admin"});
        let own = format!(
            "/api/v1/projects/{shop}/members/{}",
            me["user"]["id"].as_str().unwrap()
        );
        bob.put(&own, &to).await.expect(403);
        // The account is one's own; a key may change it, too.
        bob.get("/api/v1/sessions").await.expect(200);
    }
    let name = json!({"name": "Bob's second"});
    let made = browser
        .in_team(team)
        .post("/api/v1/teams", &name)
        .await
        .expect(201);
    assert!(made.get("api_key").is_none(), "a browser needs no key");
    let third = by_key.post("/api/v1/teams", &name).await.expect(403);
    assert_eq!(
        (&third["type"], &third["limit"]),
        (&json!("urn:towline:problem:quota_exceeded"), &json!(2))
    );
    browser
        .in_team(&Uuid::now_v7().to_string())
        .get("/api/v1/me")
        .await
        .expect(404);
}

/// What is the team's is refused, and so is the person's account.
async fn nothing_of_the_team(ci: &Somebody<'_>) {
    for path in [
        "members",
        "agents",
        "api-keys",
        "usage",
        "audit",
        "metrics/latest",
        "sessions",
    ] {
        ci.get(&format!("/api/v1/{path}")).await.expect(403);
    }
    ci.post("/api/v1/projects", &json!({"name": "more"}))
        .await
        .expect(403);
    ci.post("/api/v1/api-keys", &json!({"name": "more"}))
        .await
        .expect(403);
}

async fn scopes_that_are_none_are_refused_by_name() {
    let world = World::open().await;
    let ada = world.first().await;
    let table = [
        (json!({"name": "k", "scopes": []}), "scopes"),
        (json!({"name": "k", "scopes": ["projects"]}), "scopes"),
        (
            json!({"name": "k", "scopes": ["all", "projects:read"]}),
            "scopes",
        ),
        (json!({"name": "k", "scopes": "all"}), "scopes"),
        (json!({"name": "k", "project": "no-such"}), "project"),
        (
            json!({"name": "k", "requests_per_minute": 0}),
            "requests_per_minute",
        ),
        (
            json!({"name": "k", "requests_per_minute": 1_000_001}),
            "requests_per_minute",
        ),
    ];
    for (body, field) in table {
        let problem = ada.post("/api/v1/api-keys", &body).await.expect(422);
        assert_eq!(problem["field"], field, "{body}");
    }
}
