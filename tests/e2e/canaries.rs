//! Some thirty secrets, one of each kind there is, are looked for wherever they must not be.
//!
//! Where they may be: the master key in its own file, an agent's key in its own state folder, and what a project is
//! deployed with in the environment of `docker compose` and of the container; and the set-up link on the standard output of
//! the first start, which is made to print it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};
use towline_tests::agent::AgentPlan;
use towline_tests::api::{Answer, Api};
use towline_tests::canary::{Canary, found};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::parts::Parts;
use towline_tests::process::output;
use towline_tests::scratch::Scratch;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

use crate::DEPLOY_LIMIT;

#[test]
fn no_canary_is_found_embedded() {
    no_canary_is_found(DatabaseKind::Sqlite, EngineKind::New);
}

#[test]
fn no_canary_is_found_scaled_out() {
    no_canary_is_found(DatabaseKind::Postgres, EngineKind::Old);
}

/// The agent's file with its key.
const IDENTITY: &str = "identity.json";
/// What the container and `docker compose` have in their environment.
const DEPLOYED: [&str; 2] = ["deploy secret", "secret of an environment"];
/// The programs that may have it there: `docker`, its plugin, and what the container runs, its process 1 included.
const MAY: [&str; 5] = ["docker", "docker-compose", "docker-init", "sh", "sleep"];

fn no_canary_is_found(database: DatabaseKind, engine: EngineKind) {
    let folder = Scratch::new("canaries");
    let mut canaries = Vec::new();
    let configured = configured(&folder, &mut canaries);
    let mut story = begin(database, engine, configured);
    let people = People::gather(&story, &mut canaries);
    let project = story.project("vault", &ComposeFolder::of(&[vault()]));
    set_secrets(&story.api, &project.id, &mut canaries);
    let hook =
        json!({ "url": "https://hooks.example.org/x", "event_types": ["deployment.succeeded"] });
    let made = story
        .api
        .post(&format!("/projects/{}/webhooks", project.id), &hook);
    canaries.push(Canary::new("webhook secret", text(&made.ok()["secret"])));
    hooks_of_people(&story.api, &mut canaries);
    accounts_elsewhere(&story.api, &mut canaries);
    keys_of_files(&story, &mut canaries);
    let kinds: BTreeSet<_> = canaries.iter().map(|canary| canary.kind).collect();
    assert!(kinds.len() >= 20, "{} kinds: {kinds:?}", kinds.len());
    assert_eq!(kinds.len(), canaries.len());

    let body = json!({ "target": story.target(), "environment": "production" });
    let seen = watching_processes(&canaries, || {
        let asked = project.request_deployment(&body).ok();
        project.deployment(&asked).wait("succeeded", DEPLOY_LIMIT);
    });
    let (id, name) = project.leave();
    assert!(seen.is_empty(), "in processes: {seen:?}");
    let mut places = Places {
        canaries: &canaries,
        found: Vec::new(),
    };
    for api in [&story.api, &people.bob] {
        answers(api, &id, &mut places);
    }
    let backup = folder.join("backup");
    story.server.admin(&["backup", backup.to_str().unwrap()]);
    places.look("the backup", &fs::read(&backup).unwrap());
    places.look_into(&story.server.data_dir(), &["master.key"]);
    places.look_into(&story.agent.state_dir(), &[IDENTITY]);
    if database == DatabaseKind::Postgres {
        let mut dump = Command::new(Parts::locate().postgres("pg_dump"));
        dump.args(["--inserts", "--dbname", &story.server.database().url()]);
        places.look("a dump", output(dump).as_bytes());
    }
    story.engine.remove_project(&name);
    story.agent.stop();
    story.server.stop();
    places.look_into(&story.server.data_dir(), &["master.key"]);
    let log = story.server.log();
    let printed = |line: &&str| !line.contains("/setup#");
    let log: Vec<_> = log.lines().filter(printed).collect();
    places.look("the server's log", log.join("\n").as_bytes());
    places.look("the agent's log", story.agent.log().as_bytes());
    assert_eq!(places.found, Vec::<String>::new());
    // The search can find: here one is.
    let key = fs::read(story.server.data_dir().join("master.key")).unwrap();
    assert_eq!(found(&canaries, &key), ["master key"]);
}

fn value(name: &str) -> String {
    // Letters that forms differ in, and enough others that chance does not make them.
    format!("{}/+=&", unique(&format!("canary-{name}")))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The arguments of a server that is given secrets by files.
fn configured(folder: &Scratch, canaries: &mut Vec<Canary>) -> Vec<String> {
    let mut file_of = |kind: &'static str| {
        let (file, secret) = (folder.join(&kind.replace(' ', "-")), value("configured"));
        fs::write(&file, &secret).unwrap();
        canaries.push(Canary::new(kind, &secret));
        file.display().to_string()
    };
    let (smtp, client) = (file_of("SMTP password"), file_of("OIDC client secret"));
    let (key, events) = (file_of("Stripe key"), file_of("Stripe signing secret"));
    let config = folder.join("towline.toml");
    let text = format!(
        "[[sign-in.providers]]\nid = 'acme'\nname = 'Acme'\nkind = 'oidc'\nissuer = 'https://acme.example.org'\n\
         client-id = 'towline'\nclient-secret-file = '{client}'\n\
         [billing.stripe]\nsecret-key-file = '{key}'\nwebhook-secret-file = '{events}'\nprices = {{ price_1 = 'Pro' }}\n"
    );
    fs::write(&config, text).unwrap();
    // Nobody listens there: mail that is not sent must tell no secret either.
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "--smtp-url",
        "smtps://towline@127.0.0.1:9",
        "--smtp-from",
        "towline@example.org",
        "--smtp-password-file",
        &smtp,
        "--log",
        "debug",
        "--egress-allow",
        "127.0.0.0/8",
        "--egress-allow-http",
    ];
    arguments.map(str::to_owned).to_vec()
}

fn begin(database: DatabaseKind, engine: EngineKind, arguments: Vec<String>) -> Installation {
    let mut plan = ServerPlan::new(database);
    plan.arguments = arguments;
    let host = AgentPlan::new(&unique("host"));
    Installation::over(plan, Engine::shared(engine), host)
}

/// Says the length of what it was given, never that itself.
fn vault() -> Service {
    Service::script(
        "web",
        "echo ${#DEPLOYED} ${#PRODUCTION}; exec sleep 1000000",
    )
    .line("environment: {DEPLOYED: \"${DEPLOYED}\", PRODUCTION: \"${PRODUCTION}\"}")
}

fn set_secrets(api: &Api, project: &str, canaries: &mut Vec<Canary>) {
    let secrets = [
        ("DEPLOYED", "former value", json!({})),
        ("DEPLOYED", "deploy secret", json!({})),
        ("BUILT", "build secret", json!({ "scope": "build" })),
        ("PIPED", "pipeline secret", json!({ "scope": "pipeline" })),
        (
            "PRODUCTION",
            "secret of an environment",
            json!({ "environment": "production" }),
        ),
    ];
    for (key, kind, place) in secrets {
        let secret = value("secret");
        let mut body = place;
        body["value"] = secret.clone().into();
        api.put(&format!("/projects/{project}/secrets/{key}"), &body)
            .ok();
        canaries.push(Canary::new(kind, &secret));
    }
}

/// What plugins and notifications are signed and sent with.
fn hooks_of_people(api: &Api, canaries: &mut Vec<Canary>) {
    let plugin =
        json!({ "name": "gate", "url": "https://gate.example.org/x", "hooks": ["after_project"] });
    let made = api.post("/plugins", &plugin).ok();
    canaries.push(Canary::new("plugin secret", text(&made["secret"])));
    let token = value("ntfy");
    let settings =
        json!({ "topic": "deploys", "server": "https://ntfy.example.org", "token": token });
    let channel = json!({ "kind": "ntfy", "name": "phone", "settings": settings });
    api.post("/notification-channels", &channel).ok();
    canaries.push(Canary::new("ntfy token", &token));
    let webhook = json!({ "kind": "webhook", "name": "mine", "settings": { "url": "https://mine.example.org/x" } });
    let made = api.post("/notification-channels", &webhook).ok();
    canaries.push(Canary::new("channel's secret", text(&made["secret"])));
}

/// By what forges and registries are called. Jobs are given the login of a registry that they need not.
fn accounts_elsewhere(api: &Api, canaries: &mut Vec<Canary>) {
    let token = unique("canary-integration");
    let forge = json!({ "name": "hub", "forge": "github", "url": forge(), "token": token });
    api.post("/integrations", &forge).ok();
    canaries.push(Canary::new("integration's token", &token));
    let password = value("registry");
    let registry = json!({
        "registry": "registry.example.org", "user": "ada", "password": password, "check": "skip",
    });
    api.post("/registries", &registry).ok();
    canaries.push(Canary::new("registry's password", &password));
}

/// What answers as GitHub does when it is asked whose token it is; gives its address.
fn forge() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8192];
            let _ = stream.read(&mut request);
            let account = r#"{"id": 1, "login": "ada"}"#;
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-OAuth-Scopes: repo\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{account}",
                account.len()
            );
        }
    });
    format!("http://{address}")
}

struct People {
    bob: Api,
}

impl People {
    /// Somebody joins, gets a password, a session and a second factor; links stay open.
    fn gather(story: &Installation, canaries: &mut Vec<Canary>) -> Self {
        let (api, nobody) = (&story.api, story.server.public_api());
        let setup = story.setup_token();
        canaries.push(Canary::new("set-up link", setup));
        canaries.push(Canary::new("API key", api.key()));
        let invite = |email: &str| {
            let made = api.post(
                "/invitations",
                &json!({ "email": email, "role": "developer" }),
            );
            token_of(text(&made.ok()["link"]))
        };
        let email = format!("{}@example.org", unique("bob"));
        let used = invite(&email);
        let first = value("password");
        let joined = json!({ "token": used, "name": "Bob", "password": first });
        let joined = nobody.post("/invitations/accept", &joined).ok();
        canaries.push(Canary::new("used invitation", &used));
        canaries.push(Canary::new("former password", &first));
        canaries.push(Canary::new("open invitation", &invite("eve@example.org")));
        let key = text(&joined["api_key"]["key"]).to_owned();
        canaries.push(Canary::new("API key of a developer", &key));
        let bob = nobody.with_key(&key);

        let id = text(&bob.get("/me").ok()["user"]["id"]).to_owned();
        let link = || {
            token_of(text(
                &api.post(&format!("/users/{id}/reset-link"), &json!({}))
                    .ok()["link"],
            ))
        };
        let (reset, second) = (link(), value("password"));
        let body = json!({ "token": reset, "password": second });
        nobody.post("/password-resets/use", &body).ok();
        canaries.push(Canary::new("used reset link", &reset));
        canaries.push(Canary::new("password", &second));
        canaries.push(Canary::new("open reset link", &link()));
        Self::sign_in(&nobody, &email, &second, canaries);
        let made = api.post("/enrolment-tokens", &json!({ "name": unique("late") }));
        canaries.push(Canary::new("enrolment token", text(&made.ok()["token"])));
        Self { bob }
    }

    fn sign_in(nobody: &Api, email: &str, password: &str, canaries: &mut Vec<Canary>) {
        let body = json!({ "email": email, "password": password });
        let cookie = nobody.post("/session", &body).cookie.unwrap();
        let (_, session) = cookie.split_once('=').unwrap();
        canaries.push(Canary::new("session", session));
        let post = |path: &str, body: Value| -> Answer {
            let request = nobody.request(Method::POST, path).json(&body);
            let request = request
                .header("Cookie", &cookie)
                .header("Towline-CSRF", "1");
            nobody.send(request.header("Sec-Fetch-Site", "same-origin"))
        };
        let made = post("/me/totp", json!({ "password": password })).ok();
        let letters = text(&made["secret"]);
        let secret = data_encoding::BASE32_NOPAD
            .decode(letters.as_bytes())
            .unwrap();
        canaries.push(Canary::new("TOTP secret", letters));
        canaries.push(Canary::of_bytes("TOTP secret's bytes", &secret));
        let on = post("/me/totp/enable", json!({ "code": totp(&secret) })).ok();
        canaries.push(Canary::new("recovery code", text(&on["recovery_codes"][0])));
    }
}

/// The secret in a link stands behind the `#`, before the authority's fingerprint.
fn token_of(link: &str) -> String {
    let (_, secret) = link.split_once('#').unwrap();
    secret.split('.').next().unwrap().to_owned()
}

/// What an authenticator app shows now (RFC 6238).
fn totp(secret: &[u8]) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(secret).unwrap();
    mac.update(&(seconds / 30).to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let at = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes(digest[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// What no answer ever has.
fn keys_of_files(story: &Installation, canaries: &mut Vec<Canary>) {
    let key = fs::read_to_string(story.server.data_dir().join("master.key")).unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(key.trim());
    canaries.push(Canary::of_bytes("master key", &bytes.unwrap()));
    let identity = fs::read(story.agent.state_dir().join(IDENTITY)).unwrap();
    let identity: Value = serde_json::from_slice(&identity).unwrap();
    let pem = text(&identity["key"])
        .lines()
        .filter(|line| !line.contains("-----"));
    let pem: String = pem.collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(pem)
        .unwrap();
    // Its beginning and end are the same in every key.
    canaries.push(Canary::of_bytes("agent's key", &der[36..68]));
}

/// All files of a folder, and of those in it.
pub fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

struct Places<'c> {
    canaries: &'c [Canary],
    found: Vec<String>,
}

impl Places<'_> {
    fn look(&mut self, place: &str, bytes: &[u8]) {
        for kind in found(self.canaries, bytes) {
            self.found.push(format!("{kind} in {place}"));
        }
    }

    /// Into all files, but for those that are made for a secret.
    fn look_into(&mut self, folder: &Path, but: &[&str]) {
        for path in files_below(folder) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !but.contains(&name.as_str()) {
                // A file may go while it is looked for.
                let bytes = fs::read(&path).unwrap_or_default();
                self.look(&path.display().to_string(), &bytes);
            }
        }
    }
}

/// Every answer of the API that can be had with a `GET`.
fn answers(api: &Api, project: &str, places: &mut Places<'_>) {
    let described = api.get("/openapi.json").ok();
    let first = |path: &str| {
        let answer = api.get(path);
        let items = answer.body["items"].as_array().cloned().unwrap_or_default();
        items.first().map(|item| text(&item["id"]).to_owned())
    };
    let ids = [
        ("/projects/{id}", Some(project.to_owned())),
        ("/deployments/{id}", first("/deployments")),
        ("/targets/{id}", first("/targets")),
        ("/agents/{id}", first("/agents")),
        ("/plugins/{id}", first("/plugins")),
        (
            "/notification-channels/{id}",
            first("/notification-channels"),
        ),
        (
            "/webhooks/{id}",
            first(&format!("/projects/{project}/webhooks")),
        ),
    ];
    let mut asked = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix("/api/v1") else {
            continue;
        };
        if methods.get("get").is_none() || path.ends_with("/stream") {
            continue;
        }
        let mut path = path.replace("{key}", "DEPLOYED").replace("{name}", "web");
        for (pattern, id) in &ids {
            if let (Some(rest), Some(id)) = (path.strip_prefix(pattern), id) {
                path = format!("{}{rest}", pattern.replace("{id}", id));
            }
        }
        let answer = api.get(&path);
        asked += u32::from(answer.status == 200);
        places.look(&format!("GET {path}"), answer.body.to_string().as_bytes());
    }
    assert!(asked > 15, "{asked} answers");
}

/// What processes show of themselves while `work` goes on.
fn watching_processes(canaries: &[Canary], work: impl FnOnce()) -> BTreeSet<String> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !stop.load(Ordering::Relaxed) {
                look_at_processes(canaries, &mut seen);
                thread::sleep(Duration::from_millis(20));
            }
            seen
        });
        work();
        stop.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

fn look_at_processes(canaries: &[Canary], seen: &mut BTreeSet<String>) {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter(|entry| {
        entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok())
    });
    for process in processes {
        let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
        let name = String::from_utf8_lossy(&read("comm")).trim().to_owned();
        for kind in found(canaries, &read("cmdline")) {
            seen.insert(format!("{kind} in the arguments of {name}"));
        }
        for kind in found(canaries, &read("environ")) {
            if !(DEPLOYED.contains(&kind) && MAY.contains(&name.as_str())) {
                seen.insert(format!("{kind} in the environment of {name}"));
            }
        }
    }
}
