//! Commands in containers, by the command line.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use towline_tests::agent::AgentPlan;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::patience::wait_until;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

fn installation(database: DatabaseKind, engine: EngineKind, policy: Option<&str>) -> Installation {
    let mut agent = AgentPlan::new(&unique("host"));
    agent.policy = policy.map(str::to_owned);
    Installation::over(ServerPlan::new(database), Engine::shared(engine), agent)
}

fn exec<'a>(host: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    [&["exec", "--target", host], words].concat()
}

fn box_on(engine: &Engine) -> String {
    let name = unique("box");
    engine.keep_running(&name, &["sleep", "1000"]);
    name
}

#[test]
fn a_command_talks_and_ends_as_it_would_on_the_host_embedded() {
    talks_and_ends(&installation(
        DatabaseKind::Sqlite,
        EngineKind::New,
        Some("exec = \"allow\"\n"),
    ));
}

#[test]
fn a_command_talks_and_ends_as_it_would_on_the_host_scaled_out() {
    talks_and_ends(&installation(
        DatabaseKind::Postgres,
        EngineKind::Old,
        Some("exec = \"allow\"\n"),
    ));
}

fn talks_and_ends(story: &Installation) {
    let (cli, host, name) = (story.cli(), story.agent.name(), box_on(&story.engine));
    let plain = cli.run(&exec(
        host,
        &[&name, "sh", "-c", "echo out; echo err >&2; exit 7"],
    ));
    assert_eq!(
        (plain.code, &*plain.output, &*plain.errors),
        (Some(7), "out\n", "err\n")
    );
    // The end of the input arrives, and what is said behind it comes back.
    let fed = cli.run_with(
        &exec(host, &["-i", &name, "sh", "-c", "wc -c; echo end"]),
        &"x".repeat(200_000),
    );
    assert_eq!((fed.code, &*fed.output), (Some(0), "200000\nend\n"));
    let large = cli.run(&exec(
        host,
        &[&name, "dd", "if=/dev/zero", "bs=1M", "count=20"],
    ));
    assert_eq!(large.output.len(), 20 << 20);
    // A terminal has the person's size, and its output is raw.
    let words = exec(host, &["-it", &name, "/bin/sh"]);
    let mut terminal = cli.on_a_terminal_behind("stty rows 31 cols 97;", &words);
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = terminal.spawn().unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    keys.write_all(b"tty; stty size; exit 3\r").unwrap();
    let shown = terminal.wait_with_output().unwrap();
    drop(keys);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        text.contains("/dev/pts/") && text.contains("31 97"),
        "{text}"
    );
    assert_eq!(shown.status.code(), Some(3), "{text}");
    for (words, said) in [
        (&["no-such-box", "true"][..], "no such container"),
        (&["../etc", "true"], "there is no such container"),
        (&[&name, "/no/such/program"], ""),
    ] {
        let refused = cli.run(&exec(host, words));
        assert!(
            refused.code != Some(0) && refused.errors.contains(said),
            "{refused:?}"
        );
    }
    let audit = story.api.get("/audit?action=container.exec&limit=20").ok();
    assert_eq!(audit["items"][0]["detail"]["program"], "/no/such/program");
    assert!(
        !audit.to_string().contains("exit 7"),
        "arguments are not written down"
    );
    story.engine.run_docker(&["rm", "-f", &name]);
}

#[test]
fn the_owner_must_allow_it_and_whoever_loses_the_right_is_cut_off() {
    let strict = installation(DatabaseKind::Sqlite, EngineKind::New, None);
    let name = box_on(&strict.engine);
    let words = ["exec", "--target", strict.agent.name(), &name, "true"];
    let refused = strict.cli().run(&words);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .errors
            .contains("exec = \"allow\" in the agent's policy file"),
        "{refused:?}"
    );
    drop(strict);

    let mut story = installation(
        DatabaseKind::Sqlite,
        EngineKind::New,
        Some("exec = \"allow\"\n"),
    );
    let made = story.api.post("/api-keys", &json!({ "name": "lost" })).ok();
    let cli = towline_tests::cli::Cli::new();
    let (url, fingerprint) = (story.server.url(), story.authority_fingerprint().to_owned());
    let key = made["key"].as_str().unwrap();
    cli.run(&[
        "login",
        &url,
        "--key",
        key,
        "--ca-fingerprint",
        &fingerprint,
    ])
    .ok();
    let host = story.agent.name().to_owned();
    let words = [
        "exec",
        "--target",
        &host,
        &name,
        "sh",
        "-c",
        "echo begun; sleep 600",
    ];
    let mut lasting = cli.start(&words);
    wait_until("it has begun", Duration::from_secs(20), || {
        lasting.log().contains("begun").then_some(())
    });
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let request = story.api.request(reqwest::Method::DELETE, &path);
    assert_eq!(story.api.send(request).status, 204);
    assert_eq!(
        lasting.wait(Duration::from_secs(40)).code(),
        Some(4),
        "{}",
        lasting.log()
    );
    // So is one whose agent goes.
    let cli = story.cli();
    let mut lasting = cli.start(&words);
    wait_until("it has begun", Duration::from_secs(20), || {
        lasting.log().contains("begun").then_some(())
    });
    story.agent.kill();
    assert_eq!(
        lasting.wait(Duration::from_secs(20)).code(),
        Some(4),
        "{}",
        lasting.log()
    );
    assert!(
        lasting
            .log()
            .contains("the connection ended before the command"),
        "{}",
        lasting.log()
    );
    let offline = cli.run(&words);
    assert_eq!(offline.code, Some(4), "{offline:?}");
    story.engine.run_docker(&["rm", "-f", &name]);
}
