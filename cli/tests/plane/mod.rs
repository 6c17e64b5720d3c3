//! A small control plane that speaks the contract over real TLS, and does to its clients what
//! networks do: cut streams, repeat lines, lose answers.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path as PathOf, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::StreamExt as _;
use towline_pki::{Authority, SERVER_LEAF_LIFETIME, tls};

/// The key that the control plane accepts.
pub const KEY: &str = "twlk_of_the_test";
/// The token of its set-up link.
pub const SETUP_TOKEN: &str = "twls_of_the_test";
/// The id of its only target.
pub const TARGET: &str = "00000000-0000-7000-8000-00000000000a";
/// The id of its only deployment.
pub const DEPLOYMENT: &str = "00000000-0000-7000-8000-00000000000d";
const PROJECT: &str = "00000000-0000-7000-8000-00000000000b";
const PERSON: &str = "00000000-0000-7000-8000-00000000000c";

/// What the control plane does and has seen.
#[derive(Debug)]
pub struct World {
    /// How many lines the deployment's log has.
    pub lines: u64,
    /// Each stream is cut after so many events, in turn; when none are left, it runs to its end.
    pub cuts: Vec<u64>,
    /// So many lines before the wanted one are sent again.
    pub repeats: u64,
    /// Each stream leaves out these lines once.
    pub skips: Vec<u64>,
    /// These lines do not exist any more.
    pub lost: Vec<u64>,
    /// How the deployment ends.
    pub end: Value,
    /// It ends only when it is cancelled.
    pub waits_for_cancel: Waits,
    /// So many answers to a new deployment get lost.
    pub lost_answers: u32,
    /// The names and contents of the uploaded files.
    pub files: Vec<(String, String)>,
    /// The secrets.
    pub secrets: Vec<(String, Value)>,
    /// The idempotency keys and bodies of asked deployments.
    pub asked: Vec<(String, Value)>,
    /// The projects' names.
    pub projects: Vec<String>,
    /// What each stream was opened with: `from`, and the last event's id.
    pub streams: Vec<(String, Option<String>)>,
    /// How often it was asked to cancel.
    pub cancels: u32,
}

/// Whether the deployment ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It does.
    No,
    /// It does not.
    Yes,
}

impl Default for World {
    fn default() -> Self {
        Self {
            lines: 3,
            cuts: Vec::new(),
            repeats: 0,
            skips: Vec::new(),
            lost: Vec::new(),
            end: json!({ "status": "succeeded" }),
            waits_for_cancel: Waits::No,
            lost_answers: 0,
            files: Vec::new(),
            secrets: Vec::new(),
            asked: Vec::new(),
            projects: Vec::new(),
            streams: Vec::new(),
            cancels: 0,
        }
    }
}

type Shared = Arc<Mutex<World>>;

/// A running control plane.
pub struct Plane {
    /// Its address.
    pub url: String,
    /// The SHA-256 of its authority.
    pub fingerprint: String,
    world: Shared,
    home: tempfile::TempDir,
    /// Ends it when dropped.
    _runtime: tokio::runtime::Runtime,
}

impl Plane {
    /// Starts it, on a port of its own.
    pub fn start(world: World) -> Self {
        let authority = Authority::generate("Towline test", chrono::Utc::now()).unwrap();
        let certificate = authority
            .issue_server(&["127.0.0.1"], chrono::Utc::now(), SERVER_LEAF_LIFETIME)
            .unwrap();
        let config = tls::public_server_config(&certificate).unwrap();
        let world = Arc::new(Mutex::new(world));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let router = router(Arc::clone(&world));
        let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://{}", tcp.local_addr().unwrap());
        let listener = TlsListener {
            tcp,
            acceptor: config.into(),
        };
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            fingerprint: authority.fingerprint().to_string(),
            world,
            home: tempfile::tempdir().unwrap(),
            _runtime: runtime,
        }
    }

    /// What it does and has seen.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Where its client keeps the configuration.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// `towline` without a login.
    pub fn stranger(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towline"));
        command
            .args(arguments)
            .env_clear()
            .env("TOWLINE_CONFIG_HOME", self.home())
            .stdin(std::process::Stdio::null());
        command
    }

    /// `towline` with a login from the environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stranger(arguments);
        command
            .env("TOWLINE_URL", &self.url)
            .env("TOWLINE_API_KEY", KEY)
            .env("TOWLINE_CA", &self.fingerprint);
        command
    }

    /// Runs `towline` with a login to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }
}

/// What a run of `towline` left.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its results.
    pub stdout: String,
    /// Its notes.
    pub stderr: String,
}

impl Ran {
    /// Reads a finished process's output.
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// The numbers of the log lines on stdout, in their order.
    pub fn line_numbers(&self) -> Vec<u64> {
        numbers(&self.stdout)
    }
}

/// The numbers of the log lines in a text.
pub fn numbers(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.rsplit_once("| line ")?.1.parse().ok())
        .collect()
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else {
                continue;
            };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

fn router(world: Shared) -> Router {
    let with_key = Router::new()
        .route("/me", get(me))
        .route("/targets", get(targets))
        .route("/targets/{id}", get(target_by_id))
        .route("/targets/{id}/containers", get(offline))
        .route("/projects", get(projects).post(new_project))
        .route("/projects/{id}/files", put(files))
        .route("/projects/{id}/secrets/{key}", put(secret))
        .route("/projects/{id}/deployments", post(deploy))
        .route("/deployments", get(deployments))
        .route("/deployments/{id}", get(deployment))
        .route("/deployments/{id}/cancel", post(cancel))
        .route("/deployments/{id}/log", get(log))
        .route("/deployments/{id}/log/stream", get(stream))
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

async fn new_project(State(world): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let name = body["name"].as_str().unwrap();
    world.lock().unwrap().projects.push(name.into());
    Json(project(name))
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

fn deployment_as(facts: &Value, lines: u64) -> Value {
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

async fn cancel(State(world): State<Shared>) -> Json<Value> {
    let mut world = world.lock().unwrap();
    world.cancels += 1;
    world.end = json!({ "status": "cancelled", "message": "web was left running" });
    let facts = json!({ "status": "running", "cancel_requested_at": "2026-01-31T12:00:01Z" });
    Json(deployment_as(&facts, world.lines))
}

fn line(number: u64) -> Value {
    json!({
        "n": number, "at": "2026-01-31T12:00:00.5Z", "stream": "stdout", "source": "web-1",
        "text": format!("line {number}"),
    })
}

async fn log(State(world): State<Shared>, Query(query): Query<Vec<(String, u64)>>) -> Json<Value> {
    let asked = |wanted: &str| {
        query
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
    };
    let world = world.lock().unwrap();
    let from = match (asked("tail"), asked("from")) {
        (Some(tail), _) => world.lines.saturating_sub(tail),
        (None, from) => from.unwrap_or(0),
    };
    let end = world
        .lines
        .min(from + asked("limit").unwrap_or(1000).min(2));
    let end = if asked("tail").is_some() {
        world.lines
    } else {
        end
    };
    let lines: Vec<_> = (from..end).map(line).collect();
    Json(json!({ "lines": lines, "next": end.max(from), "complete": end == world.lines }))
}

async fn stream(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let from = query[0].1.clone();
    let last = headers
        .get("last-event-id")
        .map(|id| id.to_str().unwrap().to_owned());
    let (events, waits) = {
        let mut world = shared.lock().unwrap();
        world.streams.push((from.clone(), last.clone()));
        (
            events(&mut world, from.parse().unwrap()),
            world.waits_for_cancel,
        )
    };
    let body = tokio_stream::iter(events.into_iter().map(Ok::<_, Infallible>));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    if waits == Waits::No {
        let cut = body.map(|event| event.map_err(|never| match never {}).and_then(cut_here));
        return (kind, Body::from_stream(cut)).into_response();
    }
    let ending = tokio_stream::once(()).then(move |()| end_after_cancel(Arc::clone(&shared)));
    let whole = body.filter(|event| {
        event
            .as_ref()
            .is_ok_and(|event| !event.contains("event: end"))
    });
    (kind, Body::from_stream(whole.chain(ending))).into_response()
}

async fn end_after_cancel(world: Shared) -> Result<String, Infallible> {
    while world.lock().unwrap().cancels == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let world = world.lock().unwrap();
    Ok(end_event(&world))
}

const CUT: &str = "the connection is cut here";

fn cut_here(event: String) -> io::Result<String> {
    if event == CUT {
        return Err(io::Error::other(CUT));
    }
    Ok(event)
}

fn end_event(world: &World) -> String {
    format!(
        "event: end\ndata: {}\n\n",
        deployment_as(&world.end, world.lines)
    )
}

fn events(world: &mut World, from: u64) -> Vec<String> {
    let running = deployment_as(&json!({ "status": "running", "step": "applying" }), 0);
    let mut events = vec![
        ": hello\n\n".to_owned(),
        format!("event: status\ndata: {running}\n\n"),
    ];
    let skips = std::mem::take(&mut world.skips);
    for number in from.saturating_sub(world.repeats)..world.lines {
        if skips.contains(&number) || world.lost.contains(&number) {
            continue;
        }
        events.push(format!(
            "id: {number}\nevent: line\ndata: {}\n\n",
            line(number)
        ));
    }
    events.push(end_event(world));
    if !world.cuts.is_empty() {
        let cut = world.cuts.remove(0);
        events.truncate(usize::try_from(cut).unwrap());
        events.push(CUT.to_owned());
    }
    events
}
