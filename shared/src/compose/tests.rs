#![allow(clippy::unwrap_used)]
use super::*;
use crate::policy::Permission;
use crate::spec::FileMode;

fn files(files: &[(&str, &str)]) -> Vec<ProjectFile> {
    let file = |(path, content): &(&str, &str)| ProjectFile {
        path: (*path).to_owned(),
        content: content.as_bytes().to_vec(),
        mode: FileMode::Regular,
    };
    files.iter().map(file).collect()
}

fn findings(text: &str) -> Vec<Finding> {
    examine(
        &files(&[("compose.yaml", text)]),
        "compose.yaml",
        &HostPolicy::default(),
    )
}

#[test]
fn a_build_is_seen_wherever_it_stands() {
    let built = "services:\n  web:\n    build: .\n";
    let pulled = "services:\n  web:\n    image: a\n";
    let included = "include: [more.yaml]\nservices:\n  db:\n    image: a\n";
    for (all, expected) in [
        (vec![("compose.yaml", built)], true),
        (vec![("compose.yaml", pulled)], false),
        (vec![("compose.yaml", included), ("more.yaml", built)], true),
        (
            vec![("compose.yaml", included), ("more.yaml", pulled)],
            false,
        ),
    ] {
        assert_eq!(builds(&files(&all), "compose.yaml"), expected, "{all:?}");
    }
}

/// Compose files, each with the line and rule of all its errors.
const ERRORS: &[(&str, &[(u32, Rule)])] = &[
    ("services:\n  web:\n    image: a\n", &[]),
    (
        "services:\n  web:\n    build: .\n    image: a\n",
        &[(3, Rule::Build)],
    ),
    ("services: [\n", &[(2, Rule::Yaml)]),
    ("just text\n", &[(1, Rule::Structure)]),
    ("", &[(1, Rule::Structure)]),
    ("services:\n", &[(1, Rule::Structure)]),
    ("volumes: {}\n", &[(1, Rule::Structure)]),
    ("services: text\n", &[(1, Rule::Structure)]),
    ("services:\n  web: text\n", &[(2, Rule::Structure)]),
    (
        "services:\n  'we b':\n    image: a\n",
        &[(2, Rule::Structure)],
    ),
    (
        "services:\n  web:\n    image: a\n    image: b\n",
        &[(4, Rule::DuplicateKey)],
    ),
    (
        "services:\n  web:\n    imag: a\n",
        &[(3, Rule::UnknownKey), (2, Rule::Image)],
    ),
    (
        "servces:\n  web:\n    image: a\n",
        &[(1, Rule::UnknownKey), (1, Rule::Structure)],
    ),
    (
        "x-own: 1\nservices:\n  web:\n    x-own: 2\n    image: a\n",
        &[],
    ),
    ("services:\n  web:\n    command: x\n", &[(2, Rule::Image)]),
    (
        "services:\n  web:\n    image: a\n    privileged: true\n",
        &[(4, Rule::Privileged)],
    ),
    (
        "services:\n  web:\n    image: a\n    network_mode: host\n    pid: host\n",
        &[(4, Rule::HostNamespaces), (5, Rule::HostNamespaces)],
    ),
    (
        "services:\n  web:\n    image: a\n    ipc: container:db\n",
        &[(4, Rule::HostNamespaces)],
    ),
    (
        "services:\n  web:\n    image: a\n    pid: service:db\n",
        &[],
    ),
    (
        "services:\n  web:\n    image: a\n    cap_add: [NET_ADMIN]\n",
        &[(4, Rule::Capabilities)],
    ),
    (
        "services:\n  web:\n    image: a\n    devices:\n      - /dev/sda:/dev/sda\n",
        &[(4, Rule::Devices)],
    ),
    (
        "services:\n  web:\n    image: a\n    security_opt:\n      - no-new-privileges:true\n      - seccomp:unconfined\n",
        &[(6, Rule::Unconfined)],
    ),
    (
        "services:\n  web:\n    image: a\n    volumes:\n      - ./data:/data\n      - data:/d\n      - /etc:/etc:ro\n",
        &[(7, Rule::BindMounts)],
    ),
    (
        "services:\n  web:\n    image: a\n    volumes:\n      - ../x:/data\n",
        &[(5, Rule::BindMounts)],
    ),
    (
        "services:\n  web:\n    image: a\n    volumes:\n      - type: bind\n        source: /var/run/docker.sock\n        target: /s\n",
        &[(6, Rule::BindMounts)],
    ),
    (
        "services:\n  web:\n    image: a\n    volumes_from: ['container:db']\n",
        &[(4, Rule::BindMounts)],
    ),
    (
        "services:\n  web:\n    image: a\n    use_api_socket: true\n",
        &[(4, Rule::BindMounts)],
    ),
    (
        "services:\n  web:\n    image: a\nvolumes:\n  d:\n    driver_opts:\n      type: none\n      o: bind\n      device: /etc\n",
        &[(7, Rule::BindMounts)],
    ),
    (
        "services:\n  web:\n    image: a\nvolumes:\n  d:\n    driver_opts: {type: nfs, o: addr=nas, device: ':/x'}\n",
        &[],
    ),
    (
        "services:\n  web:\n    image: a\n    provider: {type: x}\n",
        &[(4, Rule::HostPrograms)],
    ),
    (
        "services:\n  web:\n    image: a\nnetworks:\n  n: {external: true, name: host}\n",
        &[(5, Rule::HostNamespaces)],
    ),
    (
        "services:\n  web:\n    image: a\n    env_file: /etc/shadow\n",
        &[(4, Rule::Files)],
    ),
    (
        "services:\n  web:\n    image: a\n    env_file: ['../.env']\n",
        &[(4, Rule::Files)],
    ),
    (
        "services:\n  web:\n    image: a\n    env_file:\n      - path: ${WHICH}.env\n",
        &[(5, Rule::Files)],
    ),
    (
        "services:\n  web:\n    image: a\n    env_file:\n      - {path: none.env, required: false}\n",
        &[],
    ),
    (
        "services:\n  web:\n    image: a\n    env_file: none.env\n",
        &[(4, Rule::Files)],
    ),
    (
        "services:\n  web:\n    image: a\n    label_file: /root/x\n",
        &[(4, Rule::Files)],
    ),
    (
        "services:\n  web:\n    extends: {file: ../base.yaml, service: a}\n",
        &[(3, Rule::Files)],
    ),
    (
        "include:\n  - oci://registry/x\nservices: {}\n",
        &[(2, Rule::Files)],
    ),
    ("include: https://git.example/x.git\n", &[(1, Rule::Files)]),
    (
        "services:\n  web:\n    image: a\nsecrets:\n  s:\n    file: /etc/shadow\n",
        &[(6, Rule::Files)],
    ),
    (
        "services:\n  web:\n    image: a\nsecrets:\n  s:\n    file: ./none\n",
        &[(6, Rule::Files)],
    ),
    (
        "services:\n  web:\n    image: a\n---\nservices:\n  b:\n    image: b\n    privileged: true\n",
        &[(8, Rule::Privileged)],
    ),
    (
        "x-b: &b\n  privileged: true\nservices:\n  web:\n    <<: *b\n    image: a\n",
        &[(2, Rule::Privileged)],
    ),
];

#[test]
fn errors_name_their_line_and_rule() {
    for (text, expected) in ERRORS {
        let found = findings(text);
        let errors: Vec<_> = found
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| (finding.line.unwrap_or(0), finding.rule))
            .collect();
        assert_eq!(&errors, expected, "{text}\n{found:#?}");
    }
}

#[test]
fn a_finding_reads_like_a_sentence() {
    let found = findings("services:\n  web:\n    image: a\n    volumes:\n      - /srv:/srv\n");
    assert_eq!(
        found[0].to_string(),
        "compose.yaml:5: service `web` mounts /srv, a path of the host outside the project, which is forbidden on this host; \
         use a named volume or a folder of the project (./data), or let the host's owner add \"/srv\" to `bind_mounts` in the \
         host's policy (rule bind_mounts)"
    );
}

#[test]
fn a_policy_allows_what_it_lists() {
    let policy = HostPolicy {
        privileged: Permission::Allow,
        host_namespaces: Permission::Allow,
        bind_mounts: vec!["/srv".into()],
        capabilities: vec!["NET_ADMIN".into()],
        devices: Permission::Allow,
        unconfined: Permission::Allow,
        registries: vec!["ghcr.io/acme".into()],
        build: Permission::Allow,
    };
    let text = "services:\n  web:\n    image: ghcr.io/acme/shop:1\n    privileged: true\n    network_mode: host\n    \
                cap_add: [cap_net_admin]\n    devices: [/dev/fuse]\n    security_opt: [seccomp=unconfined]\n    \
                volumes: ['/srv/x:/x']\n  own:\n    build: {context: app, dockerfile: ../Dockerfile}\n";
    let found = examine(&files(&[("compose.yaml", text)]), "compose.yaml", &policy);
    assert!(found.is_empty(), "{found:#?}");
    let text = "services:\n  web:\n    image: nginx\n    volumes: ['/srv2:/x']\n    cap_add: [SYS_ADMIN]\n  own:\n    \
                build: {context: ../.., ssh: [default]}\n";
    let found = examine(&files(&[("compose.yaml", text)]), "compose.yaml", &policy);
    let rules: Vec<_> = found.iter().map(|finding| finding.rule).collect();
    assert_eq!(
        rules,
        [
            Rule::Capabilities,
            Rule::BindMounts,
            Rule::Registries,
            Rule::Files,
            Rule::Files
        ]
    );
}

#[test]
fn included_files_are_examined_with_their_own_folders() {
    let project = files(&[
        (
            "compose.yaml",
            "include:\n  - sub/compose.yaml\nservices:\n  web:\n    image: a\n    extends: {file: base/b.yaml, service: x}\n",
        ),
        (
            "sub/compose.yaml",
            "services:\n  s:\n    image: a\n    env_file: ../common.env\n    volumes: ['../../x:/x']\n",
        ),
        (
            "base/b.yaml",
            "services:\n  x:\n    env_file: ../../up.env\n",
        ),
        ("common.env", "A=1\n"),
        ("sub/.env", "export DOCKER_CONFIG=./evil\n"),
    ]);
    let found = examine(&project, "compose.yaml", &HostPolicy::default());
    let places: Vec<_> = found
        .iter()
        .map(|finding| (finding.file.as_str(), finding.line.unwrap(), finding.rule))
        .collect();
    assert_eq!(
        places,
        [
            ("sub/compose.yaml", 5, Rule::BindMounts),
            ("sub/.env", 1, Rule::Environment),
            ("base/b.yaml", 3, Rule::Files),
        ]
    );
}

#[test]
fn files_that_include_each_other_end() {
    let project = files(&[
        (
            "compose.yaml",
            "include: [b.yaml]\nservices: {a: {image: a}}\n",
        ),
        (
            "b.yaml",
            "include: [compose.yaml]\nservices: {b: {image: b}}\n",
        ),
    ]);
    assert!(examine(&project, "compose.yaml", &HostPolicy::default()).is_empty());
}

#[test]
fn sizes_encodings_and_absence_are_told() {
    let huge = "#".repeat(MAX_COMPOSE_BYTES + 1);
    let found = findings(&huge);
    assert!(found[0].message.contains("at most 1048576"), "{found:?}");
    let latin = [ProjectFile {
        path: "compose.yaml".into(),
        content: b"a: 1\nb: \xe9\n".to_vec(),
        mode: FileMode::Regular,
    }];
    let found = examine(&latin, "compose.yaml", &HostPolicy::default());
    assert_eq!((found[0].line, found[0].rule), (Some(2), Rule::Yaml));
    assert_eq!(
        examine(&[], "compose.yaml", &HostPolicy::default())[0].rule,
        Rule::Files
    );
}

#[test]
fn warnings_do_not_keep_from_deploying() {
    let project = files(&[
        (
            "docker-compose.yml",
            "version: '3'\nservices: {a: {image: a}}\n",
        ),
        ("docker-compose.override.yml", "services: {a: {image: b}}\n"),
    ]);
    let found = examine(&project, "docker-compose.yml", &HostPolicy::default());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found
            .iter()
            .all(|finding| finding.severity == Severity::Warning)
    );
}

#[test]
fn the_compose_file_is_found_in_compose_s_order() {
    let project = files(&[
        ("docker-compose.yml", ""),
        ("compose.yml", ""),
        ("x/compose.yaml", ""),
    ]);
    assert_eq!(find_compose_file(&project), Some("compose.yml"));
    assert_eq!(find_compose_file(&[]), None);
}

#[test]
fn named_volumes_are_those_of_the_compose_file() {
    let text = "services:\n  web:\n    image: a\nvolumes:\n  data: {}\n  cache:\n";
    for (text, expected) in [
        (text, vec!["cache", "data"]),
        ("services: {}\n", vec![]),
        ("volumes: [\n", vec![]),
        ("volumes: text\n", vec![]),
    ] {
        let files = files(&[("compose.yaml", text)]);
        assert_eq!(named_volumes(&files, "compose.yaml"), expected, "{text}");
        assert!(named_volumes(&files, "other.yaml").is_empty());
    }
}
