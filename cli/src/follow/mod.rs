//! Following what grows on the control plane, over as many connections as it takes.

mod backoff;
pub mod container;
mod cursor;
pub mod deployment;

use crate::exit::{Exit, Failure};

/// What the person knows about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contact {
    /// It is there.
    Kept,
    /// It was lost, and that was said.
    Lost,
}

impl Contact {
    /// The connection was lost. Gives what was known before.
    fn lose(&mut self) -> Self {
        std::mem::replace(self, Self::Lost)
    }

    /// Something came. Gives what was known before.
    fn hear(&mut self) -> Self {
        std::mem::replace(self, Self::Kept)
    }
}

/// Whether a failure passes by itself: then following goes on, for ever.
fn passes(failure: &Failure) -> bool {
    match failure.http_status() {
        Some(status) => status >= 500 || status == 429 || status == 408,
        None => failure.exit() == Exit::Unreachable,
    }
}
