//! The real control plane as a process.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Command, ExitStatus},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    api::Api,
    parts::{EngineKind, binary, clean_command},
    ports::free_address,
    postgres::Database,
    process::{Process, output},
    scratch::Scratch,
    sqlite,
};

/// A start includes the making of keys and of the schema, on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);
/// The promise is 10 seconds.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Which database the control plane uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// The embedded one.
    Sqlite,
    /// A real server.
    Postgres,
}

impl DatabaseKind {
    /// Both, for tests that run on each.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

/// How to start a control plane.
#[derive(Debug)]
pub struct ServerPlan {
    /// Its database.
    pub database: DatabaseKind,
    /// Where it listens.
    pub address: IpAddr,
    /// Where agents are told to connect, when that is a proxy before it.
    pub agents_connect_to: Option<SocketAddr>,
    /// Its agent listener, when that must be known before; else free.
    pub agent_listen: Option<SocketAddr>,
    /// More arguments of `serve`.
    pub arguments: Vec<String>,
    /// More environment.
    pub environment: Vec<(String, String)>,
}

impl ServerPlan {
    /// On 127.0.0.1.
    pub fn new(database: DatabaseKind) -> Self {
        Self {
            database,
            address: Ipv4Addr::LOCALHOST.into(),
            agents_connect_to: None,
            agent_listen: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }
}

/// A control plane; killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    process: Option<Process>,
    plan: ServerPlan,
    public: SocketAddr,
    agent_listen: SocketAddr,
    folder: Scratch,
    /// Goes after the process.
    database: Option<Database>,
}

/// What the first start prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupLink {
    /// All of it.
    pub link: String,
    /// The one-time token.
    pub token: String,
    /// The authority's fingerprint.
    pub fingerprint: String,
}

impl ServerProcess {
    /// Starts it on a fresh data directory and database, and waits until it is ready.
    pub fn start(plan: ServerPlan) -> Self {
        let mut server = Self::prepare(plan);
        server.start_again();
        server
    }

    /// The same on a database of the test's own making.
    pub fn start_over(plan: ServerPlan, database: Database) -> Self {
        let mut server = Self::prepare_over(plan, Some(database));
        server.start_again();
        server
    }

    /// Everything but the start.
    pub fn prepare(plan: ServerPlan) -> Self {
        let database = (plan.database == DatabaseKind::Postgres).then(Database::fresh);
        Self::prepare_over(plan, database)
    }

    fn prepare_over(plan: ServerPlan, database: Option<Database>) -> Self {
        let public = free_address(plan.address);
        let agent_listen = plan
            .agent_listen
            .unwrap_or_else(|| free_address(plan.address));
        Self {
            process: None,
            plan,
            public,
            agent_listen,
            folder: Scratch::new("server"),
            database,
        }
    }

    /// Starts it on the same data and ports, and waits until it is ready.
    pub fn start_again(&mut self) {
        self.launch();
        let (ca, url) = (self.ca(), self.url());
        let process = self.process.as_mut().expect("just launched");
        process.wait_until("its authority is made", START_LIMIT, |_| {
            ca.exists().then_some(())
        });
        let api = Api::new(&url, &ca);
        process.wait_until("it is ready", START_LIMIT, |_| is_ready(&api).then_some(()));
    }

    /// Starts it and waits for nothing.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        let log = self.folder.join("server.log");
        self.process = Some(Process::start(
            "towline-server",
            self.command("serve"),
            &log,
        ));
    }

    /// What `towline-server admin …` prints with this server's configuration; panics when it fails.
    pub fn admin(&self, work: &[&str]) -> String {
        output(self.command_of(&[&["admin"], work].concat()))
    }

    /// `towline-server VERB` with this server's configuration.
    pub fn command(&self, verb: &str) -> Command {
        self.command_of(&[verb])
    }

    /// The same with several words, such as `admin rotate-ca start`.
    pub fn command_of(&self, verbs: &[&str]) -> Command {
        // Any engine's PATH does: the server runs no engine.
        let mut command = clean_command(binary("towline-server"), EngineKind::New);
        command.args(verbs).arg("--data-dir").arg(self.data_dir());
        command.args([
            "--listen",
            &self.public.to_string(),
            "--public-url",
            &self.url(),
        ]);
        let agents_connect_to = self.plan.agents_connect_to.unwrap_or(self.agent_listen);
        command.args([
            "--agent-listen",
            &self.agent_listen.to_string(),
            "--agent-address",
            &agents_connect_to.to_string(),
        ]);
        if let Some(database) = &self.database {
            command.args(["--database", &database.url()]);
        }
        command.args(&self.plan.arguments).envs(
            self.plan
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        command
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// `SIGTERM`; panics when it takes longer than promised.
    pub fn stop(&mut self) -> ExitStatus {
        self.process
            .take()
            .expect("the server runs")
            .terminate(STOP_LIMIT)
    }

    /// `SIGSTOP`: it holds its connections and does nothing.
    pub fn freeze(&mut self) {
        self.running().signal(Signal::STOP);
    }

    /// Ends what [`Self::freeze`] began.
    pub fn resume(&mut self) {
        self.running().signal(Signal::CONT);
    }

    /// The running process.
    pub fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the server runs")
    }

    /// Arguments and environment for the next start.
    pub fn plan(&mut self) -> &mut ServerPlan {
        &mut self.plan
    }

    /// `https://address:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.public)
    }

    /// Where agents' connections arrive.
    pub fn agent_listen(&self) -> SocketAddr {
        self.agent_listen
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its authority's certificates.
    pub fn ca(&self) -> PathBuf {
        self.data_dir().join("ca.pem")
    }

    /// Its PostgreSQL database; panics for SQLite.
    pub fn database(&mut self) -> &mut Database {
        self.database.as_mut().expect("this server uses PostgreSQL")
    }

    /// The rows of a query with one column of text, in either database.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        match &self.database {
            Some(database) => database.query(sql).lines().map(str::to_owned).collect(),
            None => sqlite::rows(&self.data_dir().join("control.db"), sql),
        }
    }

    /// Runs a statement that changes something in either database, behind the server's back.
    pub fn change(&self, sql: &str) {
        match &self.database {
            Some(database) => {
                database.query(sql);
            }
            None => {
                sqlite::execute(&self.data_dir().join("control.db"), sql);
            }
        }
    }

    /// An id's column, as 32 hex digits.
    pub fn hex(&self, column: &str) -> String {
        match self.database {
            Some(_) => format!("replace({column}::text, '-', '')"),
            None => format!("lower(hex({column}))"),
        }
    }

    /// A line of the process's `/proc/PID/status` that counts kilobytes (`VmRSS`, `VmHWM`), in bytes.
    pub fn memory(&self, line: &str) -> u64 {
        let status = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(status).expect("the server runs");
        let found = status.lines().find_map(|text| text.strip_prefix(line));
        let words = found.expect("the kernel tells").trim_start_matches(':');
        let kilobytes: u64 = words.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes * 1024
    }

    fn id(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// How many files and sockets the process holds open.
    pub fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.id());
        std::fs::read_dir(folder).expect("the server runs").count()
    }

    /// What a `SELECT COUNT(*)` on its main database says.
    pub fn count(&self, sql: &str) -> i64 {
        let rows = self.rows(&format!("SELECT CAST(({sql}) AS TEXT)"));
        rows.first()
            .and_then(|count| count.parse().ok())
            .expect("a count")
    }

    /// A client without a key.
    pub fn public_api(&self) -> Api {
        Api::new(&self.url(), &self.ca())
    }

    /// Everything it has printed since its first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// The set-up link it printed at its first start.
    pub fn setup_link(&mut self) -> SetupLink {
        let begin = format!("{}/setup#", self.url());
        self.running()
            .wait_until("a set-up link is printed", START_LIMIT, |process| {
                find_link(&process.log(), &begin)
            })
    }
}

fn is_ready(api: &Api) -> bool {
    api.try_send(api.request(reqwest::Method::GET, "//readyz"))
        .is_ok_and(|answer| answer.status == 200)
}

fn find_link(log: &str, begin: &str) -> Option<SetupLink> {
    let rest = &log[log.find(begin)? + begin.len()..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))?;
    let (token, fingerprint) = rest[..end].trim_end_matches('.').rsplit_once('.')?;
    let link = format!("{begin}{token}.{fingerprint}");
    Some(SetupLink {
        link,
        token: token.to_owned(),
        fingerprint: fingerprint.to_owned(),
    })
}
