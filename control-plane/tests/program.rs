//! The program itself: its configuration, its start, what it prints, and how it stops.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test says what went wrong"
)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use towline_pki::{Authority, EnrollToken, Fingerprint, ServerName, tls};
use towline_tests::ports::free_address;

const PATIENCE: Duration = Duration::from_secs(20);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towline-server"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOWLINE_")) {
        command.env_remove(name);
    }
    command
}

fn free_port() -> SocketAddr {
    free_address(Ipv4Addr::LOCALHOST.into())
}

/// A server that runs; killed when dropped.
struct Server {
    child: Child,
    public: SocketAddr,
    folder: TempDir,
}

impl Server {
    fn command(folder: &Path, public: SocketAddr) -> Command {
        let mut command = program();
        command.arg("serve").arg("--data-dir").arg(folder);
        command.args([
            "--listen",
            &public.to_string(),
            "--agent-listen",
            "127.0.0.1:0",
        ]);
        command.args(["--log-format", "json", "--log", "info"]);
        command
    }

    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), |command| command)
    }

    fn start_in(folder: TempDir, adjust: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let public = free_port();
        let mut command = Self::command(folder.path(), public);
        adjust(&mut command);
        let log = fs::File::create(folder.path().join("stderr")).unwrap();
        let out = fs::File::create(folder.path().join("stdout")).unwrap();
        let child = command.stderr(log).stdout(out).spawn().unwrap();
        let mut server = Self {
            child,
            public,
            folder,
        };
        server.wait_for("is up");
        server
    }

    fn wait_for(&mut self, text: &str) {
        let began = Instant::now();
        while !self.read("stderr").contains(text) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < PATIENCE,
                "{text}: {}",
                self.read("stderr")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    fn link(&self) -> Option<String> {
        let out = self.read("stdout");
        out.split_whitespace()
            .find(|word| word.contains("/setup#"))
            .map(str::to_owned)
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; the exit code and how long it took.
    fn ended(&mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), began.elapsed());
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it does not end: {}",
                self.read("stderr")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One request over TLS, trusting nothing but the fingerprint of the link.
    async fn request(&self, request: &str) -> String {
        exchange(self.connect().await, request).await
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let link = self.link().unwrap();
        self.connect_to(link.rsplit_once('.').unwrap().1.parse().unwrap())
            .await
    }

    async fn connect_to(&self, pin: Fingerprint) -> TlsStream<TcpStream> {
        let config = tls::pinned_client_config(pin).unwrap();
        let stream = TcpStream::connect(self.public).await.unwrap();
        let name = ServerName::from(self.public.ip());
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .unwrap()
    }
}

async fn exchange(mut stream: TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn flags_outdo_the_environment_which_outdoes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.toml");
    fs::write(
        &file,
        "[log]\nfilter = 'from-file'\n[public]\nurl = 'https://from.file'\n",
    )
    .unwrap();
    let default = folder.path().join("towline.toml");
    fs::write(&default, "[log]\nfilter = 'from-default-file'\n").unwrap();
    let named = ["--config", file.to_str().unwrap()];
    let table: [(&[&str], Option<&str>, &str); 6] = [
        (&[], None, "from-default-file"),
        (&[], Some("from-environment"), "from-environment"),
        (
            &["--log", "from-flag"],
            Some("from-environment"),
            "from-flag",
        ),
        (&named, None, "from-file"),
        (&named, Some("from-environment"), "from-environment"),
        (
            &["--log", "from-flag", named[0], named[1]],
            None,
            "from-flag",
        ),
    ];
    for (arguments, environment, filter) in table {
        let mut command = program();
        command
            .args(["serve", "--print-config", "--data-dir"])
            .arg(folder.path());
        command.args(arguments);
        if let Some(value) = environment {
            command.env("TOWLINE_LOG", value);
        }
        let output = command.output().unwrap();
        let printed = text(&output);
        assert!(output.status.success(), "{printed}");
        assert!(
            printed.contains(&format!("filter = \"{filter}\"")),
            "{arguments:?}: {printed}"
        );
    }
}

#[test]
fn a_printed_configuration_hides_secrets_and_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let output = program()
        .args(["serve", "--print-config", "--data-dir"])
        .arg(&data)
        .env("TOWLINE_DATABASE", "postgres://u:hunter2@h/d")
        .env("TOWLINE_MASTER_KEY", "hunter3")
        .output()
        .unwrap();
    let printed = text(&output);
    assert!(printed.contains("postgres://u:***@h/d"), "{printed}");
    assert!(!printed.contains("hunter"), "{printed}");
    assert!(!data.exists());
}

#[test]
fn what_cannot_start_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (taken, free) = (TcpListener::bind("127.0.0.1:0").unwrap(), free_port());
    let taken = taken.local_addr().map(|address| (address, taken)).unwrap();
    let file = folder.path().join("broken.toml");
    fs::write(&file, "[public]\nlissten = 1").unwrap();
    let here = folder.path().to_str().unwrap();
    let not_a_folder = file.join("data");
    let table: [(&[&str], i32, &[&str]); 7] = [
        (
            &["--listen", &taken.0.to_string()],
            1,
            &["in use", "--listen", &taken.0.port().to_string()],
        ),
        (
            &["--agent-listen", &taken.0.to_string()],
            1,
            &["in use", "--agent-listen"],
        ),
        (
            &["--config", file.to_str().unwrap()],
            2,
            &["broken.toml", "lissten"],
        ),
        (
            &["--public-url", "http://a"],
            2,
            &["--public-url", "https://host"],
        ),
        (&["--log", "=,="], 2, &["TOWLINE_LOG"]),
        (
            &["--data-dir", not_a_folder.to_str().unwrap()],
            1,
            &["broken.toml/data", "--data-dir"],
        ),
        (&["--tls-cert", here], 2, &["--tls-key"]),
    ];
    for (arguments, code, parts) in table {
        let mut command = program();
        command.arg("serve").args(arguments);
        for (flag, value) in [
            ("--data-dir", here),
            ("--listen", &free.to_string()),
            ("--agent-listen", "127.0.0.1:0"),
        ] {
            if !arguments.contains(&flag) {
                command.args([flag, value]);
            }
        }
        let output = command.output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for part in parts {
            assert!(
                said.contains(part),
                "{arguments:?}: {part} is not in {said}"
            );
        }
    }
}

#[tokio::test]
async fn a_first_start_makes_what_it_needs_and_shows_its_link_until_it_was_used() {
    let server = Server::start();
    let mode = |name: &str| {
        fs::metadata(server.folder.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("master.key"), 0o600);
    assert!(
        server
            .read("ca.pem")
            .starts_with("-----BEGIN CERTIFICATE-----")
    );
    assert!(
        server
            .request(&get("/readyz"))
            .await
            .starts_with("HTTP/1.1 200")
    );
    let first = server.link().unwrap();
    let log = server.read("stderr");
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
    let token = first
        .split_once('#')
        .unwrap()
        .1
        .split_once('.')
        .unwrap()
        .0
        .to_owned();
    assert!(
        !log.contains(&token),
        "the token is for the operator, not for the log"
    );

    // The next start has another link, and the first is worth nothing.
    let folder = stop(server);
    let server = Server::start_in(folder, |command| command);
    let second = server.link().unwrap();
    assert_ne!(first, second);
    assert_eq!(
        first.rsplit_once('.').unwrap().1,
        second.rsplit_once('.').unwrap().1,
        "one authority"
    );
    assert!(set_up(&server, &token).await.starts_with("HTTP/1.1 410"));
    let token = second
        .split_once('#')
        .unwrap()
        .1
        .split_once('.')
        .unwrap()
        .0
        .to_owned();
    assert!(set_up(&server, &token).await.starts_with("HTTP/1.1 201"));
    let folder = stop(server);
    let mut reset = program();
    reset.args(["admin", "reset-link", "ADA@example.org", "--data-dir"]);
    let printed = text(&reset.arg(folder.path()).output().unwrap());
    assert!(printed.contains("/reset#twlr_"), "{printed}");
    let server = Server::start_in(folder, |command| command);
    assert_eq!(server.link(), None);
}

async fn set_up(server: &Server, token: &str) -> String {
    server.request(&set_up_request(token)).await
}

fn set_up_request(token: &str) -> String {
    let body = format!(r#"{{"token":"{token}","email":"ada@example.org","name":"Ada"}}"#);
    let head = "POST /api/v1/setup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn stop(mut server: Server) -> TempDir {
    server.signal(Signal::TERM);
    let (code, took) = server.ended();
    assert_eq!(code, Some(0), "{}", server.read("stderr"));
    assert!(took < Duration::from_secs(10), "{took:?}");
    std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap())
}

#[test]
fn two_servers_on_one_data_directory_are_refused() {
    let server = Server::start();
    let second = Server::command(server.folder.path(), free_port())
        .output()
        .unwrap();
    let said = text(&second);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(
        said.contains("another towline-server") && said.contains("--database"),
        "{said}"
    );
    let raised = program()
        .args(["admin", "raise-incarnation", "--data-dir"])
        .arg(server.folder.path())
        .output()
        .unwrap();
    assert!(!raised.status.success() && text(&raised).contains("another towline-server"));
}

#[tokio::test]
async fn a_stop_ends_open_connections_and_a_second_signal_ends_at_once() {
    let mut server = Server::start();
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 12];
    idle.read_exact(&mut some).await.unwrap();
    assert_eq!(&some, b"HTTP/1.1 200");
    // Nor does one that only shakes hands hold it up.
    let _silent = TcpStream::connect(server.public).await.unwrap();
    server.signal(Signal::INT);
    let (code, took) = server.ended();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");

    let mut server = Server::start();
    let mut busy = server.connect().await;
    // A request that never ends keeps its connection.
    busy.write_all(b"POST /api/v1/setup HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal(Signal::TERM);
    server.wait_for("once more");
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.signal(Signal::TERM);
    let (code, took) = server.ended();
    assert_eq!(code, Some(1));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn an_operator_works_on_an_installation_that_is_not_running() {
    let folder = stop(Server::start());
    let attempt = |work: &str| {
        let (work, folder) = (work.split(' '), folder.path());
        let mut command = program();
        command
            .arg("admin")
            .args(work)
            .arg("--data-dir")
            .arg(folder);
        command.output().unwrap()
    };
    let admin = |work: &str| {
        let output = attempt(work);
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    assert!(admin("raise-incarnation").contains("incarnation is 2"));
    assert!(admin("raise-incarnation").contains("incarnation is 3"));
    assert!(admin("verify-audit").contains("The audit log is whole"));
    assert!(admin("rotate-ca status").contains("One authority is trusted"));
    let unknown = attempt("reset-link eve@example.org");
    assert!(!unknown.status.success());
    assert!(text(&unknown).contains("nobody here has the address"));
    let early = attempt("rotate-ca finish");
    assert!(!early.status.success());
    assert!(text(&early).contains("rotate-ca start"), "{}", text(&early));
    let begun = admin("rotate-ca start");
    assert!(begun.contains("Two authorities are trusted"), "{begun}");
    assert!(admin("rotate-ca status").contains("No agent lives by the old one"));
    assert!(!attempt("rotate-ca start").status.success());
    let ended = admin("rotate-ca finish");
    assert!(ended.contains("One authority is trusted"), "{ended}");
    assert!(admin("verify-audit").contains("The audit log is whole"));
    let version = program().arg("version").output().unwrap();
    assert_eq!(
        text(&version).trim(),
        concat!("towline-server ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_master_key_comes_from_a_file_or_a_program_when_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("elsewhere.key");
    fs::write(&key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = Server::command(folder.path(), free_port())
        .arg("--master-key-file")
        .arg(&key)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(text(&exposed).contains("chmod 600"), "{}", text(&exposed));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start_in(folder, |command| command.arg("--master-key-file").arg(&key));
    assert!(!server.folder.path().join("master.key").exists());
    let folder = stop(server);
    fs::write(
        folder.path().join("towline.toml"),
        format!(
            "[master-key]\ncommand = ['cat', {:?}]",
            key.to_str().unwrap()
        ),
    )
    .unwrap();
    let server = Server::start_in(folder, |command| command);
    let folder = stop(server);
    fs::remove_file(folder.path().join("towline.toml")).unwrap();
    let other = Server::command(folder.path(), free_port())
        .env(
            "TOWLINE_MASTER_KEY",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        )
        .output()
        .unwrap();
    assert!(
        text(&other).contains("master key is not the one"),
        "{}",
        text(&other)
    );
}

#[tokio::test]
async fn an_operators_certificate_is_shown_and_pinned_by_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::generate("Operator", Utc::now()).unwrap();
    let names = ["127.0.0.1"];
    let certificate = authority
        .issue_server(&names, Utc::now(), TimeDelta::days(1))
        .unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    fs::write(&cert, certificate.chain_pem()).unwrap();
    fs::write(&key, certificate.key_pem().as_str()).unwrap();
    let server = Server::start_in(folder, |command| {
        command
            .arg("--tls-cert")
            .arg(&cert)
            .arg("--tls-key")
            .arg(&key)
    });
    let link = server.link().unwrap();
    let token = link.split_once('#').unwrap().1;
    assert!(
        !token.contains('.'),
        "clients trust the operator's authority already: {link}"
    );
    let pin = authority.fingerprint();
    let made = exchange(server.connect_to(pin).await, &set_up_request(token)).await;
    let key = made
        .split("\"key\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let body = r#"{"name":"web-1"}"#;
    let request = format!(
        "POST /api/v1/enrolment-tokens HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let made = exchange(server.connect_to(pin).await, &request).await;
    let token = made
        .split("\"token\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let token: EnrollToken = token.parse().unwrap();
    assert_eq!(
        token.ca, pin,
        "a host that enrols finds this at the end of the chain"
    );
}
