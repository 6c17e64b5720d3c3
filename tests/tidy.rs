//! The walls of ARCHITECTURE.md, as facts. Each rule is a pure function of a path and its text, tried on planted faults.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test says what went wrong"
)]

#[path = "tidy/failpoints.rs"]
mod failpoints;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/text.rs"]
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::Value;
use towline_tests::parts::repository;

use crate::source::{Source, assert_none, check, finds};

/// Which crates of the workspace each crate may use.
const CRATES: [(&str, &[&str]); 9] = [
    ("towline-shared", &[]),
    ("towline-pki", &[]),
    ("towline-server", &["towline-pki", "towline-shared"]),
    ("towline-agent", &["towline-pki", "towline-shared"]),
    ("towline", &["towline-pki"]),
    ("towline-tests", &["towline-pki", "towline-shared"]),
    // Where both sides meet, and nothing of the programs may.
    (
        "towline-simulation",
        &[
            "towline-agent",
            "towline-pki",
            "towline-server",
            "towline-shared",
        ],
    ),
    // It is to tell what the agent does wrong, so it shares nothing with it.
    ("towline-cluster", &["towline-pki"]),
    (
        "towline-properties",
        &["towline-agent", "towline-pki", "towline-shared"],
    ),
];

/// Where each library may be named in product code.
const LIBRARIES: [(&str, &[&str]); 10] = [
    (
        "sqlx",
        &[
            "control-plane/src/store/",
            "control-plane/src/wake.rs",
            "control-plane/src/wake/",
        ],
    ),
    ("argon2", &["control-plane/src/passwords.rs"]),
    ("lettre", &["control-plane/src/mail/"]),
    ("rcgen", &["pki/src/"]),
    // What the control plane calls goes through its one guarded client.
    (
        "reqwest",
        &["control-plane/src/egress/", "cli/src/", "tests/"],
    ),
    ("openidconnect", &["control-plane/src/sso/"]),
    ("octocrab", &["control-plane/src/forges/"]),
    ("bollard", &["agent/src/executor/docker"]),
    ("kube", &["agent/src/executor/kubernetes"]),
    ("minijinja", &["control-plane/src/generate/"]),
];

/// Which modules of the control plane a module never names: http → ops → job, store → domain.
const LAYERS: [(&str, &[&str]); 12] = [
    (
        "domain",
        &[
            "http", "console", "ops", "job", "store", "agents", "serve", "wake", "vault",
        ],
    ),
    (
        "detect",
        &[
            "http", "console", "ops", "job", "store", "agents", "serve", "wake", "vault",
            "generate",
        ],
    ),
    (
        "generate",
        &[
            "http", "console", "ops", "job", "store", "agents", "serve", "wake", "vault",
        ],
    ),
    (
        "templates",
        &[
            "http", "console", "ops", "job", "store", "agents", "serve", "wake", "vault",
        ],
    ),
    ("job", &["http", "console", "ops", "agents", "serve"]),
    ("job/state", &["store", "wake"]),
    ("store", &["http", "console", "ops", "agents", "serve"]),
    (
        "sso",
        &["http", "console", "ops", "store", "agents", "serve"],
    ),
    (
        "forges",
        &["http", "console", "ops", "store", "agents", "serve"],
    ),
    (
        "stripe",
        &["http", "console", "ops", "store", "agents", "serve"],
    ),
    ("ops", &["http", "console", "agents", "serve"]),
    ("agents", &["http", "console", "serve"]),
];

#[test]
fn crates_use_only_what_their_place_allows() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ]);
    let output = cargo.current_dir(repository()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let mut used = BTreeMap::new();
    for package in packages {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let product = dependencies.filter(|dependency| !is_harness(dependency));
        let names = product.filter_map(|dependency| dependency["name"].as_str());
        let ours: BTreeSet<&str> = names.filter(|name| name.starts_with("towline")).collect();
        used.insert(package["name"].as_str().unwrap(), ours);
    }
    assert_none(&crate_faults(&used));
}

/// What tests alone use, and no product code can.
fn is_harness(dependency: &Value) -> bool {
    let harness = ["towline-tests", "towline-cluster"];
    harness.iter().any(|name| dependency["name"] == *name) && dependency["kind"] == "dev"
}

fn crate_faults(used: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = CRATES.into_iter().collect();
    let judge = |(name, dependencies): (&&str, &BTreeSet<&str>)| match allowed.get(name) {
        None => vec![format!(
            "{name} has no place in the architecture: give it one in tests/tidy.rs"
        )],
        Some(allowed) => {
            let wrong = dependencies
                .iter()
                .filter(|dependency| !allowed.contains(dependency));
            wrong
                .map(|dependency| format!("{name} must not use {dependency}"))
                .collect()
        }
    };
    used.iter().flat_map(judge).collect()
}

#[test]
fn a_wrong_crate_dependency_is_found() {
    let used = [
        ("towline-agent", "towline-pki"),
        ("towline-server", "towline-agent"),
        ("towline-utils", "towline-pki"),
    ];
    let used = used.map(|(name, dependency)| (name, BTreeSet::from([dependency])));
    assert_eq!(crate_faults(&used.into_iter().collect()).len(), 2);
}

fn misplaced_library(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (library, places) in LIBRARIES {
        let named = [format!("{library}::"), format!("use {library}")];
        let here = source
            .product()
            .into_iter()
            .find(|(_, line)| named.iter().any(|name| has_word(line, name)));
        if let Some((line, _)) =
            here.filter(|_| !places.iter().any(|place| source.path.starts_with(place)))
        {
            faults.push(source.at(line, &format!("{library} belongs in {}", places.join(", "))));
        }
    }
    faults
}

/// Whether `word` stands in `line`, not as the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(joins))
}

#[test]
fn each_library_stays_in_its_place() {
    check(misplaced_library);
}

#[test]
fn a_misplaced_library_is_found() {
    finds(
        misplaced_library,
        &[
            (
                "control-plane/src/http/agents.rs",
                "let row = sqlx::query(\"\")",
            ),
            (
                "control-plane/src/main.rs",
                "use rcgen::KeyPair;\nuse rcgen::Issuer;",
            ),
            ("agent/src/metrics.rs", "use bollard::Docker;"),
            (
                "control-plane/src/ops/by_provider.rs",
                "use openidconnect::Nonce;",
            ),
        ],
        &[
            ("control-plane/src/store/db.rs", "use sqlx::SqlitePool;"),
            (
                "agent/src/executor/docker/apply.rs",
                "bollard::Docker::connect()",
            ),
            (
                "agent/src/executor/mod.rs",
                "// bollard::Docker is in docker.rs",
            ),
            (
                "control-plane/src/http/x.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    use sqlx::Row;\n}",
            ),
        ],
    );
}

fn layer_fault(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (layer, above) in LAYERS {
        let root = format!("control-plane/src/{layer}");
        if !(source.path.starts_with(&format!("{root}/")) || source.path == format!("{root}.rs")) {
            continue;
        }
        for (number, line) in source.product() {
            let wrong = above.iter().filter(|module| names_module(line, module));
            faults.extend(
                wrong.map(|module| source.at(number, &format!("{layer} must not know {module}"))),
            );
        }
    }
    faults
}

fn names_module(line: &str, module: &str) -> bool {
    let behind = line.split(&format!("crate::{module}")).nth(1);
    behind.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn the_control_planes_layers_look_downwards() {
    check(layer_fault);
}

#[test]
fn an_upward_look_is_found() {
    finds(
        layer_fault,
        &[
            (
                "control-plane/src/domain/role.rs",
                "use crate::store::Store;",
            ),
            ("control-plane/src/ops/deploy.rs", "crate::http::Problem"),
        ],
        &[
            ("control-plane/src/http/role.rs", "use crate::store::Store;"),
            (
                "control-plane/src/store/mod.rs",
                "use crate::domain::Role;\nuse crate::opsgenie::X;",
            ),
        ],
    );
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(repository().join("migrations").join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let (sqlite, postgres) = (names("sqlite"), names("postgres"));
    assert!(!sqlite.is_empty(), "there are migrations");
    assert_none(&migration_faults(&sqlite, &postgres));
}

fn migration_faults(sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) -> Vec<String> {
    sqlite
        .symmetric_difference(postgres)
        .map(|name| format!("migrations: {name} is in one database only"))
        .collect()
}

#[test]
fn a_lone_migration_is_found() {
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        migration_faults(
            &set(&["0001_a.sql", "0002_b.sql"]),
            &set(&["0001_a.sql", "0002_c.sql"])
        )
        .len(),
        2
    );
}
