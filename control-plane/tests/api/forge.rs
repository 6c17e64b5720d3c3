//! A forge on loopback, which answers in the documented shapes of GitHub (REST, 2022-11-28), GitLab (REST v4) and Bitbucket Cloud
//! (2.0). No real forge can be reached from where the tests run: what is tried is that what we send is what their documents ask for, and
//! that we read what they say they answer; not that they do.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod writes;

use writes::Written;

/// The one token that is taken.
pub const TOKEN: &str = "glpat-never-to-be-shown";
/// A second page has this one.
pub const LAST: &str = "ada/last";

/// Answers in all three ways; the paths tell which is meant.
#[derive(Clone)]
pub struct FakeForge(Arc<Inner>);

struct Inner {
    url: String,
    /// Where git finds `ada/shop`.
    git: Mutex<Option<String>>,
    scopes: Mutex<String>,
    /// What is answered, whatever is asked.
    instead: Mutex<Option<Instead>>,
    asked: Mutex<Vec<Asked>>,
    /// Hooks by their ids.
    hooks: Mutex<HashMap<u64, Value>>,
    /// Deploy keys by their ids.
    keys: Mutex<BTreeMap<u64, Value>>,
    /// What `ada/shop` has beside what git serves, and the pull requests for it.
    written: Mutex<Written>,
}

/// An answer.
#[derive(Clone)]
pub struct Instead {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// What came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub authorization: String,
    pub body: Value,
}

impl FakeForge {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let forge = Self(Arc::new(Inner {
            url: format!("http://{}", listener.local_addr().unwrap()),
            git: Mutex::default(),
            scopes: Mutex::new("repo, api, repository".to_owned()),
            instead: Mutex::default(),
            asked: Mutex::default(),
            hooks: Mutex::default(),
            keys: Mutex::default(),
            written: Mutex::default(),
        }));
        let app = Router::new().fallback(answer).with_state(forge.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        forge
    }

    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Has `ada/shop` be a repository of a Git server.
    pub fn serve_git(&self, url: &str) {
        *self.0.git.lock().unwrap() = Some(url.to_owned());
    }

    /// Has commits be made in a repository of this machine.
    pub fn write_to(&self, folder: &Path) {
        self.0.written.lock().unwrap().folder = Some(folder.to_owned());
    }

    /// The pull requests that are open.
    pub fn open(&self) -> Vec<Value> {
        self.0
            .written
            .lock()
            .unwrap()
            .open
            .values()
            .cloned()
            .collect()
    }

    /// Somebody has merged all of them, or none.
    pub fn close_all(&self) {
        self.0.written.lock().unwrap().open.clear();
    }

    /// Somebody has taken the deploy keys away.
    pub fn forget_keys(&self) {
        self.0.keys.lock().unwrap().clear();
    }

    /// The deploy keys that are there.
    pub fn keys(&self) -> Vec<Value> {
        self.0.keys.lock().unwrap().values().cloned().collect()
    }

    pub fn scopes(&self, scopes: &str) {
        scopes.clone_into(&mut self.0.scopes.lock().unwrap());
    }

    /// From now on it answers this, or as it should.
    pub fn instead(&self, instead: Option<Instead>) {
        *self.0.instead.lock().unwrap() = instead;
    }

    /// What came of a kind, and where.
    pub fn asked(&self, method: &Method, part: &str) -> Vec<Asked> {
        let asked = self.0.asked.lock().unwrap();
        let fits = |one: &&Asked| one.method == method && one.path.contains(part);
        asked.iter().filter(fits).cloned().collect()
    }

    pub fn hooks(&self) -> Vec<Value> {
        self.0.hooks.lock().unwrap().values().cloned().collect()
    }

    pub fn forget_hooks(&self) {
        self.0.hooks.lock().unwrap().clear();
    }

    fn hook(
        &self,
        method: &Method,
        id: Option<u64>,
        body: Value,
        shape: impl Fn(u64, &Value) -> Value,
        list: impl Fn(Vec<Value>) -> Value,
    ) -> Response {
        let mut hooks = self.0.hooks.lock().unwrap();
        match (method.as_str(), id) {
            ("GET", None) => {
                let all = hooks.iter().map(|(id, hook)| shape(*id, hook)).collect();
                ok(&list(all))
            }
            ("POST", None) => {
                let id = 7 + hooks.len() as u64;
                let made = shape(id, &body);
                hooks.insert(id, body);
                (StatusCode::CREATED, made.to_string()).into_response()
            }
            ("PUT" | "PATCH", Some(id)) if hooks.contains_key(&id) => {
                let changed = shape(id, &body);
                hooks.insert(id, body);
                ok(&changed)
            }
            ("DELETE", Some(id)) if hooks.remove(&id).is_some() => {
                StatusCode::NO_CONTENT.into_response()
            }
            _ => said(404, "Not Found"),
        }
    }
}

fn ok(body: &Value) -> Response {
    body.to_string().into_response()
}

fn said(status: u16, words: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, json!({ "message": words }).to_string()).into_response()
}

async fn answer(
    State(forge): State<FakeForge>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().unwrap().as_str().to_owned();
    if let Some(rest) = path.strip_prefix("/ada/shop.git") {
        let git = forge.0.git.lock().unwrap().clone();
        return match git {
            Some(git) => pass_on(&format!("{git}{rest}"), method, headers, body).await,
            None => said(404, "Not Found"),
        };
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text(header::AUTHORIZATION).unwrap_or_default().to_owned();
    let asked = Asked {
        method: method.clone(),
        path: path.clone(),
        authorization: authorization.clone(),
        body: serde_json::from_slice(&body).unwrap_or_else(|_| form(&headers, &body)),
    };
    forge.0.asked.lock().unwrap().push(asked.clone());
    if let Some(instead) = forge.0.instead.lock().unwrap().clone() {
        let mut response =
            (StatusCode::from_u16(instead.status).unwrap(), instead.body).into_response();
        for (name, value) in instead.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        return response;
    }
    // `ada:TOKEN`, as Bitbucket's API tokens are said.
    let basic = format!("Basic {}", base64("ada@example.org:", TOKEN));
    if authorization != format!("Bearer {TOKEN}") && authorization != basic {
        return said(401, "Bad credentials");
    }
    let (bare, query) = path.split_once('?').unwrap_or((&path, ""));
    let second = query.contains("page=2");
    let response = if let Some(rest) = bare.strip_prefix("/api/v3") {
        github(&forge, rest, second, &asked)
    } else if let Some(rest) = bare.strip_prefix("/api/v4") {
        gitlab(&forge, rest, second, &asked)
    } else if let Some(rest) = bare.strip_prefix("/2.0") {
        bitbucket(&forge, rest, second, &asked)
    } else {
        said(404, "Not Found")
    };
    let (mut head, body) = response.into_parts();
    head.headers
        .insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    Response::from_parts(head, body)
}

/// The fields of a form, and the files with their names: `{"message": …, "files": {"/path": …}}`.
fn form(headers: &HeaderMap, body: &[u8]) -> Value {
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let Some(boundary) =
        media.and_then(|media| media.strip_prefix("multipart/form-data; boundary="))
    else {
        return Value::Null;
    };
    let text = String::from_utf8(body.to_vec()).unwrap();
    let mut fields = json!({ "files": {} });
    for part in text.split(&format!("--{boundary}")) {
        let Some((head, content)) = part.split_once("\r\n\r\n") else {
            continue;
        };
        let name = head
            .split("name=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let content = content.strip_suffix("\r\n").unwrap();
        if head.contains("filename=") {
            fields["files"][name] = json!(content);
        } else {
            fields[name] = json!(content);
        }
    }
    fields
}

fn base64(user: &str, token: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{user}{token}"))
}

/// What is behind the last `/` that is a number.
fn id(path: &str) -> Option<u64> {
    path.rsplit('/')
        .next()?
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .ok()
}

fn github(forge: &FakeForge, path: &str, second: bool, asked: &Asked) -> Response {
    let url = forge.url();
    let repository = |name: &str, private: bool| {
        json!({
            "id": 1_296_269, "node_id": "MDEwOlJlcG9zaXRvcnkxMjk2MjY5", "name": name.split('/').nth(1).unwrap(), "full_name": name,
            "private": private, "html_url": format!("{url}/{name}"), "description": null, "fork": false,
            "url": format!("{url}/api/v3/repos/{name}"), "clone_url": "https://evil.example.org/taken.git",
            "default_branch": "main", "visibility": if private { "private" } else { "public" }, "an_unknown_field": {"a": [1]},
        })
    };
    match path {
        "/user" => {
            let mut response = ok(&json!({"login": "ada", "id": 1, "node_id": "MDQ6VXNlcjE=", "type": "User"}));
            let scopes = forge.0.scopes.lock().unwrap().parse().unwrap();
            response.headers_mut().insert("x-oauth-scopes", scopes);
            response
        }
        "/user/repos" if second => ok(&json!([repository(LAST, false)])),
        "/user/repos" => {
            let mut response = ok(&json!([repository("ada/shop", true)]));
            let next = "<https://evil.example.org/user/repos?page=2>; rel=\"next\"";
            response.headers_mut().insert(header::LINK, next.parse().unwrap());
            response
        }
        "/repos/ada/shop" => ok(&repository("ada/shop", true)),
        "/repos/ada/shop/branches" => ok(&json!([{
            "name": "main", "commit": {"sha": "a".repeat(40), "url": format!("{url}/api/v3/commits/a")}, "protected": true,
        }])),
        _ if path.starts_with("/repos/ada/shop/statuses/") => {
            let status = json!({"id": 1, "state": asked.body["state"], "context": asked.body["context"]});
            (StatusCode::CREATED, status.to_string()).into_response()
        }
        _ if path.starts_with("/repos/ada/shop/git/") => {
            forge.git_data(path.trim_start_matches("/repos/ada/shop/git/"), asked)
        }
        "/repos/ada/shop/pulls" => forge.pull(asked, "number", "/head", |all| all),
        _ if path.starts_with("/repos/ada/shop/keys") => forge.key(path, asked),
        _ if path.starts_with("/repos/ada/shop/hooks") => forge.hook(
            &asked.method,
            id(path),
            asked.body.clone(),
            |id, hook| json!({"type": "Repository", "id": id, "name": "web", "active": true, "events": ["push"], "config": {"url": hook["config"]["url"], "content_type": "json", "secret": "********"}}),
            Value::from,
        ),
        _ => said(404, "Not Found"),
    }
}

fn gitlab(forge: &FakeForge, path: &str, second: bool, asked: &Asked) -> Response {
    let project = |name: &str, visibility: &str| json!({"id": 4, "path_with_namespace": name, "visibility": visibility, "default_branch": "main", "topics": []});
    match path {
        "/user" => ok(&json!({"id": 1, "username": "ada", "name": "Ada", "state": "active"})),
        "/personal_access_tokens/self" => {
            let scopes = forge.0.scopes.lock().unwrap().clone();
            let scopes: Vec<_> = scopes.split(", ").collect();
            ok(&json!({"id": 4, "name": "t", "revoked": false, "active": true, "scopes": scopes}))
        }
        "/projects" if second => ok(&json!([project(LAST, "public")])),
        "/projects" => {
            let mut response = ok(&json!([project("ada/shop", "private")]));
            response
                .headers_mut()
                .insert("x-next-page", "2".parse().unwrap());
            response
        }
        "/projects/ada%2Fshop" => ok(&project("ada/shop", "private")),
        "/projects/ada%2Fshop/repository/branches" => ok(&json!([
            {"name": "main", "merged": false, "protected": true, "commit": {"id": "a".repeat(40), "short_id": "aaaaaaaa"}},
        ])),
        _ if path.starts_with("/projects/ada%2Fshop/statuses/") => (
            StatusCode::CREATED,
            json!({"id": 93, "status": asked.body["state"]}).to_string(),
        )
            .into_response(),
        "/projects/ada%2Fshop/repository/commits" => {
            use base64::Engine as _;
            let mut files: Vec<(String, Vec<u8>, bool)> = Vec::new();
            for action in asked.body["actions"].as_array().unwrap() {
                let path = action["file_path"].as_str().unwrap().to_owned();
                if action["action"] == "chmod" {
                    files.last_mut().unwrap().2 = action["execute_filemode"] == true;
                    continue;
                }
                assert_eq!(action["encoding"], "base64");
                let content = base64::engine::general_purpose::STANDARD
                    .decode(action["content"].as_str().unwrap());
                files.push((path, content.unwrap(), false));
            }
            let text = |name: &str| asked.body[name].as_str();
            forge.write(
                text("branch").unwrap(),
                text("start_sha"),
                text("commit_message").unwrap(),
                &files,
            )
        }
        "/projects/ada%2Fshop/merge_requests" => {
            forge.pull(asked, "iid", "/source_branch", |all| all)
        }
        _ if path.starts_with("/projects/ada%2Fshop/deploy_keys") => forge.key(path, asked),
        _ if path.starts_with("/projects/ada%2Fshop/hooks") => forge.hook(
            &asked.method,
            id(path),
            asked.body.clone(),
            |id, hook| json!({"id": id, "url": hook["url"], "project_id": 4, "push_events": true}),
            Value::from,
        ),
        _ => said(404, "404 Project Not Found"),
    }
}

fn bitbucket(forge: &FakeForge, path: &str, second: bool, asked: &Asked) -> Response {
    let repository = |name: &str, private: bool| {
        json!({
            "type": "repository", "full_name": name, "is_private": private, "mainbranch": {"type": "branch", "name": "main"},
            "links": {"clone": [{"name": "https", "href": "https://evil.example.org/taken.git"}]},
        })
    };
    match path {
        "/user" => {
            let mut response = ok(&json!({"type": "user", "uuid": "{a-1}", "nickname": "ada", "display_name": "Ada"}));
            let scopes = forge.0.scopes.lock().unwrap().parse().unwrap();
            response.headers_mut().insert("x-oauth-scopes", scopes);
            response
        }
        "/user/workspaces" => ok(&json!({"values": [{"type": "workspace_access", "workspace": {"slug": "ada"}}]})),
        "/repositories/ada" if second => ok(&json!({"pagelen": 50, "values": [repository(LAST, false)]})),
        "/repositories/ada" => ok(&json!({
            "pagelen": 50, "values": [repository("ada/shop", true)], "next": "https://evil.example.org/2.0/repositories/ada?page=2",
        })),
        "/repositories/ada/shop" => ok(&repository("ada/shop", true)),
        "/repositories/ada/shop/refs/branches" => ok(&json!({
            "values": [{"type": "branch", "name": "main", "target": {"type": "commit", "hash": "a".repeat(40)}}],
        })),
        _ if path.starts_with("/repositories/ada/shop/commit/") => {
            (StatusCode::CREATED, json!({"type": "build", "state": asked.body["state"]}).to_string()).into_response()
        }
        "/repositories/ada/shop/src" => {
            let files = asked.body["files"].as_object().unwrap().iter();
            let file = |(path, content): (&String, &Value)| {
                (path.trim_start_matches('/').to_owned(), content.as_str().unwrap().into(), false)
            };
            let files: Vec<_> = files.map(file).collect();
            let text = |name: &str| asked.body[name].as_str();
            forge.write(text("branch").unwrap(), text("parents"), text("message").unwrap(), &files)
        }
        "/repositories/ada/shop/pullrequests" => {
            forge.pull(asked, "id", "/source/branch/name", |all| json!({ "pagelen": 1, "values": all }))
        }
        _ if path.starts_with("/repositories/ada/shop/deploy-keys") => forge.key(path, asked),
        _ if path.starts_with("/repositories/ada/shop/hooks") => forge.hook(
            &asked.method,
            id(&path.replace("%7B", "").replace("%7D", "")),
            asked.body.clone(),
            |id, hook| json!({"uuid": format!("{{{id}}}"), "url": hook["url"], "active": true, "events": ["repo:push"]}),
            |all| json!({ "values": all }),
        ),
        _ => said(404, "Repository not found"),
    }
}

/// Has a Git server answer.
async fn pass_on(url: &str, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let mut request = reqwest::Client::new().request(method, url).body(body);
    for name in [
        "authorization",
        "content-type",
        "content-encoding",
        "git-protocol",
    ] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = (status, answer.bytes().await.unwrap()).into_response();
    for name in [header::CONTENT_TYPE, header::WWW_AUTHENTICATE] {
        if let Some(value) = headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
