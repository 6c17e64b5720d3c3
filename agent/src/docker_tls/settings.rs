//! What `daemon.json` is to say.

use std::path::Path;

use serde_json::{Value, json};

/// The folder of certificates, beside `daemon.json`.
pub const FOLDER: &str = "towline-tls";
/// The authority, its key, and the engine's own pair, as Docker's guide names them.
pub const CA: &str = "ca.pem";
/// The authority's key.
pub const CA_KEY: &str = "ca-key.pem";
/// The engine's certificate.
pub const SERVER_CERT: &str = "server-cert.pem";
/// The engine's key.
pub const SERVER_KEY: &str = "server-key.pem";
/// The folder of a client's files, which is what `DOCKER_CERT_PATH` takes.
pub const CLIENT: &str = "client";
/// The client's certificate.
pub const CLIENT_CERT: &str = "cert.pem";
/// The client's key.
pub const CLIENT_KEY: &str = "key.pem";

/// The keys that are put in, with their values.
pub fn keys(folder: &Path, hosts: &[String]) -> Vec<(&'static str, Value)> {
    let file = |name: &str| json!(folder.join(name).display().to_string());
    vec![
        ("tls", json!(true)),
        ("tlsverify", json!(true)),
        ("tlscacert", file(CA)),
        ("tlscert", file(SERVER_CERT)),
        ("tlskey", file(SERVER_KEY)),
        ("hosts", json!(hosts)),
    ]
}
