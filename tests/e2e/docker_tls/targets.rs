//! A host without an agent is a target by the three files that its set-up made.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use towline_tests::agent::AgentPlan;
use towline_tests::clock;
use towline_tests::compose::ComposeFolder;
use towline_tests::engine::{BUSYBOX, Engine, EngineKind};
use towline_tests::link::Direction;
use towline_tests::parts::{binary, clean_command};
use towline_tests::patience::wait_until;
use towline_tests::process::{output, send};
use towline_tests::scratch::{Named, Scratch, processes_of};
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, Project, unique};

use super::Host;
use crate::DEPLOY_LIMIT;

/// An agent starts, enrols and connects; one that failed is started again after seconds.
const READY_LIMIT: Duration = Duration::from_secs(40);

/// A host over TLS, and an installation that may call there.
struct Stage {
    host: Host,
    story: Installation,
    files: Scratch,
    name: String,
}

impl Stage {
    fn begin(database: DatabaseKind, engine: EngineKind) -> Self {
        let host = Host::start(engine);
        host.run(&["enable"]).ok();
        let mut plan = ServerPlan::new(database);
        let allow = format!("--egress-allow={}/32", host.engine.address());
        plan.arguments.push(allow);
        let shared = Engine::shared(engine);
        Self {
            host,
            story: Installation::over(plan, shared, AgentPlan::new(&unique("host"))),
            files: Scratch::new("files"),
            name: unique("tls"),
        }
    }

    fn url(&self) -> String {
        format!("tcp://{}:2376", self.host.engine.address())
    }

    fn client(&self) -> PathBuf {
        self.host.tls("client")
    }

    /// `towline pki docker` with the host's authority, at another time.
    fn issue(&self, name: &str, offset: Option<&str>) -> PathBuf {
        let folder = self.files.join(name);
        let mut towline = clean_command(binary("towline"), EngineKind::New);
        towline.args(["pki", "docker", "--ca"]);
        towline.arg(self.host.tls("")).args(["--client", name]);
        towline.arg("--out").arg(&folder);
        towline.envs(offset.into_iter().flat_map(clock::faked));
        output(towline);
        folder
    }

    /// The files of another host's authority.
    fn foreign(&self) -> PathBuf {
        let folder = self.files.join("foreign");
        let mut towline = clean_command(binary("towline"), EngineKind::New);
        let address = self.host.engine.address().to_string();
        towline.args(["pki", "docker", "--ip", &address, "--out"]);
        output({
            towline.arg(&folder);
            towline
        });
        folder
    }

    /// The client's files with these in place of its own.
    fn mixed(&self, name: &str, changes: &[(&str, &Path)]) -> PathBuf {
        let folder = self.files.join(name);
        fs::create_dir(&folder).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::copy(self.client().join(file), folder.join(file)).unwrap();
        }
        for (file, from) in changes {
            fs::copy(from, folder.join(file)).unwrap();
        }
        folder
    }

    fn add(&self, host: &str, folder: &Path) -> towline_tests::cli::Ended {
        let path = folder.to_str().unwrap();
        let words = ["targets", "add-docker", &self.name, "--host", host];
        let words = [&words[..], &["--cert-path", path, "--json"]].concat();
        self.story.cli().run(&words)
    }

    fn target(&self) -> Value {
        let listed = self.story.api.get("/targets").ok();
        let targets = listed["items"].as_array().unwrap().iter();
        let mut named = targets.filter(|target| target["name"] == self.name.as_str());
        named.next().cloned().unwrap_or_default()
    }

    fn wait_ready(&self) -> Value {
        wait_until("the target is ready", READY_LIMIT, || {
            Some(self.target()).filter(|target| target["ready"] == "ready")
        })
    }

    /// The agent's process beside the server.
    fn beside(&self) -> Vec<Named> {
        let folder = self.story.server.data_dir().join("docker-tls");
        let all = processes_of(&folder.display().to_string());
        all.into_iter()
            .filter(|process| process.command.contains("run-beside"))
            .collect()
    }

    fn deploy(&self, project: &Project<'_>, end: &str) -> Value {
        let body = json!({ "target": self.name, "settle_ms": 300 });
        let asked = project.request_deployment(&body).ok();
        project.deployment(&asked).wait(end, DEPLOY_LIMIT)
    }
}

fn plain(word: &str) -> ComposeFolder {
    ComposeFolder::new(&format!(
        "services:\n  web: {{image: \"{BUSYBOX}\", command: [sh, -c, \"echo {word}; sleep 1000000\"], init: true}}\n"
    ))
}

/// It is healthy after some seconds, so that a deploy of it takes that long.
fn slow(word: &str) -> ComposeFolder {
    let health =
        "{test: \"[ -e /up ] || { sleep 3; touch /up; }\", interval: 1s, timeout: 9s, retries: 30}";
    ComposeFolder::new(&format!(
        "services:\n  web: {{image: \"{BUSYBOX}\", command: [sh, -c, \"echo {word}; sleep 1000000\"], init: true,\n        \
         healthcheck: {health}}}\n"
    ))
}

fn what_is_wrong_is_named_and_nothing_is_kept(stage: &Stage) {
    let (url, client) = (stage.url(), stage.client());
    let foreign = stage.foreign();
    let pem = |name: &str| foreign.join(name);
    let (foreign_ca, foreign_cert, foreign_key) = (pem("ca.pem"), pem("cert.pem"), pem("key.pem"));
    let server = stage.host.tls("server-cert.pem");
    let server_key = stage.host.tls("server-key.pem");
    let text = stage.files.join("text");
    fs::write(&text, "no PEM at all").unwrap();
    let mapped = format!("tcp://[::ffff:{}]:2376", stage.host.engine.address());
    let closed = format!("tcp://{}:1", stage.host.engine.address());
    let table: [(&str, PathBuf, &str); 11] = [
        (
            &url,
            stage.mixed("ca", &[("ca.pem", &foreign_ca)]),
            "was not issued by the authority in ca.pem",
        ),
        (
            &url,
            stage.mixed("other-key", &[("key.pem", &foreign_key)]),
            "key.pem is not the key of cert.pem",
        ),
        (
            &url,
            foreign.clone(),
            "it was not issued by the authority in ca.pem",
        ),
        (
            &url,
            stage.mixed(
                "pair",
                &[("cert.pem", &foreign_cert), ("key.pem", &foreign_key)],
            ),
            "cert.pem was not issued by the authority in ca.pem",
        ),
        (
            &url,
            stage.mixed("server", &[("cert.pem", &server), ("key.pem", &server_key)]),
            "cert.pem is not for clients",
        ),
        (
            &url,
            stage.mixed("no-text", &[("cert.pem", &text)]),
            "cert.pem cannot be read",
        ),
        (
            &url,
            stage.issue("late", Some("-200d")),
            "cert.pem has expired at",
        ),
        (&mapped, client.clone(), "it bears another name"),
        (&closed, client.clone(), "does not answer"),
        (
            "tcp://127.0.0.1:2376",
            client.clone(),
            "may not be called: it is a loopback address",
        ),
        (
            "unix:///var/run/docker.sock",
            client.clone(),
            "is no engine's address over TLS",
        ),
    ];
    for (host, folder, words) in table {
        let refused = stage.add(host, &folder);
        assert_eq!(refused.code, Some(1), "{words}: {refused:?}");
        let said = format!("{}{}", refused.output, refused.errors);
        assert!(said.contains(words), "{words}: {refused:?}");
        assert!(!said.contains("PRIVATE KEY"), "{words}");
    }
    assert_eq!(stage.target(), Value::Null);
    assert_eq!(
        stage
            .story
            .server
            .count("SELECT COUNT(*) FROM docker_tls_targets"),
        0
    );
}

fn it_is_a_target_like_any_other(stage: &Stage) {
    let added = stage.add(&stage.url(), &stage.client()).json();
    assert_eq!(added["docker_tls"]["guard"], "closed", "{added}");
    assert!(!added.to_string().contains("BEGIN"), "{added}");
    let again = stage.add(&stage.url(), &stage.client());
    assert!(again.errors.contains("exists already"), "{again:?}");
    let target = stage.wait_ready();
    assert_eq!(target["type"], "docker_tls");
    let agent = stage.story.agent_named(&stage.name);
    assert_eq!(agent["kind"], "docker_tls", "{agent}");
    let name = stage
        .host
        .engine
        .run_docker(&["info", "--format", "{{.Name}}"]);
    assert_eq!(agent["hostname"], name.as_str(), "the engine tells it");
    let shown = stage
        .story
        .cli()
        .run(&["targets", "show", &stage.name])
        .ok();
    assert!(shown.contains("refuses who has no certificate"), "{shown}");
    assert!(shown.contains("ends in 89 days"), "{shown}");

    let project = stage.story.project("over-tls", &plain("one"));
    let engine = &stage.host.engine;
    stage.deploy(&project, "succeeded");
    assert_eq!(engine.containers(&project.name).len(), 1);
    assert_eq!(
        project.containers(),
        Vec::<Value>::new(),
        "not on this machine"
    );
    let container = engine.containers(&project.name)[0]["Names"].clone();
    let container = container.as_str().unwrap();
    let logs = ["logs", "--target", &stage.name, "--container", container];
    let said = stage.story.cli().run(&logs);
    assert!(format!("{said:?}").contains("one"), "{said:?}");
    stage.deploy(&project, "succeeded");
    assert_eq!(engine.creations(&project.name), 1, "nothing has changed");
    project.upload(&plain("two")).ok();
    stage.deploy(&project, "succeeded");
    assert_eq!(engine.creations(&project.name), 2);
    let rolled = ["rollback", &project.name, "--target", &stage.name, "--json"];
    let back = stage.story.cli().run(&rolled).json();
    assert_eq!(back["status"], "succeeded", "{back}");
    engine.remove_project(&project.name);
}

/// What a host would need an agent for.
fn what_it_cannot_is_refused(stage: &Stage) {
    let mounts = ComposeFolder::new(&format!(
        "services:\n  web: {{image: \"{BUSYBOX}\", command: sleep 1000, volumes: [\"./page:/page\"]}}\n"
    ));
    mounts.write("page", "hello");
    let project = stage.story.project("mounts", &mounts);
    let failed = stage.deploy(&project, "failed");
    let message = failed["message"].as_str().unwrap();
    assert!(
        message.contains("`./page` is mounted") && message.contains(&stage.url()),
        "{message}"
    );
    let root = ComposeFolder::new(&format!(
        "services:\n  web: {{image: \"{BUSYBOX}\", command: sleep 1000, privileged: true}}\n"
    ));
    project.upload(&root).ok();
    let body = json!({ "target": stage.name });
    let refused = project.request_deployment(&body).refused();
    assert!(refused.contains("privileged"), "{refused}");
    let latest = format!(
        "/targets/{}/metrics/latest",
        stage.target()["id"].as_str().unwrap()
    );
    let metrics = stage.story.api.get(&latest);
    assert!(
        !metrics.body.to_string().contains("memory_total"),
        "this machine's are not the host's: {metrics:?}"
    );
}

fn it_survives_who_works_for_it(stage: &mut Stage) {
    let before = stage.target()["agent_id"].clone();
    let (id, name) = {
        let project = stage.story.project("killed", &slow("one"));
        let asked = project.request_deployment(&json!({ "target": stage.name, "settle_ms": 300 }));
        let deployment = project.deployment(&asked.ok());
        deployment.wait("running", DEPLOY_LIMIT);
        wait_until("a container", READY_LIMIT, || {
            (!stage.host.engine.containers(&project.name).is_empty()).then_some(())
        });
        let beside = stage.beside();
        assert_eq!(beside.len(), 1);
        send(beside[0].id, Signal::KILL);
        deployment.wait("succeeded", DEPLOY_LIMIT);
        assert_eq!(
            stage.host.engine.creations(&project.name),
            1,
            "nothing twice"
        );
        project.upload(&slow("two")).ok();
        let asked = project.request_deployment(&json!({ "target": stage.name, "settle_ms": 300 }));
        let deployment = project.deployment(&asked.ok());
        deployment.wait("running", DEPLOY_LIMIT);
        // The host is away for a while; a link that is down would have its packets go another way.
        stage.host.engine.link().cut_one_way(Direction::ToHost);
        std::thread::sleep(Duration::from_secs(4));
        stage.host.engine.link().heal();
        deployment.wait("succeeded", DEPLOY_LIMIT);
        assert_eq!(
            stage.host.engine.creations(&project.name),
            2,
            "nothing twice"
        );
        project.leave()
    };
    let _ = id;
    stage.story.server.kill();
    wait_until("no agent is left behind", READY_LIMIT, || {
        stage.beside().is_empty().then_some(())
    });
    stage.story.server.start_again();
    stage.wait_ready();
    assert_eq!(stage.target()["agent_id"], before, "it is the same agent");
    stage.host.engine.remove_project(&name);
}

/// No piece of the key is found in a file, an argument, the environment or the log.
fn its_key_is_nowhere(stage: &Stage) {
    let pem = fs::read_to_string(stage.client().join("key.pem")).unwrap();
    let line = pem.lines().nth(1).unwrap().to_owned();
    let holds = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes
            .windows(line.len())
            .any(|piece| piece == line.as_bytes())
    };
    let mut folders = vec![stage.story.server.data_dir()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                assert!(!holds(&path), "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files > 5, "{files} files were looked into");
    let beside = stage.beside();
    assert_eq!(beside.len(), 1);
    for file in ["cmdline", "environ"] {
        let path = PathBuf::from(format!("/proc/{}/{file}", beside[0].id));
        assert!(
            !fs::read(&path).unwrap().is_empty() && !holds(&path),
            "{file}"
        );
    }
    assert!(!stage.story.server.log().contains(&line));
}

fn its_files_are_rotated(stage: &Stage) {
    let rotate = |folder: &Path| {
        let path = folder.to_str().unwrap();
        let words = ["targets", "rotate-docker", &stage.name, "--cert-path", path];
        stage.story.cli().run(&[&words[..], &["--json"]].concat())
    };
    let before = stage.target();
    let refused = rotate(&stage.files.join("foreign"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(
        stage.target()["docker_tls"]["client"],
        before["docker_tls"]["client"]
    );
    let rotated = rotate(&stage.issue("ann", None)).json();
    assert!(
        rotated["docker_tls"]["client"]["subject"]
            .as_str()
            .unwrap()
            .contains("ann")
    );
    stage.wait_ready();
    let project = stage.story.project("rotated", &plain("one"));
    stage.deploy(&project, "succeeded");
    stage.host.engine.remove_project(&project.name);
    // An engine that asks nobody for a certificate is told of, loudly.
    let config = fs::read_to_string(stage.host.config()).unwrap();
    let open = config.replace("\"tlsverify\": true", "\"tlsverify\": false");
    assert_ne!(open, config);
    fs::write(stage.host.config(), open).unwrap();
    let (program, words) = stage.host.words.split_first().unwrap();
    let mut restart = clean_command(program, stage.host.engine.kind());
    restart.args(words);
    output(restart);
    wait_until("the engine is back", READY_LIMIT, || {
        stage.host.engine.try_docker(&["version"])
    });
    let warned = rotate(&stage.files.join("ann"));
    assert_eq!(warned.code, Some(0), "{warned:?}");
    assert!(
        warned.errors.contains("WARNING") && warned.errors.contains("lets anybody in"),
        "{warned:?}"
    );
    assert_eq!(stage.target()["docker_tls"]["guard"], "open");
}

fn it_is_taken_away(stage: &Stage) {
    stage
        .story
        .cli()
        .run(&["targets", "rm", &stage.name, "--yes"])
        .ok();
    wait_until("its agent ends", READY_LIMIT, || {
        stage.beside().is_empty().then_some(())
    });
    assert_eq!(stage.target()["status"], "revoked");
    let server = &stage.story.server;
    assert_eq!(server.count("SELECT COUNT(*) FROM docker_tls_targets"), 0);
    assert_eq!(
        server.count("SELECT COUNT(*) FROM deployment_targets WHERE auth IS NOT NULL"),
        0
    );
    let folder = server.data_dir().join("docker-tls");
    wait_until("its folder is gone", READY_LIMIT, || {
        let names = fs::read_dir(&folder).unwrap().flatten();
        (names.filter(|entry| entry.path().is_dir()).count() == 0).then_some(())
    });
}

fn a_host_without_an_agent(database: DatabaseKind, engine: EngineKind) {
    let mut stage = Stage::begin(database, engine);
    what_is_wrong_is_named_and_nothing_is_kept(&stage);
    it_is_a_target_like_any_other(&stage);
    what_it_cannot_is_refused(&stage);
    it_survives_who_works_for_it(&mut stage);
    its_key_is_nowhere(&stage);
    its_files_are_rotated(&stage);
    it_is_taken_away(&stage);
}

#[test]
fn a_host_without_an_agent_is_a_target_embedded() {
    a_host_without_an_agent(DatabaseKind::Sqlite, EngineKind::New);
}

#[test]
fn a_host_without_an_agent_is_a_target_scaled_out() {
    a_host_without_an_agent(DatabaseKind::Postgres, EngineKind::Old);
}
