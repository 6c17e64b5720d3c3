//! The real `towline` with a configuration of its own.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{
    parts::{EngineKind, binary, clean_command},
    process::Process,
    scratch::Scratch,
};

/// One person's `towline`.
#[derive(Debug)]
pub struct Cli {
    home: Scratch,
}

/// How a command ended and what it printed.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The command, for messages.
    command: String,
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// Its output.
    pub output: String,
    /// Its errors.
    pub errors: String,
}

impl Ended {
    /// Its output; panics when it failed.
    pub fn ok(self) -> String {
        assert_eq!(
            self.code,
            Some(0),
            "{} failed:\n{}{}",
            self.command,
            self.output,
            self.errors
        );
        self.output
    }

    /// Its output as JSON; panics when it failed or printed something else.
    pub fn json(self) -> Value {
        let command = self.command.clone();
        let output = self.ok();
        serde_json::from_str(&output)
            .unwrap_or_else(|e| panic!("{command} printed no JSON ({e}):\n{output}"))
    }
}

impl Cli {
    /// Knows no installation yet.
    pub fn new() -> Self {
        Self {
            home: Scratch::new("cli"),
        }
    }

    /// Runs it to its end, without a terminal.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.end(arguments, Stdio::null())
    }

    /// The same with something to read on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let file = self.home.join("input");
        std::fs::write(&file, input).expect("the input can be written");
        let input = std::fs::File::open(&file).expect("the input can be read");
        self.end(arguments, input.into())
    }

    fn end(&self, arguments: &[&str], input: Stdio) -> Ended {
        let mut command = self.command(arguments);
        let output = command.stdin(input).output().expect("towline starts");
        Ended {
            command: format!("towline {}", arguments.join(" ")),
            code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts it beside the test; what it prints is in the process's log.
    pub fn start(&self, arguments: &[&str]) -> Process {
        let log = self
            .home
            .join(&format!("{}.log", uuid::Uuid::now_v7().simple()));
        Process::start("towline", self.command(arguments), &log)
    }

    /// The same on a terminal of its own; its output is what the terminal gets. The arguments are plain words.
    pub fn on_a_terminal(&self, arguments: &[&str]) -> Command {
        self.on_a_terminal_behind("", arguments)
    }

    /// The same behind something else that is done there first, such as `stty rows 30 cols 100;`.
    pub fn on_a_terminal_behind(&self, first: &str, arguments: &[&str]) -> Command {
        let towline = binary("towline").display().to_string();
        let words = [&[first, towline.as_str()], arguments].concat().join(" ");
        let mut command = clean_command("script", EngineKind::New);
        command
            .env("TOWLINE_CONFIG_HOME", self.home.path())
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .args(["-qec", &words, "/dev/null"]);
        command
    }

    /// The command itself, for what a test wants to change about it.
    pub fn command_of(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = clean_command(binary("towline"), EngineKind::New);
        command
            .env("TOWLINE_CONFIG_HOME", self.home.path())
            .args(arguments);
        command
    }
}

impl Default for Cli {
    fn default() -> Self {
        Self::new()
    }
}
