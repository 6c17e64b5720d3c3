//! The crate's promises, kept by real keys, certificates and TLS handshakes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod authority;
mod client_files;
mod csr;
mod docker;
mod docker_client;
mod enroll_token;
mod forge;
mod handshake;
mod link;
mod peer;
mod renew;
mod rotation;

/// What a table expects of a refusal.
type Judge<R> = fn(&R) -> bool;
