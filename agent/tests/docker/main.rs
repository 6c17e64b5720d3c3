//! The Docker executor against real engines, an old and a new one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod builds;
mod deploys;
mod handovers;
mod host;
mod interruptions;
mod previews;
mod questions;
mod refusals;
mod registry;
mod releases;
mod removals;

/// Makes each test one for the old and one for the new engine.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod old {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::host::Kind::Old).await; })+
        }
        mod new {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::host::Kind::New).await; })+
        }
    };
}
pub(crate) use on_both_engines;
