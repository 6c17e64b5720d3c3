//! What the control plane answers.

use std::io;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path as PathOf, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post, put},
};
use serde_json::{Value, json};

use super::{
    Cancelling, DEPLOYMENT, KEY, PERSON, PROJECT, Rival, SETUP_TOKEN, Shared, TARGET, World,
    cluster_live, clusters, integrations, plugins, registries, streams, told,
};

/// All routes.
pub fn router(world: Shared) -> Router {
    let with_key = Router::new()
        .route("/me", get(me))
        .route("/me/password", post(change_password))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}", delete(async || StatusCode::NO_CONTENT))
        .route("/me/identities", get(identities))
        .route(
            "/me/identities/{id}",
            delete(async || StatusCode::NO_CONTENT),
        )
        .route("/users", get(users))
        .route("/users/{id}", patch(change_user))
        .route("/users/{id}/reset-link", post(reset_link))
        .route(
            "/users/{id}/second-factor",
            delete(async || StatusCode::NO_CONTENT),
        )
        .route("/installation/{what}", get(installation))
        .route("/notifications", get(told::notifications))
        .route("/notifications/read", post(told::read_all))
        .route(
            "/notification-channels",
            get(told::channels).post(told::add_channel),
        )
        .route("/notification-channels/{id}", patch(told::switch_channel))
        .route("/notification-channels/{id}/test", post(told::test_channel))
        .route("/notification-rules", get(told::rules).put(told::choose))
        .route(
            "/integrations",
            get(integrations::list).post(integrations::connect),
        )
        .route("/integrations/{id}", delete(plugins::gone))
        .route("/integrations/{id}/token", put(integrations::replace))
        .route(
            "/integrations/{id}/repositories",
            get(integrations::repositories),
        )
        .route("/integrations/{id}/branches", get(integrations::branches))
        .route("/integrations/{id}/statuses", get(integrations::statuses))
        .route("/registries", get(registries::list).post(registries::add))
        .route("/registries/{id}", delete(plugins::gone))
        .route("/registries/{id}/password", put(registries::set_password))
        .route(
            "/projects/{id}/registry",
            get(registries::of_project)
                .put(registries::set_of_project)
                .delete(plugins::gone),
        )
        .route("/projects/{id}/source", put(integrations::source))
        .route(
            "/projects/{id}/source/key/installation",
            put(integrations::install_key).delete(plugins::gone),
        )
        .route("/projects/{id}/pull-request", post(integrations::deliver))
        .route(
            "/projects/{id}/push-hook/installation",
            put(integrations::install),
        )
        .route("/plugins", get(plugins::list).post(plugins::add))
        .route(
            "/plugins/{id}",
            patch(plugins::change).delete(plugins::gone),
        )
        .route("/plugins/{id}/test", post(plugins::test))
        .route("/plugins/{id}/rotate-secret", post(plugins::add))
        .route("/plugins/{id}/runs", get(plugins::runs))
        .route("/usage", get(usage))
        .route("/plans", get(plans))
        .route("/plans/{id}", patch(change_plan))
        .route("/billing", get(billing))
        .route("/billing/checkout", post(checkout))
        .route("/subscriptions", get(subscriptions).post(grant))
        .route("/projects/{id}", patch(change_project))
        .route("/enrolment-tokens", post(clusters::token))
        .merge(of_targets())
        .route("/metrics/latest", get(latest))
        .route("/projects/{id}/removals", post(remove))
        .route("/projects/{id}/rollback", post(roll_back))
        .route("/projects/{id}/cluster/events", get(cluster_live::events))
        .route("/projects/{id}/cluster/drift", get(cluster_live::drift))
        .route("/projects/{id}/cluster/actions", post(cluster_live::act))
        .route("/projects/{id}/cluster/correct", post(roll_back))
        .route("/projects/{id}/releases", get(releases))
        .route("/projects/{id}/releases/{from}/diff/{to}", get(differences))
        .route("/deployments/{id}/retry", post(retry))
        .route("/projects", get(projects).post(new_project))
        .route("/projects/{id}/files", put(files))
        .route("/projects/{id}/secrets/{key}", put(secret))
        .route("/projects/{id}/deployments", post(deploy))
        .route("/deployments", get(deployments))
        .route("/deployments/{id}", get(deployment))
        .route("/deployments/{id}/cancel", post(cancel))
        .route("/deployments/{id}/log", get(streams::log))
        .route("/deployments/{id}/log/stream", get(streams::deployment))
        .layer(axum::middleware::from_fn(authorized));
    let api = with_key.route("/setup", post(setup));
    Router::new().nest("/api/v1", api).with_state(world)
}

fn problem(status: StatusCode, document: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, document.to_string()).into_response()
}

async fn authorized(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_some_and(|key| key.as_bytes() == format!("Bearer {KEY}").as_bytes()) {
        return next.run(request).await;
    }
    let document =
        json!({ "title": "Not signed in", "status": 401, "detail": "the API key is not valid" });
    problem(StatusCode::UNAUTHORIZED, &document)
}

async fn setup(Json(body): Json<Value>) -> Response {
    if body["token"] != SETUP_TOKEN {
        return problem(
            StatusCode::GONE,
            &json!({ "title": "Gone", "detail": "the link was used", "remedy": "log in instead" }),
        );
    }
    let answer = json!({
        "user": { "id": PERSON, "email": body["email"], "name": body["name"] },
        "team": { "id": PERSON, "name": "first" },
        "api_key": { "id": PERSON, "name": "setup", "key": KEY },
    });
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn me() -> Json<Value> {
    Json(json!({
        "user": { "id": PERSON, "email": "ann@example.org", "name": "Ann" },
        "team": { "id": PERSON, "name": "first" },
        "key": { "id": PERSON, "name": "setup" },
    }))
}

async fn change_password(Json(body): Json<Value>) -> Response {
    if body == json!({ "password": "the present one", "new_password": "the new one" }) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let document =
        json!({ "title": "Invalid input", "detail": "the password is wrong", "field": "password" });
    problem(StatusCode::UNPROCESSABLE_ENTITY, &document)
}

async fn sessions() -> Json<Value> {
    Json(json!({ "items": [{
        "id": PERSON, "user_agent": "Firefox", "address": "192.0.2.1", "created_at": "2026-01-30T00:00:00Z",
        "last_used_at": "2026-01-30T00:00:00Z", "expires_at": "2026-03-01T00:00:00Z", "is_this": false,
    }], "next_cursor": null }))
}

async fn identities() -> Json<Value> {
    Json(json!({ "items": [{
        "id": PERSON, "provider": "acme", "subject": "7", "email": null, "created_at": "2026-01-30T00:00:00Z",
        "last_used_at": null,
    }], "next_cursor": null }))
}

async fn users() -> Json<Value> {
    Json(
        json!({ "items": [{ "id": PERSON, "email": "ann@example.org", "name": "Ann", "role": "admin" }], "next_cursor": null }),
    )
}

async fn change_user(PathOf(id): PathOf<String>, Json(change): Json<Value>) -> Json<Value> {
    let mut user = json!({ "id": id, "email": "ann@example.org", "name": "Ann", "role": "admin", "state": "active",
        "plan": "Pro", "second_factor": "off" });
    for (field, value) in change.as_object().unwrap() {
        user[field] = value.clone();
    }
    Json(user)
}

async fn installation(PathOf(what): PathOf<String>) -> Json<Value> {
    let one = |item: Value| json!({ "items": [item], "next_cursor": null });
    Json(match what.as_str() {
        "teams" => one(
            json!({ "id": PERSON, "name": "us", "owner": "ann@example.org", "plan": "Pro", "members": 3,
            "projects": 7, "agents": 2, "created_at": "2026-01-30T00:00:00Z" }),
        ),
        "agents" => one(
            json!({ "id": PERSON, "name": "web-1", "status": "online", "version": "0.1.0",
            "team": { "id": PROJECT, "name": "us" } }),
        ),
        "storage" => json!({
            "databases": [{ "name": "main", "kind": "sqlite", "bytes": 3_145_728, "reusable_bytes": 4096 }],
            "data_dir": { "path": "/var/lib/towline", "disk_bytes": 1_073_741_824, "available_bytes": 536_870_912 },
        }),
        _ => {
            json!({ "version": "0.1.0", "configuration": { "data-dir": "/var/lib/towline", "log": { "level": "info" } } })
        }
    })
}

async fn reset_link(PathOf(id): PathOf<String>) -> Response {
    assert_eq!(id, PERSON);
    let made = json!({ "email": "ann@example.org", "link": "https://plane/reset#twlr_x", "expires_at": "2026-01-30T01:00:00Z" });
    (StatusCode::CREATED, Json(made)).into_response()
}

fn plan(id: &str, name: &str, price: u32) -> Value {
    json!({"id": id, "name": name, "price": price, "currency": "EUR", "max_projects": 3, "max_deployments_per_day": null,
        "max_requests_per_minute": 600, "max_teams": 2})
}

async fn plans() -> Json<Value> {
    Json(
        json!({"items": [plan(PERSON, "Free", 0), plan(PROJECT, "Pro", 1900)], "next_cursor": null}),
    )
}

fn subscription(user: &str) -> Value {
    json!({"id": PROJECT, "user_id": user, "email": "ann@example.org", "provider": "manual", "subscription_id": null,
        "status": "active", "plan_id": PROJECT, "plan": "Pro", "started_at": "2026-01-01T00:00:00Z",
        "renew_at": "2027-01-31T00:00:00Z", "gives_until": "2027-01-31T00:00:00Z", "payment_failed_at": null})
}

async fn billing() -> Json<Value> {
    Json(
        json!({"plan": plan(PROJECT, "Pro", 1900), "until": "2027-01-31T00:00:00Z",
        "subscriptions": [subscription(PERSON)], "for_sale": [PROJECT]}),
    )
}

async fn checkout(Json(asked): Json<Value>) -> Json<Value> {
    Json(json!({"url": "https://checkout.stripe.com/c/pay_1", "asked": asked}))
}

async fn subscriptions() -> Json<Value> {
    Json(json!({"items": [subscription(PERSON)], "next_cursor": null}))
}

async fn grant(Json(asked): Json<Value>) -> Json<Value> {
    let mut made = subscription(PERSON);
    made["asked"] = asked;
    Json(made)
}

/// Tells what it was asked, too.
async fn change_plan(PathOf(id): PathOf<String>, Json(asked): Json<Value>) -> Json<Value> {
    let mut changed = plan(&id, "Pro", 1900);
    changed["asked"] = asked;
    Json(changed)
}

async fn usage(Query(query): Query<Vec<(String, String)>>) -> Json<Value> {
    assert_eq!(query, [("limit".into(), "7".into())]);
    let day = |day: u8, deployments: u8, build_seconds: u16| {
        json!({
            "period_start": format!("2026-01-{day}T00:00:00Z"), "period_end": format!("2026-01-{}T00:00:00Z", day + 1),
            "deployments": deployments, "builds": 2, "build_seconds": build_seconds, "log_bytes": 2048,
        })
    };
    Json(json!({
        "plan": { "id": PERSON, "name": "Free", "max_projects": 3, "max_deployments_per_day": 50, "price": 0 },
        "projects": 2, "current": day(30, 9, 0), "items": [day(28, 50, 200)], "next_cursor": null,
    }))
}

fn of_targets() -> Router<Shared> {
    Router::new()
        .route("/targets", get(targets).post(add_target))
        .route(
            "/targets/{id}",
            get(target_by_id).delete(async || StatusCode::NO_CONTENT),
        )
        .route("/targets/{id}/credentials", put(replace_credentials))
        .route("/targets/{id}/labels", put(label_target))
        .route("/targets/{id}/containers", get(offline))
        .route(
            "/targets/{id}/containers/{name}/logs",
            get(streams::container),
        )
}

fn target(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "type": "docker_agent", "status": "online", "ready": "ready" })
}

/// Two pages, so that a client that reads only one misses the target.
async fn targets(Query(query): Query<Vec<(String, String)>>) -> Json<Value> {
    let page = if query.iter().any(|(name, _)| name == "cursor") {
        json!({ "items": [target(TARGET, "web-1")], "next_cursor": null })
    } else {
        json!({ "items": [target(PERSON, "web-0")], "next_cursor": PERSON })
    };
    Json(page)
}

async fn target_by_id(PathOf(id): PathOf<String>) -> Response {
    if id == TARGET {
        return Json(target(TARGET, "web-1")).into_response();
    }
    let document = json!({
        "title": "Not found", "detail": "there is no target with this id", "field": "id",
        "remedy": "list the targets",
    });
    problem(StatusCode::NOT_FOUND, &document)
}

/// An engine over TLS whose certificate ends in a week, and which lets anybody in.
fn over_tls(name: &str, asked: &Value) -> Json<Value> {
    let end = chrono::Utc::now() + chrono::TimeDelta::hours(7 * 24 - 1);
    let certificate = json!({ "subject": asked["cert"], "fingerprint": "ab", "not_after": end });
    let mut target = target(TARGET, name);
    target["docker_tls"] = json!({
        "host": asked["host"], "client": certificate, "authority": certificate, "server": certificate, "guard": "open",
    });
    Json(target)
}

async fn add_target(Json(asked): Json<Value>) -> (StatusCode, Json<Value>) {
    assert_eq!(asked["type"], "docker_tls");
    let made = over_tls(asked["name"].as_str().unwrap_or_default(), &asked);
    (StatusCode::CREATED, made)
}

async fn replace_credentials(Json(mut asked): Json<Value>) -> Json<Value> {
    asked["host"] = asked
        .get("host")
        .cloned()
        .unwrap_or_else(|| "as it was".into());
    over_tls("web-1", &asked)
}

/// Tells what it was asked, too.
async fn label_target(PathOf(id): PathOf<String>, Json(asked): Json<Value>) -> Json<Value> {
    let mut labelled = target(&id, "web-1");
    labelled["labels"] = asked["labels"].clone();
    Json(labelled)
}

/// Tells what it was asked, too.
async fn change_project(PathOf(id): PathOf<String>, Json(asked): Json<Value>) -> Json<Value> {
    assert_eq!(id, PROJECT);
    let mut changed = project("shop");
    changed["keep_releases"] = asked["keep_releases"].clone();
    changed["namespace"] = asked["namespace"].clone();
    Json(changed)
}

async fn offline() -> Response {
    let document = json!({ "title": "Unavailable", "detail": "the agent of web-1 is offline" });
    problem(StatusCode::SERVICE_UNAVAILABLE, &document)
}

fn project(name: &str) -> Value {
    json!({ "id": PROJECT, "name": name })
}

async fn projects(State(world): State<Shared>) -> Json<Value> {
    let items: Vec<_> = world
        .lock()
        .unwrap()
        .projects
        .iter()
        .map(|name| project(name))
        .collect();
    Json(json!({ "items": items, "next_cursor": null }))
}

async fn new_project(State(world): State<Shared>, Json(body): Json<Value>) -> Response {
    let name = body["name"].as_str().unwrap();
    let mut world = world.lock().unwrap();
    world.projects.push(name.into());
    match world.rival {
        Rival::Absent => Json(project(name)).into_response(),
        Rival::First => StatusCode::CONFLICT.into_response(),
    }
}

async fn files(State(world): State<Shared>, body: Bytes) -> Json<Value> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(&*body).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut entry, &mut text).unwrap();
        files.push((entry.path().unwrap().to_str().unwrap().to_owned(), text));
    }
    let listed: Vec<_> = files
        .iter()
        .map(|(path, text)| json!({ "path": path, "bytes": text.len() }))
        .collect();
    world.lock().unwrap().files = files;
    Json(json!({
        "files": listed, "compose_file": "compose.yaml",
        "findings": [{
            "severity": "warning", "file": "compose.yaml", "line": 2, "rule": "latest",
            "message": "web has no tag",
        }],
    }))
}

async fn secret(
    State(world): State<Shared>,
    PathOf((_, key)): PathOf<(String, String)>,
    Json(body): Json<Value>,
) -> StatusCode {
    world
        .lock()
        .unwrap()
        .secrets
        .push((key, body["value"].clone()));
    StatusCode::NO_CONTENT
}

async fn deploy(
    State(world): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let mut world = world.lock().unwrap();
    world.asked.push((key, body));
    if world.lost_answers > 0 {
        world.lost_answers -= 1;
        let broken = tokio_stream::iter([Err::<Bytes, _>(io::Error::other("cut"))]);
        return Response::new(Body::from_stream(broken));
    }
    (
        StatusCode::ACCEPTED,
        Json(deployment_as(&json!({ "status": "queued" }), 0)),
    )
        .into_response()
}

pub fn deployment_as(facts: &Value, lines: u64) -> Value {
    let mut whole = json!({
        "id": DEPLOYMENT, "kind": "deploy",
        "project": { "id": PROJECT, "name": "shop" },
        "target": { "id": TARGET, "name": "web-1" },
        "created_at": "2026-01-31T12:00:00Z",
        "log": { "lines": lines, "url": "/log" },
    });
    for (name, value) in facts.as_object().unwrap() {
        whole[name] = value.clone();
    }
    whole
}

async fn deployment(State(world): State<Shared>) -> Json<Value> {
    let world = world.lock().unwrap();
    Json(deployment_as(&world.end, world.lines))
}

async fn deployments(State(world): State<Shared>) -> Json<Value> {
    let Json(only) = deployment(State(world)).await;
    Json(json!({ "items": [only], "next_cursor": null }))
}

async fn cancel(State(world): State<Shared>) -> Response {
    let (cancelling, before) = {
        let mut world = world.lock().unwrap();
        world.cancels += 1;
        (world.cancelling, world.cancels - 1)
    };
    match (cancelling, before) {
        (Cancelling::Hangs, _) => std::future::pending().await,
        (Cancelling::UnavailableOnce, 0) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => cancelled(&mut world.lock().unwrap()).into_response(),
    }
}

fn cancelled(world: &mut World) -> Json<Value> {
    world.end = json!({ "status": "cancelled", "message": "web was left running" });
    let facts = json!({ "status": "running", "cancel_requested_at": "2026-01-31T12:00:01Z" });
    Json(deployment_as(&facts, world.lines))
}

async fn remove(State(world): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    world.lock().unwrap().removals.push(body);
    Json(deployment_as(
        &json!({ "status": "queued", "kind": "remove" }),
        0,
    ))
}

async fn roll_back(State(world): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    world.lock().unwrap().rollbacks.push(body);
    let facts = json!({
        "status": "queued", "rollback_of": DEPLOYMENT, "warnings": ["the named volume data keeps what is in it"],
    });
    Json(deployment_as(&facts, 3))
}

async fn releases() -> Json<Value> {
    Json(json!({ "next_cursor": null, "items": [{
        "id": PROJECT, "digest": "0123456789abcdef", "compose_file": "compose.yaml", "deployments": 2,
        "last_deployed_at": "2026-01-31T12:00:00Z",
        "images": [{ "service": "web", "reference": "nginx:latest", "id": "sha256:0123456789abcdef", "digests": [] }],
    }] }))
}

async fn differences() -> Json<Value> {
    let image = |id: &str| json!({ "reference": "nginx:latest", "id": id });
    Json(json!({
        "files": [
            { "path": "page", "change": "changed", "text": "--- a/page\n+++ b/page\n-one\n+two\n", "note": null },
            { "path": "logo.png", "change": "added", "text": null, "note": "it is no text" },
        ],
        "images": [{ "service": "web", "from": image("sha256:01"), "to": image("sha256:02") }],
        "secrets": [{ "key": "PASSWORD", "from": 1, "to": null }],
    }))
}

async fn retry() -> (StatusCode, Json<Value>) {
    let again = json!({ "status": "queued", "agent_offline_since": "2026-01-31T12:00:00Z" });
    (StatusCode::ACCEPTED, Json(deployment_as(&again, 0)))
}

async fn latest() -> Json<Value> {
    Json(json!({ "next_cursor": null, "items": [{
        "agent_id": PERSON, "name": "web-1", "status": "online", "at": "2026-01-31T12:00:00Z",
        "host": { "cpu_percent": 12.5, "cores": 4, "load": [0.5, 0.25, 0.0], "memory_used": 1_073_741_824_u64,
            "memory_total": 4_294_967_296_u64, "disk_used": 1024, "disk_total": 2048 },
        "containers": [{ "name": "shop-web-1", "project": "shop", "cpu_percent": 3.0, "health": "healthy" }],
    }] }))
}
