//! What is refused, before anything on the host has changed.

use towline_agent::task::GateState;
use towline_shared::outcome::FailureReason;
use towline_shared::spec::Secret;

use crate::host::{Host, JobOptions, Kind};

crate::on_both_engines! {
    forbidden_projects_are_refused_with_line_and_rule,
    a_secret_cannot_steer_the_host_s_programs,
    a_foreign_compose_project_is_left_alone,
}

async fn forbidden_projects_are_refused_with_line_and_rule(kind: Kind) {
    use FailureReason::{InvalidProject, PolicyRefused};
    let cases = [
        (
            "services:\n  a:\n    image: IMAGE\n    privileged: true\n",
            PolicyRefused,
            "compose.yaml:4: service `a` is privileged",
        ),
        (
            "services:\n  a:\n    image: IMAGE\n    volumes: ['/etc:/etc']\n",
            PolicyRefused,
            "rule bind_mounts",
        ),
        (
            "services:\n  a:\n    image: IMAGE\n    network_mode: ${MODE:-host}\n",
            PolicyRefused,
            "compose.yaml:4",
        ),
        (
            "services:\n  a:\n    image: IMAGE\n    env_file: /etc/hostname\n",
            PolicyRefused,
            "leads outside",
        ),
        (
            "services:\n  a:\n    image: IMAGE\n    build: .\n",
            PolicyRefused,
            "rule build",
        ),
        (
            "services:\n  a:\n    image: IMAGE\n    imagee: x\n",
            InvalidProject,
            "imagee",
        ),
        ("services: [\n", InvalidProject, "no YAML"),
    ];
    let host = Host::new(kind);
    for (text, reason, word) in cases {
        // The gate is shut: a refusal needs no permission, since it has no effect.
        let options = JobOptions {
            gate: GateState::Shut,
            ..JobOptions::default()
        };
        let ended = host
            .run(host.deploy_work(&[("compose.yaml", text)]), options)
            .await;
        ended.failed(reason, word);
    }
    assert!(!host.state.path().join("projects").exists());
}

async fn a_secret_cannot_steer_the_host_s_programs(kind: Kind) {
    let host = Host::new(kind);
    let options = JobOptions {
        secrets: vec![Secret {
            name: "DOCKER_CONFIG".into(),
            value: "/evil".into(),
        }],
        ..JobOptions::default()
    };
    let work = host.deploy_work(&[("compose.yaml", "services: {a: {image: IMAGE}}\n")]);
    host.run(work, options)
        .await
        .failed(FailureReason::InvalidProject, "DOCKER_CONFIG");
}

async fn a_foreign_compose_project_is_left_alone(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:\n  own: {image: IMAGE, command: sleep 1000, init: true}\n";
    std::fs::write(
        host.state.path().join("compose.yaml"),
        text.replace("IMAGE", crate::host::IMAGE),
    )
    .unwrap();
    host.compose(&["up", "--detach"]);
    let before = host.ids("own");
    assert_eq!(before.len(), 1);
    std::fs::remove_file(host.state.path().join("compose.yaml")).unwrap();
    let ours = "services:\n  ours: {image: IMAGE, command: sleep 1000, init: true}\n";
    host.deploy(&[("compose.yaml", ours)])
        .await
        .failed(FailureReason::InvalidProject, "nobody Towline knows");
    let removed = host.remove(towline_shared::spec::VolumeFate::Delete).await;
    removed.failed(FailureReason::InvalidProject, "nobody Towline knows");
    assert_eq!(host.compose(&["ps", "--all", "--quiet"]).lines().count(), 1);
}
