//! Following what grows on the control plane, over as many connections as it takes.

mod backoff;
pub mod container;
mod cursor;
pub mod deployment;
mod link;

use serde::de::DeserializeOwned;

use crate::{
    api::sse::Event,
    exit::{Exit, Failure},
};

/// What an event says.
fn read<T: DeserializeOwned>(event: &Event) -> Result<T, Failure> {
    serde_json::from_str(&event.data).map_err(|error| not_understood(&error.to_string()))
}

fn not_understood(why: &str) -> Failure {
    Failure::new(Exit::Failed, "The control plane's stream is not understood")
        .detail(why)
        .remedy(
            "use the towline of the control plane's version; `towline --version` shows this one's",
        )
}
