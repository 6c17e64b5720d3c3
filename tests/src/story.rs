//! A whole installation: control plane, set-up done, an agent enrolled and online. A test begins here.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    agent::{AgentPlan, AgentProcess},
    api::Api,
    cli::Cli,
    compose::ComposeFolder,
    engine::{Engine, EngineKind},
    events::Events,
    patience::wait_until,
    ports::free_address,
    proxy::Proxy,
    server::{DatabaseKind, ServerPlan, ServerProcess, SetupLink},
};

/// An agent connects at once; the machine may be busy.
const ONLINE_LIMIT: Duration = Duration::from_secs(30);
/// States that never change again.
const TERMINAL: [&str; 3] = ["succeeded", "failed", "cancelled"];

/// A control plane with one agent, connected through a proxy that can be cut.
#[derive(Debug)]
pub struct Installation {
    /// The first agent.
    pub agent: AgentProcess,
    /// The control plane.
    pub server: ServerProcess,
    /// What every agent's connection goes through.
    pub link: Proxy,
    /// The first agent's engine.
    pub engine: Engine,
    /// The first admin's client.
    pub api: Api,
    setup: SetupLink,
}

impl Installation {
    /// On the engine that the run shares.
    pub fn start(database: DatabaseKind, engine: EngineKind) -> Self {
        Self::over(
            ServerPlan::new(database),
            Engine::shared(engine),
            AgentPlan::new(&unique("host")),
        )
    }

    /// With these parts.
    pub fn over(mut plan: ServerPlan, engine: Engine, agent: AgentPlan) -> Self {
        let agent_listen = plan
            .agent_listen
            .unwrap_or_else(|| free_address(Ipv4Addr::LOCALHOST.into()));
        let link = Proxy::start(agent_listen);
        plan.agent_listen = Some(agent_listen);
        plan.agents_connect_to = Some(link.address());
        let mut server = ServerProcess::start(plan);
        let setup = server.setup_link();
        let api = set_up(&server.public_api(), &setup);
        let token = enrolment_token_for(&api, &agent.name);
        let mut agent = AgentProcess::enrol(&engine, agent, &token);
        agent.start();
        let installation = Self {
            agent,
            server,
            link,
            engine,
            api,
            setup,
        };
        installation.wait_online(1);
        installation
    }

    /// Enrols and starts another agent.
    pub fn add_agent(&self, engine: &Engine, plan: AgentPlan) -> AgentProcess {
        let online = self.online();
        let token = enrolment_token_for(&self.api, &plan.name);
        let mut agent = AgentProcess::enrol(engine, plan, &token);
        agent.start();
        self.wait_online(online + 1);
        agent
    }

    /// Waits until this many agents are online.
    pub fn wait_online(&self, count: usize) {
        wait_until(&format!("{count} agents online"), ONLINE_LIMIT, || {
            (self.online() == count).then_some(())
        });
    }

    /// How many agents are online.
    pub fn online(&self) -> usize {
        let agents = self.api.get("/agents").ok();
        items(&agents)
            .iter()
            .filter(|agent| agent["status"] == "online")
            .count()
    }

    /// The first agent as the API shows it.
    pub fn first_agent(&self) -> Value {
        self.agent_named(self.agent.name())
    }

    /// An agent as the API shows it.
    pub fn agent_named(&self, name: &str) -> Value {
        let agents = self.api.get("/agents").ok();
        let found = items(&agents).iter().find(|agent| agent["name"] == name);
        found
            .unwrap_or_else(|| panic!("no agent {name}: {agents}"))
            .clone()
    }

    /// The first agent's target.
    pub fn target(&self) -> String {
        text(&self.first_agent()["target_id"])
    }

    /// A handle of a deployment, by its id.
    pub fn deployment(&self, id: &str) -> Deployment<'_> {
        Deployment {
            api: &self.api,
            id: id.to_owned(),
        }
    }

    /// The secret of the set-up link, which is used up.
    pub fn setup_token(&self) -> &str {
        &self.setup.token
    }

    /// The fingerprint of its authority.
    pub fn authority_fingerprint(&self) -> &str {
        &self.setup.fingerprint
    }

    /// The admin's `towline`, logged in.
    pub fn cli(&self) -> Cli {
        let cli = Cli::new();
        let (url, fingerprint) = (self.server.url(), &self.setup.fingerprint);
        cli.run(&[
            "login",
            &url,
            "--key",
            self.api.key(),
            "--ca-fingerprint",
            fingerprint,
        ])
        .ok();
        cli
    }

    /// A new project, of a name that no other test has, with these files.
    pub fn project(&self, name: &str, files: &ComposeFolder) -> Project<'_> {
        let name = unique(name);
        let id = text(&self.api.post("/projects", &json!({ "name": name })).ok()["id"]);
        let project = Project {
            installation: self,
            id,
            name,
        };
        project.upload(files).ok();
        project
    }
}

/// A project; what it left on the first agent's engine is removed when dropped.
#[derive(Debug)]
pub struct Project<'i> {
    installation: &'i Installation,
    /// Its id.
    pub id: String,
    /// Its name, which is part of its compose project's name.
    pub name: String,
}

impl Project<'_> {
    /// Replaces its files.
    pub fn upload(&self, files: &ComposeFolder) -> crate::api::Answer {
        self.upload_archive(files.archive())
    }

    /// Replaces its files by an archive of any kind.
    pub fn upload_archive(&self, archive: Vec<u8>) -> crate::api::Answer {
        let api = &self.installation.api;
        let request = api.request(
            reqwest::Method::PUT,
            &format!("/projects/{}/files", self.id),
        );
        api.send(
            request
                .header("Content-Type", "application/x-tar")
                .body(archive),
        )
    }

    /// Deploys it to the first agent.
    pub fn deploy(&self) -> Deployment<'_> {
        let answer = self.request_deployment(&json!({ "target": self.installation.target() }));
        self.deployment(&answer.ok())
    }

    /// Asks for a deployment and returns the answer.
    pub fn request_deployment(&self, body: &Value) -> crate::api::Answer {
        self.installation
            .api
            .post(&format!("/projects/{}/deployments", self.id), body)
    }

    /// A handle of a deployment that the API showed.
    pub fn deployment(&self, shown: &Value) -> Deployment<'_> {
        Deployment {
            api: &self.installation.api,
            id: text(&shown["id"]),
        }
    }

    /// Its id and name; what it leaves on the engine stays.
    pub fn leave(self) -> (String, String) {
        let names = (self.id.clone(), self.name.clone());
        std::mem::forget(self);
        names
    }

    /// Its containers on the first agent's engine.
    pub fn containers(&self) -> Vec<Value> {
        self.installation.engine.containers(&self.name)
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        self.installation.engine.remove_project(&self.name);
    }
}

/// A deployment.
#[derive(Debug)]
pub struct Deployment<'a> {
    api: &'a Api,
    /// Its id.
    pub id: String,
}

impl Deployment<'_> {
    /// What the API shows.
    pub fn show(&self) -> Value {
        self.api.get(&format!("/deployments/{}", self.id)).ok()
    }

    /// Its status.
    pub fn status(&self) -> String {
        text(&self.show()["status"])
    }

    /// As much of its log as somebody reads.
    fn end_of_log(&self) -> String {
        const LINES: usize = 100;
        let log = self.log();
        log[log.len().saturating_sub(LINES)..].join("\n")
    }

    /// Waits for a status and returns the deployment; panics with its log when another one is final or `limit` passes.
    pub fn wait(&self, status: &str, limit: Duration) -> Value {
        let end = Instant::now() + limit;
        loop {
            let shown = self.show();
            let now = text(&shown["status"]);
            if now == status {
                return shown;
            }
            let hopeless = TERMINAL.contains(&now.as_str()) || Instant::now() > end;
            assert!(
                !hopeless,
                "deployment is {now}, not {status}: {shown}\n{}",
                self.end_of_log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks to cancel it.
    pub fn cancel(&self) -> crate::api::Answer {
        self.api
            .post(&format!("/deployments/{}/cancel", self.id), &json!({}))
    }

    /// All lines of its log so far, page by page.
    pub fn log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut from = 0;
        loop {
            let page = self
                .api
                .get(&format!(
                    "/deployments/{}/log?from={from}&limit=1000",
                    self.id
                ))
                .ok();
            let new = page["lines"].as_array().expect("a page has lines");
            lines.extend(new.iter().map(|line| text(&line["text"])));
            let next = page["next"].as_u64().unwrap_or(from);
            if new.is_empty() || next <= from {
                return lines;
            }
            from = next;
        }
    }

    /// Follows its log, after the event `last` if given.
    pub fn follow(&self, last: Option<&str>) -> Events {
        self.api
            .events(&format!("/deployments/{}/log/stream", self.id), last)
    }
}

/// A name that no other test of the run has.
pub fn unique(name: &str) -> String {
    // A version 7 id ends in random bits.
    let random = uuid::Uuid::now_v7().simple().to_string();
    format!("{name}-{}", &random[22..])
}

/// A fresh enrolment token for an agent of any name.
pub fn enrolment_token(api: &Api) -> String {
    enrolment_token_for(api, &unique("host"))
}

/// A fresh enrolment token for an agent of this name.
pub fn enrolment_token_for(api: &Api, name: &str) -> String {
    let made = api.post("/enrolment-tokens", &json!({ "name": name }));
    text(&made.ok()["token"])
}

/// Uses up the set-up link; gives the first admin's client.
pub fn set_up(api: &Api, setup: &SetupLink) -> Api {
    let admin = json!({ "token": setup.token, "email": "admin@example.com", "name": "Admin" });
    let made = api.post("/setup", &admin).ok();
    api.with_key(&text(&made["api_key"]["key"]))
}

fn items(list: &Value) -> &[Value] {
    list["items"]
        .as_array()
        .unwrap_or_else(|| panic!("no list: {list}"))
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}
