//! The test machinery itself, on the real parts: what the other tests stand on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test says what went wrong"
)]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use serde_json::json;
use towline_tests::{
    compose::{ComposeFolder, Service},
    engine::{BUSYBOX, Engine, EngineKind},
    link::{Direction, MACHINE},
    patience::{never_within, wait_until},
    ports::{free_port, published_port},
    postgres::{Database, Postgres},
    process::{Process, guarded},
    proxy::{Proxy, Weather},
    scratch::{Scratch, leftovers},
    server::{DatabaseKind, ServerPlan, ServerProcess},
    story::unique,
};

const SOON: Duration = Duration::from_secs(30);

fn compose_up(engine: &Engine, project: &str, folder: &ComposeFolder) -> bool {
    let mut up = engine.docker(&["compose", "-p", project, "up", "-d", "--wait"]);
    up.current_dir(folder.path())
        .output()
        .unwrap()
        .status
        .success()
}

fn a_compose_project_runs_on(kind: EngineKind) {
    let engine = Engine::shared(kind);
    let version = engine.run_docker(&[
        "version",
        "--format",
        "{{.Server.Version}} {{.Client.Version}}",
    ]);
    let expected = match kind {
        EngineKind::Old => "20.10.",
        EngineKind::New => "26.",
        EngineKind::Newest => "28.",
    };
    assert!(
        version
            .split(' ')
            .all(|version| version.starts_with(expected)),
        "{version}"
    );
    let (project, port) = (unique("page"), published_port());
    let folder = ComposeFolder::of(&[
        Service::page("web", port, "hello"),
        Service::counting("count"),
    ]);
    assert!(compose_up(&engine, &project, &folder));
    assert_eq!(engine.fetch(port).as_deref(), Some("hello"));
    assert_eq!(
        (
            engine.containers(&project).len(),
            engine.creations(&project)
        ),
        (2, 2)
    );
    let sick = ComposeFolder::of(&[Service::unhealthy("web")]);
    assert!(
        !compose_up(&engine, &project, &sick),
        "an unhealthy service is no success"
    );
    engine.remove_project(&project);
    assert_eq!(engine.containers(&project).len(), 0);
    let volumes = engine.run_docker(&["volume", "ls", "-q"]);
    assert!(!volumes.contains(&project), "{volumes}");
}

#[test]
fn a_compose_project_runs_on_the_old_engine() {
    a_compose_project_runs_on(EngineKind::Old);
}

#[test]
fn a_compose_project_runs_on_the_new_engine() {
    a_compose_project_runs_on(EngineKind::New);
}

fn an_engine_comes_back_from_a_crash_and_leaves_nothing(kind: EngineKind) {
    let mut engine = Engine::start(kind);
    let other = engine.image("other:1", &[r#"CMD ["true"]"#]);
    assert_ne!(
        engine.run_docker(&["image", "inspect", "-f", "{{.Id}}", BUSYBOX]),
        other
    );
    engine.run_docker(&[
        "run",
        "-d",
        "--init",
        "--restart",
        "always",
        "--name",
        "stays",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    engine.kill_dockerd();
    assert!(engine.try_docker(&["version"]).is_none());
    engine.start_dockerd();
    wait_until("the container runs again", SOON, || {
        let state = engine.run_docker(&["inspect", "-f", "{{.State.Status}}", "stays"]);
        (state == "running").then_some(())
    });
    let folder = engine
        .docker_host()
        .strip_prefix("unix://")
        .unwrap()
        .strip_suffix("/docker.sock")
        .unwrap()
        .to_owned();
    assert_ne!(
        leftovers(folder.as_ref()).len(),
        0,
        "an engine is seen while it runs"
    );
    drop(engine);
    assert_eq!(leftovers(folder.as_ref()), Vec::<String>::new());
    assert!(!std::path::Path::new(&folder).exists());
}

#[test]
fn the_old_engine_comes_back_from_a_crash_and_leaves_nothing() {
    an_engine_comes_back_from_a_crash_and_leaves_nothing(EngineKind::Old);
}

#[test]
fn the_new_engine_comes_back_from_a_crash_and_leaves_nothing() {
    an_engine_comes_back_from_a_crash_and_leaves_nothing(EngineKind::New);
}

/// Asks the machine from the host; the link's state decides whether an answer comes.
fn host_asks(engine: &Engine, port: u16) -> bool {
    let mut curl = engine.on_host("curl");
    curl.args([
        "--silent",
        "--fail",
        "--max-time",
        "1",
        &format!("http://{MACHINE}:{port}/"),
    ]);
    curl.output().unwrap().status.success()
}

fn answer_all(listener: TcpListener) {
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
        }
    });
}

#[test]
fn a_host_is_cut_off_and_comes_back() {
    let (engine, neighbour) = (
        Engine::start(EngineKind::New),
        Engine::start(EngineKind::Old),
    );
    let port = free_port();
    answer_all(TcpListener::bind((MACHINE, port)).unwrap());
    let link = engine.link();
    assert!(host_asks(&engine, port) && host_asks(&neighbour, port));
    for cut in [
        &(|| link.cut()) as &dyn Fn(),
        &|| link.cut_one_way(Direction::ToHost),
        &|| link.cut_one_way(Direction::FromHost),
        &|| link.lose(Direction::FromHost, 100),
    ] {
        cut();
        assert!(!host_asks(&engine, port));
        assert!(host_asks(&neighbour, port), "another host's link is whole");
        link.heal();
        wait_until("the host reaches the machine again", SOON, || {
            host_asks(&engine, port).then_some(())
        });
    }
}

#[test]
fn databases_are_fresh_and_survive_a_killed_server() {
    let (one, two) = (Database::fresh(), Database::fresh());
    one.query("CREATE TABLE t (n int)");
    assert_eq!(
        two.query("SELECT count(*) FROM pg_tables WHERE tablename = 't'"),
        "0"
    );
    assert_eq!(one.query("SHOW fsync"), "on");
    let mut own = Postgres::start().database();
    own.query("CREATE TABLE t AS SELECT 7 AS n");
    own.server().kill();
    own.server().start_again();
    assert_eq!(own.query("SELECT n FROM t"), "7");
}

/// A server that sends back each byte, and a client through a proxy.
fn echo() -> (Proxy, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = socket.try_clone().unwrap();
                let _ = std::io::copy(&mut reader, &mut &socket);
            });
        }
    });
    let client = connect(proxy.address());
    (proxy, client)
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    client
}

/// What comes back for one byte: it, nothing, or the end.
fn bounce(mut client: &TcpStream, byte: u8) -> Option<usize> {
    client.write_all(&[byte]).ok()?;
    let mut answer = [0; 8];
    let size = client.read(&mut answer).ok()?;
    assert!(answer[..size].contains(&byte) || size == 0);
    Some(size)
}

#[test]
fn a_proxied_connection_lives_under_every_weather() {
    let (proxy, client) = echo();
    assert_eq!(bounce(&client, 1), Some(1));
    for weather in [
        Weather::Silent,
        Weather::UpwardsHeld,
        Weather::DownwardsHeld,
    ] {
        proxy.set(weather);
        assert_eq!(bounce(&client, 2), None, "{weather:?}");
        proxy.heal();
        let mut late = [0; 1];
        (&client).read_exact(&mut late).unwrap();
        assert_eq!(
            (late, bounce(&client, 3)),
            ([2], Some(1)),
            "nothing is lost by {weather:?}"
        );
    }
    proxy.freeze_connections();
    assert_eq!(bounce(&client, 4), None);
    let newer = connect(proxy.address());
    assert_eq!(bounce(&newer, 5), Some(1));
    assert_eq!(bounce(&client, 6), None, "the old one stays silent");
    proxy.set(Weather::Refused);
    assert_ne!(bounce(&newer, 7), Some(1));
    assert_ne!(bounce(&connect(proxy.address()), 7), Some(1));
    proxy.heal();
    assert_eq!(bounce(&connect(proxy.address()), 8), Some(1));
}

#[test]
fn a_process_is_ended_and_its_log_is_read() {
    let scratch = Scratch::new("process");
    let mut command = guarded("/bin/sleep");
    command.arg("1000").env("MARK", scratch.path());
    let mut sleeping = Process::start("sleep", command, &scratch.join("log"));
    never_within("it ends by itself", Duration::from_millis(100), || {
        sleeping.ended().map(drop)
    });
    assert_eq!(leftovers(scratch.path()).len(), 1);
    drop(sleeping);
    assert_eq!(leftovers(scratch.path()), Vec::<String>::new());
    let mut talking = guarded("/usr/bin/seq");
    talking.arg("3");
    let mut talking = Process::start("seq", talking, &scratch.join("log"));
    assert!(talking.wait(SOON).success());
    assert_eq!(talking.log(), "1\n2\n3\n");
}

#[test]
fn a_control_plane_comes_back_on_either_database() {
    for database in DatabaseKind::ALL {
        let mut server = ServerProcess::start(ServerPlan::new(database));
        let setup = server.setup_link();
        let admin = json!({ "token": setup.token, "email": "admin@example.com", "name": "Admin" });
        let made = server.public_api().post("/setup", &admin).ok();
        let api = server
            .public_api()
            .with_key(made["api_key"]["key"].as_str().unwrap());
        assert_eq!(api.get("/me").ok()["user"]["email"], "admin@example.com");
        server.kill();
        server.start_again();
        api.get("/me").ok();
        server.public_api().get("/me").problem(401);
        assert!(server.stop().success(), "{}", server.log());
    }
}
