//! `towline completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::Session;
use crate::{
    arguments::Arguments,
    exit::{Exit, Failure},
};

/// Print completions for a shell
///
/// bash: towline completions bash > ~/.local/share/bash-completion/completions/towline
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(
            self.shell,
            &mut Arguments::command(),
            "towline",
            &mut script,
        );
        session.output.say(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Success)
    }
}
