#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;

fn rules(service: &Value, policy: &HostPolicy) -> Vec<Rule> {
    let model = json!({"name": "p", "services": {"web": service}});
    policy
        .check(&model, "/srv/p")
        .into_iter()
        .map(|violation| violation.rule)
        .collect()
}

/// Services of resolved models, each with the rules it breaks by default.
const SERVICES: &[(&str, &[Rule])] = &[
    (r#"{"image": "a"}"#, &[]),
    (r#"{"image": "a", "privileged": true}"#, &[Rule::Privileged]),
    (
        r#"{"image": "a", "post_start": [{"command": ["x"], "privileged": true}]}"#,
        &[Rule::Privileged],
    ),
    (
        r#"{"image": "a", "network_mode": "host"}"#,
        &[Rule::HostNamespaces],
    ),
    (
        r#"{"image": "a", "network_mode": "container:x"}"#,
        &[Rule::HostNamespaces],
    ),
    (r#"{"image": "a", "network_mode": "service:x"}"#, &[]),
    (
        r#"{"image": "a", "network_mode": "other_default"}"#,
        &[Rule::HostNamespaces],
    ),
    (
        r#"{"image": "a", "volumes": [{"type": "volume", "source": "/etc", "target": "/d"}]}"#,
        &[Rule::BindMounts],
    ),
    (
        r#"{"image": "a", "pid": "host", "ipc": "host", "uts": "host"}"#,
        &[
            Rule::HostNamespaces,
            Rule::HostNamespaces,
            Rule::HostNamespaces,
        ],
    ),
    (
        r#"{"image": "a", "userns_mode": "host", "cgroup": "host"}"#,
        &[Rule::HostNamespaces, Rule::HostNamespaces],
    ),
    (
        r#"{"image": "a", "cgroup_parent": "/"}"#,
        &[Rule::HostNamespaces],
    ),
    (
        r#"{"image": "a", "cap_add": ["ALL"]}"#,
        &[Rule::Capabilities],
    ),
    (
        r#"{"image": "a", "devices": [{"source": "/dev/kmsg"}]}"#,
        &[Rule::Devices],
    ),
    (
        r#"{"image": "a", "device_cgroup_rules": ["c 1:3 mr"]}"#,
        &[Rule::Devices],
    ),
    (
        r#"{"image": "a", "gpus": [{"count": -1}]}"#,
        &[Rule::Devices],
    ),
    (
        r#"{"image": "a", "deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia"}]}}}}"#,
        &[Rule::Devices],
    ),
    (r#"{"image": "a", "runtime": "nvidia"}"#, &[Rule::Devices]),
    (
        r#"{"image": "a", "security_opt": ["apparmor=unconfined"]}"#,
        &[Rule::Unconfined],
    ),
    (
        r#"{"image": "a", "security_opt": ["systempaths=unconfined"]}"#,
        &[Rule::Unconfined],
    ),
    (
        r#"{"image": "a", "security_opt": ["label:disable"]}"#,
        &[Rule::Unconfined],
    ),
    (
        r#"{"image": "a", "volumes": [{"type": "bind", "source": "/srv/p/data", "target": "/d"}]}"#,
        &[],
    ),
    (
        r#"{"image": "a", "volumes": [{"type": "bind", "source": "/srv/p/../q", "target": "/d"}]}"#,
        &[Rule::BindMounts],
    ),
    (
        r#"{"image": "a", "volumes": [{"type": "bind", "source": "/", "target": "/d"}]}"#,
        &[Rule::BindMounts],
    ),
    (
        r#"{"image": "a", "volumes": [{"type": "bind", "source": "/run/docker.sock", "target": "/d"}]}"#,
        &[Rule::BindMounts],
    ),
    (
        r#"{"image": "a", "volumes": [{"type": "volume", "source": "data", "target": "/d"}]}"#,
        &[],
    ),
    (
        r#"{"image": "a", "volumes": [{"type": "npipe", "source": "x", "target": "/d"}]}"#,
        &[Rule::BindMounts],
    ),
    (
        r#"{"image": "a", "use_api_socket": true}"#,
        &[Rule::BindMounts],
    ),
    (
        r#"{"image": "a", "build": {"context": "/srv/p", "dockerfile": "Dockerfile"}}"#,
        &[Rule::Build],
    ),
    (r#"{"provider": {"type": "x"}}"#, &[Rule::HostPrograms]),
    (r#"{"image": "a", "models": null}"#, &[]),
    (
        r#"{"image": "a", "models": {"x": {}}}"#,
        &[Rule::HostPrograms],
    ),
    (
        r#"{"image": "a", "from_the_future": true}"#,
        &[Rule::UnknownKey],
    ),
];

#[test]
fn the_default_refuses_what_amounts_to_root() {
    for (service, expected) in SERVICES {
        let value = serde_json::from_str(service).unwrap();
        assert_eq!(
            &rules(&value, &HostPolicy::default()),
            expected,
            "{service}"
        );
    }
}

#[test]
fn volumes_networks_and_secrets_are_judged() {
    let model = json!({
        "services": {},
        "volumes": {
            "bind": {"driver_opts": {"type": "none", "o": "bind", "device": "/etc"}},
            "inside": {"driver_opts": {"type": "none", "o": "bind", "device": "/srv/p/data"}},
            "disk": {"driver": "local", "driver_opts": {"type": "ext4", "device": "/dev/sda1"}},
            "disguised": {"driver_opts": {"type": "tmpfs", "o": "bind", "device": "/etc"}},
            "moved": {"driver_opts": {"type": "nfs", "o": "addr=10.0.0.1,rbind", "device": "/"}},
            "devices": {"driver_opts": {"type": "devtmpfs", "device": ""}},
            "memory": {"driver_opts": {"type": "tmpfs", "o": "size=1m", "device": "tmpfs"}},
            "sized": {"driver_opts": {"size": "1G"}},
            "overlay": {"driver_opts": {"type": "overlay", "o": "lowerdir=/etc", "device": "overlay"}},
            "path": {"name": "/etc", "external": true},
            "nfs": {"driver_opts": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"}},
            "plugin": {"driver": "persist", "driver_opts": {"mountpoint": "/etc"}},
        },
        "networks": {"h": {"external": true, "name": "host"}, "hidden": {"name": "host"}, "m": {"driver": "macvlan"}, "b": {"driver": "bridge"}, "joined": {"name": "container:other"}},
        "secrets": {"s": {"file": "/etc/shadow"}, "own": {"file": "/srv/p/secret"}, "e": {"environment": "X"}},
        "models": {"m": {}},
    });
    let found = HostPolicy::default().check(&model, "/srv/p");
    let mut paths: Vec<_> = found
        .iter()
        .map(|violation| violation.path.as_str())
        .collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "models",
            "networks.h",
            "networks.hidden",
            "networks.joined",
            "networks.m",
            "secrets.s.file",
            "volumes.bind.driver_opts",
            "volumes.devices.driver_opts",
            "volumes.disguised.driver_opts",
            "volumes.disk.driver_opts",
            "volumes.moved.driver_opts",
            "volumes.overlay.driver_opts",
            "volumes.path.name",
            "volumes.plugin.driver_opts",
        ]
    );
}

#[test]
fn what_an_owner_allows_passes() {
    let policy = HostPolicy {
        bind_mounts: vec!["/data/".into()],
        capabilities: vec!["ALL".into()],
        registries: vec!["docker.io".into()],
        build: Permission::Allow,
        ..HostPolicy::default()
    };
    let service = json!({
        "image": "nginx", "cap_add": ["SYS_ADMIN"],
        "volumes": [{"type": "bind", "source": "/data/x", "target": "/x"}],
    });
    assert_eq!(rules(&service, &policy), []);
    let service = json!({"image": "quay.io/x", "volumes": [{"type": "bind", "source": "/database", "target": "/x"}]});
    assert_eq!(
        rules(&service, &policy),
        [Rule::BindMounts, Rule::Registries]
    );
    let mounted = |image: &str| {
        let mount = json!({"type": "image", "source": image, "target": "/x"});
        rules(&json!({"image": "nginx", "volumes": [mount]}), &policy)
    };
    assert_eq!(mounted("nginx"), []);
    assert_eq!(mounted("quay.io/x"), [Rule::Registries]);
    let build = |build: Value| rules(&json!({"build": build}), &policy);
    assert_eq!(
        build(json!({"context": "/srv/p/app", "dockerfile": "../Dockerfile"})),
        []
    );
    assert_eq!(build(json!({"context": "https://git.example/x.git"})), []);
    assert_eq!(
        build(json!({"context": "/srv/p", "dockerfile": "../Dockerfile"})),
        [Rule::Files]
    );
    assert_eq!(
        build(json!({"context": "/srv/p", "additional_contexts": {"x": "/etc"}})),
        [Rule::Files]
    );
    assert_eq!(
        build(json!({"context": "/srv/p", "network": "host"})),
        [Rule::HostNamespaces]
    );
    assert_eq!(
        build(json!({"context": "/srv/p", "entitlements": ["security.insecure"]})),
        [Rule::Privileged]
    );
    assert_eq!(
        build(json!({"context": "/srv/p", "cache_to": ["Type=local,dest=/etc"]})),
        [Rule::Files]
    );
    assert_eq!(
        build(json!({"context": "/srv/p", "cache_from": ["type=registry,ref=x"]})),
        []
    );
}

#[test]
fn the_policy_file_is_strict_about_its_words() {
    let read = |text: &str| serde_json::from_str::<HostPolicy>(text);
    assert!(
        read(r#"{"privileged": "allow"}"#)
            .is_ok_and(|policy| policy.privileged == Permission::Allow)
    );
    assert!(read(r#"{"privileged": true}"#).is_err());
    assert!(read(r#"{"priviledged": "allow"}"#).is_err());
}
