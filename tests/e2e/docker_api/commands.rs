//! Each command says the same as on the host itself.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use towline_tests::engine::{BUSYBOX, Engine, EngineKind};
use towline_tests::registry::{PASSWORD, Registry, USER};
use towline_tests::scratch::Scratch;
use towline_tests::server::DatabaseKind;
use towline_tests::story::unique;

use super::Reached;

#[test]
fn the_docker_command_line_says_the_same_as_on_the_host_embedded() {
    says_the_same(&Reached::embedded());
}

#[test]
fn the_docker_command_line_says_the_same_as_on_the_host_scaled_out() {
    says_the_same(&Reached::scaled_out());
}

fn says_the_same(reached: &Reached) {
    let compare = Compare::new(reached);
    let name = unique("same");
    let engine = &reached.story.engine;
    engine.keep_running(
        &name,
        &["sh", "-c", "echo one; echo two >&2; exec sleep 1000"],
    );
    compare.plain(&name);
    compare.streams(&name);
    compare.files(&name);
    compare.builds(&name);
    engine.run_docker(&["rm", "-f", &name]);
    let audited = reached.audited();
    let about = format!("/containers/{name}/exec {name}");
    assert!(
        audited
            .iter()
            .any(|entry| entry.starts_with("POST") && entry.ends_with(&about)),
        "{audited:#?}"
    );
    assert!(
        audited
            .iter()
            .all(|entry| !entry.contains("_ping") && !entry.contains('?'))
    );
}

/// Runs a command on the host and through the control plane.
struct Compare<'a> {
    reached: &'a Reached,
    folder: Scratch,
}

impl<'a> Compare<'a> {
    fn new(reached: &'a Reached) -> Self {
        Self {
            reached,
            folder: Scratch::new("compare"),
        }
    }

    fn both(&self, arguments: &[&str], input: &str) -> (Output, Output) {
        let direct = fed(self.reached.story.engine.docker(arguments), input);
        let relayed = fed(self.reached.client.docker(arguments), input);
        (direct, relayed)
    }

    fn same(&self, arguments: &[&str]) -> Output {
        self.same_with(arguments, "")
    }

    fn same_with(&self, arguments: &[&str], input: &str) -> Output {
        let (direct, relayed) = self.both(arguments, input);
        let told = |output: &Output| {
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )
        };
        assert_eq!(told(&relayed), told(&direct), "{arguments:?}");
        relayed
    }

    /// The same code, and an output that both have in common after what differs from run to run was taken out.
    fn alike(&self, arguments: &[&str], fixed: impl Fn(&str) -> String) {
        let (direct, relayed) = self.both(arguments, "");
        let told = |output: &Output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.code(), fixed(&text))
        };
        assert_eq!(told(&relayed), told(&direct), "{arguments:?}");
        assert!(relayed.status.success(), "{arguments:?}: {relayed:?}");
    }

    fn plain(&self, name: &str) {
        let version = self.same(&[
            "version",
            "--format",
            "{{.Server.Version}} {{.Server.APIVersion}}",
        ]);
        assert!(version.status.success(), "{version:?}");
        let filter = format!("name={name}");
        for arguments in [
            &[
                "ps",
                "--filter",
                &filter,
                "--format",
                "{{.Names}} {{.Image}}",
            ][..],
            &["images", "--no-trunc", "--quiet", BUSYBOX],
            &["inspect", name],
            &["image", "history", "--format", "{{.ID}} {{.Size}}", BUSYBOX],
            &["port", name],
            &["diff", name],
            &["network", "ls", "--no-trunc"],
            &["run", "--rm", "--network", "none", BUSYBOX, "echo", "hello"],
            &[
                "run",
                "--rm",
                "--network",
                "none",
                BUSYBOX,
                "sh",
                "-c",
                "echo no >&2; exit 42",
            ],
            &["inspect", "no-such-thing"],
            &["exec", name, "sh", "-c", "exit 7"],
            &["wait", "no-such-thing"],
        ] {
            self.same(arguments);
        }
        self.same(&["volume", "create", &format!("v{name}")]);
        self.same(&["volume", "inspect", &format!("v{name}")]);
        self.reached
            .story
            .engine
            .run_docker(&["volume", "rm", &format!("v{name}")]);
    }

    fn streams(&self, name: &str) {
        let logs = self.same(&["logs", name]);
        assert_eq!(
            (&*logs.stdout, &*logs.stderr),
            (&b"one\n"[..], &b"two\n"[..])
        );
        // The end of the input arrives, and what is said after it comes back.
        let said = self.same_with(
            &[
                "exec",
                "-i",
                name,
                "sh",
                "-c",
                "cat; echo end; echo bad >&2; exit 3",
            ],
            "a\nb\n",
        );
        assert_eq!(said.stdout, b"a\nb\nend\n");
        let run = [
            "run",
            "--rm",
            "-i",
            "--network",
            "none",
            BUSYBOX,
            "wc",
            "-c",
        ];
        let counted = self.same_with(&run, &"x".repeat(300_000));
        assert_eq!(counted.stdout, b"300000\n");
        let stats = ["stats", "--no-stream", "--format", "{{.Name}}", name];
        self.same(&stats);
        let events = ["events", "--since", "1h", "--until", "0s", "--filter"];
        let of = format!("container={name}");
        let format = [
            "--filter",
            "event=start",
            "--format",
            "{{.Action}} {{.Actor.ID}}",
        ];
        let events = self.same(&[&events[..], &[&of], &format].concat());
        assert!(events.stdout.starts_with(b"start "), "{events:?}");
        self.terminals(name);
        self.attaches(name);
    }

    fn terminals(&self, name: &str) {
        let sized = ["sh", "-c", "sleep 1; stty size"];
        let run = ["run", "-it", "--rm", "--network", "none", BUSYBOX];
        for command in [&["exec", "-it", name][..], &run] {
            let command = self.reached.client.docker(&[command, &sized].concat());
            let size = on_a_terminal(&command, "33", "99");
            assert!(
                size.contains("33 99"),
                "the size of the terminal arrives: {size:?}"
            );
        }
    }

    /// To what runs already: what is typed goes there, what it says comes back, and its exit code.
    fn attaches(&self, name: &str) {
        let name = format!("{name}-asks");
        let run = ["run", "-d", "-i", "--network", "none", "--name", &name];
        let asks = ["sh", "-c", "read word; echo got $word; exit 5"];
        let engine = &self.reached.story.engine;
        engine.run_docker(&[&run[..], &[BUSYBOX], &asks].concat());
        let mut attach = self.reached.client.docker(&["attach", &name]);
        attach.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut attach = attach.spawn().unwrap();
        // With the end of the input an engine ends the output, too.
        let mut stdin = attach.stdin.take().unwrap();
        stdin.write_all(b"hello\n").unwrap();
        let said = attach.wait_with_output().unwrap();
        drop(stdin);
        assert_eq!(
            (said.status.code(), &*said.stdout),
            (Some(5), &b"got hello\n"[..])
        );
        engine.run_docker(&["rm", "-f", &name]);
    }

    fn files(&self, name: &str) {
        let archive = self.same(&["cp", &format!("{name}:/bin/busybox"), "-"]);
        assert!(archive.stdout.len() > 500_000);
        let (file, back) = (self.folder.join("file"), self.folder.join("back"));
        let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&file, &bytes).unwrap();
        let client = &self.reached.client;
        let inside = format!("{name}:/tmp-file");
        assert!(
            client
                .run(&["cp", &file.display().to_string(), &inside])
                .status
                .success()
        );
        self.same(&["exec", name, "sha256sum", "/tmp-file"]);
        assert!(
            client
                .run(&["cp", &inside, &back.display().to_string()])
                .status
                .success()
        );
        assert!(
            std::fs::read(&back).unwrap() == bytes,
            "12 MB there and back"
        );
        let saved = self.same(&["save", BUSYBOX]);
        let tag = format!("{name}:loaded");
        let engine = &self.reached.story.engine;
        engine.run_docker(&["tag", BUSYBOX, &tag]);
        let image = client.run(&["save", &tag]).stdout;
        engine.run_docker(&["rmi", &tag]);
        let loaded = fed_bytes(client.docker(&["load", "--quiet"]), &image);
        assert!(
            String::from_utf8_lossy(&loaded.stdout).contains(&tag),
            "{loaded:?}"
        );
        assert!(
            saved.stdout.len() > 1_000_000
                && engine.try_docker(&["image", "inspect", &tag]).is_some()
        );
        engine.run_docker(&["rmi", &tag]);
    }

    fn builds(&self, name: &str) {
        let context = self.folder.join("context");
        std::fs::create_dir_all(&context).unwrap();
        let dockerfile = format!("FROM {BUSYBOX}\nCOPY page /page\nRUN cat /page > /made\n");
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        std::fs::write(context.join("page"), name).unwrap();
        let (context, tag) = (context.display().to_string(), format!("{name}:built"));
        for buildkit in ["0", "1"] {
            let mut build =
                self.reached
                    .client
                    .docker(&["build", "--network", "none", "-t", &tag, &context]);
            build.env("DOCKER_BUILDKIT", buildkit).stdin(Stdio::null());
            let ended = build.output().unwrap();
            assert!(
                ended.status.success(),
                "DOCKER_BUILDKIT={buildkit}: {ended:?}"
            );
            let page = self.same(&["run", "--rm", "--network", "none", &tag, "cat", "/made"]);
            assert_eq!(page.stdout, name.as_bytes());
            self.reached.story.engine.run_docker(&["rmi", &tag]);
        }
        self.composes(name);
    }

    fn composes(&self, name: &str) {
        let file = self.folder.join("compose.yaml");
        let service = format!(
            "{{image: \"{BUSYBOX}\", init: true, network_mode: none, command: [sleep, \"1000\"]}}"
        );
        let web = format!(
            "{{image: \"{BUSYBOX}\", init: true, network_mode: none, command: [sh, -c, \"echo ready; exec sleep 1000\"], \
             healthcheck: {{test: [CMD, \"true\"], interval: 1s}}}}"
        );
        let text = format!(
            "name: {name}\nservices:\n  db: {service}\n  web: {web}\n  worker: {service}\n"
        );
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let compose = |words: &[&str]| {
            let ended = self
                .reached
                .client
                .run(&[&["compose", "-f", &file], words].concat());
            assert!(ended.status.success(), "{words:?}: {ended:?}");
            String::from_utf8_lossy(&ended.stdout).into_owned()
        };
        compose(&["up", "-d", "--wait"]);
        self.alike(
            &[
                "compose",
                "-f",
                &file,
                "ps",
                "--format",
                "{{.Service}} {{.State}}",
            ],
            str::to_owned,
        );
        assert!(compose(&["logs", "web"]).contains("ready"));
        assert_eq!(compose(&["exec", "-T", "db", "echo", "inside"]), "inside\n");
        assert_eq!(self.reached.story.engine.containers(name).len(), 3);
        compose(&["down", "-t", "1"]);
        assert!(self.reached.story.engine.containers(name).is_empty());
    }
}

fn fed(command: Command, input: &str) -> Output {
    fed_bytes(command, input.as_bytes())
}

fn fed_bytes(mut command: Command, input: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // One that does not read it is none of ours.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

/// Runs a command on a terminal of this size, and gives what that shows.
fn on_a_terminal(command: &Command, rows: &str, columns: &str) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let words = format!("stty rows {rows} cols {columns}; {}", words.join(" "));
    let mut script = Command::new("script");
    script
        .args(["-qec", &words, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            script.env(name, value);
        }
    }
    let shown = script.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&shown.stdout).into_owned()
}

/// The docker context that people use, and what it is afterwards.
#[test]
fn a_docker_context_is_made_and_renewed() {
    let reached = Reached::embedded();
    let host = reached.story.agent.name();
    let home = Scratch::new("docker-config");
    let run = |arguments: &[&str]| {
        let mut command = reached.cli.command_of(arguments);
        command.env("DOCKER_CONFIG", home.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for _ in 0..2 {
        let said = run(&["docker", "context", host]);
        let context = format!("towline-{host}");
        assert!(
            said.contains(&format!("docker --context {context} ps")),
            "{said}"
        );
        let mut docker =
            reached
                .story
                .engine
                .docker(&["--context", &context, "info", "--format", "{{.ID}}"]);
        let output = docker
            .env_remove("DOCKER_HOST")
            .env("DOCKER_CONFIG", home.path())
            .output()
            .unwrap();
        let direct = reached
            .story
            .engine
            .run_docker(&["info", "--format", "{{.ID}}"]);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            direct,
            "{output:?}"
        );
    }
    let shell = run(&["docker", "context", host, "--env"]);
    assert!(shell.starts_with("export DOCKER_HOST='tcp://"), "{shell}");
    let listed = run(&["docker", "certificates", host, "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 4);
}

/// Docker's own SDK for Python: connects, runs, builds, executes, streams events, and pulls from a registry on the host.
#[test]
fn the_python_sdk_works() {
    let reached = Reached::start(DatabaseKind::Sqlite, Engine::start(EngineKind::New));
    let registry = Registry::start(&reached.story.engine);
    let image = format!("{}/sdk", registry.address());
    let program = SDK
        .replace("BUSYBOX", BUSYBOX)
        .replace("IMAGE", &image)
        .replace("USER", USER)
        .replace("PASSWORD", PASSWORD);
    let ended = reached.client.python(&program).output().unwrap();
    let (told, errors) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    assert!(ended.status.success(), "{told}{errors}");
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "ran hello",
            "built made",
            "executed 3 out",
            "socket echo",
            "events create start die destroy",
            "pulled True"
        ],
        "{errors}"
    );
}

const SDK: &str = r#"
import io, threading, docker
client = docker.from_env()
print("ran", client.containers.run("BUSYBOX", ["echo", "hello"], remove=True, network_mode="none").decode().strip())
dockerfile = b"FROM BUSYBOX\nRUN echo made > /made\nCMD [\"cat\", \"/made\"]\n"
image, _ = client.images.build(fileobj=io.BytesIO(dockerfile), network_mode="none", rm=True)
print("built", client.containers.run(image.id, remove=True, network_mode="none").decode().strip())
box = client.containers.run("BUSYBOX", ["sleep", "1000"], detach=True, init=True, network_mode="none")
code, out = box.exec_run(["sh", "-c", "echo out; exit 3"])
print("executed", code, out.decode().strip())
made = client.api.exec_create(box.id, ["cat"], stdin=True, tty=True)
sock = client.api.exec_start(made["Id"], socket=True, tty=True)
raw = sock._sock if hasattr(sock, "_sock") else sock
raw.sendall(b"echo\n")
print("socket", raw.recv(100).decode().split()[0])
raw.close()
seen, begun = [], threading.Event()
def watch(stream):
    for event in stream:
        begun.set()
        if event.get("Actor", {}).get("Attributes", {}).get("name") == "sdk-events" and event["Action"] in ("create", "start", "die", "destroy"):
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                return
stream = client.events(decode=True)
watcher = threading.Thread(target=watch, args=(stream,))
watcher.start()
client.containers.run("BUSYBOX", ["true"], name="sdk-events", remove=True, network_mode="none")
watcher.join(20)
print("events", *seen)
box.remove(force=True)
auth = {"username": "USER", "password": "PASSWORD"}
client.images.get("BUSYBOX").tag("IMAGE", "1")
for line in client.images.push("IMAGE", tag="1", auth_config=auth, stream=True, decode=True):
    assert "error" not in line, line
client.images.remove("IMAGE:1")
pulled = client.images.pull("IMAGE", tag="1", auth_config=auth)
print("pulled", "IMAGE:1" in pulled.tags)
"#;
