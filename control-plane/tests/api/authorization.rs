//! Who may ask what: over every route of the API's own description.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};
use towline_server::domain::permission::{Permission, Role};
use uuid::Uuid;

use crate::database::on_both;
use crate::forge::{FakeForge, TOKEN};
use crate::host::Host;
use crate::world::{COMPOSE, Somebody, World};

on_both!(
    every_route_but_the_public_ones_needs_a_valid_credential,
    a_foreign_thing_and_an_absent_one_are_one_answer,
    every_role_may_what_the_table_says_and_no_more,
    keys_are_read_from_the_header_alone,
    guessing_keys_is_slowed_down_and_missing_ones_are_no_guesses,
);

/// Routes that need no API key, and why.
const PUBLIC: [(&str, &str); 31] = [
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/setup"),
    ("get", "/join"),
    ("get", "/reset"),
    ("get", "/sign-in"),
    ("get", "/sign-in.js"),
    ("get", "/setup.js"),
    ("get", "/setup.css"),
    ("get", "/reference"),
    ("get", "/reference.js"),
    ("get", "/reference.css"),
    // What hosts fetch to become agents.
    ("get", "/install.sh"),
    ("get", "/install/agent/{architecture}"),
    ("get", "/install/agent/{architecture}/signature"),
    ("get", "/api/v1/openapi.json"),
    // The credential is the set-up link's secret.
    ("post", "/api/v1/setup"),
    // The credential is the invitation's secret.
    ("post", "/api/v1/invitations/accept"),
    // The credential is the password.
    ("post", "/api/v1/session"),
    // The link goes to the account's own address.
    ("post", "/api/v1/password-resets"),
    // The credential is the link's secret.
    ("post", "/api/v1/password-resets/use"),
    // The page shows a button for each.
    ("get", "/api/v1/sign-in/providers"),
    // The credential is the provider's word, and the cookie of the browser that was sent there.
    ("post", "/api/v1/sign-in/providers/{name}"),
    ("get", "/api/v1/sign-in/providers/{name}/callback"),
    // The credential is that cookie, and the code.
    ("post", "/api/v1/sign-in/code"),
    // Nobody is asked who they are, where the installation is open.
    ("post", "/api/v1/sign-up"),
    // The credential is Stripe's signature.
    ("post", "/api/v1/billing/stripe/events"),
    // The credential is the forge's signature.
    ("post", "/api/v1/hooks/{id}"),
    // The credential is the enrolment token.
    ("post", "/api/v1/agent/enroll"),
    // The credential is the proof of the certificate's key.
    ("post", "/api/v1/agent/renew"),
];

pub struct Route {
    pub method: String,
    pub path: String,
    pub operation: Value,
}

impl Route {
    /// What it is about: the first word of its path.
    pub fn resource(&self) -> &str {
        self.path.split('/').nth(3).unwrap()
    }

    fn at(&self, id: &str) -> String {
        let query = match self.path.as_str() {
            "/api/v1/projects/{id}/file" => "?path=README.md",
            _ => "",
        };
        let path = format!("{}{query}", self.path);
        path.replace("{id}", id)
            .replace("{key}", "KEY")
            .replace("{member}", id)
            .replace("{pipeline}", id)
            .replace("{certificate}", id)
            .replace("{release}", id)
            .replace("{other}", id)
            .replace("{name}", "web-1")
    }

    pub fn is_public(&self) -> bool {
        PUBLIC.contains(&(self.method.as_str(), self.path.as_str()))
    }
}

pub async fn routes(world: &World) -> Vec<Route> {
    let document = world.nobody().get("/api/v1/openapi.json").await.expect(200);
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            routes.push(Route {
                method: method.clone(),
                path: path.clone(),
                operation: operation.clone(),
            });
        }
    }
    assert!(routes.len() > 35, "{} routes", routes.len());
    routes
}

pub async fn ask(somebody: &Somebody<'_>, route: &Route, id: &str) -> crate::world::Answer {
    let method = Method::from_bytes(route.method.to_uppercase().as_bytes()).unwrap();
    let (media, body) = body_of(route);
    let request = somebody
        .request(method, &route.at(id))
        .header(header::CONTENT_TYPE, media);
    somebody.ask(request.body(Body::from(body)).unwrap()).await
}

/// A body that the route understands.
fn body_of(route: &Route) -> (&'static str, Vec<u8>) {
    match route.path.as_str() {
        "/api/v1/projects/{id}/files" => (
            "application/x-tar",
            crate::world::tar(&[("compose.yaml", COMPOSE)]),
        ),
        "/api/v1/projects/{id}/file" => ("application/json", br#"{"content":"x"}"#.to_vec()),
        "/api/v1/projects/{id}/deployments"
        | "/api/v1/projects/{id}/removals"
        | "/api/v1/projects/{id}/previews" => (
            "application/json",
            json!({"target": Uuid::now_v7()}).to_string().into_bytes(),
        ),
        "/api/v1/projects/{id}" if route.method == "patch" => {
            ("application/json", br#"{"keep_releases":5}"#.to_vec())
        }
        "/api/v1/projects/{id}/cluster/actions" => (
            "application/json",
            br#"{"action":"delete_pod","name":"web-1"}"#.to_vec(),
        ),
        "/api/v1/targets/{id}/docker/certificates" => {
            ("application/json", br#"{"csr":"none"}"#.to_vec())
        }
        "/api/v1/targets/{id}/containers/{name}/exec" => {
            ("application/json", br#"{"command":["sh"]}"#.to_vec())
        }
        "/api/v1/targets" => (
            "application/json",
            br#"{"name":"tls","type":"docker_tls","host":"tcp://127.0.0.1:9","ca":"","cert":"","key":""}"#.to_vec(),
        ),
        "/api/v1/targets/{id}/credentials" => {
            ("application/json", br#"{"ca":"","cert":"","key":""}"#.to_vec())
        }
        "/api/v1/targets/{id}/labels" => ("application/json", br#"{"labels":[]}"#.to_vec()),
        "/api/v1/projects/{id}/secrets/{key}" => ("application/json", br#"{"value":"v"}"#.to_vec()),
        "/api/v1/projects/{id}/secrets/{key}/restore" => {
            ("application/json", br#"{"version":1}"#.to_vec())
        }
        "/api/v1/templates" => (
            "application/json",
            br#"{"name":"t","project":"shop"}"#.to_vec(),
        ),
        "/api/v1/projects" | "/api/v1/api-keys" | "/api/v1/enrolment-tokens" => {
            ("application/json", br#"{"name":"viewer"}"#.to_vec())
        }
        "/api/v1/projects/{id}/source" => (
            "application/json",
            br#"{"url":"https://10.0.0.1/shop.git"}"#.to_vec(),
        ),
        "/api/v1/projects/{id}/source/key" | "/api/v1/projects/{id}/source/host-keys" => (
            "application/json",
            br#"{"url":"ssh://git@10.0.0.1/shop.git"}"#.to_vec(),
        ),
        "/api/v1/projects/{id}/push-hook" => (
            "application/json",
            br#"{"forge":"github","targets":["web-1"]}"#.to_vec(),
        ),
        "/api/v1/projects/{id}/webhooks" => (
            "application/json",
            br#"{"url":"http://127.0.0.1:9/","event_types":["deployment.failed"]}"#.to_vec(),
        ),
        "/api/v1/teams" | "/api/v1/team" => ("application/json", br#"{"name":"us"}"#.to_vec()),
        "/api/v1/members/{id}" | "/api/v1/projects/{id}/members/{member}" => {
            ("application/json", br#"{"role":"viewer"}"#.to_vec())
        }
        "/api/v1/notification-channels" => (
            "application/json",
            br#"{"kind":"ntfy","name":"n","settings":{"topic":"t","server":"http://127.0.0.1:9"}}"#
                .to_vec(),
        ),
        "/api/v1/plugins" => (
            "application/json",
            br#"{"name":"gate","url":"http://127.0.0.1:9/","hooks":["after_deploy"]}"#.to_vec(),
        ),
        "/api/v1/integrations" => (
            "application/json",
            br#"{"name":"hub","forge":"github","url":"http://127.0.0.1:9","token":"t"}"#.to_vec(),
        ),
        "/api/v1/registries" => (
            "application/json",
            br#"{"registry":"127.0.0.1:9","user":"u","password":"pass"}"#.to_vec(),
        ),
        "/api/v1/registries/{id}/password" => {
            ("application/json", br#"{"password":"pass"}"#.to_vec())
        }
        "/api/v1/projects/{id}/registry" => (
            "application/json",
            br#"{"repository":"127.0.0.1:9/shop"}"#.to_vec(),
        ),
        "/api/v1/integrations/{id}/token" => ("application/json", br#"{"token":"t"}"#.to_vec()),
        "/api/v1/notification-rules" => ("application/json", br#"{"rules":[]}"#.to_vec()),
        "/api/v1/invitations" => (
            "application/json",
            br#"{"email":"eve@example.org","role":"viewer"}"#.to_vec(),
        ),
        "/api/v1/invitations/join" => ("application/json", br#"{"token":"twli_guess"}"#.to_vec()),
        _ => ("application/json", b"{}".to_vec()),
    }
}

/// So few that none of an address's wrong guesses is one too many.
const GUESSES: usize = 40;

async fn every_route_but_the_public_ones_needs_a_valid_credential() {
    let routes = routes(&World::open().await).await;
    let id = Uuid::now_v7().to_string();
    let mut public = BTreeSet::new();
    for some in routes.chunks(GUESSES) {
        // Of its own, so that neither kind of guess uses up the other's budget.
        let (world, guessed) = (World::open().await, World::open().await);
        for route in some {
            let name = format!("{} {}", route.method, route.path);
            let answer = ask(&world.nobody(), route, &id).await;
            if route.is_public() {
                assert_ne!(answer.status.as_u16(), 401, "{name}");
                assert!(route.operation.get("security").is_none(), "{name}");
                public.insert((route.method.as_str(), route.path.as_str()));
                continue;
            }
            assert_eq!(answer.status.as_u16(), 401, "{name}");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
            assert!(route.operation["security"].is_array(), "{name}");
            let wrong = ask(&world.with_key("twlk_wrong"), route, &id).await;
            let cookie = "__Host-towline=twlc_wrong";
            let stale = ask(&guessed.with_cookie(cookie), route, &id).await;
            for answer in [wrong, stale] {
                assert_eq!(answer.status.as_u16(), 401, "{name}");
            }
        }
    }
    assert_eq!(
        public,
        PUBLIC.into_iter().collect(),
        "the list of public routes is exact"
    );
}

async fn a_foreign_thing_and_an_absent_one_are_one_answer() {
    let world = World::open().await;
    let ada = world.first().await;
    let bob = world.another("owner").await;
    let host = Host::connect(&ada, &world, "web-1").await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let deploy = ada
        .post(
            &format!("/api/v1/projects/{project}/deployments"),
            &json!({"target": "web-1"}),
        )
        .await
        .expect(202);
    let made = async |path: &str, wish: Value| {
        let made = ada.post(&format!("/api/v1/{path}"), &wish).await;
        made.expect(201)
    };
    let key = made("api-keys", json!({"name": "k"})).await;
    let token = made("enrolment-tokens", json!({"name": "t"})).await;
    let cleo = json!({"email": "cleo@example.org", "role": "viewer"});
    let invitation = made("invitations", cleo).await;
    let member = ada.get("/api/v1/me").await.expect(200);
    let sessions = world.browser_of(&ada).await.get("/api/v1/sessions").await;
    let session = sessions.expect(200)["items"][0].clone();
    let identity = world.identity_of(&ada, "acme").await;
    let (agent, target) = (host.agent.to_string(), host.target.to_string());
    let (webhook, delivery) = webhook_and_delivery(&ada, &project).await;
    let ntfy = json!({"kind": "ntfy", "name": "n", "settings": {"topic": "t"}});
    let channel = made("notification-channels", ntfy).await;
    let (plugin, run) = plugin_and_run(&ada).await;
    let integration = integration_of(&ada).await;
    let registry = registry_of(&ada).await;
    let told = ada.get("/api/v1/notifications").await.expect(200);
    let mut seen = 0;
    for route in routes(&world)
        .await
        .iter()
        .filter(|route| route.path.contains("{id}"))
    {
        let resource = route.resource();
        let own = match resource {
            "agents" => agent.as_str(),
            "api-keys" => key["id"].as_str().unwrap(),
            "deployments" => deploy["id"].as_str().unwrap(),
            "enrolment-tokens" => token["id"].as_str().unwrap(),
            "invitations" => invitation["id"].as_str().unwrap(),
            "me" => identity.as_str(),
            "members" => member["user"]["id"].as_str().unwrap(),
            "notifications" => told["items"][0]["id"].as_str().unwrap(),
            "notification-channels" => channel["id"].as_str().unwrap(),
            // These are the installation's, and belong to no team; of a hook the signature is asked for before anything.
            "hooks" | "installation" | "plans" | "subscriptions" | "users" => continue,
            "integrations" => integration.as_str(),
            "plugins" => plugin.as_str(),
            "plugin-runs" => run.as_str(),
            "projects" => project.as_str(),
            "registries" => registry.as_str(),
            "sessions" => session["id"].as_str().unwrap(),
            "targets" => target.as_str(),
            "webhooks" => webhook.as_str(),
            "webhook-deliveries" => delivery.as_str(),
            other => panic!("no own {other} for {}", route.path),
        };
        let foreign = ask(&bob, route, own).await.expect(404);
        let absent = ask(&bob, route, &Uuid::now_v7().to_string())
            .await
            .expect(404);
        let nonsense = ask(&bob, route, "nonsense").await.expect(404);
        assert_eq!(foreign, absent, "{} {}", route.method, route.path);
        assert_eq!(nonsense["status"], 404);
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    let untouched = ada
        .get(&format!(
            "/api/v1/deployments/{}",
            deploy["id"].as_str().unwrap()
        ))
        .await
        .expect(200);
    assert!(untouched["cancel_requested_at"].is_null());
    ada.get("/api/v1/api-keys").await.expect(200);
    for list in [
        "agents",
        "targets",
        "projects",
        "deployments",
        "enrolment-tokens",
    ] {
        let listed = bob.get(&format!("/api/v1/{list}")).await.expect(200);
        assert_eq!(listed["items"], json!([]), "{list}");
    }
}

async fn integration_of(ada: &Somebody<'_>) -> String {
    let forge = FakeForge::start().await;
    let wish = json!({"name": "hub", "forge": "github", "url": forge.url(), "token": TOKEN});
    id_of(&ada.post("/api/v1/integrations", &wish).await.expect(201))
}

async fn registry_of(ada: &Somebody<'_>) -> String {
    let wish =
        json!({"registry": "ghcr.io", "user": "ada", "password": "a token", "check": "skip"});
    id_of(&ada.post("/api/v1/registries", &wish).await.expect(201))
}

async fn webhook_and_delivery(ada: &Somebody<'_>, project: &str) -> (String, String) {
    let hook = json!({"url": "http://127.0.0.1:9/", "event_types": ["deployment.failed"]});
    let webhooks = format!("/api/v1/projects/{project}/webhooks");
    let webhook = ada.post(&webhooks, &hook).await.expect(201);
    let test = format!("/api/v1/webhooks/{}/test", id_of(&webhook));
    let delivery = ada.post(&test, &json!({})).await.expect(202);
    (id_of(&webhook), id_of(&delivery))
}

async fn plugin_and_run(ada: &Somebody<'_>) -> (String, String) {
    let plugin = json!({"name": "gate", "url": "http://127.0.0.1:9/", "hooks": ["after_deploy"]});
    let plugin = ada.post("/api/v1/plugins", &plugin).await.expect(201);
    let test = format!("/api/v1/plugins/{}/test", id_of(&plugin));
    let run = ada.post(&test, &json!({})).await.expect(200);
    (id_of(&plugin), id_of(&run))
}

fn id_of(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

/// Whom a route answers.
enum For {
    Everybody,
    Roles(Permission),
    /// Nobody of these roles: they are no administrators of the installation.
    Administrators,
}

impl For {
    fn allows(&self, role: Role) -> bool {
        match self {
            Self::Everybody => true,
            Self::Roles(permission) => role.may(*permission),
            Self::Administrators => false,
        }
    }
}

/// Whom each route answers, by its method and path: the test fails on a route that it does not know.
fn whom(route: &Route) -> For {
    let resource = route.resource();
    if resource == "audit" {
        return For::Roles(Permission::ReadAudit);
    }
    if matches!(resource, "installation" | "subscriptions" | "users") {
        return For::Administrators;
    }
    // What the team's tokens reach is seen by those who may have projects come from it.
    if ["/repositories", "/branches"]
        .iter()
        .any(|end| route.path.ends_with(end))
    {
        return For::Roles(Permission::ChangeProjects);
    }
    if route.method == "get" {
        return For::Roles(Permission::Look);
    }
    For::Roles(match (resource, route.path.as_str()) {
        (
            "billing"
            | "session"
            | "sessions"
            | "me"
            | "notifications"
            | "notification-channels"
            | "notification-rules",
            _,
        )
        | (_, "/api/v1/invitations/join") => {
            return For::Everybody;
        }
        ("teams", _) => return For::Everybody,
        ("team", _) => Permission::ManageOwners,
        // Everybody may give up their own role on a project.
        ("projects", path) if path.ends_with("/members/{member}") && route.method == "delete" => {
            return For::Everybody;
        }
        ("projects", path) if path.ends_with("/members/{member}") => Permission::ManageMembers,
        ("projects", path) if path.contains("/cluster/") => Permission::Deploy,
        ("plans", _) => return For::Administrators,
        // Who was granted the host is looked at in the action, and whose certificate it is.
        ("targets", path) if path.contains("/docker/certificates") => Permission::Look,
        ("targets", path) if path.ends_with("/exec") => Permission::Deploy,
        ("agents" | "enrolment-tokens" | "targets", _) => Permission::ManageHosts,
        ("api-keys", _) => Permission::ManageKeys,
        ("integrations" | "registries", _) => Permission::ChangeProjects,
        ("plugins" | "plugin-runs", _) => Permission::ManagePlugins,
        ("invitations" | "members", _) => Permission::ManageMembers,
        ("projects", path)
            if [
                "/deployments",
                "/removals",
                "/previews",
                "/rollback",
                "/push-hook",
                "/push-hook/installation",
                "/rotate-secret",
            ]
            .iter()
            .any(|end| path.ends_with(end)) =>
        {
            Permission::Deploy
        }
        ("deployments", _) => Permission::Deploy,
        ("projects" | "templates" | "webhooks" | "webhook-deliveries", _) => {
            Permission::ChangeProjects
        }
        _ => panic!("whom does {} {} answer?", route.method, route.path),
    })
}

async fn every_role_may_what_the_table_says_and_no_more() {
    let world = World::open().await;
    let id = Uuid::now_v7().to_string();
    let routes = routes(&world).await;
    let mut refused = 0;
    for role in Role::ALL {
        let somebody = world.another(role.as_str()).await;
        for route in routes.iter().filter(|route| !route.is_public()) {
            let allowed = whom(route).allows(role);
            // Somebody else's membership is judged only when there is one.
            let absent_member = route.method == "delete" && route.path == "/api/v1/members/{id}";
            // A session may what a key may. It is made anew each time: one of the routes ends it.
            let browser = world.browser_of(&somebody).await;
            for (by, who) in [("key", &somebody), ("session", &browser)] {
                let answer = ask(who, route, &id).await;
                let is_refused = answer.status.as_u16() == 403;
                assert_eq!(
                    is_refused,
                    !allowed && !absent_member,
                    "{role} by {by}: {} {} gives {}",
                    route.method,
                    route.path,
                    answer.status
                );
                refused += usize::from(is_refused);
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

async fn keys_are_read_from_the_header_alone() {
    let world = World::open().await;
    let ada = world.first().await;
    let key = ada.key.as_deref().unwrap();
    for (header, status) in [
        (format!("Bearer {key}"), 200),
        (format!("bearer {key}"), 200),
        (format!("Basic {key}"), 401),
        (key.to_owned(), 401),
        (format!("Bearer {}", "x".repeat(300)), 401),
        ("Bearer ".to_owned(), 401),
    ] {
        let request = world.nobody().request(Method::GET, "/api/v1/me");
        let request = request
            .header(header::AUTHORIZATION, &header)
            .body(Body::empty())
            .unwrap();
        assert_eq!(
            world.nobody().ask(request).await.status.as_u16(),
            status,
            "{header}"
        );
    }
    world
        .nobody()
        .get(&format!("/api/v1/me?key={key}"))
        .await
        .expect(401);
}

async fn guessing_keys_is_slowed_down_and_missing_ones_are_no_guesses() {
    let world = World::open().await;
    let ada = world.first().await;
    for _ in 0..100 {
        world.nobody().get("/api/v1/me").await.expect(401);
    }
    ada.get("/api/v1/me").await.expect(200);
    let mut last = None;
    for _ in 0..70 {
        last = Some(world.with_key("twlk_guess").get("/api/v1/me").await);
    }
    let last = last.unwrap();
    last.expect(429);
    assert!(last.headers.contains_key(header::RETRY_AFTER));
}
