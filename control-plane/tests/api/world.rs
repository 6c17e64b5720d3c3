//! A control plane without its process: store, router, agent listener.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use chrono::{TimeDelta, Utc};
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use towline_pki::hash_token;
use towline_pki::tls::{LiveServerConfig, agent_listener_config};
use towline_server::agents::{self, Registry};
use towline_server::config::SignUp;
use towline_server::egress::{Egress, PlainHttp, Policy};
use towline_server::http::{Api, ApiParts, router};
use towline_server::install::Binaries;
use towline_server::notifications::Notifications;
use towline_server::outbox;
use towline_server::plugins::Plugins;
use towline_server::pushes::Pushes;
use towline_server::relay::{self, Layers};
use towline_server::sso::Providers;
use towline_server::statuses::Statuses;
use towline_server::store::{DatabaseConfig, Store};
use towline_server::telemetry::ProcessMetrics;
use towline_server::vault::Vault;
use towline_server::webhooks::Webhooks;
use uuid::Uuid;

use crate::database::{Database, Rows, write_rows};

/// The first user's.
pub const PASSWORD: &str = "correct horse battery";

/// A control plane. Dropping it ends it.
pub struct World {
    pub store: Store,
    pub stopping: CancellationToken,
    pub agent_address: SocketAddr,
    pub router: Router,
    database: Database,
    folder: TempDir,
}

/// Somebody with an API key.
#[derive(Clone)]
pub struct Somebody<'w> {
    world: &'w World,
    pub key: Option<String>,
    /// The cookie of a browser.
    pub cookie: Option<String>,
    /// The team that a browser names.
    team: Option<String>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl World {
    pub async fn open() -> Self {
        Self::with(|_| ()).await
    }

    /// One that differs in something.
    pub async fn with(adjust: impl FnOnce(&mut ApiParts)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::make().await;
        let vault = Vault::load_or_create(folder.path(), None).unwrap();
        let config = DatabaseConfig {
            data_dir: folder.path().to_owned(),
            url: database.url(),
            connections: 4,
        };
        let store = Store::open(&config, vault).await.unwrap();
        store.ensure_authority().await.unwrap();
        let (registry, stopping) = (Registry::new(), CancellationToken::new());
        let relay = relay::Door::new(
            Layers::new(&config.data_dir),
            Binaries::new(folder.path().join("agents")),
            stopping.clone(),
        );
        let agent_address = listen(&store, &registry, relay, &stopping).await;
        let egress = egress();
        let webhooks = Webhooks {
            store: store.clone(),
            egress: egress.clone(),
        };
        tokio::spawn(outbox::send(webhooks, stopping.clone()));
        let pushes = Pushes::new(store.clone(), egress.clone());
        tokio::spawn(outbox::send(pushes, stopping.clone()));
        let statuses = Statuses {
            store: store.clone(),
            egress: egress.clone(),
            url: "https://plane.example:8443".to_owned(),
        };
        tokio::spawn(outbox::send(statuses, stopping.clone()));
        let plugins = Plugins {
            store: store.clone(),
            egress: egress.clone(),
        };
        tokio::spawn(outbox::send(plugins, stopping.clone()));
        let mut parts = ApiParts {
            store: store.clone(),
            agents: registry,
            egress: egress.clone(),
            metrics: ProcessMetrics::new(store.commits()),
            stopping: stopping.clone(),
            url: "https://plane.example:8443".parse().unwrap(),
            agent_address: agent_address.to_string().parse().unwrap(),
            docker_address: Some("plane.example:2376".parse().unwrap()),
            agent_program: folder.path().join("towline-agent"),
            binaries: Binaries::new(folder.path().join("agents")),
            sign_up: SignUp::Closed,
            providers: Providers::default(),
            stripe: None,
            mailer: None,
            chat_hosts: vec!["127.0.0.1".to_owned()],
            configuration: json!({"data-dir": "/var/lib/towline"}),
            pin: None,
        };
        adjust(&mut parts);
        let notifications = Notifications {
            store: store.clone(),
            egress,
            mailer: parts.mailer.clone(),
            url: parts.url.to_string(),
        };
        tokio::spawn(outbox::send(notifications, stopping.clone()));
        let api = Api::new(parts);
        Self {
            router: router(api).unwrap(),
            store,
            stopping,
            agent_address,
            database,
            folder,
        }
    }

    /// The first user, set up by the link.
    pub async fn first(&self) -> Somebody<'_> {
        let token = self.store.ensure_setup_link().await.unwrap().unwrap();
        let body = json!({"token": *token, "email": "ada@example.org", "name": "Ada", "password": PASSWORD});
        let answer = self.nobody().post("/api/v1/setup", &body).await;
        let made = answer.expect(201);
        self.with_key(made["api_key"]["key"].as_str().unwrap())
    }

    /// A person with a role in a team of their own, made by hand: teams have no API yet.
    pub async fn another(&self, role: &str) -> Somebody<'_> {
        let key = towline_pki::random_token("twlk").unwrap();
        let (user, team, now) = (Uuid::now_v7(), Uuid::now_v7(), Utc::now());
        let rows = &self.rows().await;
        let sql = "INSERT INTO users (id, email, name, role, plan_id, created_at, updated_at)
            VALUES ($1, $2, 'Bob', 'user', (SELECT id FROM plans WHERE name = 'Enterprise'), $3, $3)";
        write_rows!(rows, sql, user, user.simple().to_string(), now);
        let sql = "INSERT INTO teams (id, name, owner_id, created_at, updated_at) VALUES ($1, 'Bob', $2, $3, $3)";
        write_rows!(rows, sql, team, user, now);
        let sql = "INSERT INTO team_members (id, team_id, user_id, role, joined_at, created_at, updated_at)
            VALUES ($1, $2, $1, $3, $4, $4, $4)";
        write_rows!(rows, sql, user, team, role, now);
        let sql = "INSERT INTO api_keys (id, team_id, user_id, name, prefix, token_hash, scopes, created_at, updated_at)
            VALUES ($1, $2, $1, 'key', 'twk_', $3, 'all', $4, $4)";
        write_rows!(rows, sql, user, team, hash_token(&key), now);
        self.with_key(&key)
    }

    /// A person with a team of their own, on the plan Free.
    pub async fn on_free(&self) -> Somebody<'_> {
        let somebody = self.another("owner").await;
        let me = somebody.get("/api/v1/me").await.expect(200);
        let user: Uuid = me["user"]["id"].as_str().unwrap().parse().unwrap();
        let sql =
            "UPDATE users SET plan_id = (SELECT id FROM plans WHERE name = 'Free') WHERE id = $1";
        let rows = &self.rows().await;
        write_rows!(rows, sql, user);
        somebody
    }

    /// What somebody is at a provider, linked by hand. Gives its id.
    pub async fn identity_of(&self, somebody: &Somebody<'_>, provider: &str) -> String {
        let me = somebody.get("/api/v1/me").await.expect(200);
        let user: Uuid = me["user"]["id"].as_str().unwrap().parse().unwrap();
        let id = Uuid::now_v7();
        let sql =
            "INSERT INTO oauth_identities (id, user_id, provider, subject, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $5)";
        let rows = &self.rows().await;
        let subject = id.simple().to_string();
        write_rows!(rows, sql, id, user, provider, subject, Utc::now());
        id.to_string()
    }

    /// The rows, behind the store's back.
    async fn rows(&self) -> Rows {
        self.database.rows(self.folder.path()).await
    }

    /// A browser in which somebody has signed in: the session is made by hand.
    pub async fn browser_of(&self, somebody: &Somebody<'_>) -> Somebody<'_> {
        let token = towline_pki::random_token("twlc").unwrap();
        let me = somebody.get("/api/v1/me").await.expect(200);
        let user: Uuid = me["user"]["id"].as_str().unwrap().parse().unwrap();
        let sql = "INSERT INTO sessions (id, user_id, token_hash, user_agent, address, last_used_at, expires_at, created_at)
            VALUES ($1, $2, $3, '', '', $4, $5, $4)";
        let (rows, now) = (&self.rows().await, Utc::now());
        let (id, hash, end) = (Uuid::now_v7(), hash_token(&token), now + TimeDelta::days(1));
        write_rows!(rows, sql, id, user, hash, now, end);
        self.with_cookie(&format!("__Host-towline={}", *token))
    }

    pub fn nobody(&self) -> Somebody<'_> {
        Somebody {
            world: self,
            key: None,
            cookie: None,
            team: None,
        }
    }

    /// Somebody signs in in a browser.
    pub async fn sign_in(&self, email: &str, password: &str) -> Somebody<'_> {
        let body = json!({"email": email, "password": password});
        let answer = self.nobody().post("/api/v1/session", &body).await;
        answer.expect(201);
        self.with_cookie(&answer.cookie())
    }

    pub fn with_cookie(&self, cookie: &str) -> Somebody<'_> {
        Somebody {
            cookie: Some(cookie.to_owned()),
            ..self.nobody()
        }
    }

    pub fn with_key(&self, key: &str) -> Somebody<'_> {
        Somebody {
            key: Some(key.to_owned()),
            ..self.nobody()
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// Receivers of tests are on loopback.
pub fn egress() -> Egress {
    let policy = Policy {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        plain_http: PlainHttp::Allowed,
    };
    Egress::new(policy, outbox::LIMITS)
}

async fn listen(
    store: &Store,
    registry: &Registry,
    relay: relay::Door,
    stopping: &CancellationToken,
) -> SocketAddr {
    let listener = agents::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let authority = store.server_authority().await.unwrap();
    let certificate = authority
        .issue_server(&["127.0.0.1"], Utc::now(), TimeDelta::days(1))
        .unwrap();
    let roots = store.trust_roots().await.unwrap();
    let tls = LiveServerConfig::new(agent_listener_config(&certificate, &roots).unwrap());
    let (store, registry, stopping) = (store.clone(), registry.clone(), stopping.clone());
    tokio::spawn(agents::serve(
        listener,
        Arc::new(tls),
        store,
        registry,
        relay,
        stopping,
    ));
    address
}

impl Somebody<'_> {
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(team) = &self.team {
            request = request.header("towline-team", team);
        }
        if let Some(cookie) = &self.cookie {
            request = request
                .header(header::COOKIE, cookie)
                .header("sec-fetch-site", "same-origin")
                .header("towline-csrf", "1");
        }
        request
    }

    /// The same, for one of the person's teams.
    pub fn in_team(&self, team: &str) -> Self {
        Self {
            team: Some(team.to_owned()),
            ..self.clone()
        }
    }

    /// The answer's head; its body may go on.
    pub async fn send(&self, request: Request<Body>) -> Response {
        self.world.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.send(request).await.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: axum::body::to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        let request = self.request(Method::GET, path).body(Body::empty());
        self.ask(request.unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        let request = self.request(Method::DELETE, path).body(Body::empty());
        self.ask(request.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.with_json(Method::POST, path, body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.with_json(Method::PUT, path, body).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.with_json(Method::PATCH, path, body).await
    }

    async fn with_json(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = self
            .request(method, path)
            .header(header::CONTENT_TYPE, "application/json");
        self.ask(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// A project with the files given.
    pub async fn project(&self, name: &str, files: &[(&str, &str)]) -> String {
        let made = self
            .post("/api/v1/projects", &json!({ "name": name }))
            .await
            .expect(201);
        let id = made["id"].as_str().unwrap().to_owned();
        if !files.is_empty() {
            self.upload(&id, tar(files)).await.expect(200);
        }
        id
    }

    pub async fn upload(&self, project: &str, archive: Vec<u8>) -> Answer {
        let request = self
            .request(Method::PUT, &format!("/api/v1/projects/{project}/files"))
            .header(header::CONTENT_TYPE, "application/x-tar");
        self.ask(request.body(Body::from(archive)).unwrap()).await
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The JSON of an answer with this status, which is a problem document when it is a refusal.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.body.is_empty() {
            return Value::Null;
        }
        let json = self.json();
        if status >= 400 {
            assert_eq!(
                self.headers[header::CONTENT_TYPE],
                "application/problem+json"
            );
            assert_eq!(json["status"], status);
            assert!(
                json["detail"]
                    .as_str()
                    .is_some_and(|detail| !detail.is_empty()),
                "{json}"
            );
        }
        json
    }

    /// The cookie that the answer sets, as a browser sends it back.
    pub fn cookie(&self) -> String {
        let set = self.headers[header::SET_COOKIE].to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A tar archive of regular files.
pub fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

pub const COMPOSE: &str = "services:\n  web:\n    image: busybox\n";
