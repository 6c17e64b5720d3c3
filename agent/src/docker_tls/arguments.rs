//! The command line of `towline-agent docker-tls`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Docker's own API over TLS on this host, for clients that do without Towline.
#[derive(Debug, Subcommand)]
pub enum DockerTls {
    /// Issue certificates, put them into daemon.json, restart the engine and check it; if a step fails, all is put back.
    Enable(EnableArgs),
    /// Put back what was there before.
    Disable(WordArgs),
    /// Issue the certificates anew, and restart the engine, which does not read them again by itself.
    Renew(RenewArgs),
    /// Show whether it is enabled, for which names, and until when.
    Status(WordArgs),
}

/// Where it is.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The engine's configuration; the certificates lie beside it, in towline-tls.
    #[arg(long, default_value = "/etc/docker/daemon.json", value_name = "FILE")]
    pub daemon_json: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `disable` and `status`.
#[derive(Debug, Args)]
pub struct WordArgs {
    /// Where it is.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `enable`.
#[derive(Debug, Args)]
pub struct EnableArgs {
    /// Where the engine is to listen.
    #[arg(long, default_value = "0.0.0.0:2376", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// A name by which clients reach the host, beside those that are found; give it several times for several.
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// An address, likewise.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Vec<String>,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// The engine's local socket, which stays.
    #[arg(
        long,
        env = "TOWLINE_AGENT_DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock",
        value_name = "URL"
    )]
    pub docker_host: String,
    /// The engine's program, which checks the new configuration; that of its unit, or on PATH, unless this says.
    #[arg(long, value_name = "FILE")]
    pub dockerd: Option<PathBuf>,
    /// How many seconds the engine may take to answer after a restart.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub patience: u64,
    /// Where it is.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The program that restarts the engine, and its arguments, where neither systemd nor OpenRC does; the last option.
    #[arg(long, num_args = 1.., allow_hyphen_values = true, value_name = "PROGRAM")]
    pub restart_command: Vec<String>,
}

/// `renew`.
#[derive(Debug, Args)]
pub struct RenewArgs {
    /// Only when half of the certificate's life is over, and only if no container stops by it (live-restore).
    #[arg(long)]
    pub if_due: bool,
    /// Where it is.
    #[command(flatten)]
    pub place: PlaceArgs,
}
