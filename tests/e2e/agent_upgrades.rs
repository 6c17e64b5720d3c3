//! An agent becomes another version of itself, or stays what it is: real programs, which differ by bytes at their ends.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use towline_pki::release::{Architecture, Claim, FileDigest, ReleaseSecret, Signature};
use towline_tests::agent::AgentPlan;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::engine::{Engine, EngineKind, wait_for_container};
use towline_tests::parts::binary;
use towline_tests::patience::wait_until;
use towline_tests::scratch::Scratch;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::small_disk::SmallDisk;
use towline_tests::story::{Installation, unique};

use crate::DEPLOY_LIMIT;

/// Fetching, hashing and trying a program of a debug build on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);
/// The version of the programs that were built.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A deploy with it goes on until somebody makes the file.
const GATE: &str =
    "healthcheck: {test: [\"CMD\", \"test\", \"-e\", \"/tmp/go\"], interval: 1s, retries: 600}";

/// An installation whose agent runs from a folder of its own, and what its control plane hands out.
struct House {
    story: Installation,
    secret: ReleaseSecret,
    folder: Scratch,
    program: PathBuf,
    disk: Option<SmallDisk>,
}

impl House {
    fn start(patience_s: u32, disk: Option<SmallDisk>) -> Self {
        let folder = Scratch::new("releases");
        fs::create_dir(folder.join("served")).unwrap();
        let home = disk
            .as_ref()
            .map_or_else(|| folder.join("home"), |disk| disk.path().join("home"));
        fs::create_dir(&home).unwrap();
        let secret = ReleaseSecret::generate().unwrap();
        fs::write(folder.join("release-keys"), secret.public().file()).unwrap();
        let mut plan = ServerPlan::new(DatabaseKind::Sqlite);
        let served = folder.join("served").display().to_string();
        plan.arguments = vec!["--agent-binaries".to_owned(), served];
        let agent = plan_of(&home, &folder.join("release-keys"), patience_s);
        let program = agent.program.clone().unwrap();
        let story = Installation::over(plan, Engine::shared(EngineKind::New), agent);
        Self {
            story,
            secret,
            folder,
            program,
            disk,
        }
    }

    fn served(&self) -> PathBuf {
        let name = format!("towline-agent-{}", std::env::consts::ARCH);
        self.folder.join("served").join(name)
    }

    /// Hands out these bytes, and gives their digest.
    fn serve(&self, bytes: &[u8]) -> String {
        let (served, new) = (self.served(), self.folder.join("new"));
        fs::write(&new, bytes).unwrap();
        fs::rename(new, served).unwrap();
        hex(&Sha256::digest(bytes))
    }

    /// Hands out a working agent that is another than those before.
    fn serve_another(&self, salt: &str) -> String {
        let mut bytes = fs::read(binary("towline-agent")).unwrap();
        bytes.extend_from_slice(salt.as_bytes());
        let digest = self.serve(&bytes);
        self.sign(&self.secret, VERSION);
        digest
    }

    fn sign(&self, secret: &ReleaseSecret, version: &str) {
        let architecture = Architecture::of_this_program().unwrap();
        let claim = Claim::of(version, architecture).unwrap();
        let file = FileDigest::of(fs::File::open(self.served()).unwrap()).unwrap();
        let signature = Signature::make(secret, &file, &claim).to_string();
        fs::write(self.signature(), signature).unwrap();
    }

    fn signature(&self) -> PathBuf {
        let mut path = self.served().into_os_string();
        path.push(".minisig");
        path.into()
    }

    fn path(&self) -> String {
        let agent = self.story.first_agent();
        format!("/agents/{}/upgrade", agent["id"].as_str().unwrap())
    }

    fn ask(&self) -> towline_tests::api::Answer {
        self.story.api.post(&self.path(), &json!({}))
    }

    /// Waits for a state; in between the agent may be gone for a while.
    fn wait_for(&self, state: &str) -> Value {
        let path = self.path();
        wait_until(&format!("an upgrade that is {state}"), LIMIT, || {
            let answer = self.story.api.get(&path);
            let shown = (answer.status == 200).then(|| answer.ok())?;
            (shown["state"] == state).then_some(shown)
        })
    }

    /// Asks, and waits until it is refused; why.
    fn refusal(&self) -> String {
        self.ask().ok();
        self.wait_for("refused")["why"].as_str().unwrap().to_owned()
    }

    /// The agent's process.
    fn process(&self) -> u32 {
        self.story.agent.process_id()
    }

    /// What the agent's process runs.
    fn runs(&self) -> String {
        let id = self.process();
        let program = fs::read(format!("/proc/{id}/exe"));
        program.map_or_else(|_| String::new(), |bytes| hex(&Sha256::digest(bytes)))
    }

    fn wait_until_it_runs(&self, digest: &str) {
        wait_until("another program", LIMIT, || {
            (self.runs() == digest).then_some(())
        });
    }
}

/// An agent that runs from a folder of its own.
fn plan_of(home: &Path, keys: &Path, patience_s: u32) -> AgentPlan {
    let program = home.join("towline-agent");
    fs::copy(binary("towline-agent"), &program).unwrap();
    let mut agent = AgentPlan::new(&unique("upgraded"));
    agent.program = Some(program);
    agent.environment = [
        ("TOWLINE_AGENT_RELEASE_KEYS", keys.display().to_string()),
        ("TOWLINE_AGENT_UPGRADE_PATIENCE", patience_s.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    agent
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The ids of a project's containers, and since when they run.
fn containers(engine: &Engine, project: &str) -> String {
    let label = format!("label=com.docker.compose.project={project}");
    let ids = engine.run_docker(&["ps", "-q", "--no-trunc", "--filter", &label]);
    let id = ids.trim();
    assert_eq!(id.len(), 64, "one container: {ids:?}");
    engine.run_docker(&["inspect", "-f", "{{.Id}} {{.State.StartedAt}}", id])
}

fn open_gate(engine: &Engine, project: &str) {
    let started = containers(engine, project);
    let id = started.split(' ').next().unwrap();
    engine.run_docker(&["exec", id, "touch", "/tmp/go"]);
}

#[test]
fn an_agent_becomes_another_when_its_jobs_have_ended() {
    let house = House::start(120, None);
    let idle = house.story.api.get(&house.path()).ok();
    assert_eq!(idle["state"], "idle");
    let (process, old) = (house.process(), house.runs());
    let engine = house.story.engine.seen();
    let settled = house
        .story
        .project("settled", &ComposeFolder::of(&[Service::idle("web")]));
    settled.deploy().wait("succeeded", DEPLOY_LIMIT);
    let before = containers(&engine, &settled.name);
    let gated = ComposeFolder::of(&[Service::idle("web").line(GATE)]);
    let slow = house.story.project("slow", &gated);
    let deployment = slow.deploy();
    wait_for_container(&engine, &slow.name, "running");

    let new = house.serve_another("one");
    assert_eq!(house.ask().ok()["version"], VERSION);
    house.wait_for("waiting");
    assert_eq!(house.ask().ok()["state"], "waiting", "asked twice");
    open_gate(&engine, &slow.name);
    deployment.wait("succeeded", DEPLOY_LIMIT);
    let done = house.wait_for("done");
    assert_eq!(done["running"], VERSION);
    assert_eq!(house.process(), process, "the same process");
    house.wait_until_it_runs(&new);
    assert_eq!(containers(&engine, &settled.name), before);
    let previous = house.program.with_extension("previous");
    let kept = fs::read(previous).unwrap();
    assert_eq!(hex(&Sha256::digest(kept)), old, "the former one is kept");

    // What is new does jobs, and becomes another one in turn.
    let after = house
        .story
        .project("after", &ComposeFolder::of(&[Service::idle("web")]));
    after.deploy().wait("succeeded", DEPLOY_LIMIT);
    let next = house.serve_another("two");
    let name = house.story.agent.name().to_owned();
    let said = house.story.cli().run(&["agents", "upgrade", &name]).ok();
    assert!(said.contains(&format!("runs {VERSION}")), "{said}");
    assert_eq!((house.runs(), house.process()), (next, process));
    let audit = house.story.api.get("/audit?action=agent.upgrade").ok();
    assert_eq!(audit["items"].as_array().unwrap().len(), 3);
}

/// What is handed out, and the words of the refusal.
type Case = (&'static str, fn(&House), &'static str);

const REFUSALS: [Case; 8] = [
    (
        "another key",
        |house| {
            house.serve_another("x");
            house.sign(&ReleaseSecret::generate().unwrap(), VERSION);
        },
        "signed by another key",
    ),
    (
        "a tampered file",
        |house| {
            house.serve_another("signed");
            let mut bytes = fs::read(house.served()).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            house.serve(&bytes);
        },
        "not the one that was signed",
    ),
    (
        "a raised version in the comment",
        |house| {
            house.serve_another("x");
            let text = fs::read_to_string(house.signature()).unwrap();
            let raised = text.replace(&format!("version:{VERSION}"), "version:99.0.0");
            fs::write(house.signature(), raised).unwrap();
        },
        "its comment is not the one that was signed",
    ),
    (
        "an older version",
        |house| {
            house.serve_another("x");
            house.sign(&house.secret, "0.0.1");
        },
        "agent_downgrade",
    ),
    (
        "a wrong version",
        |house| {
            house.serve_another("x");
            house.sign(&house.secret, "99.0.0");
        },
        "is signed as 99.0.0",
    ),
    (
        "no program",
        |house| {
            house.serve(b"\x7fELF of another kind");
            house.sign(&house.secret, VERSION);
        },
        "cannot be started",
    ),
    (
        "one that fails",
        |house| {
            house.serve(b"#!/bin/sh\necho it is broken >&2\nexit 3\n");
            house.sign(&house.secret, VERSION);
        },
        "it is broken",
    ),
    (
        "one that dies at once",
        |house| {
            house.serve(b"#!/bin/sh\nkill -SEGV $$\n");
            house.sign(&house.secret, VERSION);
        },
        "failed its trial: signal: 11",
    ),
];

#[test]
fn what_is_not_as_it_should_be_changes_nothing() {
    let house = House::start(120, Some(SmallDisk::mount(4 * program_kilobytes())));
    let (process, old) = (house.process(), house.runs());
    let refused = house.ask().problem(409)["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(refused.contains("has no agent") || refused.contains("nobody has signed"));
    house.serve(b"unsigned");
    let refused = house.ask().problem(409)["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(refused.contains("nobody has signed"), "{refused}");
    for (case, make, words) in REFUSALS {
        make(&house);
        let why = house.refusal();
        assert!(why.contains(words), "{case}: {why}");
    }
    house.serve_another("x");
    let keys = house.folder.join("release-keys");
    let text = fs::read_to_string(&keys).unwrap();
    fs::remove_file(&keys).unwrap();
    assert!(house.refusal().contains("trusts no release key"));
    fs::write(&keys, &text).unwrap();
    fs::set_permissions(&keys, Permissions::from_mode(0o666)).unwrap();
    assert!(house.refusal().contains("may be written by others"));
    fs::set_permissions(&keys, Permissions::from_mode(0o644)).unwrap();

    let disk = house.disk.as_ref().unwrap();
    disk.fill();
    let why = house.refusal();
    assert!(why.contains("No space left"), "{why}");
    disk.free();
    remount(disk.path(), "ro");
    let why = house.refusal();
    assert!(
        why.contains("Read-only") && why.contains("ReadWritePaths"),
        "{why}"
    );
    remount(house.disk.as_ref().unwrap().path(), "rw");
    assert_eq!((house.process(), house.runs()), (process, old));
    let left = fs::read_dir(house.program.parent().unwrap()).unwrap();
    assert_eq!(left.count(), 1, "nothing is left of what was refused");

    // After all that it becomes what is good.
    let new = house.serve_another("good");
    house.ask().ok();
    house.wait_for("done");
    assert_eq!((house.process(), house.runs()), (process, new));
}

fn program_kilobytes() -> u32 {
    let bytes = fs::metadata(binary("towline-agent")).unwrap().len();
    u32::try_from(bytes / 1024).unwrap()
}

fn remount(path: &Path, mode: &str) {
    let mounted = std::process::Command::new("mount")
        .args(["-o", &format!("remount,{mode}")])
        .arg(path)
        .status();
    assert!(mounted.unwrap().success());
}

/// Prepares an upgrade, and lets it happen while the control plane is away; the program that the agent was.
fn upgraded_alone(house: &mut House) -> (String, String, String) {
    let old = house.runs();
    let engine = house.story.engine.seen();
    let gated = ComposeFolder::of(&[Service::idle("web").line(GATE)]);
    let slow = house.story.project("slow", &gated);
    let deployment = slow.deploy();
    wait_for_container(&engine, &slow.name, "running");
    let new = house.serve_another("alone");
    house.ask().ok();
    house.wait_for("waiting");
    let started = containers(&engine, &slow.name);
    drop(deployment);
    let (_, name) = slow.leave();
    house.story.server.kill();
    open_gate(&engine, &name);
    house.wait_until_it_runs(&new);
    assert_eq!(containers(&engine, &name), started, "left alone");
    (old, new, name)
}

#[test]
fn an_agent_that_is_not_welcomed_goes_back() {
    let mut house = House::start(10, None);
    let process = house.process();
    let (old, _, project) = upgraded_alone(&mut house);
    house.wait_until_it_runs(&old);
    assert_eq!(house.process(), process, "the same process");
    house.story.server.start_again();
    house.story.wait_online(1);
    let back = house.wait_for("rolled_back");
    let why = back["why"].as_str().unwrap();
    assert!(why.contains("did not welcome it within 10 s"), "{why}");
    house.story.engine.remove_project(&project);
}

#[test]
fn an_agent_that_dies_after_its_upgrade_goes_on_and_then_back() {
    let mut house = House::start(3600, None);
    let (old, new, project) = upgraded_alone(&mut house);
    // The former one has said it once; who is killed before it reads its journal has not begun.
    wait_until("the new agent serves", LIMIT, || {
        (starts(&house) == 2).then_some(())
    });
    for _ in 0..2 {
        let before = starts(&house);
        house.story.agent.kill();
        house.story.agent.start();
        wait_until("an agent that serves", LIMIT, || {
            (starts(&house) > before).then_some(())
        });
        assert_eq!(house.runs(), new);
    }
    house.story.agent.kill();
    house.story.agent.start();
    house.wait_until_it_runs(&old);
    house.story.server.start_again();
    house.story.wait_online(1);
    let back = house.wait_for("rolled_back");
    let why = back["why"].as_str().unwrap();
    assert!(why.contains("has started 3 times"), "{why}");

    // A journal that nobody can read keeps no agent from running.
    house.story.agent.stop();
    let journal = house.story.agent.state_dir().join("upgrade.json");
    let mut file = OpenOptions::new().write(true).open(journal).unwrap();
    file.write_all(b"\0\0\0").unwrap();
    house.story.agent.start();
    house.story.wait_online(1);
    assert_eq!(house.wait_for("idle")["state"], "idle");
    house.story.engine.remove_project(&project);
}

/// How often the agent has begun to serve; it has read its journal before.
fn starts(house: &House) -> usize {
    let log = house.story.agent.log();
    // Jobs start, too.
    log.matches(r#""starting","agent""#).count()
}

#[test]
fn a_rollout_halts_at_a_failure_and_goes_on_when_it_is_mended() {
    let house = House::start(120, None);
    let engine = house.story.engine.seen();
    let mut others = Vec::new();
    for name in ["first", "second"] {
        let home = house.folder.join(name);
        fs::create_dir(&home).unwrap();
        let plan = plan_of(&home, &home.join("release-keys"), 120);
        others.push(house.story.add_agent(&engine, plan));
    }
    let keys = |name: &str| house.folder.join(name).join("release-keys");
    let trusted = house.folder.join("release-keys");
    // Agents come the newest first: one that is good, one that trusts nobody, and the house's own.
    fs::copy(&trusted, keys("second")).unwrap();
    let names = [others[1].name(), others[0].name(), house.story.agent.name()];
    let old = house.runs();
    let new = house.serve_another("rollout");
    let cli = house.story.cli();
    let rollout = [
        "agents", "rollout", "--stages", "1,2,100%", "--settle", "1s", "--json",
    ];
    let results = |rows: &Value| {
        let rows = rows.as_array().unwrap().iter();
        let both = rows.map(|row| {
            [&row["agent"], &row["result"]].map(|word| word.as_str().unwrap().to_owned())
        });
        both.collect::<Vec<_>>()
    };
    let expected = |words: [&str; 3]| -> Vec<[String; 2]> {
        let pairs = names.iter().zip(words);
        pairs
            .map(|(name, word)| [(*name).to_owned(), word.to_owned()])
            .collect()
    };
    let halted = cli.run(&rollout);
    assert_eq!(halted.code, Some(1), "{halted:?}");
    let rows: Value = serde_json::from_str(&halted.output).unwrap();
    assert_eq!(
        results(&rows),
        expected(["upgraded", "failed", "untouched"])
    );
    let why = rows[1]["why"].as_str().unwrap();
    assert!(why.contains("trusts no release key"), "{why}");
    assert_eq!(house.runs(), old, "the rest is untouched");

    let begun = others[1].log().matches("\"starting\"").count();
    fs::copy(&trusted, keys("first")).unwrap();
    let resumed = cli.run(&rollout).json();
    assert_eq!(results(&resumed), expected(["upgraded"; 3]));
    assert_eq!(house.runs(), new);
    let again = others[1].log().matches("\"starting\"").count();
    assert_eq!(again, begun, "who runs it already stays as it is");
}
