//! What lasts: streams that are cut by somebody, and gigabytes that nobody holds.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use towline_tests::cli::Cli;
use towline_tests::docker_client::DockerClient;
use towline_tests::engine::{BUSYBOX, Engine, EngineKind};
use towline_tests::patience::wait_until;
use towline_tests::proxy::Weather;
use towline_tests::server::DatabaseKind;
use towline_tests::story::unique;

use super::{Reached, grant, ungrant};

/// How soon a stream must end whose right has gone.
const AT_ONCE: Duration = Duration::from_secs(5);
/// An agent's silence is noticed after 25 s.
const SILENCE: Duration = Duration::from_secs(45);

/// A container that prints a line five times a second.
fn talker(engine: &Engine) -> String {
    let name = unique("talker");
    let words = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done";
    engine.keep_running(&name, &["sh", "-c", words]);
    name
}

/// `docker logs -f` with its first line read.
fn follow(reached: &Reached, name: &str) -> Child {
    follow_with(&reached.client, name)
}

fn follow_with(client: &DockerClient, name: &str) -> Child {
    let mut command = client.docker(&["logs", "-f", name]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "line 1\n");
    // The rest is read, so that it never stands still for us.
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    child
}

fn end(mut child: Child, limit: Duration) -> (Option<i32>, String) {
    let status = wait_until("the stream ends", limit, || child.try_wait().unwrap());
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    (status.code(), errors)
}

fn refused(reached: &Reached, words: &str) {
    let ended = reached.client.run(&["ps"]);
    let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        !ended.status.success() && errors.contains(words),
        "{errors}"
    );
}

#[test]
fn what_is_open_ends_with_the_right_to_it_embedded() {
    ends_with_the_right(&Reached::embedded());
}

#[test]
fn what_is_open_ends_with_the_right_to_it_scaled_out() {
    ends_with_the_right(&Reached::scaled_out());
}

fn ends_with_the_right(reached: &Reached) {
    let (story, host) = (&reached.story, reached.story.agent.name());
    let name = talker(&story.engine);
    // A certificate that is revoked,
    let following = follow(reached, &name);
    let certificate = &reached.client.certificate;
    reached
        .cli
        .run(&["docker", "revoke", host, certificate])
        .ok();
    let (code, errors) = end(following, AT_ONCE);
    assert!(
        code != Some(0) || !errors.is_empty(),
        "it ends as if it were whole: {errors}"
    );
    refused(
        reached,
        "was revoked or has ended; make another with `towline docker context HOST`",
    );
    // and a grant that ends, of which an interactive session learns, too.
    let kind = story.engine.kind();
    let again = DockerClient::new(&reached.cli, host, kind);
    let mut exec = again.docker(&["exec", "-i", &name, "cat"]);
    let mut exec = exec
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    write_and_read(&mut exec);
    ungrant(story);
    let (code, _) = end(exec, AT_ONCE);
    assert_ne!(code, Some(0));
    let told = again.run(&["ps"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("was revoked or has ended"), "{told}");
    grant(story, &reached.cli);
    assert!(
        !again.run(&["ps"]).status.success(),
        "a new grant brings no former certificate back"
    );
    story.engine.run_docker(&["rm", "-f", &name]);
}

#[test]
fn whoever_is_suspended_is_out_at_once() {
    let reached = Reached::embedded();
    let (story, ada, bob) = (&reached.story, &reached.cli, Cli::new());
    let email = format!("{}@example.org", unique("bob"));
    let invite = ["members", "invite", &email, "--role", "developer"];
    let link = ada.run(&invite).ok();
    bob.run(&["join", link.trim(), "--name", "Bob"]).ok();
    let host = story.agent.name();
    ada.run(&["docker", "grant", host, &email]).ok();
    let his = DockerClient::new(&bob, host, story.engine.kind());
    let name = talker(&story.engine);
    let following = follow_with(&his, &name);
    ada.run(&["users", "suspend", &email, "--yes"]).ok();
    end(following, AT_ONCE);
    assert!(!his.run(&["ps"]).status.success());
    assert!(
        reached.client.run(&["ps"]).status.success(),
        "the others are not"
    );
    story.engine.run_docker(&["rm", "-f", &name]);
}

/// A line goes there and comes back; the input stays open.
fn write_and_read(child: &mut Child) {
    use std::io::Write as _;
    child.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    let (sender, line) = mpsc::channel();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = lines.read_line(&mut line);
        let _ = sender.send(line);
    });
    assert_eq!(
        line.recv_timeout(Duration::from_secs(20)).unwrap(),
        "hello\n"
    );
}

#[test]
fn a_pulled_link_is_a_clean_error_and_the_next_command_works() {
    let mut reached = Reached::embedded();
    let name = talker(&reached.story.engine);
    let following = follow(&reached, &name);
    reached.story.link.set(Weather::Silent);
    let (code, errors) = end(following, SILENCE);
    assert!(
        code != Some(0) || errors.contains("EOF"),
        "{code:?} {errors}"
    );
    refused(
        &reached,
        "cannot be reached through this control plane: its agent is offline",
    );
    reached.story.link.heal();
    reached.story.wait_online(1);
    let works = wait_until("the next command works", SILENCE, || {
        let ended = reached.client.run(&["exec", &name, "echo", "back"]);
        ended.status.success().then_some(ended.stdout)
    });
    assert_eq!(works, b"back\n");
    // So does an agent that is killed and comes back.
    let following = follow(&reached, &name);
    reached.story.agent.kill();
    let (code, errors) = end(following, AT_ONCE);
    assert!(
        code != Some(0) || errors.contains("EOF"),
        "{code:?} {errors}"
    );
    reached.story.agent.start();
    reached.story.wait_online(1);
    assert!(reached.client.run(&["ps"]).status.success());
    reached.story.engine.run_docker(&["rm", "-f", &name]);
}

/// 2 GB through `docker load`, and a reader of gigabytes that stands still: neither side holds them.
#[test]
fn gigabytes_go_through_and_nobody_holds_them() {
    /// The promise.
    const MOST: u64 = 64 * 1024;
    let mut reached = Reached::start(DatabaseKind::Sqlite, Engine::start(EngineKind::New));
    let engine = reached.story.engine.seen();
    let context = towline_tests::scratch::Scratch::new("large");
    let dockerfile = format!("FROM {BUSYBOX}\nRUN dd if=/dev/zero of=/large bs=1M count=2000\n");
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let tag = unique("large");
    engine.run_docker(&[
        "build",
        "-q",
        "--network",
        "none",
        "-t",
        &tag,
        &context.path().display().to_string(),
    ]);
    assert!(
        reached.client.run(&["ps"]).status.success(),
        "everything is warm"
    );
    let idle = memory(&mut reached);

    let mut save = engine.docker(&["save", &tag]);
    let mut save = save.stdout(Stdio::piped()).spawn().unwrap();
    let mut load: Command = reached.client.docker(&["load"]);
    let load = load
        .stdin(save.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let (most, ended) = watched(&mut reached, load);
    assert!(save.wait().unwrap().success());
    assert!(ended.contains(&tag), "{ended}");
    for (who, before, peak) in [("control plane", idle.0, most.0), ("agent", idle.1, most.1)] {
        assert!(
            peak <= before + MOST,
            "{who}: {before} kB idle, {peak} kB at most, after {:?}",
            begun.elapsed()
        );
    }
    // A client that reads nothing: the engine's gigabytes stay with the engine.
    let mut stuck = reached.client.docker(&["save", &tag]);
    let mut stuck = stuck.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 512];
    stuck
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let held = memory(&mut reached);
    assert!(
        held.0 <= idle.0 + MOST && held.1 <= idle.1 + MOST,
        "{idle:?} {held:?}"
    );
    // And neither a heartbeat nor a command waits for it.
    assert!(reached.client.run(&["ps"]).status.success());
    assert_eq!(reached.story.online(), 1);
    stuck.kill().unwrap();
    stuck.wait().unwrap();
}

/// Resident memory of control plane and agent, in kB.
fn memory(reached: &mut Reached) -> (u64, u64) {
    let (server, agent) = (
        reached.story.server.running().id(),
        reached.story.agent.running().id(),
    );
    (resident(server), resident(agent))
}

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn watched(reached: &mut Reached, mut child: Child) -> ((u64, u64), String) {
    let mut most = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let now = memory(reached);
        most = (most.0.max(now.0), most.1.max(now.1));
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (most, said)
}
