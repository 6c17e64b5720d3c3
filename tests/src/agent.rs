//! The real agent as a process on a host.

use std::{path::PathBuf, process::Command, time::Duration};

use rustix::process::Signal;

use crate::{
    clock,
    engine::Engine,
    parts::{EngineKind, binary, clean_command},
    process::{Process, output, send},
    scratch::{Scratch, processes_of},
    small_disk::SmallDisk,
};

const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Where the agent's connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The machine: the control plane is on loopback.
    Machine,
    /// The engine's own network: the control plane is at [`crate::link::MACHINE`], and the link can be cut.
    Host,
}

/// How to run an agent.
#[derive(Clone, Debug)]
pub struct AgentPlan {
    /// Its name, and its target's; the enrolment token carries it.
    pub name: String,
    /// Where its connections come from.
    pub place: Place,
    /// The host's policy file, when it has one.
    pub policy: Option<String>,
    /// The kilobytes of the disk that its state lies on, when that is a small one of its own.
    pub small_disk: Option<u32>,
    /// How far its clock is off, as [`clock::faked`] takes it (`+1h`).
    pub clock: Option<String>,
    /// The program that is run, when that is not the one which was built.
    pub program: Option<PathBuf>,
    /// More environment, such as `HTTPS_PROXY`.
    pub environment: Vec<(String, String)>,
}

impl AgentPlan {
    /// On the machine, with the default policy and a clock that is right.
    pub fn new(name: &str) -> Self {
        let environment = Vec::new();
        Self {
            name: name.to_owned(),
            place: Place::Machine,
            policy: None,
            small_disk: None,
            clock: None,
            program: None,
            environment,
        }
    }
}

/// An agent; killed with all it started when dropped.
#[derive(Debug)]
pub struct AgentProcess {
    process: Option<Process>,
    plan: AgentPlan,
    kind: EngineKind,
    docker_host: String,
    prefix: Vec<String>,
    folder: Scratch,
    disk: Option<SmallDisk>,
}

impl AgentProcess {
    /// Enrols a host by a token; panics when that fails.
    pub fn enrol(engine: &Engine, plan: AgentPlan, token: &str) -> Self {
        let agent = Self::prepare(engine, plan);
        output(agent.enrol_command(token));
        agent
    }

    /// Everything but the enrolment.
    pub fn prepare(engine: &Engine, plan: AgentPlan) -> Self {
        let folder = Scratch::new("agent");
        if let Some(policy) = &plan.policy {
            std::fs::write(folder.join("policy.toml"), policy)
                .expect("the agent's folder can be written");
        }
        let prefix = match plan.place {
            Place::Machine => Vec::new(),
            Place::Host => engine.enter_network(),
        };
        let disk = plan.small_disk.map(SmallDisk::mount);
        Self {
            process: None,
            disk,
            plan,
            kind: engine.kind(),
            docker_host: engine.docker_host(),
            prefix,
            folder,
        }
    }

    /// `towline-agent enroll`, to be run by the test.
    pub fn enrol_command(&self, token: &str) -> Command {
        let mut command = self.command("enroll");
        command.args(["--token", token]);
        command
    }

    /// Connects: `towline-agent run`.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "the agent runs");
        let mut command = self.command("run");
        command.args(["--docker-host", &self.docker_host]);
        if self.plan.policy.is_some() {
            command.arg("--policy").arg(self.folder.join("policy.toml"));
        }
        self.process = Some(Process::start(
            "towline-agent",
            command,
            &self.folder.join("agent.log"),
        ));
    }

    /// `kill -9`; what it started goes on.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// `kill -9` of it and of what it started.
    pub fn kill_with_all(&mut self) {
        self.process = None;
        for process in processes_of(&self.state_dir().display().to_string()) {
            send(process.id, Signal::KILL);
        }
    }

    /// `SIGTERM`, and waits.
    pub fn stop(&mut self) {
        self.process
            .take()
            .expect("the agent runs")
            .terminate(STOP_LIMIT);
    }

    /// `SIGSTOP`: its connections stay, and nothing moves.
    pub fn freeze(&mut self) {
        self.running().signal(Signal::STOP);
    }

    /// Ends what [`Self::freeze`] began.
    pub fn resume(&mut self) {
        self.running().signal(Signal::CONT);
    }

    /// The running process.
    pub fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the agent runs")
    }

    /// The running process's id.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the agent runs").id()
    }

    /// The plan for the next start.
    pub fn plan(&mut self) -> &mut AgentPlan {
        &mut self.plan
    }

    /// Its name, and its target's.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Its state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.disk.as_ref().map_or_else(
            || self.folder.join("state"),
            |disk| disk.path().join("state"),
        )
    }

    /// The small disk that its state lies on.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("the plan asks for a small disk")
    }

    /// Everything it has printed since its first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    fn command(&self, verb: &str) -> Command {
        let built = || binary("towline-agent");
        let agent = self.plan.program.clone().unwrap_or_else(built);
        let agent = agent.display().to_string();
        let mut words = self.prefix.iter().cloned().chain([agent]);
        let mut command = clean_command(words.next().expect("at least the agent"), self.kind);
        command
            .args(words)
            .arg(verb)
            .arg("--state-dir")
            .arg(self.state_dir());
        command.envs(
            self.plan
                .clock
                .iter()
                .flat_map(|offset| clock::faked(offset)),
        );
        command.envs(
            self.plan
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        command
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        // Also what a killed agent leaves running on purpose, so that its successor can adopt it.
        self.kill_with_all();
    }
}
