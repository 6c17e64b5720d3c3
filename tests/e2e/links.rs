//! The link breaks in every way a link breaks; nothing is lost and nothing happens twice.

use std::time::Duration;

use towline_tests::agent::AgentPlan;
use towline_tests::compose::{ComposeFolder, Service, starts};
use towline_tests::proxy::{Proxy, Weather};
use towline_tests::story::Installation;

use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    a_link_that_breaks_while_a_deploy_runs_heals,
    a_frozen_link_is_superseded_by_a_new_connection,
);

fn a_link_that_breaks_while_a_deploy_runs_heals(story: &mut Installation) {
    for weather in [
        Weather::Refused,
        Weather::Silent,
        Weather::UpwardsHeld,
        Weather::DownwardsHeld,
    ] {
        for moment in [0, 20, 200] {
            let project = story.project("link", &ComposeFolder::of(&[Service::counting("count")]));
            let deployment = project.deploy();
            std::thread::sleep(Duration::from_millis(moment));
            story.link.set(weather);
            std::thread::sleep(Duration::from_secs(2));
            story.link.heal();
            deployment.wait("succeeded", DEPLOY_LIMIT);
            assert_eq!(
                starts(&story.engine, &project.name),
                1,
                "{weather:?} after {moment} ms"
            );
        }
    }
}

/// The old socket looks alive to the control plane while the agent, restarted, connects anew.
fn a_frozen_link_is_superseded_by_a_new_connection(story: &mut Installation) {
    story.link.freeze_connections();
    story.agent.kill();
    story.agent.start();
    let project = story.project("frozen", &ComposeFolder::of(&[Service::counting("count")]));
    // Well before the silence of the old socket would be noticed.
    project.deploy().wait("succeeded", Duration::from_secs(20));
    assert_eq!(starts(&story.engine, &project.name), 1);
}

/// Everything goes through an HTTP CONNECT proxy, as from a closed network.
#[test]
fn an_agent_behind_an_http_proxy_works() {
    let story = crate::embedded();
    let proxy = ConnectProxy::start();
    let mut plan = AgentPlan::new(&towline_tests::story::unique("behind"));
    plan.environment
        .push(("HTTPS_PROXY".into(), format!("http://{}", proxy.address)));
    let agent = story.add_agent(&story.engine, plan);
    assert!(
        proxy.tunnels() > 1,
        "the agent did not use the proxy: {}",
        agent.log()
    );
    let targets = story.api.get("/targets").ok();
    assert_eq!(targets["items"].as_array().unwrap().len(), 2);
}

/// An HTTP proxy that knows nothing but CONNECT.
struct ConnectProxy {
    address: std::net::SocketAddr,
    tunnels: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl ConnectProxy {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tunnels = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = tunnels.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let counter = counter.clone();
                std::thread::spawn(move || tunnel(&client, &counter));
            }
        });
        Self { address, tunnels }
    }

    fn tunnels(&self) -> usize {
        self.tunnels.load(std::sync::atomic::Ordering::SeqCst)
    }
}

fn tunnel(client: &std::net::TcpStream, counter: &std::sync::atomic::AtomicUsize) -> Option<()> {
    use std::io::{BufRead, BufReader, Write};
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut header = String::from("-");
    while !header.trim().is_empty() {
        header.clear();
        reader.read_line(&mut header).ok()?;
    }
    let target = request
        .strip_prefix("CONNECT ")?
        .split(' ')
        .next()?
        .to_owned();
    let server = std::net::TcpStream::connect(target).ok()?;
    counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let mut answer = client.try_clone().ok()?;
    answer
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .ok()?;
    let (mut down, mut up) = (server.try_clone().ok()?, server);
    std::thread::spawn(move || std::io::copy(&mut down, &mut answer));
    std::io::copy(&mut reader, &mut up).ok()?;
    Some(())
}

/// Twenty short cuts in a row, of which its growing pauses let it miss some, leave an agent that works.
#[test]
fn an_agent_reconnects_for_ever() {
    let story = crate::embedded();
    let link: &Proxy = &story.link;
    let mut cut = 0;
    for _ in 0..20 {
        cut += link.break_connections();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(cut > 1, "it was connected at {cut} of the cuts");
    let project = story.project("again", &ComposeFolder::of(&[Service::idle("web")]));
    project.deploy().wait("succeeded", DEPLOY_LIMIT);
}
