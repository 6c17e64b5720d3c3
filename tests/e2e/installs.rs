//! A host becomes an agent by one command.
//!
//! No init system runs in the guests: what the script writes for systemd is judged by systemd's own `systemd-analyze
//! verify`, and started by a stand-in for `systemctl`. Other distributions than Debian are not to be had on the machines
//! that run this; their packages are named as their documentation does.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::guest::Guest;
use towline_tests::parts::{Parts, binary, repository};
use towline_tests::ports::free_address;
use towline_tests::scratch::Scratch;
use towline_tests::server::{DatabaseKind, ServerPlan, ServerProcess};
use towline_tests::story::{Installation, set_up, unique};

use crate::DEPLOY_LIMIT;

const AGENT: &str = "/usr/local/bin/towline-agent";
const STATE: &str = "/var/lib/towline-agent";

/// The command that makes a host the agent of this name.
fn command(story: &Installation, name: &str) -> String {
    let made = story
        .api
        .post("/enrolment-tokens", &json!({ "name": name }))
        .ok();
    format!("cd /root && {}", made["install"].as_str().unwrap())
}

#[test]
fn a_host_becomes_an_agent_and_leaves() {
    let story = crate::embedded();
    let guest = Guest::start(&story.engine);
    let name = unique("installed");
    let install = command(&story, &name);

    let looked = guest.sh(&format!("{install} --dry-run"));
    for part in ["would fetch https://", "would enrol this host"] {
        assert!(looked.ok().contains(part), "{looked:?}");
    }
    assert!(!guest.has(AGENT) && !guest.has(STATE), "it has only looked");

    let done = guest.sh(&install);
    assert!(done.ok().contains("online: agent "), "{done:?}");
    assert!(
        !done.text.contains("twl1_"),
        "a token is nobody's to read: {done:?}"
    );
    let modes = guest.sh(&format!(
        "stat -L -c '%a %U' {AGENT} {STATE} {STATE}/agent.log"
    ));
    assert_eq!(modes.ok(), "755 root\n700 root\n600 root\n");
    let project = story.project("installed", &ComposeFolder::of(&[Service::idle("web")]));
    let asked = project.request_deployment(&json!({ "target": name })).ok();
    project.deployment(&asked).wait("succeeded", DEPLOY_LIMIT);

    let process = || guest.sh(&format!("cat {STATE}/agent.pid")).ok().to_owned();
    let first = process();
    let again = guest.sh("cd /root && sh towline-install.sh");
    for part in ["is in place", "this host is agent", "online: agent"] {
        assert!(again.ok().contains(part), "{again:?}");
    }
    assert_eq!(process(), first, "what runs is left alone");
    guest.sh(&format!("kill -9 {first}")).ok();
    guest.sh("cd /root && sh towline-install.sh").ok();
    assert_ne!(process(), first, "what has ended is started");

    let gone = guest.sh("cd /root && sh towline-install.sh --uninstall");
    assert!(gone.ok().contains("containers keep running"), "{gone:?}");
    assert!(!guest.has(AGENT) && guest.has(STATE));
    story.wait_online(1);
    assert_eq!(story.engine.containers(&project.name).len(), 1);
    // It comes back as who it was, without a token.
    let back = guest.sh("cd /root && sh towline-install.sh");
    assert!(back.ok().contains("online: agent"), "{back:?}");
    guest
        .sh("cd /root && sh towline-install.sh --uninstall --purge")
        .ok();
    assert!(!guest.has(STATE) && !guest.has("/usr/local/lib/towline-agent"));
    story.engine.remove_project(&project.name);
}

/// Does what systemd does with a unit here: starts what it says, as whom it says, and ends it.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>/root/systemctl.log
for name in "$@"; do :; done
unit=/etc/systemd/system/$name.service
value() { sed -n "s/^$1=//p" "$unit" | head -n 1; }
case $1 in
    restart)
        user=$(value User)
        folder=$(value StateDirectory)
        if [ -n "$folder" ]; then install -d -m 700 -o "${user:-root}" "/var/lib/$folder"; fi
        line=$(value ExecStart)
        if [ -n "$user" ]; then line="setpriv --reuid $user --clear-groups -- $line"; fi
        setsid nohup sh -c "exec $line" >"/root/$name.log" 2>&1 </dev/null &
        echo $! >"/root/$name.pid" ;;
    disable) kill "$(cat "/root/$name.pid")" ;;
    is-active) kill -0 "$(cat "/root/$name.pid" 2>/dev/null)" 2>/dev/null ;;
esac
"#;

/// A guest whose systemd is a stand-in.
fn with_systemd(engine: &Engine) -> Guest {
    let guest = Guest::start(engine);
    guest
        .sh("mkdir -p /run/systemd/system /etc/systemd/system")
        .ok();
    guest.write("/usr/local/bin/systemctl", SYSTEMCTL);
    guest.write(
        "/usr/local/bin/journalctl",
        "#!/bin/sh\ncat /root/towline-server.log\n",
    );
    guest
        .sh("chmod 755 /usr/local/bin/systemctl /usr/local/bin/journalctl")
        .ok();
    guest
}

/// Asserts that systemd itself has nothing to say of a unit.
fn verify(guest: &Guest, name: &str) {
    let verify = format!("systemd-analyze verify /etc/systemd/system/{name}.service 2>&1");
    let verified = guest.sh(&format!("{verify} | grep -E 'towline|user/group' || true"));
    assert_eq!(verified.ok(), "");
}

#[test]
fn systemd_is_given_a_unit_that_it_understands() {
    let story = crate::embedded();
    let guest = with_systemd(&story.engine);
    let name = unique("unit");
    let install = command(&story, &name);
    let proxy = "NO_PROXY='a%b \"c\"'; export NO_PROXY";
    let done = guest.sh(&format!("{proxy}; {install}"));
    assert!(done.ok().contains("online: agent"), "{done:?}");
    let asked = || guest.sh("cat /root/systemctl.log").ok().to_owned();
    let first = "daemon-reload\nenable towline-agent\nrestart towline-agent\n";
    assert_eq!(asked(), first);
    verify(&guest, "towline-agent");
    let unit = guest.sh("cat /etc/systemd/system/towline-agent.service");
    for line in [
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ReadWritePaths=/var/lib/towline-agent /usr/local/lib/towline-agent -/root/.docker",
        "Environment=\"NO_PROXY=a%%b \\\"c\\\"\"",
    ] {
        assert!(unit.ok().lines().any(|has| has == line), "{line}: {unit:?}");
    }
    guest
        .sh(&format!("{proxy}; cd /root && sh towline-install.sh"))
        .ok();
    assert_eq!(asked(), first, "nothing is done twice");
    guest
        .sh("cd /root && sh towline-install.sh --uninstall")
        .ok();
    assert!(!guest.has("/etc/systemd/system/towline-agent.service"));
    story.wait_online(1);
}

#[test]
fn a_control_plane_is_installed_and_makes_its_own_machine_an_agent() {
    let engine = Engine::shared(EngineKind::New);
    let guest = with_systemd(&engine);
    guest.sh("mkdir /root/release").ok();
    for program in ["towline-server", "towline", "towline-agent"] {
        guest.give(&binary(program), &format!("/root/release/{program}"));
    }
    let script = repository().join("install/control-plane.sh");
    guest.give(&script, "/root/release/control-plane.sh");
    let (public, agents) = (free(), free());
    let run = |more: &str| guest.sh(&format!("sh /root/release/control-plane.sh {more}"));
    run("").failed("next: give --public-url");
    run("--public-url http://x").failed("is no https:// address");
    run("--public-url https://x --from /root").failed("there is no towline-server in /root");
    let install = format!(
        "--public-url https://{public} -- --listen {public} --agent-listen {agents} --agent-address {agents}"
    );
    let looked = run(&format!("--dry-run {install}"));
    assert!(
        looked.ok().contains("would run: install -m 0755"),
        "{looked:?}"
    );
    assert!(!guest.has("/usr/local/bin/towline-server"));
    let done = run(&install);
    let link = done.ok().split('\'').find(|part| part.contains("/setup#"));
    let link = link.unwrap_or_else(|| panic!("no set-up link: {done:?}"));
    verify(&guest, "towline-server");
    let again = run(&install);
    assert!(again.ok().contains("the server runs"), "{again:?}");

    let towline = "cd /root && export HOME=/root && towline";
    let setup = format!("{towline} setup '{link}' --email a@example.com --name A");
    guest.sh(&setup).ok();
    let token = guest.sh(&format!("{towline} agents token own --json"));
    let token: serde_json::Value = serde_json::from_str(token.ok()).unwrap();
    let made = guest.sh(&format!(
        "cd /root && {}",
        token["install"].as_str().unwrap()
    ));
    assert!(made.ok().contains("online: agent"), "{made:?}");
    let listed = guest.sh(&format!("{towline} targets ls"));
    assert!(listed.ok().contains("own"), "{listed:?}");

    let gone = run("--uninstall");
    assert!(gone.ok().contains("its data stay"), "{gone:?}");
    assert!(
        !guest.has("/usr/local/bin/towline-server") && guest.has("/var/lib/towline/master.key")
    );
    run("--uninstall --purge").ok();
    assert!(!guest.has("/var/lib/towline"));
}

fn free() -> SocketAddr {
    free_address(Ipv4Addr::LOCALHOST.into())
}

#[test]
fn what_is_not_as_promised_is_not_installed() {
    let engine = Engine::shared(EngineKind::New);
    let (guest, agents) = (Guest::start(&engine), Scratch::new("agents"));
    let file = agents.join("towline-agent-x86_64");
    fs::write(&file, "#!/bin/sh\necho one\n").unwrap();
    let mut plan = ServerPlan::new(DatabaseKind::Sqlite);
    plan.arguments = ["--agent-binaries", &agents.path().display().to_string()]
        .map(str::to_owned)
        .to_vec();
    let mut server = ServerProcess::start(plan);
    let api = set_up(&server.public_api(), &server.setup_link());
    let made = api.post("/enrolment-tokens", &json!({ "name": "x" })).ok();
    let install = format!("cd /root && {}", made["install"].as_str().unwrap());

    // Somebody in between gives another script.
    let digest = install.split("echo '").nth(1).unwrap().get(..64).unwrap();
    let other = guest.sh(&install.replace(digest, &"0".repeat(64)));
    other.failed("FAILED");
    assert!(
        !other.text.contains("towline: "),
        "nothing of it has run: {other:?}"
    );
    // A connection breaks off in the middle of it.
    let half = guest.sh("cd /root && head -c 6000 towline-install.sh | sh -s -- --token x");
    assert!(!half.text.contains("towline: "), "{half:?}");
    // Somebody in between gives another agent.
    fs::write(&file, "#!/bin/sh\necho two\n").unwrap();
    guest
        .sh("cd /root && sh towline-install.sh --token x")
        .failed("what came is not the agent that the control plane names");
    // The agent is for another machine.
    fs::write(&file, "\x7fELF of another kind").unwrap();
    let fresh = format!(
        "curl -fsSk {}/install.sh -o fresh.sh",
        server.url().trim_end_matches('/')
    );
    guest
        .sh(&format!("cd /root && {fresh} && sh fresh.sh --token x"))
        .failed("does not run on this host");
    assert!(!guest.has(AGENT), "none was installed");
    assert_eq!(
        guest
            .sh("ls -A /usr/local/bin | grep -c towline || true")
            .ok(),
        "0\n"
    );

    fs::remove_file(&file).unwrap();
    let table = [
        ("", "a token is needed"),
        ("--token twl1_nonsense", "next: make a new token"),
        ("--tokn x", "'--tokn' is no option"),
        ("--token", "--token needs a value"),
        ("--purge", "--purge goes with --uninstall"),
        ("--docker-from here", "neither docker nor distribution"),
    ];
    for (arguments, words) in table {
        guest
            .sh(&format!("cd /root && {fresh} && sh fresh.sh {arguments}"))
            .failed(words);
    }
    // The shell of Alpine understands all of it, too.
    let busybox = Parts::locate().busybox();
    let would = guest.sh(&format!(
        "cd /root && {} sh fresh.sh --token x --dry-run",
        busybox.display()
    ));
    assert!(would.ok().contains("would enrol this host"), "{would:?}");
    guest
        .sh("umount /run/docker.sock && rm /run/docker.sock")
        .ok();
    guest
        .sh("cd /root && sh fresh.sh --token x")
        .failed("run this again with --install-docker");
    let would = guest.sh("cd /root && sh fresh.sh --token x --install-docker --dry-run");
    for part in [
        "https://download.docker.com/linux/debian/gpg",
        "bookworm stable",
        "docker-ce-cli",
        "docker-compose-plugin",
    ] {
        assert!(would.ok().contains(part), "{part}: {would:?}");
    }
    let own = guest.sh(
        "cd /root && sh fresh.sh --token x --install-docker --docker-from distribution --dry-run",
    );
    assert!(own.ok().contains("install -y docker.io"), "{own:?}");
}
