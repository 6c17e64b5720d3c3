//! A real agent in a runtime of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use towline_agent::agent::{self, AgentError, Finish, Options, Pace};
use towline_agent::dial::Dialer;
use towline_agent::executor::fake::{FakeExecutor, FakeHost};
use towline_agent::identity::Identity;
use towline_agent::link::Eagerness;
use towline_agent::logs::LogLimits;
use towline_agent::proxy::Proxies;
use towline_agent::relay::Relay;
use towline_agent::state_dir::StateDir;
use towline_agent::upgrade::{Program, Standing, Terms, Upgrades};
use towline_shared::policy::Permission;

use super::PATIENCE;

/// A host with an agent on it: the folder and the engine stay when the agent dies.
pub struct TestHost {
    home: TempDir,
    pub fake: FakeHost,
    pub proxies: Proxies,
    pub logs: LogLimits,
}

/// A running agent.
pub struct TestAgent {
    runtime: Option<Runtime>,
    run: JoinHandle<Result<Finish, AgentError>>,
    stop: CancellationToken,
}

impl TestHost {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            fake: FakeHost::default(),
            proxies: Proxies::default(),
            logs: LogLimits::default(),
        }
    }

    pub fn with(identity: &Identity) -> Self {
        let host = Self::new();
        identity.save(&host.dir()).unwrap();
        host
    }

    pub fn path(&self) -> &Path {
        self.home.path()
    }

    pub fn dir(&self) -> StateDir {
        StateDir::open(self.home.path()).unwrap()
    }

    pub fn identity(&self) -> Identity {
        Identity::load(&self.dir()).unwrap()
    }

    pub fn job_folders(&self) -> usize {
        std::fs::read_dir(self.dir().jobs()).unwrap().count()
    }

    pub fn dialer(&self) -> Dialer {
        Dialer::new(self.proxies.clone())
    }

    pub fn start(&self) -> TestAgent {
        self.start_in(self.dir())
    }

    pub fn start_in(&self, dir: StateDir) -> TestAgent {
        // Nobody upgrades a test: it trusts no key.
        let upgrades = Upgrades {
            terms: Terms {
                relay: Relay::new(dir.clone(), self.dialer()),
                program: Program::at(self.home.path().join("towline-agent")),
                release_keys: self.home.path().join("release-keys"),
                downgrade: Permission::Deny,
            },
            standing: Standing::Fresh,
            patience: PATIENCE,
        };
        let options = Options {
            dir,
            dialer: self.dialer(),
            engine_data: Some("/".into()),
            pace: Pace {
                link: Eagerness {
                    first: Duration::from_millis(20),
                    cap: Duration::from_millis(200),
                },
                tick: Duration::from_millis(50),
                sample: Duration::from_millis(100),
                capabilities: Duration::from_millis(200),
                stop_work: Duration::from_millis(500),
            },
            logs: self.logs,
            upgrades,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let executor = Arc::new(FakeExecutor::new(self.fake.clone()));
        let run = runtime.spawn(agent::run(options, executor, stop.clone()));
        TestAgent {
            runtime: Some(runtime),
            run,
            stop,
        }
    }
}

impl TestAgent {
    /// Kills it between two instructions, as far as a thread can be.
    pub async fn kill(mut self) {
        self.run.abort();
        let _ = (&mut self.run).await;
        let runtime = self.runtime.take().unwrap();
        let down = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE));
        down.await.unwrap();
    }

    /// Stops it as SIGTERM does.
    pub async fn stop(mut self) -> Result<(), AgentError> {
        self.stop.cancel();
        let ended = timeout(PATIENCE, &mut self.run).await.unwrap().unwrap();
        self.runtime.take().unwrap().shutdown_background();
        ended.map(drop)
    }

    /// Waits for it to end by itself.
    pub async fn ended(mut self) -> Result<(), AgentError> {
        let ended = timeout(PATIENCE, &mut self.run).await.unwrap().unwrap();
        self.runtime.take().unwrap().shutdown_background();
        ended.map(drop)
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
