//! Docker's own API over TLS is set up on a host, and leaves it as it was.

mod systemd;
mod targets;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::engine_restart::restart_words;
use towline_tests::parts::{Parts, binary, clean_command};
use towline_tests::scratch::Scratch;

/// With spaces, an order and a key of its owner's.
const OWN: &str = "{\n    \"max-concurrent-uploads\": 3,\n    \"labels\": [\"a=b, }\"],\n\n    \"debug\": false\n}\n";
const PORT: u16 = 2376;

/// A host whose engine is restarted by a program.
struct Host {
    engine: Engine,
    words: Vec<String>,
}

impl Host {
    fn start(kind: EngineKind) -> Self {
        let engine = Engine::start(kind);
        let words = restart_words(&engine);
        fs::write(engine.folder().join("daemon.json"), OWN).unwrap();
        let host = Self { engine, words };
        let mode = fs::Permissions::from_mode(0o640);
        fs::set_permissions(host.config(), mode).unwrap();
        host
    }

    fn config(&self) -> PathBuf {
        self.engine.folder().join("daemon.json")
    }

    fn tls(&self, name: &str) -> PathBuf {
        self.engine.folder().join("towline-tls").join(name)
    }

    fn dockerd(&self) -> String {
        let kind = self.engine.kind().name();
        let dockerd = format!("docker-{kind}/usr/sbin/dockerd");
        Parts::locate().root().join(dockerd).display().to_string()
    }

    /// What the shell does when the engine is restarted.
    fn on_restart(&self, when: &str, script: &str) {
        fs::write(self.engine.folder().join(when), script).unwrap();
    }

    fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = self
            .engine
            .on_host(binary("towline-agent").to_str().unwrap());
        let (word, rest) = arguments.split_first().unwrap();
        command
            .args(["docker-tls", word, "--daemon-json"])
            .arg(self.config())
            .args(rest)
            .stdin(Stdio::null());
        if *word == "enable" {
            command.args(["--docker-host", &self.engine.docker_host()]);
            for (option, value) in [("--patience", "20"), ("--dockerd", &self.dockerd())] {
                if !rest.contains(&option) {
                    command.args([option, value]);
                }
            }
            command.arg("--restart-command");
            command.args(&self.words);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.agent(arguments).output().unwrap())
    }

    /// `docker version` by TLS, with these files of a client.
    fn docker(&self, client: Option<&Path>) -> Said {
        let mut command = clean_command("docker", self.engine.kind());
        command.arg("--tlsverify");
        let authority = client.map_or_else(|| self.tls("ca.pem"), |folder| folder.join("ca.pem"));
        command.arg("--tlscacert").arg(authority);
        if let Some(folder) = client {
            command.arg("--tlscert").arg(folder.join("cert.pem"));
            command.arg("--tlskey").arg(folder.join("key.pem"));
        }
        let address = self.engine.address();
        command.args(["-H", &format!("tcp://{address}:{PORT}"), "version"]);
        command.args(["--format", "{{.Server.Version}}"]);
        Said::of(command.output().unwrap())
    }

    /// All is as it was, to the byte, and the engine runs.
    #[track_caller]
    fn is_as_before(&self, after: &str) {
        let config = fs::read_to_string(self.config()).unwrap();
        assert_eq!(config, OWN, "{after}");
        let mode = fs::metadata(self.config()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{after}");
        assert!(!self.tls("").exists(), "{after}");
        assert!(self.engine.try_docker(&["version"]).is_some(), "{after}");
        let drafts = fs::read_dir(self.engine.folder()).unwrap().flatten();
        let drafts =
            drafts.filter(|entry| entry.file_name().to_string_lossy().contains(".towline-new"));
        assert_eq!(drafts.count(), 0, "{after}");
        let address = format!("{}:{PORT}", self.engine.address());
        assert!(std::net::TcpStream::connect(address).is_err(), "{after}");
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap()
    }

    #[track_caller]
    fn failed(&self, words: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.stderr.contains(words), "{words:?}: {self:?}");
    }
}

/// A client's files of another authority for the same host.
fn foreign_client(scratch: &Scratch, host: &Host) -> PathBuf {
    let folder = scratch.join("foreign");
    let mut towline = clean_command(binary("towline"), host.engine.kind());
    towline.args(["pki", "docker", "--ip", &host.engine.address().to_string()]);
    towline.arg("--out").arg(&folder);
    Said::of(towline.output().unwrap()).ok();
    // It knows which engine to trust, and yet has a pair of another.
    fs::copy(host.tls("ca.pem"), folder.join("ca.pem")).unwrap();
    folder
}

fn is_served_and_leaves(kind: EngineKind, validation: &str) {
    let (host, scratch) = (Host::start(kind), Scratch::new("clients"));
    let intended = host.run(&["enable", "--dry-run", "--name", "build-1.example.org"]);
    assert!(
        intended.ok().contains("\"tlsverify\": true"),
        "{intended:?}"
    );
    host.is_as_before("a dry run");

    let enable = ["enable", "--name", "build-1.example.org", "--json"];
    let enabled = host.run(&enable);
    assert!(
        enabled.stderr.contains("is root on this host"),
        "{enabled:?}"
    );
    let enabled = enabled.json();
    assert_eq!(
        (&enabled["did"], &enabled["state"]),
        (&"enabled".into(), &"enabled".into())
    );
    assert_eq!(enabled["validation"], validation);
    let names = enabled["names"].as_array().unwrap();
    for name in [
        "build-1.example.org",
        "localhost",
        "127.0.0.1",
        &host.engine.address().to_string(),
    ] {
        assert!(names.contains(&name.into()), "{name}: {names:?}");
    }
    let config = fs::read_to_string(host.config()).unwrap();
    assert!(
        config.starts_with(OWN.trim_end().trim_end_matches('}').trim_end()),
        "{config}"
    );
    for (name, mode) in [
        ("ca.pem", 0o644),
        ("ca-key.pem", 0o600),
        ("server-cert.pem", 0o644),
        ("server-key.pem", 0o600),
        ("client/key.pem", 0o600),
        ("journal.json", 0o600),
    ] {
        let metadata = fs::metadata(host.tls(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }

    let served = || {
        let version = host.docker(Some(&host.tls("client")));
        assert_eq!(version.ok().trim(), enabled["engine"].as_str().unwrap());
        assert_ne!(
            host.docker(None).code,
            Some(0),
            "a client without a certificate"
        );
        let foreign = host.docker(Some(&foreign_client(&scratch, &host)));
        assert_ne!(foreign.code, Some(0), "{foreign:?}");
        let _ = fs::remove_dir_all(scratch.join("foreign"));
    };
    served();
    assert_eq!(host.run(&enable).json()["did"], "nothing");
    host.run(&["enable", "--listen", "127.0.0.1:2377"])
        .failed("disable it first");
    assert_eq!(
        host.run(&["renew", "--if-due", "--json"]).json()["did"],
        "nothing"
    );
    let certificate = fs::read(host.tls("server-cert.pem")).unwrap();
    assert_eq!(host.run(&["renew", "--json"]).json()["did"], "renewed");
    assert_ne!(fs::read(host.tls("server-cert.pem")).unwrap(), certificate);
    served();
    let status = host.run(&["status"]);
    assert!(status.ok().contains("docker tls     enabled"), "{status:?}");

    let disabled = host.run(&["disable"]);
    assert!(disabled.ok().contains("local again"), "{disabled:?}");
    host.is_as_before("disabling");
    assert_eq!(host.run(&["disable", "--json"]).json()["did"], "nothing");
    assert_eq!(host.run(&["status", "--json"]).json()["state"], "absent");
    host.run(&["renew"]).failed("is not enabled here");
}

#[test]
fn a_new_engine_serves_the_certificate_and_nobody_else() {
    is_served_and_leaves(EngineKind::New, "passed");
}

#[test]
fn the_newest_engine_serves_the_certificate_and_nobody_else() {
    is_served_and_leaves(EngineKind::Newest, "passed");
}

#[test]
fn an_old_engine_serves_the_certificate_and_nobody_else() {
    is_served_and_leaves(EngineKind::Old, "not_supported");
}

#[test]
fn what_is_in_the_way_is_named_and_nothing_changes() {
    let host = Host::start(EngineKind::New);
    let table: [(&[&str], &str); 8] = [
        (&["--name", ""], "\"\" is empty"),
        (&["--name", "a b"], "\"a b\" has spaces"),
        (&["--name", "tcp://a:2376"], "\"tcp://a:2376\" has a scheme"),
        (&["--name", "a.*.b"], "\"a.*.b\" is a wildcard"),
        (&["--ip", "0.0.0.0"], "\"0.0.0.0\" means no single host"),
        (&["--name", "a", "--name", "A"], "\"a\" is there twice"),
        (
            &["--listen", "192.0.2.200:2376"],
            "cannot listen on 192.0.2.200:2376",
        ),
        (
            &["--dockerd", "/bin/false"],
            "/bin/false --validate` failed",
        ),
    ];
    for (arguments, words) in table {
        host.run(&[&["enable"], arguments].concat()).failed(words);
        host.is_as_before(words);
    }
    let texts = [
        ("{\n  \"debug\": true,\n}\n", "line 3, column 1"),
        (
            "{\n  \"debug\": true,\n  \"hosts\": [\"fd://\"]\n}\n",
            "line 3 has \"hosts\"",
        ),
        ("{\"tlsverify\": true}", "line 1 has \"tlsverify\""),
        ("{\"no-such-option\": true}", "no-such-option"),
    ];
    for (text, words) in texts {
        fs::write(host.config(), text).unwrap();
        host.run(&["enable"]).failed(words);
        assert_eq!(fs::read_to_string(host.config()).unwrap(), text);
        assert!(!host.tls("").exists(), "{words}");
    }
}

#[test]
fn a_step_that_fails_puts_everything_back() {
    let host = Host::start(EngineKind::New);
    host.on_restart("before-restart", "echo no engine today; exit 1");
    let refused = host.run(&["enable"]);
    refused.failed("no engine today");
    refused.failed("Everything was put back");
    host.is_as_before("a restart that fails");
    // The engine comes up once and ends at once.
    host.on_restart("before-restart", "");
    let once = "if ! [ -e \"$folder/once\" ]; then touch \"$folder/once\"; inside kill \"$(cat \"$folder/dockerd.pid\")\"; fi";
    host.on_restart("after-restart", once);
    let refused = host.run(&["enable", "--patience", "5"]);
    refused.failed("/version gave no answer within");
    refused.failed("Everything was put back");
    host.is_as_before("an engine that ends");
    host.on_restart("after-restart", "");
    // The engine serves whoever comes.
    let set = |from: &str, to: &str| {
        format!("sed -i 's/\"tlsverify\": {from}/\"tlsverify\": {to}/' \"$folder/daemon.json\"")
    };
    host.on_restart("before-restart", &set("true", "false"));
    host.on_restart("after-restart", &set("false", "true"));
    let refused = host.run(&["enable"]);
    refused.failed("does not refuse a client without a certificate");
    refused.failed("Everything was put back");
    host.is_as_before("an engine that is open");
    host.on_restart("before-restart", "");
    host.on_restart("after-restart", "");
    // What its owner has written meanwhile stays.
    host.run(&["enable"]).ok();
    let config = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), config.replacen('3', "4", 1)).unwrap();
    host.run(&["disable"]).ok();
    let config = fs::read_to_string(host.config()).unwrap();
    assert_eq!(config, OWN.replacen('3', "4", 1));
    // A renewal that fails leaves the certificate that was in use.
    host.run(&["enable"]).ok();
    let certificate = fs::read(host.tls("server-cert.pem")).unwrap();
    fs::remove_file(host.engine.folder().join("once")).unwrap();
    host.on_restart("after-restart", once);
    host.run(&["renew"]).failed("Everything was put back");
    assert_eq!(fs::read(host.tls("server-cert.pem")).unwrap(), certificate);
    host.docker(Some(&host.tls("client"))).ok();
}

/// The shell that ends the agent, as its parent.
const KILL: &str = "kill -9 $PPID";

#[test]
fn an_agent_that_dies_at_any_step_leaves_what_the_next_call_undoes() {
    let host = Host::start(EngineKind::New);
    let killed = |arguments: &[&str]| {
        let died = host.run(arguments);
        assert_eq!(died.code, None, "it was killed: {died:?}");
        host.on_restart("before-restart", "");
        host.on_restart("after-restart", "");
    };
    let undone = |after: &str| {
        host.run(&["disable"]).ok();
        host.is_as_before(after);
    };
    let check = host.engine.folder().join("dockerd-that-kills");
    fs::write(&check, format!("#!/bin/sh\n{KILL}\n")).unwrap();
    fs::set_permissions(&check, fs::Permissions::from_mode(0o755)).unwrap();
    killed(&["enable", "--dockerd", check.to_str().unwrap()]);
    host.run(&["renew"]).failed("has broken off");
    undone("the check");
    for when in ["before-restart", "after-restart"] {
        host.on_restart(when, KILL);
        killed(&["enable"]);
        undone(&format!("enable, {when}"));
        // It is finished as well as undone.
        host.on_restart(when, KILL);
        killed(&["enable"]);
        assert_eq!(host.run(&["enable", "--json"]).json()["did"], "enabled");
        host.on_restart(when, KILL);
        killed(&["renew"]);
        assert_eq!(host.run(&["renew", "--json"]).json()["did"], "renewed");
        host.docker(Some(&host.tls("client"))).ok();
        host.on_restart(when, KILL);
        killed(&["renew"]);
        assert_eq!(host.run(&["enable", "--json"]).json()["did"], "put_back");
        host.on_restart(when, KILL);
        killed(&["renew"]);
        host.on_restart(when, KILL);
        killed(&["disable"]);
        undone(&format!("disable, {when}"));
    }
    // And wherever it happens to be.
    for milliseconds in [5, 10, 15, 20, 30, 40, 60, 80, 110, 150] {
        let mut agent = host
            .agent(&["enable"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        agent.kill().unwrap();
        agent.wait().unwrap();
        undone(&format!("{milliseconds} ms"));
    }
}
