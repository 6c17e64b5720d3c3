//! All that is generated, over the whole matrix of repository × target × CI, held against public checkers.
//!
//! Files of the same text are checked once. Jenkinsfiles are read as Groovy, which is what they are: what their words mean to a
//! Jenkins, no checker tells without one.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::LazyLock,
};

use towline_shared::spec::OnFailure;
use towline_tests::{checkers, scratch::Scratch};

use super::{Plan, tests};
use crate::detect::App;
use crate::domain::pipeline_file::{self, PipelineFile};

/// Each kind of file with its different texts, for all tests of one process.
static GENERATED: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (at, (_, plan)) in tests::matrix().into_iter().enumerate() {
        // Some of each kind: eight follow each other for one repository.
        let other = (at % 11 == 0).then(|| without_names(&plan));
        for plan in other.into_iter().chain([plan]) {
            for (path, text) in tests::files_of(&plan) {
                texts.entry(path).or_default().insert(text);
            }
        }
    }
    texts
});

/// The same plan for a project of another name, with neither variables nor a host nor tests nor a port.
fn without_names(plan: &Plan) -> Plan {
    Plan {
        name: "9lives-".into(),
        image: "ghcr.io/team/shop".into(),
        branch: "release/1.x".into(),
        environment: Vec::new(),
        host: None,
        app: App {
            test: None,
            ..plan.app.clone()
        },
        ..plan.clone()
    }
}

/// Writes the texts of one kind of file, each into a folder of its own.
fn write(kind: &str) -> (Scratch, Vec<PathBuf>) {
    let folder = Scratch::new("generated");
    let texts = &GENERATED[kind];
    let paths = texts.iter().enumerate().map(|(at, text)| {
        let path = folder.path().join(at.to_string()).join(kind);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    });
    let paths: Vec<PathBuf> = paths.collect();
    assert!(paths.len() > 10, "{kind}: {}", paths.len());
    (folder, paths)
}

#[test]
fn dockerfiles_pass_hadolint() {
    let (_folder, files) = write("Dockerfile");
    checkers::hadolint(&files);
}

#[test]
fn dockerfiles_pass_buildkits_own_checks() {
    let (folder, files) = write("Dockerfile");
    let lines = GENERATED["Dockerfile"].iter().flat_map(|text| text.lines());
    let images: BTreeSet<String> = lines
        .filter_map(|line| Some(line.strip_prefix("ARG ")?.split_once('=')?.1.to_owned()))
        .collect();
    assert!(images.len() > 20, "{images:?}");
    checkers::buildkit(
        folder.path(),
        &files,
        &images.into_iter().collect::<Vec<_>>(),
    );
}

#[test]
fn compose_files_pass_compose_and_its_schema() {
    let (_folder, files) = write("docker-compose.yml");
    checkers::schema("vendor.compose-spec", &files);
    checkers::compose_config(&files, &[("DATABASE_URL", "x")]);
}

#[test]
fn kubernetes_objects_pass_the_schemas_of_its_api() {
    let (_folder, files) = write("deployment.yaml");
    checkers::kubernetes(&files);
}

#[test]
fn workflows_of_github_pass_actionlint_and_their_schema() {
    let (_folder, files) = write(".github/workflows/ci.yml");
    checkers::actionlint(&files);
    checkers::schema("vendor.github-workflows", &files);
    checkers::schema("custom.github-workflows-require-timeout", &files);
}

#[test]
fn pipelines_of_gitlab_pass_their_schema() {
    let (_folder, files) = write(".gitlab-ci.yml");
    checkers::schema("vendor.gitlab-ci", &files);
}

#[test]
fn pipelines_of_bitbucket_pass_their_schema() {
    let (_folder, files) = write("bitbucket-pipelines.yml");
    checkers::schema("vendor.bitbucket-pipelines", &files);
}

/// One of each shape: what differs between its quotes is tried in `hostile`, and the grammar takes a second for each file.
#[test]
fn jenkinsfiles_are_groovy() {
    let texts = GENERATED["Jenkinsfile"].iter();
    let shapes: BTreeMap<String, &String> = texts.map(|text| (unquoted(text), text)).collect();
    assert!(shapes.len() > 2, "{}", shapes.len());
    let folder = Scratch::new("generated");
    let write = |(at, text): (usize, &&String)| {
        let path = folder.path().join(format!("{at}.Jenkinsfile"));
        fs::write(&path, text).unwrap();
        path
    };
    let files: Vec<PathBuf> = shapes.values().enumerate().map(write).collect();
    checkers::groovy(&files);
}

/// A text of Groovy without what stands in its single quotes.
fn unquoted(text: &str) -> String {
    let mut rest = text.chars();
    let mut shape = String::new();
    while let Some(c) = rest.next() {
        shape.push(c);
        if c == '\'' {
            while let Some(quoted) = rest.next() {
                match quoted {
                    '\'' => break,
                    '\\' => {
                        rest.next();
                    }
                    _ => {}
                }
            }
        }
    }
    shape
}

#[test]
fn pipelines_of_towline_are_read_as_they_are_meant() {
    for text in &GENERATED[pipeline_file::PATH] {
        let file = PipelineFile::read(text).unwrap_or_else(|fault| panic!("{fault} in {text}"));
        assert_eq!(file.on_failure, Some(OnFailure::RollBack));
        let branches = ["main", "release/1.x"];
        let wanted = branches.map(|branch| file.refuses(Some(branch), "web-1").is_none());
        assert_eq!(wanted.iter().filter(|wanted| **wanted).count(), 1, "{text}");
    }
}

/// A checker that finds nothing in a faulty file would find nothing at all.
#[test]
fn planted_faults_are_found() {
    let folder = Scratch::new("faulty");
    let fault = |name: &str, text: &str, check: &dyn Fn(&[PathBuf])| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let found = catch_unwind(AssertUnwindSafe(|| check(&[path])));
        assert!(found.is_err(), "{name} passed");
    };
    fault(
        "Dockerfile.run",
        "FROM a:1\nRUN cd /a && b\n",
        &checkers::hadolint,
    );
    let images = ["a:1".to_owned()];
    fault("Dockerfile", "FROM a:1 AS Build\nRUN b\n", &|files| {
        checkers::buildkit(folder.path(), files, &images);
    });
    fault(
        "compose.yml",
        "services:\n  a:\n    imagee: b\n",
        &|files| checkers::compose_config(files, &[]),
    );
    fault("schema.yml", "services:\n  a:\n    imagee: b\n", &|files| {
        checkers::schema("vendor.compose-spec", files);
    });
    fault(
        "object.yaml",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  porst: []\n",
        &checkers::kubernetes,
    );
    fault(
        "workflow.yml",
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ nothing.a }}\n",
        &checkers::actionlint,
    );
    fault(
        "Jenkinsfile",
        "pipeline {\n    agent any\n    stages {\n        stage('it's') {\n        }\n    }\n}\n",
        &checkers::groovy,
    );
    fault(
        "Jenkinsfile.open",
        "pipeline {\n    agent any\n",
        &checkers::groovy,
    );
}
