//! An installation whose processes die at points and come back.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use towline_shared::failpoint::{REACHED, SET};
use towline_tests::agent::AgentPlan;
use towline_tests::compose::ComposeFolder;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::git_server::Repository;
use towline_tests::patience::wait_until;
use towline_tests::process::Process;
use towline_tests::scratch::Scratch;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

use crate::cases::Case;
use crate::tally::Tally;

/// Within which a point must be reached; a lease that nobody renews runs out after 30 s.
const DEATH_LIMIT: Duration = Duration::from_mins(1);
/// Between two attempts to lead a process to its point.
const PAUSE: Duration = Duration::from_millis(50);
/// What an agent's log says when it is not connected, or not any more.
const OTHERWISE: [&str; 4] = [
    "the journal was read",
    "dialling again",
    "no connection",
    "closed the link",
];
/// What hosts of the stages may do.
const POLICY: &str = "build = \"allow\"\n";

type Environment = Vec<(String, String)>;

/// A project that was made for one case.
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Which processes start anew when a point is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Both: an agent whose control plane has died often waits long until it dials again.
    Both,
    /// Only the one that will die.
    Alone,
}

/// An installation, and what the present case has done to it.
pub struct Stage<'t> {
    /// The installation.
    pub story: Installation,
    /// Its database.
    pub database: DatabaseKind,
    /// What all cases have come to.
    pub tally: &'t Tally,
    reached: Scratch,
    case: Option<Case>,
    restarted: Instant,
}

impl<'t> Stage<'t> {
    /// On the engine of the run that the end to end tests pair with this database.
    pub fn start(database: DatabaseKind, tally: &'t Tally) -> Self {
        let engine = match database {
            DatabaseKind::Sqlite => EngineKind::New,
            DatabaseKind::Postgres => EngineKind::Old,
        };
        Self::over(
            ServerPlan::new(database),
            engine,
            AgentPlan::new(&unique("host")),
            tally,
        )
    }

    /// With these plans.
    pub fn over(
        mut server: ServerPlan,
        engine: EngineKind,
        mut agent: AgentPlan,
        tally: &'t Tally,
    ) -> Self {
        agent.policy = Some(POLICY.to_owned());
        let database = server.database;
        // Where the repositories are.
        let loopback = ["--egress-allow", "127.0.0.0/8", "--egress-allow-http"];
        server.arguments.extend(loopback.map(str::to_owned));
        Self {
            story: Installation::over(server, Engine::shared(engine), agent),
            database,
            tally,
            reached: Scratch::new("points"),
            case: None,
            restarted: Instant::now(),
        }
    }

    /// A new project with these files.
    pub fn project(&self, files: &ComposeFolder) -> Project {
        let (id, name) = self.story.project("point", files).leave();
        Project { id, name }
    }

    /// A new project that comes from a repository.
    pub fn project_from(&self, repository: &Repository) -> Project {
        let name = unique("point");
        let made = self
            .story
            .api
            .post("/projects", &json!({ "name": name }))
            .ok();
        let id = made["id"].as_str().expect("a project has an id").to_owned();
        let source = json!({ "url": repository.url() });
        self.story
            .api
            .put(&format!("/projects/{id}/source"), &source)
            .ok();
        Project { id, name }
    }

    /// Replaces a project's files.
    pub fn replace_files(&self, project: &Project, files: &ComposeFolder) {
        let path = format!("/projects/{}/files", project.id);
        let request = self.story.api.request(Method::PUT, &path);
        let request = request.header("Content-Type", "application/x-tar");
        self.story.api.send(request.body(files.archive())).ok();
    }

    /// Sets the case's point and starts the process that will die there.
    pub fn arm(&mut self, case: &Case, company: Company) {
        let variables = self.variables(case);
        self.case = Some(*case);
        if is_plane(case) {
            self.story.server.kill();
            self.story.server.plan().environment.extend(variables);
            if company == Company::Both {
                self.story.agent.kill();
            }
            self.story.server.launch();
            if company == Company::Both {
                self.story.agent.start();
            }
        } else {
            self.story.agent.kill();
            self.story.agent.plan().environment.extend(variables);
            self.story.agent.start();
        }
    }

    /// The variables that set a case's point.
    pub fn variables(&self, case: &Case) -> Environment {
        let _ = std::fs::remove_file(self.file());
        let action = match case.nth {
            1 => "return".to_owned(),
            nth => format!("{}*off->return", nth - 1),
        };
        vec![
            (SET.to_owned(), format!("{}={action}", case.point)),
            (REACHED.to_owned(), self.file().display().to_string()),
        ]
    }

    /// Does what leads to the point until the process has died there.
    pub fn until_death(&mut self, mut lead: impl FnMut(&mut Self)) {
        let case = self.case.expect("a point is set");
        let end = Instant::now() + DEATH_LIMIT;
        let status = loop {
            if let Some(status) = self.doomed().ended() {
                break status;
            }
            assert!(
                Instant::now() < end,
                "{} was not reached within {DEATH_LIMIT:?}\n{}",
                case.name(),
                self.doomed().log_tail()
            );
            lead(self);
            std::thread::sleep(PAUSE);
        };
        let log = self.doomed().log_tail();
        self.died(&case, status, &log);
    }

    /// Sees that a process has died at the point of a case.
    pub fn died(&mut self, case: &Case, status: ExitStatus, log: &str) {
        let lines = std::fs::read_to_string(self.file()).unwrap_or_default();
        let times = lines.lines().filter(|line| *line == case.point).count();
        let is_abort = status.signal() == Some(Signal::ABORT.as_raw());
        assert!(
            is_abort && times >= case.nth,
            "it ended by {status}, not at {}, which it has reached {times} times; were the programs built with failpoints?\n{log}",
            case.name()
        );
        self.tally.reached(self.database, case.point);
        self.restarted = Instant::now();
    }

    /// Starts the process that has died, with no point set.
    pub fn recover(&mut self) {
        let case = self.case.take().expect("a point was set");
        self.restarted = Instant::now();
        if is_plane(&case) {
            self.story.server.kill();
            disarm(&mut self.story.server.plan().environment);
            self.story.server.start_again();
        } else {
            self.story.agent.kill();
            disarm(&mut self.story.agent.plan().environment);
            self.story.agent.start();
        }
    }

    /// All is as it should be: tells how long that took.
    pub fn recovered(&self, case: &Case) {
        self.tally.recovered(self.restarted.elapsed(), &case.name());
    }

    /// Ends the installation and looks at what it leaves: no job in the journal, a whole audit log.
    pub fn close(mut self) {
        let held = self.restart_agent();
        assert!(
            held.contains("\"held\":0"),
            "the agent still holds jobs: {held}"
        );
        self.story.agent.stop();
        assert!(self.story.server.stop().success());
        let verified = self.story.server.admin(&["verify-audit"]);
        assert!(verified.contains("The audit log is whole"), "{verified}");
    }

    /// Waits until the agent is connected, and the control plane says so. What that says alone is not enough: on a server
    /// it takes its word back only after a while when it has died.
    pub fn wait_online(&self) {
        wait_until("the agent is connected", DEATH_LIMIT, || {
            let is_online = || self.story.first_agent()["status"] == "online";
            (is_connected(&self.story.agent.log()) && is_online()).then_some(())
        });
    }

    /// Has the agent connect anew, by what lies in its folder. It also forgets how often its control plane was gone: the
    /// pauses between its attempts grow up to 30 s.
    pub fn reconnect(&mut self) {
        self.restart_agent();
        self.wait_online();
    }

    /// Ends the agent and starts it again; gives what it says of its journal.
    fn restart_agent(&mut self) -> String {
        self.story.agent.stop();
        let before = starts_in(&self.story.agent.log()).len();
        self.story.agent.start();
        let agent = self.story.agent.running();
        agent.wait_until("its journal is read", DEATH_LIMIT, |agent| {
            starts_in(&agent.log()).get(before).cloned()
        })
    }

    fn file(&self) -> PathBuf {
        self.reached.join("reached")
    }

    fn doomed(&mut self) -> &mut Process {
        if self.case.as_ref().is_some_and(is_plane) {
            self.story.server.running()
        } else {
            self.story.agent.running()
        }
    }
}

/// What an agent's log says of its journal at each start.
fn starts_in(log: &str) -> Vec<String> {
    let lines = log
        .lines()
        .filter(|line| line.contains("the journal was read"));
    lines.map(str::to_owned).collect()
}

/// Whether an agent's log says last that it is connected.
fn is_connected(log: &str) -> bool {
    let said = |line: &&str| {
        line.contains("\"message\":\"connected\"")
            || OTHERWISE.iter().any(|words| line.contains(words))
    };
    let last = log.lines().rev().find(said);
    last.is_some_and(|line| line.contains("\"message\":\"connected\""))
}

fn is_plane(case: &Case) -> bool {
    case.point.starts_with("plane: ")
}

fn disarm(environment: &mut Environment) {
    environment.retain(|(name, _)| name != SET && name != REACHED);
}
