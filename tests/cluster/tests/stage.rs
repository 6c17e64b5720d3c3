//! A cluster, a client of its API, and `kubectl`.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Certificate, Client, Method, Response};
use serde_json::Value;
use tempfile::TempDir;
use towline_cluster::{Cluster, Settings};

/// How long anything may take that a cluster does by itself.
pub const SOON: Duration = Duration::from_secs(15);

/// One cluster, used by one test.
pub struct Stage {
    pub cluster: Cluster,
    http: Client,
    token: String,
    folder: TempDir,
}

/// What `kubectl` said.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub success: bool,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let cluster = Cluster::start(settings).await.unwrap();
        let roots = Certificate::from_pem_bundle(cluster.authority().as_bytes()).unwrap();
        let http = Client::builder().tls_certs_only(roots).no_proxy();
        let folder = TempDir::new().unwrap();
        let stage = Self {
            token: cluster.admin_token(),
            http: http.build().unwrap(),
            cluster,
            folder,
        };
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        stage
            .until("the cluster is there", async || {
                stage.get(account).await.0 == 200
            })
            .await;
        stage
    }

    /// Sends a request, and reads its answer.
    pub async fn ask(&self, method: &str, path: &str, kind: &str, body: &Value) -> (u16, Value) {
        self.ask_as(&self.token, method, path, kind, body).await
    }

    /// The same with another token.
    pub async fn ask_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: &Value,
    ) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self
            .http
            .request(method, format!("{}{path}", self.cluster.url()));
        let mut request = request
            .bearer_auth(token)
            .header("user-agent", "stage/1.0")
            .header("content-type", kind);
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let code = response.status().as_u16();
        let text = response.text().await.unwrap();
        (
            code,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "", &Value::Null).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, "application/json", body).await
    }

    pub async fn apply(&self, path: &str, manager: &str, body: &Value) -> (u16, Value) {
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}fieldManager={manager}");
        self.ask("PATCH", &path, "application/apply-patch+yaml", body)
            .await
    }

    /// An answer that comes bit by bit.
    pub async fn stream(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.cluster.url()));
        request.bearer_auth(&self.token).send().await.unwrap()
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + SOON;
        while !holds().await {
            assert!(Instant::now() < end, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kubectl` for this cluster, as the admin.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_as(&self.token, arguments)
    }

    /// The same with another token.
    pub fn command_as(&self, token: &str, arguments: &[&str]) -> Command {
        let file = self
            .folder
            .path()
            .join(format!("kubeconfig-{}", token.len()));
        std::fs::write(&file, self.cluster.kubeconfig_of(token)).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(kubectl())
            .args(arguments);
        command
            .env("KUBECONFIG", file)
            .env("HOME", self.folder.path());
        command
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Said {
        self.kubectl_with(arguments, "")
    }

    /// With something to read.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("setpriv and kubectl are there");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        Said {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            success: output.status.success(),
        }
    }

    /// What it says when it succeeds.
    pub fn does(&self, arguments: &[&str]) -> String {
        let said = self.kubectl(arguments);
        assert!(said.success, "kubectl {arguments:?}: {said:?}");
        said.out
    }
}

/// The one that `tests/setup` has unpacked, or the machine's.
pub fn kubectl() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts = std::env::var_os("TOWLINE_PARTS")
        .map_or_else(|| repository.join(".test-parts"), PathBuf::from);
    let unpacked = parts.join("kubernetes/usr/bin/kubectl");
    if unpacked.exists() {
        unpacked
    } else {
        PathBuf::from("kubectl")
    }
}

/// A Deployment with one container.
pub fn deployment(name: &str, image: &str, replicas: i64) -> Value {
    serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": image}]}},
        },
    })
}

/// A pod with one container.
pub fn pod(name: &str, command: &[&str], policy: &str) -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"restartPolicy": policy, "containers": [{"name": "main", "image": "busybox:1", "command": command}]},
    })
}

/// A ConfigMap with one value.
pub fn config_map(name: &str, value: &str) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}})
}
