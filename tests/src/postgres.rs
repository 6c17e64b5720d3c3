//! A real PostgreSQL cluster in a temporary folder, and databases in it.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    disk::Disk,
    parts::Parts,
    patience::wait_until,
    ports::free_address,
    process::{Process, give_to, guarded_as, output},
    scratch::{Scratch, processes_of},
    shared::POSTGRES,
};

/// The server refuses to run as root; this user comes with its package.
const USER: &str = "postgres";
const LIMIT: Duration = Duration::from_mins(1);

/// A PostgreSQL server. One that this test started ends when dropped.
#[derive(Debug)]
pub struct Postgres {
    address: SocketAddr,
    own: Option<Own>,
}

/// What belongs to a server of this test's own. It goes in this order.
#[derive(Debug)]
struct Own {
    process: Process,
    disk: Option<Disk>,
    scratch: Scratch,
}

/// Where a server keeps its write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wal {
    /// On the small disk with the data: when that is full, the server ends itself and has to be started again.
    Inside,
    /// Elsewhere: when the data's disk is full, statements fail.
    Beside,
}

/// A fresh database; dropped with its connections.
#[derive(Debug)]
pub struct Database {
    name: String,
    server: Postgres,
}

fn address_in(url: &str) -> Option<SocketAddr> {
    let (_, place) = url.split_once('@')?;
    place.split('/').next()?.parse().ok()
}

impl Postgres {
    /// The server that the whole run shares, or one of this test's own when there is none.
    pub fn shared() -> Self {
        match env::var(POSTGRES) {
            Ok(url) => Self {
                address: address_in(&url).expect("the variable holds a URL of our own making"),
                own: None,
            },
            Err(_) => Self::start(),
        }
    }

    /// Starts one of this test's own: durable as in production (fsync on), on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let scratch = Scratch::new("pg");
        give_to(USER, scratch.path());
        Self::begin(scratch, None, &[])
    }

    /// The same, with its data on a disk of `bytes`.
    pub fn start_on_small_disk(bytes: u64, wal: Wal) -> Self {
        let scratch = Scratch::new("pg");
        give_to(USER, scratch.path());
        let disk = Disk::mount(scratch.join("data"), bytes);
        give_to(USER, disk.path());
        let beside = scratch.join("wal");
        match wal {
            Wal::Inside => Self::begin(scratch, Some(disk), &[]),
            Wal::Beside => {
                let place = format!("--waldir={}", beside.display());
                Self::begin(scratch, Some(disk), &[&place])
            }
        }
    }

    fn begin(scratch: Scratch, disk: Option<Disk>, more: &[&str]) -> Self {
        let data = scratch.join("data");
        let mut initdb = as_server_user("initdb");
        initdb.args([
            "--username",
            USER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--no-locale",
            "--no-sync",
            "-D",
        ]);
        initdb.arg(&data).args(more);
        output(initdb);
        let address = free_address(Ipv4Addr::LOCALHOST.into());
        let process = start_server(address, &data, &scratch);
        let own = Some(Own {
            process,
            disk,
            scratch,
        });
        Self { address, own }
    }

    /// The small disk under it.
    pub fn disk(&self) -> &Disk {
        let own = self.own.as_ref().and_then(|own| own.disk.as_ref());
        own.expect("this server is on a small disk")
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process().ended().is_some()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A fresh database. It holds on to the server, so that it may outlive this value.
    pub fn database(self) -> Database {
        let name = format!("towline_{}", uuid::Uuid::now_v7().simple());
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        Database { name, server: self }
    }

    /// `kill -9` of the whole server, as a power cut does; panics for a shared one.
    pub fn kill(&mut self) {
        self.process().kill();
        // Those that it has started see that soon, and hold its memory until then.
        let data = self.own().scratch.join("data").display().to_string();
        wait_until("the killed server's own processes to end", LIMIT, || {
            processes_of(&data).is_empty().then_some(())
        });
    }

    /// The fast shutdown, as a restart of the service does it.
    pub fn stop(&mut self) {
        self.process().signal(Signal::INT);
        self.process().wait(LIMIT);
    }

    /// Starts it again on the same data and port.
    pub fn start_again(&mut self) {
        let address = self.address;
        let own = self.own();
        own.process = start_server(address, &own.scratch.join("data"), &own.scratch);
    }

    fn process(&mut self) -> &mut Process {
        &mut self.own().process
    }

    fn own(&mut self) -> &mut Own {
        self.own
            .as_mut()
            .expect("only a server of this test's own may be killed")
    }

    fn execute(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(Parts::locate().postgres("psql"));
        psql.args([
            "--no-psqlrc",
            "-v",
            "ON_ERROR_STOP=1",
            "-Atq",
            "-c",
            sql,
            &self.url(database),
        ]);
        output(psql)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{}/{database}", self.address)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(Own { process, .. }) = &mut self.own
            && process.ended().is_none()
        {
            // The immediate shutdown: its children end with it.
            process.signal(Signal::QUIT);
            process.wait(LIMIT);
        }
    }
}

impl Database {
    /// One in the shared server.
    pub fn fresh() -> Self {
        Postgres::shared().database()
    }

    /// What `--database` takes.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Runs SQL in it and returns the rows, `|` between the columns.
    pub fn query(&self, sql: &str) -> String {
        self.server.execute(&self.name, sql)
    }

    /// The server under it.
    pub fn server(&mut self) -> &mut Postgres {
        &mut self.server
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.server.own.is_none() {
            self.server.execute(
                "postgres",
                &format!("DROP DATABASE {} WITH (FORCE)", self.name),
            );
        }
    }
}

fn start_server(address: SocketAddr, data: &Path, scratch: &Scratch) -> Process {
    let mut command = as_server_user("postgres");
    command.arg("-D").arg(data).args([
        "-h",
        &address.ip().to_string(),
        "-p",
        &address.port().to_string(),
    ]);
    for setting in [
        "unix_socket_directories=",
        "max_connections=300",
        "shared_buffers=64MB",
        "log_min_messages=warning",
    ] {
        command.args(["-c", setting]);
    }
    let mut process = Process::start("postgres", command, &scratch.join("postgres.log"));
    process.wait_until("PostgreSQL accepts connections", LIMIT, |_| {
        let mut ready = Command::new(Parts::locate().postgres("pg_isready"));
        ready.args([
            "-q",
            "-h",
            &address.ip().to_string(),
            "-p",
            &address.port().to_string(),
        ]);
        ready
            .status()
            .is_ok_and(|status| status.success())
            .then_some(())
    });
    process
}

fn as_server_user(program: &str) -> Command {
    guarded_as(USER, Parts::locate().postgres(program))
}
