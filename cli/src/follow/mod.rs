//! Following what grows on the control plane, over as many connections as it takes.

mod backoff;
pub mod container;
mod cursor;
pub mod deployment;

use crate::exit::{Exit, Failure};

/// Whether a failure passes by itself: then following goes on, for ever.
fn passes(failure: &Failure) -> bool {
    match failure.http_status() {
        Some(status) => status >= 500 || status == 429 || status == 408,
        None => failure.exit() == Exit::Unreachable,
    }
}
