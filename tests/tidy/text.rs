//! Rules about what a file holds and how it is named.

use crate::source::{Source, check, finds};

/// The most lines a source file may have.
const LINES: usize = 600;

/// Where words of programs are written into files of other people's containers, and none is started.
const WRITES_FOR_CONTAINERS: &str = "control-plane/src/generate/";

fn shell(source: &Source) -> Vec<String> {
    if source.path.starts_with(WRITES_FOR_CONTAINERS) {
        return Vec::new();
    }
    let shells = [
        "\"-c\"",
        "sh -c",
        "Command::new(\"sh\")",
        "Command::new(\"bash\")",
        "\"/bin/sh\"",
        "\"/bin/bash\"",
    ];
    let lines = source
        .product()
        .into_iter()
        .filter(|(_, line)| shells.iter().any(|shell| line.contains(shell)));
    lines
        .map(|(number, _)| {
            source.at(
                number,
                "programs are started by an argument vector, without a shell",
            )
        })
        .collect()
}

#[test]
fn no_product_code_runs_a_shell() {
    check(shell);
}

#[test]
fn a_shell_is_found() {
    finds(
        shell,
        &[
            ("agent/src/a.rs", "command.arg(\"-c\")"),
            ("cli/src/a.rs", "Command::new(\"sh\").arg(script)"),
        ],
        &[
            ("agent/src/a.rs", "Command::new(\"docker\")"),
            ("tests/src/a.rs", "[\"sh\", \"-c\"]"),
        ],
    );
}

/// Words that say that something is not finished, spelt so that this file does not hold them.
fn unfinished(source: &Source) -> Vec<String> {
    let words = [
        concat!("to", "do!("),
        concat!("TO", "DO"),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("#[", "ignore"),
    ];
    // A name of XXXXXX is what `mktemp` takes.
    let is_pattern = |line: &str| line.contains("mktemp") || line.contains("rootfs.XX");
    let is_code = ["rs", "sql", "sh"]
        .iter()
        .any(|extension| source.path.ends_with(&format!(".{extension}")));
    if !is_code && source.path.contains('.') {
        return Vec::new();
    }
    let lines = source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| !is_pattern(line));
    let faulty = lines.filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    faulty
        .map(|(at, line)| source.at(at + 1, &format!("is not finished: {}", line.trim())))
        .collect()
}

#[test]
fn nothing_is_left_unfinished() {
    check(unfinished);
}

#[test]
fn unfinished_work_is_found() {
    let texts = [
        concat!("to", "do!()"),
        concat!("// FIX", "ME later"),
        concat!("#[ig", "nore]"),
        concat!("// TO", "DO"),
    ];
    for text in texts {
        finds(
            unfinished,
            &[("agent/src/a.rs", text)],
            &[("docs/a.md", text)],
        );
    }
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let counts = source.is_rust() || !source.path.contains('.');
    let fault = (counts && lines > LINES)
        .then(|| format!("{}: {lines} lines, at most {LINES}", source.path));
    fault.into_iter().collect()
}

#[test]
fn no_source_file_is_too_long() {
    check(too_long);
}

#[test]
fn a_long_file_is_found() {
    let (long, short) = ("\n".repeat(LINES + 1), "\n".repeat(LINES));
    finds(
        too_long,
        &[("cli/src/a.rs", &long)],
        &[("cli/src/a.rs", &short), ("Cargo.lock", &long)],
    );
}

fn meaningless_name(source: &Source) -> Vec<String> {
    let names = [
        "util", "utils", "helper", "helpers", "common", "misc", "manager",
    ];
    let parts = source
        .path
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let wrong = parts.filter(|part| names.contains(part));
    wrong
        .map(|part| format!("{}: {part:?} says nothing about its content", source.path))
        .collect()
}

#[test]
fn every_name_says_something() {
    check(meaningless_name);
}

#[test]
fn a_meaningless_name_is_found() {
    finds(
        meaningless_name,
        &[("cli/src/utils/a.rs", ""), ("agent/src/common.rs", "")],
        &[("docs/commonplace.md", ""), ("agent/src/link.rs", "")],
    );
}

/// Workspaces of their own, which hold nothing but a list of targets.
const APART: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

/// Only the tests may unwrap at will, an `expect` attribute says why one place is safe; nobody may be unsafe, and every crate takes the workspace's lints.
fn loosened_lint(source: &Source) -> Vec<String> {
    if !APART.contains(&source.path.as_str()) && source.path.ends_with("/Cargo.toml") {
        let taken = source.text.contains("[lints]\nworkspace = true");
        return (!taken)
            .then(|| source.at(1, "takes no lints from the workspace"))
            .into_iter()
            .collect();
    }
    if source.path == "Cargo.toml" {
        let forbidden = source.text.contains("unsafe_code = \"forbid\"");
        return (!forbidden)
            .then(|| source.at(1, "does not forbid unsafe code"))
            .into_iter()
            .collect();
    }
    let loose = |line: &str| {
        ["unwrap_used", "expect_used"]
            .iter()
            .any(|lint| line.contains(lint))
    };
    let lines = source
        .product()
        .into_iter()
        .filter(|(_, line)| line.contains("allow(clippy::") && loose(line));
    lines
        .map(|(number, _)| source.at(number, "product code handles its errors"))
        .collect()
}

#[test]
fn every_crate_keeps_the_lints() {
    check(loosened_lint);
}

#[test]
fn a_loosened_lint_is_found() {
    finds(
        loosened_lint,
        &[
            ("cli/Cargo.toml", "[package]"),
            ("Cargo.toml", "[workspace]"),
            ("cli/src/main.rs", "#![allow(clippy::unwrap_used)]"),
        ],
        &[
            ("cli/Cargo.toml", "[lints]\nworkspace = true\n"),
            (
                "cli/src/a.rs",
                "#[cfg(test)]\nmod tests {\n    #![allow(clippy::unwrap_used)]\n}",
            ),
        ],
    );
}
