//! The Docker API of a host that is reached by its agent's outgoing connection alone, by unmodified clients.

#[path = "docker_api/commands.rs"]
mod commands;
#[path = "docker_api/refusals.rs"]
mod refusals;
#[path = "docker_api/streams.rs"]
mod streams;

use std::net::Ipv4Addr;

use serde_json::json;
use towline_tests::agent::AgentPlan;
use towline_tests::cli::Cli;
use towline_tests::docker_client::DockerClient;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::ports::free_address;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

/// What a host's owner writes to let people use its engine.
const ALLOWED: &str = "docker_api = \"allow\"\n";

/// An installation with a host whose engine its admin may use.
struct Reached {
    story: Installation,
    cli: Cli,
    client: DockerClient,
}

impl Reached {
    fn start(database: DatabaseKind, engine: Engine) -> Self {
        let story = installation(database, engine, Some(ALLOWED));
        let cli = story.cli();
        grant(&story, &cli);
        let client = DockerClient::new(&cli, story.agent.name(), story.engine.kind());
        Self { story, cli, client }
    }

    fn embedded() -> Self {
        Self::start(DatabaseKind::Sqlite, Engine::shared(EngineKind::New))
    }

    fn scaled_out() -> Self {
        Self::start(DatabaseKind::Postgres, Engine::shared(EngineKind::Old))
    }

    /// What was written down of requests, the newest first: method, path, container.
    fn audited(&self) -> Vec<String> {
        let audit = self
            .story
            .api
            .get("/audit?action=docker.request&limit=100")
            .ok();
        let entries = audit["items"].as_array().unwrap().iter();
        entries
            .map(|entry| {
                let detail = &entry["detail"];
                let container = detail["container"].as_str().unwrap_or_default();
                let text = |name: &str| detail[name].as_str().unwrap().to_owned();
                format!("{} {} {container}", text("method"), text("path"))
            })
            .collect()
    }
}

fn installation(database: DatabaseKind, engine: Engine, policy: Option<&str>) -> Installation {
    let mut plan = ServerPlan::new(database);
    let listen = free_address(Ipv4Addr::LOCALHOST.into()).to_string();
    plan.arguments = vec!["--docker-listen".to_owned(), listen];
    let mut agent = AgentPlan::new(&unique("host"));
    agent.policy = policy.map(str::to_owned);
    Installation::over(plan, engine, agent)
}

fn grant(story: &Installation, cli: &Cli) {
    let me = story.api.get("/me").ok();
    let email = me["user"]["email"].as_str().unwrap();
    cli.run(&["docker", "grant", story.agent.name(), email])
        .ok();
}

fn ungrant(story: &Installation) {
    let me = story.api.get("/me").ok();
    let user = me["user"]["id"].as_str().unwrap();
    let path = format!("/targets/{}/docker/grants/{user}", story.target());
    let request = story.api.request(reqwest::Method::DELETE, &path);
    let ended = story.api.send(request.json(&json!({})));
    assert_eq!(ended.status, 204);
}
