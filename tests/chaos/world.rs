//! All that runs: three hosts, each an engine and an agent behind a link of its own, and a control plane on
//! PostgreSQL. Everything ends with this, and with the process.

use std::{thread, time::Duration};

use serde_json::json;
use towline_tests::{
    agent::{AgentPlan, AgentProcess, Place},
    api::Api,
    engine::{Engine, EngineKind},
    link::{Link, MACHINE},
    patience::wait_until,
    postgres::{Database, Postgres},
    process::{Process, guarded},
    scratch::Scratch,
    server::{DatabaseKind, ServerPlan, ServerProcess},
    story::{enrolment_token_for, set_up},
};

use crate::{lane::Host, plan::HOSTS};

/// Projects on each host.
const PROJECTS: usize = 2;
/// Requests that have no answer by then are repeated.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
const ONLINE_LIMIT: Duration = Duration::from_secs(30);
/// Kilobytes of the disk under an agent's state.
const AGENT_DISK: u32 = 16 * 1024;

/// What is deployed, and where to.
#[derive(Debug)]
pub struct Project {
    /// Its number.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The number of its host.
    pub host: usize,
    /// The name of its host's target.
    pub target: String,
}

/// All of it; fields end in this order.
#[derive(Debug)]
pub struct World {
    /// The hosts.
    pub hosts: [Host; HOSTS],
    /// The control plane and its database.
    pub server: ServerProcess,
    /// The first admin's client.
    pub api: Api,
    /// All projects.
    pub projects: Vec<Project>,
    _anchor: Anchor,
}

/// Holds the machine's address on the hosts' network while their links are cut.
#[derive(Debug)]
struct Anchor {
    _link: Link,
    _namespace: Process,
    _folder: Scratch,
}

impl Anchor {
    fn drop_in() -> Self {
        let folder = Scratch::new("anchor");
        let mut command = guarded("unshare");
        command.args(["--net", "--", "sleep", "infinity"]);
        let namespace = Process::start("the anchor", command, &folder.join("anchor.log"));
        let own = std::fs::read_link("/proc/self/ns/net").expect("this process has a network");
        let theirs = format!("/proc/{}/ns/net", namespace.id());
        wait_until("the anchor's namespace", ONLINE_LIMIT, || {
            let theirs = std::fs::read_link(&theirs).ok()?;
            (theirs != own).then_some(())
        });
        Self {
            _link: Link::join(namespace.id()),
            _namespace: namespace,
            _folder: folder,
        }
    }
}

impl World {
    /// Starts everything and waits until all agents are online.
    pub fn start() -> Self {
        let anchor = Anchor::drop_in();
        let (engines, database) = start_slow_parts();
        let mut plan = ServerPlan::new(DatabaseKind::Postgres);
        plan.address = MACHINE.into();
        let mut server = ServerProcess::start_over(plan, database);
        let setup = server.setup_link();
        let api = set_up(&server.public_api(), &setup).with_limit(ANSWER_LIMIT);
        let mut number = 0;
        let hosts = engines.map(|engine| {
            let host = host(number, engine, &api);
            number += 1;
            host
        });
        let projects = projects(&hosts, &api);
        let world = Self {
            hosts,
            server,
            api,
            projects,
            _anchor: anchor,
        };
        wait_until("all agents online", ONLINE_LIMIT, || {
            world.all_are_online().then_some(())
        });
        world
    }

    /// Whether every host's agent is online; false without an answer.
    pub fn all_are_online(&self) -> bool {
        let request = self.api.request(reqwest::Method::GET, "/agents?limit=200");
        let Ok(answer) = self.api.try_send(request) else {
            return false;
        };
        let agents = answer.body["items"].as_array();
        let is_online = |host: &Host| {
            let mut agents = agents.into_iter().flatten();
            agents.any(|agent| agent["name"] == host.agent.name() && agent["status"] == "online")
        };
        self.hosts.iter().all(is_online)
    }
}

/// The old engine is among them, as on hosts that nobody has upgraded.
fn start_slow_parts() -> ([Engine; HOSTS], Database) {
    const KINDS: [EngineKind; HOSTS] = [EngineKind::New, EngineKind::Old, EngineKind::New];
    thread::scope(|scope| {
        let database = scope.spawn(|| Postgres::start().database());
        let engines = KINDS.map(|kind| scope.spawn(move || Engine::start(kind)));
        let engines = engines.map(|engine| engine.join().expect("the engine starts"));
        (engines, database.join().expect("PostgreSQL starts"))
    })
}

fn host(number: usize, engine: Engine, api: &Api) -> Host {
    let mut plan = AgentPlan::new(&format!("host-{number}"));
    plan.place = Place::Host;
    plan.small_disk = Some(AGENT_DISK);
    let token = enrolment_token_for(api, &plan.name);
    let mut agent = AgentProcess::enrol(&engine, plan, &token);
    agent.start();
    Host {
        number,
        agent,
        engine,
    }
}

fn projects(hosts: &[Host], api: &Api) -> Vec<Project> {
    let names = (0..hosts.len() * PROJECTS).map(|number| {
        let name = format!("shop-{number}");
        let made = api.post("/projects", &json!({ "name": name })).ok();
        let host = &hosts[number % hosts.len()];
        Project {
            number,
            name,
            id: made["id"].as_str().expect("a project has an id").to_owned(),
            host: host.number,
            target: host.agent.name().to_owned(),
        }
    });
    names.collect()
}
