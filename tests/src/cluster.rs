//! A cluster in memory as a process, and an agent that works on it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::{
    parts::{EngineKind, binary, clean_command},
    patience::wait_until,
    process::{Process, guarded, output},
    scratch::Scratch,
    story::unique,
};

/// It is there at once; the machine may be busy.
const READY: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// The namespace of the agent itself.
pub const HOME: &str = "towline";
/// The namespace of what is deployed.
pub const NAMESPACE: &str = "shop";

/// A Kubernetes API server in memory; ended when dropped.
#[derive(Debug)]
pub struct Cluster {
    _process: Process,
    folder: Scratch,
}

impl Cluster {
    /// Starts one, with the two namespaces.
    pub fn start() -> Self {
        let folder = Scratch::new("cluster");
        let mut command = clean_command(binary("towline-cluster"), EngineKind::New);
        command.arg("--folder").arg(folder.path());
        let process = Process::start("towline-cluster", command, &folder.join("cluster.log"));
        let cluster = Self {
            _process: process,
            folder,
        };
        wait_until("the cluster", READY, || {
            cluster.folder.join("ready").exists().then_some(())
        });
        for namespace in [HOME, NAMESPACE] {
            cluster.kubectl(&["create", "namespace", namespace]);
        }
        cluster
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// What kubectl prints as the admin; panics when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let mut command = guarded(kubectl());
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
            .env("KUBECACHEDIR", self.folder.join("cache"));
        output(command)
    }

    /// What only tests may do to it; see the documentation of `towline-cluster`.
    pub fn control(&self, path: &str, body: &Value) {
        let file = self.folder.join("control.json");
        std::fs::write(&file, body.to_string()).expect("the folder can be written");
        let path = format!("/_towline/{path}");
        self.kubectl(&["create", "--raw", &path, "-f", &file.display().to_string()]);
    }

    /// An object of the namespace.
    pub fn object(&self, kind: &str, name: &str) -> Value {
        let shown = self.kubectl(&["get", kind, name, "-n", NAMESPACE, "-o", "json"]);
        serde_json::from_str(&shown).expect("kubectl prints JSON")
    }

    /// The names of all objects of a kind in the namespace.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let shown = self.kubectl(&["get", kind, "-n", NAMESPACE, "-o", "name"]);
        let names = shown.lines().filter_map(|line| line.rsplit('/').next());
        names.map(str::to_owned).collect()
    }
}

/// The one that `tests/setup` has brought, or the machine's.
fn kubectl() -> PathBuf {
    let parts = std::env::var_os("TOWLINE_PARTS").map_or_else(
        || crate::parts::repository().join(".test-parts"),
        PathBuf::from,
    );
    let brought = parts.join("kubernetes/usr/bin/kubectl");
    if brought.exists() {
        brought
    } else {
        PathBuf::from("kubectl")
    }
}

/// `towline-agent run-in-cluster`; killed when dropped.
#[derive(Debug)]
pub struct ClusterAgent {
    process: Option<Process>,
    folder: Scratch,
    kubeconfig: PathBuf,
    name: String,
    pod: String,
}

impl ClusterAgent {
    /// An agent of this name beside the cluster, with a folder of its own: a new pod has none of the one before.
    pub fn new(cluster: &Cluster, name: &str) -> Self {
        Self {
            process: None,
            folder: Scratch::new("cluster-agent"),
            kubeconfig: cluster.kubeconfig(),
            name: name.to_owned(),
            pod: unique("pod"),
        }
    }

    /// Starts it, with a token if it is to enrol.
    pub fn start(&mut self, token: Option<&str>) {
        assert!(self.process.is_none(), "the agent runs");
        let mut command = clean_command(binary("towline-agent"), EngineKind::New);
        command
            .arg("run-in-cluster")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--own-namespace", HOME, "--namespace", NAMESPACE])
            .args(["--name", &self.name, "--pod", &self.pod])
            .arg("--state-dir")
            .arg(self.folder.join("state"));
        if let Some(token) = token {
            command.env("TOWLINE_ENROLMENT_TOKEN", token);
        }
        let log = self.folder.join("agent.log");
        self.process = Some(Process::start("towline-agent in a cluster", command, &log));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// `SIGTERM`, and waits.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the agent runs");
        process.terminate(STOP_LIMIT);
    }

    /// The running process.
    pub fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the agent runs")
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }
}
