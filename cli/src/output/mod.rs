//! Everything that is written for people and programs: results on stdout, notes on stderr.

pub mod layers;
pub mod lines;
pub mod outcome;
pub mod plain;
pub mod preview;
pub mod progress;
mod report;
pub mod style;
pub mod table;
pub mod units;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::exit::Failure;
use style::Colours;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: tables and sentences.
    Human,
    /// For programs: JSON on stdout.
    Json,
}

/// What is at the other end of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A terminal: it would obey control characters.
    Terminal,
    /// A file or a program.
    Machine,
}

/// One of the two outputs.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// What reads it.
    pub reader: Reader,
    /// Whether colours are written.
    pub colours: Colours,
}

impl Surface {
    fn of(terminal: bool) -> Self {
        let set = |name| std::env::var(name).unwrap_or_default();
        Self {
            reader: if terminal {
                Reader::Terminal
            } else {
                Reader::Machine
            },
            colours: Colours::wanted(terminal, &set("NO_COLOR"), &set("TERM")),
        }
    }
}

/// The two outputs and the format.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// How results are written.
    pub format: Format,
    /// Results.
    pub stdout: Surface,
    /// Notes, progress and errors.
    pub stderr: Surface,
}

impl Output {
    /// The outputs of this process.
    pub fn of_process(format: Format) -> Self {
        Self {
            format,
            stdout: Surface::of(io::stdout().is_terminal()),
            stderr: Surface::of(io::stderr().is_terminal()),
        }
    }

    /// Writes a result as JSON, or else in the other way.
    pub fn result(
        self,
        value: &impl Serialize,
        human: impl FnOnce(Surface) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(value),
            Format::Human => self.say(&human(self.stdout)),
        }
    }

    /// Writes a value as indented JSON.
    pub fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        self.say(&plain::escaped_json(&text))
    }

    /// Writes a line on stdout.
    #[expect(clippy::unused_self, reason = "stdout belongs to the output")]
    pub fn say(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        Ok(stdout.flush()?)
    }

    /// Writes a note on stderr. A note that cannot be written is no reason to stop.
    #[expect(clippy::unused_self, reason = "stderr belongs to the output")]
    pub fn note(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Writes why a command stops.
    pub fn failure(self, failure: &Failure) {
        let Failure::Told(report) = failure else {
            return;
        };
        match self.format {
            Format::Json => {
                let text = serde_json::to_string(report).unwrap_or_else(|_| report.title.clone());
                self.note(&text);
            }
            Format::Human => self.note(&report::render(report, self.stderr)),
        }
    }
}
