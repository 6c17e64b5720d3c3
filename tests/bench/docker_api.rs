//! The docker command line through the control plane, beside the same engine over TLS without it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use towline_pki::tls::docker_listener_config;
use towline_pki::{AgentCsr, AgentKey, Authority, TrustRoots};
use towline_tests::agent::AgentPlan;
use towline_tests::docker_client::DockerClient;
use towline_tests::engine::{BUSYBOX, Engine, EngineKind};
use towline_tests::ports::free_address;
use towline_tests::scratch::Scratch;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

use crate::report::{Row, median_and_p99};

/// How often a short command is run,
const SHORT: usize = 30;
/// and a long one.
const LONG: usize = 3;
const LINES: u64 = 1_000_000;
const MEGABYTES: u64 = 500;
/// What passes at once.
const PIECE: usize = 64 * 1024;

/// Measures a list of commands.
pub fn measure() -> Vec<Row> {
    let mut plan = ServerPlan::new(DatabaseKind::Sqlite);
    let listen = free_address(Ipv4Addr::LOCALHOST.into()).to_string();
    plan.arguments = vec!["--docker-listen".to_owned(), listen];
    let mut agent = AgentPlan::new(&unique("host"));
    agent.policy = Some("docker_api = \"allow\"\n".to_owned());
    let story = Installation::over(plan, Engine::start(EngineKind::New), agent);
    let cli = story.cli();
    let me = story.api.get("/me").ok();
    let email = me["user"]["email"].as_str().unwrap();
    cli.run(&["docker", "grant", story.agent.name(), email])
        .ok();
    let ours = DockerClient::new(&cli, story.agent.name(), EngineKind::New);
    let folder = Scratch::new("bare-tls");
    let (_runtime, bare) = bare(&story.engine, folder.path());

    let name = prepare(&story.engine);
    let context = Scratch::new("small");
    std::fs::write(
        context.join("Dockerfile"),
        format!("FROM {BUSYBOX}\nCOPY page /\n"),
    )
    .unwrap();
    std::fs::write(context.join("page"), "page").unwrap();
    let context = context.path().display().to_string();
    let saved = Scratch::new("saved");
    let archive = saved.join("image.tar");
    story.engine.run_docker(&[
        "save",
        "-o",
        &archive.display().to_string(),
        &format!("{name}:large"),
    ]);
    let table: [(&str, usize, Vec<&str>, Option<&Path>); 5] = [
        ("docker ps", SHORT, vec!["ps"], None),
        ("docker exec true", SHORT, vec!["exec", &name, "true"], None),
        (
            "docker build of a small context",
            SHORT / 3,
            vec!["build", "-q", "--network", "none", &context],
            None,
        ),
        ("docker logs of 1 M lines", LONG, vec!["logs", &name], None),
        (
            "docker load of 500 MB",
            LONG,
            vec!["load", "-q"],
            Some(&archive),
        ),
    ];
    let rows = table.map(|(what, rounds, words, input)| {
        let (mut through, mut direct) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            through.push(timed(ours.docker(&words), input));
            direct.push(timed(bare.docker(&words), input));
        }
        let (through, p99) = median_and_p99(through);
        let (direct, _) = median_and_p99(direct);
        Row {
            p99: Some(p99),
            against: Some(("the engine over TLS".into(), direct)),
            ..Row::figure(&format!("{what}, through the control plane"), "ms", through)
        }
    });
    story.engine.run_docker(&["rm", "-f", &name]);
    rows.into()
}

/// A container that has printed many lines, and an image that is large.
fn prepare(engine: &Engine) -> String {
    let name = unique("bench");
    let words = format!("seq {LINES}; exec sleep 10000");
    engine.keep_running(&name, &["sh", "-c", &words]);
    let folder = Scratch::new("large");
    let dockerfile =
        format!("FROM {BUSYBOX}\nRUN dd if=/dev/urandom of=/large bs=1M count={MEGABYTES}\n");
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let tag = format!("{name}:large");
    engine.run_docker(&[
        "build",
        "-q",
        "--network",
        "none",
        "-t",
        &tag,
        &folder.path().display().to_string(),
    ]);
    name
}

fn timed(mut command: Command, input: Option<&Path>) -> f64 {
    let input = input.map_or_else(Stdio::null, |path| {
        std::fs::File::open(path).unwrap().into()
    });
    let begun = Instant::now();
    let status = command
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let took = begun.elapsed().as_secs_f64() * 1e3;
    assert!(status.success(), "{command:?}");
    took
}

/// TLS with client certificates straight before the engine's socket, and a client of it.
fn bare(engine: &Engine, folder: &Path) -> (tokio::runtime::Runtime, DockerClient) {
    towline_pki::tls::install_provider();
    let authority = Authority::generate("bare", Utc::now()).unwrap();
    let server = authority
        .issue_server(&["127.0.0.1"], Utc::now(), TimeDelta::hours(1))
        .unwrap();
    let roots = TrustRoots::from_pem(&authority.cert_pem()).unwrap();
    let tls = TlsAcceptor::from(docker_listener_config(&server, &roots).unwrap());
    let key = AgentKey::generate().unwrap();
    let csr = AgentCsr::parse(key.csr_pem().unwrap().as_bytes()).unwrap();
    let leaf =
        authority.issue_docker_client(&csr, uuid::Uuid::now_v7(), Utc::now(), TimeDelta::hours(1));
    for (name, text) in [
        ("ca.pem", authority.cert_pem()),
        ("cert.pem", leaf.unwrap().pem),
        ("key.pem", key.key_pem().to_string()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let address = free_address(Ipv4Addr::LOCALHOST.into());
    let socket: Arc<str> = engine.docker_host().trim_start_matches("unix://").into();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, socket) = (tls.clone(), Arc::clone(&socket));
            tokio::spawn(pass(stream, tls, socket));
        }
    });
    (runtime, client(address, folder))
}

async fn pass(stream: tokio::net::TcpStream, tls: TlsAcceptor, socket: Arc<str>) {
    stream.set_nodelay(true).unwrap();
    let Ok(mut client) = tls.accept(stream).await else {
        return;
    };
    let mut engine = UnixStream::connect(&*socket).await.unwrap();
    // How it ends is for its ends to judge.
    let _ = copy_bidirectional_with_sizes(&mut client, &mut engine, PIECE, PIECE).await;
}

fn client(address: SocketAddr, folder: &Path) -> DockerClient {
    DockerClient::at(&format!("tcp://{address}"), folder, EngineKind::New)
}
