//! This host, as all its jobs share it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use towline_shared::policy::HostPolicy;

use super::DockerConfig;
use super::engine::Engine;
use super::plugin::ComposePlugin;
use super::resolve::Models;

/// What all jobs of this host share.
pub(super) struct Host {
    pub engine: Engine,
    pub policy: HostPolicy,
    pub state_dir: PathBuf,
    pub docker_config: PathBuf,
    pub models: Models,
    /// One job at a time works on a compose project.
    busy: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Host {
    pub fn new(config: DockerConfig) -> Self {
        Self {
            engine: Engine::new(&config.host),
            policy: config.policy,
            state_dir: config.state_dir,
            docker_config: config.docker_config,
            models: Models::default(),
            busy: Mutex::default(),
        }
    }

    /// The compose plugin, looked for anew: it may be installed while the agent runs.
    pub fn plugin(&self) -> Option<ComposePlugin> {
        ComposePlugin::find(&self.docker_config)
    }

    /// What a job holds while it works on a compose project.
    pub fn turn(&self, project: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(busy.entry(project.to_owned()).or_default())
    }
}
