//! What goes on right now: a spinner on a terminal, a line per step elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Output, Reader, plain};

/// The line at the bottom of the terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    output: Output,
    said: String,
}

impl Progress {
    /// Nothing to say yet.
    pub fn new(output: Output) -> Self {
        let target = match output.stderr.reader {
            Reader::Terminal => ProgressDrawTarget::stderr(),
            Reader::Machine => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        Self {
            bar,
            output,
            said: String::new(),
        }
    }

    /// Says what goes on now. The same words twice in a row are said once.
    pub fn step(&mut self, text: &str) {
        if self.said == text {
            return;
        }
        text.clone_into(&mut self.said);
        match self.output.stderr.reader {
            Reader::Terminal => {
                self.bar.set_message(plain::neutral(text).into_owned());
                self.bar.reset_elapsed();
                self.bar.enable_steady_tick(Duration::from_millis(120));
            }
            Reader::Machine => self.output.note(text),
        }
    }

    /// Writes something else above the line.
    pub fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
