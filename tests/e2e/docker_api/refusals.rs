//! Who does not get in, and what they are told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use towline_pki::tls::{AgentPurpose, agent_client_config, ca_client_config, install_provider};
use towline_pki::{AgentIdentity, AgentKey, Authority, TrustRoots};
use towline_tests::docker_client::DockerClient;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::scratch::Scratch;
use towline_tests::server::DatabaseKind;

use super::{Reached, grant, installation};

/// A host whose owner has said nothing, and one that nobody was granted.
#[test]
fn the_owner_and_the_team_must_both_allow_it() {
    let story = installation(DatabaseKind::Sqlite, Engine::shared(EngineKind::New), None);
    let (cli, host) = (story.cli(), story.agent.name());
    let refused = cli.run(&["docker", "context", host, "--env"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .errors
            .contains(&format!("towline docker grant {host}")),
        "{refused:?}"
    );
    grant(&story, &cli);
    let client = DockerClient::new(&cli, host, EngineKind::New);
    let told = client.run(&["ps"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        told.contains("docker_api = \"allow\" in the agent's policy file"),
        "{told}"
    );
}

#[test]
fn an_installation_without_the_listener_says_how_to_have_one() {
    let story = crate::embedded();
    let cli = story.cli();
    grant(&story, &cli);
    let refused = cli.run(&["docker", "context", story.agent.name(), "--env"]);
    assert!(refused.errors.contains("--docker-listen"), "{refused:?}");
}

#[test]
fn certificates_of_others_do_not_get_in() {
    let reached = Reached::embedded();
    let client = &reached.client;
    let folder = Scratch::new("certificates");
    std::fs::copy(client.certificates().join("ca.pem"), folder.join("ca.pem")).unwrap();
    let forged = client.with_certificates(folder.path().to_owned());
    // Of another authority of the same name,
    let stranger = Authority::generate("Towline CA", chrono::Utc::now()).unwrap();
    let key = AgentKey::generate().unwrap();
    let csr = towline_pki::AgentCsr::parse(key.csr_pem().unwrap().as_bytes()).unwrap();
    let id = client.certificate.parse().unwrap();
    let leaf =
        stranger.issue_docker_client(&csr, id, chrono::Utc::now(), chrono::TimeDelta::hours(1));
    std::fs::write(folder.join("cert.pem"), leaf.unwrap().pem).unwrap();
    std::fs::write(folder.join("key.pem"), key.key_pem().as_bytes()).unwrap();
    let told = forged.run(&["ps"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("tls:"), "{told}");
    // an agent's own,
    let identity = identity(&reached.story.agent.state_dir());
    std::fs::write(
        folder.join("cert.pem"),
        identity["certificate"].as_str().unwrap(),
    )
    .unwrap();
    std::fs::write(folder.join("key.pem"), identity["key"].as_str().unwrap()).unwrap();
    assert!(!forged.run(&["ps"]).status.success());
    // Without any nothing is answered; and a person's makes no agent.
    let read = |name: &str| std::fs::read_to_string(client.certificates().join(name)).unwrap();
    let person = AgentIdentity::from_pem(&read("cert.pem"), &read("key.pem")).unwrap();
    let roots = TrustRoots::from_pem(&read("ca.pem")).unwrap();
    let listen = reached.story.server.agent_listen().to_string();
    let ping = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let address = client.address();
    let nobody = ca_client_config(&roots).unwrap();
    assert_eq!(said(nobody, &address, ping), "");
    let known = exchange(&roots, &person, AgentPurpose::Control, &address, ping);
    assert!(
        known.starts_with("HTTP/1.1 200"),
        "the same of somebody: {known}"
    );
    for purpose in [AgentPurpose::Control, AgentPurpose::Tunnel] {
        let answer = exchange(
            &roots,
            &person,
            purpose,
            &listen,
            b"GET /agent HTTP/1.1\r\n\r\n",
        );
        assert_eq!(answer, "", "{purpose:?}");
    }
    assert!(
        client.run(&["ps"]).status.success(),
        "the right one still works"
    );
}

fn identity(state: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(state.join("identity.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Sends bytes on a TLS connection, and gives what comes until it ends.
fn exchange(
    roots: &TrustRoots,
    who: &AgentIdentity,
    purpose: AgentPurpose,
    address: &str,
    bytes: &[u8],
) -> String {
    said(
        agent_client_config(roots, who, purpose).unwrap(),
        address,
        bytes,
    )
}

/// The same with a configuration of TLS.
fn said(config: Arc<rustls::ClientConfig>, address: &str, bytes: &[u8]) -> String {
    install_provider();
    let name = "127.0.0.1".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    let mut wire = TcpStream::connect(address).unwrap();
    wire.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut wire);
    let mut answer = Vec::new();
    // Whoever is refused may not even be read.
    let _ = stream.write_all(bytes);
    let mut piece = [0; 4096];
    while let Ok(read) = stream.read(&mut piece) {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Requests that two parsers may read differently, and heads without end.
#[test]
fn requests_that_are_not_one_are_refused() {
    let reached = Reached::embedded();
    let read =
        |name: &str| std::fs::read_to_string(reached.client.certificates().join(name)).unwrap();
    let person = AgentIdentity::from_pem(&read("cert.pem"), &read("key.pem")).unwrap();
    let roots = TrustRoots::from_pem(&read("ca.pem")).unwrap();
    let address = reached.client.address();
    let ask = |bytes: &[u8]| exchange(&roots, &person, AgentPurpose::Control, &address, bytes);
    let hidden = "GET /v1.41/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let body = |head: &str, body: &str| {
        format!("POST /v1.41/containers/prune HTTP/1.1\r\nHost: x\r\n{head}\r\n{body}{hidden}")
    };
    let table = [
        // Two lengths, a length that is none, a length beside chunks that end early, chunks of another name.
        body("Content-Length: 3\r\nContent-Length: 5\r\n", "abc"),
        body("Content-Length: +3\r\n", "abc"),
        body("Content-Length: 3, 5\r\n", "abc"),
        body("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        body("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        body("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        format!(
            "GET /v1.41/info HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
            "x".repeat(200_000)
        ),
        format!(
            "GET /v1.41/info HTTP/1.1\r\nHost: x\r\n{}\r\n",
            "A: b\r\n".repeat(500)
        ),
        "GET /v1.41/info HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n".to_owned(),
        "GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
    ];
    for bytes in table {
        let answer = ask(bytes.as_bytes());
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(
            answers <= 1 && !answer.starts_with("HTTP/1.1 2"),
            "{bytes:.200}: {answer}"
        );
    }
    // What is one, and could hide another, is read as one way alone: whatever is answered was judged and written down.
    let before = reached.audited().len();
    let both = body(
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
    );
    let answer = ask(both.as_bytes());
    let audited = reached.audited();
    assert_eq!(
        answer.matches("HTTP/1.1 ").count(),
        audited.len() - before,
        "{answer} {audited:?}"
    );
    assert!(
        !audited.iter().any(|entry| entry.starts_with("CONNECT")),
        "{audited:?}"
    );
    assert!(reached.client.run(&["ps"]).status.success());
}

/// Everything of a person that reaches beyond one host is refused: one certificate, one host.
#[test]
fn a_certificate_is_for_one_host() {
    let reached = Reached::embedded();
    let other = Engine::start(EngineKind::Old);
    let plan = towline_tests::agent::AgentPlan {
        policy: Some(super::ALLOWED.to_owned()),
        ..towline_tests::agent::AgentPlan::new(&towline_tests::story::unique("other"))
    };
    let agent = reached.story.add_agent(&other, plan);
    let ids = |command: Command| {
        let mut command = command;
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let of = ["info", "--format", "{{.ID}}"];
    assert_eq!(
        ids(reached.client.docker(&of)),
        reached.story.engine.run_docker(&of)
    );
    let me = reached.story.api.get("/me").ok();
    let email = me["user"]["email"].as_str().unwrap();
    let refused = reached
        .cli
        .run(&["docker", "context", agent.name(), "--env"]);
    assert_eq!(refused.code, Some(1));
    reached
        .cli
        .run(&["docker", "grant", agent.name(), email])
        .ok();
    let second = DockerClient::new(&reached.cli, agent.name(), EngineKind::Old);
    assert_eq!(ids(second.docker(&of)), other.run_docker(&of));
    assert_eq!(
        ids(reached.client.docker(&of)),
        reached.story.engine.run_docker(&of)
    );
}
