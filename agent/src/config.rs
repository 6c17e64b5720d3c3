//! The command line, and the environment variables that stand in for it.

use std::path::PathBuf;

use crate::docker_tls::arguments::DockerTls;
use crate::policy_file::DEFAULT_POLICY;
use crate::upgrade::DEFAULT_RELEASE_KEYS;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Towline's agent: runs on a host, dials out to the control plane, and does its jobs here.
#[derive(Debug, Parser)]
#[command(name = "towline-agent", version, disable_help_subcommand = true)]
pub struct CommandLine {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
    /// How log lines look: for people on a terminal and as JSON otherwise, unless this says.
    #[arg(long, global = true, env = "TOWLINE_AGENT_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged (`info`, `debug`, `towline_agent=trace,info`).
    #[arg(
        long,
        global = true,
        env = "TOWLINE_AGENT_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this host an agent of a control plane, by a token from `towline agents token`.
    Enroll(EnrollArgs),
    /// Run: connect and do jobs, until SIGTERM.
    Run(RunArgs),
    /// Run in a Kubernetes cluster, or beside one with a kubeconfig: connect and do jobs there, until SIGTERM.
    #[cfg(feature = "kubernetes")]
    RunInCluster(ClusterArgs),
    /// Run beside a control plane, for an engine that is reached over TLS; what to do comes by standard input.
    #[command(hide = true)]
    RunBeside(StateArgs),
    /// Show who this agent is and how its connection was last.
    Status(StatusArgs),
    /// Verify the signature of an agent's program by this host's release keys.
    Verify(VerifyArgs),
    /// Docker's own API over TLS on this host, for clients that do without Towline.
    #[command(subcommand)]
    DockerTls(DockerTls),
    /// Print the version.
    Version,
}

/// The state folder.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// Where the agent keeps its identity, its journal and its logs.
    #[arg(
        long,
        env = "TOWLINE_AGENT_STATE_DIR",
        default_value = "/var/lib/towline-agent",
        value_name = "DIR"
    )]
    pub state_dir: PathBuf,
}

/// `enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// The enrolment token; `-` reads it from standard input, so that it shows in no process list.
    #[arg(long, env = "TOWLINE_AGENT_TOKEN", hide_env_values = true)]
    pub token: String,
    /// The name of this host in Towline; its host name, unless this says.
    #[arg(long, env = "TOWLINE_AGENT_NAME")]
    pub name: Option<String>,
    /// Replace an identity that is there already.
    #[arg(long)]
    pub force: bool,
    /// Where to keep it.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The Docker engine.
    #[arg(
        long,
        env = "TOWLINE_AGENT_DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock",
        value_name = "URL"
    )]
    pub docker_host: String,
    /// What jobs may do on this host; the strict default, when the file is not there.
    #[arg(
        long,
        env = "TOWLINE_AGENT_POLICY",
        default_value = DEFAULT_POLICY,
        value_name = "FILE"
    )]
    pub policy: PathBuf,
    /// The most bytes of one job's log that wait on disk for the control plane; its output is
    /// slowed beyond.
    #[arg(long, env = "TOWLINE_AGENT_SPOOL_BYTES", default_value_t = 256 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(1024 * 1024..), value_name = "BYTES")]
    pub spool_bytes: u64,
    /// How many seconds at most, 1 to 3600, pass between two attempts to connect. The first pauses after a loss are
    /// shorter; each is chosen by chance, so that many agents do not come back at once.
    #[arg(long, env = "TOWLINE_AGENT_RECONNECT_WITHIN", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub reconnect_within: u64,
    /// The public keys of releases that this agent may become by its control plane's word; without the file, none.
    #[arg(
        long,
        env = "TOWLINE_AGENT_RELEASE_KEYS",
        default_value = DEFAULT_RELEASE_KEYS,
        value_name = "FILE"
    )]
    pub release_keys: PathBuf,
    /// How many seconds after an upgrade, 5 to 3600, the new agent may take until the control plane has welcomed it; then
    /// the former one comes back.
    #[arg(long, env = "TOWLINE_AGENT_UPGRADE_PATIENCE", default_value_t = 120, value_parser = clap::value_parser!(u64).range(5..=3600), value_name = "SECONDS")]
    pub upgrade_patience: u64,
    /// Only see whether it would run: read everything, connect once, print the version, and end. The agent that is
    /// upgraded asks this of the one that takes its place.
    #[arg(long, hide = true)]
    pub trial: bool,
    /// Where it keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `run-in-cluster`.
#[cfg(feature = "kubernetes")]
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// How the cluster is reached; as a pod of it, when none is given.
    #[arg(long, env = "TOWLINE_AGENT_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig; its current one, when none is given.
    #[arg(long, requires = "kubeconfig", value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace that jobs work in, and of objects that name none; not the agent's own.
    #[arg(long, env = "TOWLINE_AGENT_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: String,
    /// The namespace of the agent's own lease and identity; that of its pod, when none is given.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub own_namespace: Option<String>,
    /// Who this agent is among those that want the lease; the name of its pod.
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    pub pod: Option<String>,
    /// The enrolment token, which is used once: the identity is kept in the Secret towline-agent-identity.
    #[arg(long, env = "TOWLINE_ENROLMENT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// What the agent calls itself when it enrols.
    #[arg(long, env = "TOWLINE_AGENT_NAME")]
    pub name: Option<String>,
    /// What jobs may do in this cluster; the strict default, when the file is not there.
    #[arg(
        long,
        env = "TOWLINE_AGENT_POLICY",
        default_value = DEFAULT_POLICY,
        value_name = "FILE"
    )]
    pub policy: PathBuf,
    /// Where it keeps its state, as long as its pod lives.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The program; its signature lies beside it, with `.minisig` behind its name.
    pub file: PathBuf,
    /// The public keys that count.
    #[arg(
        long,
        env = "TOWLINE_AGENT_RELEASE_KEYS",
        default_value = DEFAULT_RELEASE_KEYS,
        value_name = "FILE"
    )]
    pub release_keys: PathBuf,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Where it keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::CommandLine::command().debug_assert();
    }
}
