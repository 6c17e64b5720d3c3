//! Following what grows on the control plane, over as many connections as it takes.

mod backoff;
pub mod container;
mod cursor;
pub mod deployment;
mod link;

use backoff::Backoff;
use serde::de::DeserializeOwned;

use crate::{
    api::sse::Event,
    exit::{Exit, Failure},
};

/// Asks until there is an answer, or a failure that does not pass by itself. `told` hears of the
/// first failure that does.
pub async fn persist<T>(
    ask: impl AsyncFn() -> Result<T, Failure>,
    told: impl FnOnce(&Failure),
) -> Result<T, Failure> {
    let mut backoff = Backoff::new();
    let mut told = Some(told);
    loop {
        match ask().await {
            Err(failure) if passes(&failure) => {
                if let Some(told) = told.take() {
                    told(&failure);
                }
                tokio::time::sleep(backoff.wait()).await;
            }
            ended => return ended,
        }
    }
}

/// Whether a failure passes by itself: then following goes on, for ever.
fn passes(failure: &Failure) -> bool {
    match failure.http_status() {
        Some(status) => status >= 500 || status == 429 || status == 408,
        None => failure.exit() == Exit::Unreachable,
    }
}

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
