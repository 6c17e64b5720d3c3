//! That the cluster of the tests answers as a real one does: to `kubectl`, and request by request.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test says what went wrong"
)]

mod access;
mod answers;
mod controls;
mod install;
mod kubectl;
mod lifecycle;
mod logs;
mod ownership;
mod pace;
mod program;
mod stage;
mod watches;
mod workloads;
