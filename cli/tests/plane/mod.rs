//! A small control plane that speaks the contract over real TLS, and does to its clients what
//! networks do: cut streams, repeat lines, lose answers.

mod cluster_live;
mod clusters;
mod integrations;
mod plugins;
mod registries;
mod routes;
mod streams;
mod told;

use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
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
    /// Another client has made each of them first.
    pub rival: Rival,
    /// What each stream was opened with: `from`, and the last event's id.
    pub streams: Vec<(String, Option<String>)>,
    /// How often it was asked to cancel.
    pub cancels: u32,
    /// What becomes of such a request.
    pub cancelling: Cancelling,
    /// The bodies of asked removals.
    pub removals: Vec<Value>,
    /// The bodies of what was asked to be done in clusters at once.
    pub cluster_actions: Vec<Value>,
    /// The bodies of asked rollbacks.
    pub rollbacks: Vec<Value>,
    /// The `tail` that each stream of the container's log was opened with.
    pub container_tails: Vec<u64>,
}

/// Whether the deployment ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It does.
    No,
    /// It does not.
    Yes,
}

/// Whether another client makes the same projects at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// There is none.
    Absent,
    /// It is always a moment earlier.
    First,
}

/// What becomes of requests to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    /// They are answered.
    Heard,
    /// The first is refused for the moment, the later ones are answered.
    UnavailableOnce,
    /// They are never answered.
    Hangs,
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
            rival: Rival::Absent,
            streams: Vec::new(),
            cancels: 0,
            cancelling: Cancelling::Heard,
            removals: Vec::new(),
            cluster_actions: Vec::new(),
            rollbacks: Vec::new(),
            container_tails: Vec::new(),
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
        let router = routes::router(Arc::clone(&world));
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
