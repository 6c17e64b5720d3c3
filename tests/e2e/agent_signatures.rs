//! Signatures of agents: the standard program `minisign` and ours read each other's, and hosts take no other agents.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use towline_tests::cli::Cli;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::guest::Guest;
use towline_tests::parts::binary;
use towline_tests::patience::wait_until;
use towline_tests::scratch::Scratch;
use towline_tests::server::{DatabaseKind, ServerPlan, ServerProcess};
use towline_tests::story::set_up;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const KEYS: &str = "/etc/towline/release-keys";
const LIMIT: Duration = Duration::from_mins(2);

fn minisign(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("minisign").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into(),
    )
}

/// What `towline-agent verify` says of a program, by a key's file.
fn verify(program: &Path, keys: &Path) -> (bool, String) {
    let output = Command::new(binary("towline-agent"))
        .args(["verify", "--release-keys"])
        .args([keys, program])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into(),
    )
}

fn words(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn minisign_and_we_read_each_others_keys_and_signatures() {
    let (folder, cli) = (Scratch::new("signatures"), Cli::new());
    let (program, out) = (folder.join("towline-agent"), folder.join("ours"));
    fs::copy(binary("towline-agent"), &program).unwrap();
    let made = cli
        .run(&["pki", "release-key", "--out", words(&out), "--json"])
        .json();
    let (secret, public) = (
        out.join("towline-release.key"),
        out.join("towline-release.pub"),
    );
    let key = made["key"].as_str().unwrap();
    let again = cli.run(&["pki", "release-key", "--out", words(&out)]);
    assert!(again.errors.contains("is there already"), "{again:?}");

    // Ours, by theirs.
    let sign = [
        "pki",
        "sign-agent",
        words(&program),
        "--key",
        words(&secret),
        "--version",
    ];
    let signed = cli.run(&[&sign[..], &[VERSION]].concat()).ok();
    assert!(signed.contains(&format!("version {VERSION} for {}", std::env::consts::ARCH)));
    let (good, text) = minisign(&["-V", "-m", words(&program), "-P", key]);
    assert!(
        good && text.contains(&format!("version:{VERSION}")),
        "{text}"
    );
    let (good, text) = verify(&program, &public);
    assert!(
        good && text.contains(&format!("version:{VERSION}")),
        "{text}"
    );

    // Theirs, by our key and by one of their own.
    let theirs = folder.join("theirs.key");
    let their_public = folder.join("theirs.pub");
    let (made, text) = minisign(&["-G", "-W", "-s", words(&theirs), "-p", words(&their_public)]);
    assert!(made, "{text}");
    let comment = format!(
        "program:towline-agent version:9.8.7 architecture:{}",
        std::env::consts::ARCH
    );
    for (secret, public) in [(&secret, &public), (&theirs, &their_public)] {
        let (made, text) = minisign(&[
            "-S",
            "-s",
            words(secret),
            "-m",
            words(&program),
            "-t",
            &comment,
        ]);
        assert!(made, "{text}");
        let (good, text) = verify(&program, public);
        assert!(good && text.contains("version:9.8.7"), "{text}");
    }
    let (good, text) = verify(&program, &public);
    assert!(!good && text.contains("signed by another key"), "{text}");
    let sign = [
        "pki",
        "sign-agent",
        words(&program),
        "--key",
        words(&theirs),
        "--version",
    ];
    cli.run(&[&sign[..], &["1.2.3"]].concat()).ok();
    assert!(verify(&program, &their_public).1.contains("version:1.2.3"));

    // What cannot be signed, or is not what was signed.
    let table: [(&[&str], &str); 2] = [
        (&["nonsense"], "--version cannot be used"),
        (&["1.0"], "--version cannot be used"),
    ];
    for (version, words) in table {
        let refused = cli.run(&[&sign[..], version].concat());
        assert!(refused.errors.contains(words), "{refused:?}");
    }
    let text = folder.join("text");
    fs::write(&text, "no program").unwrap();
    let refused = cli.run(&[
        "pki",
        "sign-agent",
        words(&text),
        "--key",
        words(&secret),
        "--version",
        "1.0.0",
    ]);
    assert!(
        refused.errors.contains("no program of Linux"),
        "{refused:?}"
    );
    let mut bytes = fs::read(&program).unwrap();
    bytes.push(0);
    fs::write(&program, bytes).unwrap();
    let (good, text) = verify(&program, &their_public);
    assert!(
        !good && text.contains("not the one that was signed"),
        "{text}"
    );
}

#[test]
fn a_host_is_installed_with_a_signed_agent_and_becomes_no_other() {
    let engine = Engine::shared(EngineKind::New);
    let (guest, folder, cli) = (Guest::start(&engine), Scratch::new("served"), Cli::new());
    let program = folder.join(&format!("towline-agent-{}", std::env::consts::ARCH));
    let keys = folder.join("release-keys");
    let out = folder.join("keys");
    cli.run(&["pki", "release-key", "--out", words(&out)]).ok();
    let other = folder.join("other");
    let other = cli
        .run(&["pki", "release-key", "--out", words(&other), "--json"])
        .json();
    fs::copy(out.join("towline-release.pub"), &keys).unwrap();
    fs::copy(binary("towline-agent"), &program).unwrap();
    let secret = out.join("towline-release.key");
    let sign = || {
        let sign = [
            "pki",
            "sign-agent",
            words(&program),
            "--key",
            words(&secret),
            "--version",
            VERSION,
        ];
        cli.run(&sign).ok();
    };
    let mut plan = ServerPlan::new(DatabaseKind::Sqlite);
    plan.arguments = vec![
        "--agent-binaries".to_owned(),
        folder.path().display().to_string(),
    ];
    let mut server = ServerProcess::start(plan);
    let api = set_up(&server.public_api(), &server.setup_link());
    let made = api
        .post("/enrolment-tokens", &json!({ "name": "signed" }))
        .ok();
    let install = format!("cd /root && {}", made["install"].as_str().unwrap());

    guest.sh(&install).failed("the agent is not signed");
    sign();
    let of_other = other["key"].as_str().unwrap();
    guest
        .sh(&format!("{install} --release-key {of_other}"))
        .failed("not signed by a key that this host trusts");
    guest
        .sh(&format!("{install} --release-key nonsense"))
        .failed("no public key of minisign");
    assert!(!guest.has(KEYS) && !guest.has("/usr/local/lib/towline-agent/towline-agent"));
    let done = guest.sh(&install);
    for part in [
        "signature is good (minisign)",
        "wrote /etc/towline/release-keys",
        "online: agent",
    ] {
        assert!(done.ok().contains(part), "{part}: {done:?}");
    }
    let key = fs::read_to_string(&keys).unwrap();
    let key = key.lines().nth(1).unwrap();
    assert_eq!(guest.sh(&format!("cat {KEYS}")).ok(), format!("{key}\n"));
    assert_eq!(
        guest.sh(&format!("stat -c '%a %U' {KEYS}")).ok(),
        "644 root\n"
    );

    // The control plane hands out another agent, signed by the same key: the host becomes it, containers or not.
    let mut bytes = fs::read(&program).unwrap();
    bytes.extend_from_slice(b"another");
    fs::write(folder.join("new"), bytes).unwrap();
    fs::rename(folder.join("new"), &program).unwrap();
    sign();
    let agents = api.get("/agents").ok();
    let path = format!(
        "/agents/{}/upgrade",
        agents["items"][0]["id"].as_str().unwrap()
    );
    let process = guest
        .sh("cat /var/lib/towline-agent/agent.pid")
        .ok()
        .to_owned();
    api.post(&path, &json!({})).ok();
    wait_until("the upgrade", LIMIT, || {
        let shown = api.get(&path);
        (shown.status == 200 && shown.ok()["state"] == "done").then_some(())
    });
    let again = guest.sh("cd /root && curl -fsSk -o fresh.sh $(sed -n \"s/^url='\\(.*\\)'/\\1/p\" towline-install.sh)/install.sh && sh fresh.sh");
    for part in ["is in place", "online: agent"] {
        assert!(again.ok().contains(part), "{again:?}");
    }
    assert_eq!(
        guest.sh("cat /var/lib/towline-agent/agent.pid").ok(),
        process
    );

    // Another control plane's key does not come in the place of the host's, and the agent verifies where nobody else can.
    fs::write(&keys, format!("{of_other}\n")).unwrap();
    guest
        .sh("cd /root && sh fresh.sh --uninstall && rm /usr/bin/minisign")
        .ok();
    let back = guest.sh("cd /root && sh fresh.sh");
    assert!(back.ok().contains("by its own word"), "{back:?}");
    assert_eq!(guest.sh(&format!("cat {KEYS}")).ok(), format!("{key}\n"));
    guest
        .sh(&format!("cd /root && sh fresh.sh --release-key {of_other}"))
        .failed("this host trusts other release keys");
    guest.sh("cd /root && sh fresh.sh --uninstall --purge").ok();
    assert!(!guest.has(KEYS));
}
