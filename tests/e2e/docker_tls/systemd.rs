//! The same where systemd starts the engine with a socket of its own. No init system runs in the guest: a stand-in for
//! `systemctl` does what the units say, and systemd's own tools judge them and hand over the socket.

use std::net::Ipv4Addr;

use serde_json::Value;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::guest::Guest;
use towline_tests::parts::{Parts, binary};
use towline_tests::ports::free_address;

/// Starts the engine by the last `ExecStart=` of its unit and drop-ins, as socket activation does. $1 is PATH.
const SYSTEMCTL: &str = r#"#!/bin/sh
PATH=@PATH@
echo "$*" >>/root/systemctl.log
[ "$*" = "restart docker" ] || exit 0
if [ -e /root/d/pid ]; then
    old=$(cat /root/d/pid)
    kill "$old"
    # Process 1 of the guest buries nobody.
    while [ -e "/proc/$old" ] && ! grep -q '^State:.*Z' "/proc/$old/status"; do sleep 0.1; done
fi
rm -f /root/d/pid
. /etc/default/docker
line=$(cat /lib/systemd/system/docker.service /etc/systemd/system/docker.service.d/*.conf 2>/dev/null | sed -n 's/^ExecStart=\(..*\)/\1/p' | tail -n 1)
eval "set -- $line"
rm -f /run/docker.sock
setsid systemd-socket-activate -l /run/docker.sock "$@" >>/root/d/log 2>&1 </dev/null &
tries=0
while ! docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 150 ]; then tail -n 3 /root/d/log; exit 1; fi
    sleep 0.1
done
"#;

/// What keeps the guest's engine apart from the machine's network and disks.
const OPTIONS: &str = "DOCKER_OPTS='--data-root /root/d/data --exec-root /root/d/exec --pidfile /root/d/pid --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false'\n";

/// A guest with an engine of its own, which its systemd starts.
fn guest() -> Guest {
    let kind = EngineKind::New;
    let (guest, parts) = (Guest::start(&Engine::shared(kind)), Parts::locate());
    let new = format!("{}/docker-{}/usr", parts.root().display(), kind.name());
    let prepare = [
        "umount /run/docker.sock && rm /run/docker.sock",
        "mount -t sysfs sysfs /sys && mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        "mkdir -p /root/d /run/systemd/system /etc/default && mount -t tmpfs tmpfs /root/d",
        "rm -rf /etc/docker",
        &format!("ln -sf {new}/sbin/dockerd {new}/*bin/docker-proxy /usr/sbin/"),
        &format!(
            "sed 's/ --containerd=[^ ]*//' {new}/lib/systemd/system/docker.service >/lib/systemd/system/docker.service"
        ),
        &format!("cp {new}/lib/systemd/system/docker.socket /lib/systemd/system/"),
    ];
    guest.sh(&prepare.join(" && ")).ok();
    let path = parts.path(kind);
    guest.write(
        "/usr/local/bin/systemctl",
        &SYSTEMCTL.replace("@PATH@", &path),
    );
    guest.write("/etc/default/docker", OPTIONS);
    guest.give(&binary("towline-agent"), "/usr/local/bin/towline-agent");
    guest
        .sh("chmod 755 /usr/local/bin/systemctl && systemctl restart docker")
        .ok();
    guest
}

#[test]
fn systemd_starts_the_engine_without_hosts_and_renews_by_a_timer() {
    let guest = guest();
    let listen = free_address(Ipv4Addr::LOCALHOST.into());
    let agent = |words: &str| guest.sh(&format!("towline-agent docker-tls {words}"));
    let enable = format!("enable --listen {listen}");

    let vendor = "/lib/systemd/system/docker.service";
    guest
        .sh(&format!(
            "sed -i 's|fd://|fd:// -H tcp://127.0.0.1:1|' {vendor}"
        ))
        .ok();
    agent(&enable).failed(&format!("{vendor} has -H tcp://127.0.0.1:1"));
    guest
        .sh(&format!("sed -i 's| -H tcp://127.0.0.1:1||' {vendor}"))
        .ok();
    guest.sh("cp /etc/default/docker /root/options && echo \"OTHER='--tlsverify'\" >>/etc/default/docker").ok();
    agent(&enable).failed("/etc/default/docker has --tlsverify");
    guest.sh("cp /root/options /etc/default/docker").ok();
    assert!(!guest.has("/etc/docker"), "nothing was made");

    guest.sh("rm /root/systemctl.log").ok();
    let enabled = agent(&format!("{enable} --json 2>/dev/null"));
    let enabled: Value = serde_json::from_str(enabled.ok()).unwrap();
    assert_eq!(enabled["validation"], "passed");
    let asked = guest.sh("cat /root/systemctl.log");
    assert_eq!(
        asked.ok(),
        "daemon-reload\nrestart docker\nenable --now towline-docker-tls.timer\n"
    );
    let config: Value = serde_json::from_str(guest.sh("cat /etc/docker/daemon.json").ok()).unwrap();
    assert_eq!(config["hosts"][0], "fd://");
    let drop_in = "/etc/systemd/system/docker.service.d/towline-tls.conf";
    let text = guest.sh(&format!("cat {drop_in}"));
    assert!(
        text.ok()
            .ends_with("\nExecStart=\nExecStart=/usr/sbin/dockerd $DOCKER_OPTS\n"),
        "{text:?}"
    );
    for unit in [
        "docker.service",
        "towline-docker-tls.service",
        "towline-docker-tls.timer",
    ] {
        let verified = guest.sh(&format!(
            "systemd-analyze verify {unit} 2>&1 | grep -E 'towline|docker.service' || true"
        ));
        assert_eq!(verified.ok(), "", "{unit}");
    }
    let client = format!(
        "DOCKER_CERT_PATH=/etc/docker/towline-tls/client docker --tlsverify -H tcp://{listen} version"
    );
    guest.sh(&client).ok();
    guest.sh("docker version").ok();

    let reads = "sed -n 's/^ExecStart=//p' /etc/systemd/system/towline-docker-tls.service";
    let renewal = guest.sh(reads).ok().to_owned();
    let renewed = guest.sh(&renewal);
    assert!(renewed.ok().contains("Nothing was changed"), "{renewed:?}");
    agent("disable").ok();
    assert!(
        !guest.has("/etc/docker") && !guest.has(drop_in),
        "nothing is left"
    );
    // Two months later it is due; the engine would stop its containers, so that it is left to a person.
    guest
        .sh(&format!(
            "faketime '60 days ago' towline-agent docker-tls {enable}"
        ))
        .ok();
    guest
        .sh(&renewal)
        .failed("without \"live-restore\": true in /etc/docker/daemon.json that stops containers");
    let live = "sed -i 's/\"tls\"/\"live-restore\": true,\\n  \"tls\"/' /etc/docker/daemon.json";
    guest
        .sh(&format!("{live} && systemctl restart docker"))
        .ok();
    let renewed = guest.sh(&renewal);
    assert!(renewed.ok().contains("Renewed: Docker "), "{renewed:?}");

    agent("disable").ok();
    assert!(!guest.has(drop_in) && !guest.has("/etc/systemd/system/towline-docker-tls.timer"));
    let left = guest.sh("cat /etc/docker/daemon.json && ls /etc/docker");
    assert!(
        left.ok().contains("\"live-restore\": true") && !left.text.contains("tls"),
        "{left:?}"
    );
    guest.sh("docker version").ok();
    guest.sh(&client).failed("");
}
