//! `towline-cluster`: a Kubernetes API server in memory, until it is ended.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use towline_cluster::{Cluster, LoadBalancers, MetricsServer, Settings};

/// Runs a Kubernetes API server in memory
#[derive(Debug, Parser)]
#[command(name = "towline-cluster")]
struct Arguments {
    /// Write `kubeconfig`, and `ready` when it listens, into this folder
    #[arg(long)]
    folder: PathBuf,
    /// Listen here
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Have a metrics server
    #[arg(long)]
    metrics: bool,
    /// Give addresses to Services of type `LoadBalancer`
    #[arg(long)]
    load_balancers: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings {
        listen: arguments.listen,
        metrics: if arguments.metrics {
            MetricsServer::Present
        } else {
            MetricsServer::Absent
        },
        load_balancers: if arguments.load_balancers {
            LoadBalancers::Given
        } else {
            LoadBalancers::Never
        },
        ..Settings::default()
    };
    let mut end = signal(SignalKind::terminate())?;
    let cluster = Cluster::start(settings).await?;
    let file = |name: &str| arguments.folder.join(name);
    fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("making {}", arguments.folder.display()))?;
    fs::write(file("kubeconfig"), cluster.kubeconfig()).context("writing the kubeconfig")?;
    fs::write(file("ready"), cluster.url()).context("writing that it is ready")?;
    end.recv().await;
    Ok(())
}
