//! The person's own terminal while its keys belong to a command elsewhere.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::exit::Failure;

/// A terminal that passes every key on; as it was before, when this is dropped.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// From now on.
    pub fn enter() -> Result<Self, Failure> {
        let before = tcgetattr(io::stdin()).map_err(refused)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(refused)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn refused(error: rustix::io::Errno) -> Failure {
    Failure::usage("The terminal cannot be prepared").detail(error.to_string())
}
