//! Values that would like to be more than values: each is refused by the name of its field, or read back out of every
//! file as itself.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;
use towline_shared::yaml;

use crate::domain::pipeline_file::{self, PipelineFile};

use super::{
    Ci, Plan, Target, Variable, quote,
    tests::{files_of, node, plan},
};

/// Text that some notation takes for more than itself.
fn hostile() -> impl Strategy<Value = String> {
    let fragments = prop::sample::select(vec![
        "$",
        "${A}",
        "$(A)",
        "$$",
        "${{ github.token }}",
        "}}",
        "{{ x }}",
        "{% raw %}",
        "'",
        "\"",
        "'''",
        "`id`",
        "\\",
        "\\n",
        "#",
        " #",
        ": ",
        "- ",
        "&a",
        "*a",
        "!!str",
        "|",
        ">",
        "%",
        "@",
        "{",
        "[",
        "]",
        ",",
        "?",
        "~",
        "yes",
        "null",
        "0x1",
        "1e3",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "é",
        "漢",
        "😀",
        " ",
        "\t",
        "\n",
        "\r",
        "\u{0}",
        "\u{7f}",
        "<<EOF",
        "; reboot",
        "&& id",
        "USER root",
        "--flag",
        "a",
        "npm",
    ]);
    prop::collection::vec(fragments, 0..6).prop_map(|parts| parts.concat())
}

/// The instructions of a Dockerfile, one for each logical line.
fn instructions(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn command_line(text: &str) -> Vec<String> {
    let line = instructions(text).pop().unwrap();
    let list: Value = serde_json::from_str(line.strip_prefix("CMD ").unwrap()).unwrap();
    list.as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

fn last_of(list: Option<yaml::View<'_>>) -> &str {
    list.unwrap().items().last().unwrap().text().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// A value is refused by the name of its field, or stands in every file as itself and changes nothing else.
    #[test]
    fn hostile_values_are_refused_or_stay_values(
        value in hostile(), start in hostile(), build in hostile(), test in hostile(), manifest in hostile(), word in any::<bool>(),
    ) {
        let begin = |command: String| if word { format!("npm {command}") } else { command };
        let mut changed = plan(node());
        changed.app.start = Some(begin(start));
        changed.app.build = Some(begin(build));
        changed.app.test = Some(begin(test));
        changed.app.manifests.push(manifest);
        changed.environment = vec![Variable { name: "VALUE".into(), value: Some(value) }];
        without_refused(&mut changed)?;
        for target in Target::ALL {
            for ci in Ci::ALL {
                let plain = files_of(&Plan { target, ci: Some(ci), ..plan(node()) });
                (changed.target, changed.ci) = (target, Some(ci));
                let files = files_of(&changed);
                check_dockerfile(&plain["Dockerfile"], &files["Dockerfile"], &changed)?;
                check_environment(&files, &changed)?;
                check_test(&files, ci, changed.app.test.as_deref().unwrap())?;
            }
        }
    }
}

/// Puts what is plain in the place of what is refused, so that one field that is refused hides no other.
fn without_refused(changed: &mut Plan) -> Result<(), TestCaseError> {
    let sane = plan(node());
    while let Err(refused) = changed.check() {
        match refused.field {
            "start" => changed.app.start.clone_from(&sane.app.start),
            "build" => changed.app.build.clone_from(&sane.app.build),
            "test" => changed.app.test.clone_from(&sane.app.test),
            "manifests" => changed.app.manifests.clone_from(&sane.app.manifests),
            "environment" => changed.environment.clear(),
            other => return Err(TestCaseError::fail(format!("{other}: {refused}"))),
        }
    }
    Ok(())
}

fn check_dockerfile(innocent: &str, text: &str, plan: &Plan) -> Result<(), TestCaseError> {
    let word = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    let words = |text: &str| instructions(text).iter().map(word).collect::<Vec<_>>();
    prop_assert_eq!(words(innocent), words(text), "{}", text);
    let build = format!("RUN {}", plan.app.build.as_deref().unwrap());
    prop_assert!(
        text.lines().any(|line| line == build.trim_end()),
        "{}\n{}",
        build,
        text
    );
    let start = plan.app.start.as_deref().unwrap();
    let command = command_line(text);
    let through_a_shell = || ["sh", "-c", start].map(str::to_owned).to_vec();
    let expected = quote::words(start).unwrap_or_else(through_a_shell);
    prop_assert_eq!(command, expected);
    Ok(())
}

fn check_environment(files: &BTreeMap<String, String>, plan: &Plan) -> Result<(), TestCaseError> {
    let Some(value) = plan
        .environment
        .first()
        .and_then(|variable| variable.value.clone())
    else {
        return Ok(());
    };
    if let Some(text) = files.get("docker-compose.yml") {
        let tree = yaml::Tree::read(text)
            .map_err(|error| TestCaseError::fail(format!("{error:?} in {text}")))?;
        let service = tree
            .roots()
            .next()
            .unwrap()
            .get("services")
            .unwrap()
            .get("app")
            .unwrap();
        let found = service
            .get("environment")
            .unwrap()
            .get("VALUE")
            .unwrap()
            .text();
        let expected = value.replace('$', "$$");
        prop_assert_eq!(found, Some(expected.as_str()));
    }
    if let Some(text) = files.get("deployment.yaml") {
        let tree = yaml::Tree::read(text)
            .map_err(|error| TestCaseError::fail(format!("{error:?} in {text}")))?;
        let pod = tree
            .roots()
            .next()
            .unwrap()
            .get("spec")
            .unwrap()
            .get("template")
            .unwrap()
            .get("spec")
            .unwrap();
        let container = pod.get("containers").unwrap().items().next().unwrap();
        let found = container
            .get("env")
            .unwrap()
            .items()
            .next()
            .unwrap()
            .get("value")
            .unwrap()
            .text();
        let expected = value.replace("$(", "$$(");
        prop_assert_eq!(found, Some(expected.as_str()));
    }
    Ok(())
}

fn check_test(files: &BTreeMap<String, String>, ci: Ci, test: &str) -> Result<(), TestCaseError> {
    let path = match ci {
        Ci::GithubActions => ".github/workflows/ci.yml",
        Ci::GitlabCi => ".gitlab-ci.yml",
        Ci::BitbucketPipelines => "bitbucket-pipelines.yml",
        // It says nothing of tests: Towline builds and runs.
        Ci::Towline => {
            let read = PipelineFile::read(&files[pipeline_file::PATH]);
            prop_assert!(read.is_ok(), "{read:?}");
            return Ok(());
        }
        Ci::Jenkins => {
            let line = files["Jenkinsfile"]
                .lines()
                .find(|line| line.contains("npm ci"))
                .unwrap()
                .trim()
                .to_owned();
            let inner = line
                .strip_prefix("sh '")
                .and_then(|line| line.strip_suffix('\''))
                .unwrap();
            prop_assert_eq!(groovy(inner), format!("npm ci\n{test}"));
            return Ok(());
        }
    };
    let tree = yaml::Tree::read(&files[path])
        .map_err(|error| TestCaseError::fail(format!("{error:?} in {}", files[path])))?;
    let root = tree.roots().next().unwrap();
    match ci {
        Ci::GithubActions => {
            let script = root
                .get("jobs")
                .unwrap()
                .get("test")
                .unwrap()
                .get("steps")
                .unwrap()
                .items()
                .last()
                .unwrap();
            let expected = format!(
                "npm ci\n{}\n",
                test.replace("${{", "${{ '${{' }}").trim_end()
            );
            prop_assert_eq!(script.get("run").unwrap().text(), Some(expected.as_str()));
        }
        Ci::GitlabCi => prop_assert_eq!(last_of(root.get("test").unwrap().get("script")), test),
        _ => {
            let step = root
                .get("definitions")
                .unwrap()
                .get("steps")
                .unwrap()
                .items()
                .next()
                .unwrap()
                .get("step")
                .unwrap();
            prop_assert_eq!(last_of(step.get("script")), test);
        }
    }
    Ok(())
}

/// A Groovy string in single quotes as Groovy reads it; a quote that is not escaped would end it.
fn groovy(inner: &str) -> String {
    let mut text = String::new();
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        assert_ne!(c, '\'', "{inner}");
        match c {
            '\\' => match rest.next().unwrap() {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            _ => text.push(c),
        }
    }
    text
}
