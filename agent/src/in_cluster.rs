//! An agent in a cluster, or beside one with a kubeconfig: an agent like any other, with another executor.
//!
//! Its pod may go at any time and its folder with it, so its identity is kept in a Secret; and a second pod may come before
//! the first has gone, so it works only while it has the lease. When it loses that, the process ends at once, and is
//! started again to wait for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::agent::{self, Options, Pace};
use crate::config::ClusterArgs;
use crate::dial::Dialer;
use crate::enroll::{Enrolment, Existing, enrol};
use crate::executor::kubernetes::{Access, Home, KubernetesConfig, KubernetesExecutor};
use crate::identity::Identity;
use crate::logs::LogLimits;
use crate::policy_file;
use crate::proxy::Proxies;
use crate::relay::Relay;
use crate::state_dir::{StateDir, write_durably};
use crate::upgrade::{Program, Standing, Terms, Upgrades};

/// Where a pod finds the namespace that it is in.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// How often to look whether the identity was renewed.
const LOOK: Duration = Duration::from_secs(10);
/// How often to look whether the cluster is there.
const CAPABILITIES: Duration = Duration::from_secs(15);

/// Works until `stop` is tripped, or the lease is lost.
pub async fn run(args: ClusterArgs, stop: CancellationToken) -> anyhow::Result<()> {
    let policy = policy_file::load(&args.policy)?;
    let access = match &args.kubeconfig {
        Some(path) => Access::Kubeconfig(path.clone(), args.context.clone()),
        None => Access::InCluster,
    };
    let own = own_namespace(&args)?;
    let namespace = args.namespace.clone();
    if namespace == own {
        bail!(
            "{own} is the namespace of the agent itself, in which no job works: its pods could read the agent's identity; \
             give another --namespace"
        );
    }
    let dir = StateDir::open(&args.state.state_dir)?;
    let dialer = Dialer::new(Proxies::from_env()?);
    let holder = holder(&args)?;
    let home = Home::open(&access, &own, &holder).await?;
    let lead = tokio::select! {
        lead = home.lead() => lead?,
        () = stop.cancelled() => return Ok(()),
    };
    let identity = identity(&home, &dir, &dialer, &args).await?;
    tracing::info!(agent = %identity.agent(), namespace, "starting in a cluster");
    let executor = KubernetesExecutor::new(KubernetesConfig {
        access,
        namespace,
        home: Some(own),
        policy: policy.jobs,
        cluster: policy.cluster,
    });
    let keeper = tokio::spawn(keep(home.clone(), dir.identity()));
    let ends = either(&stop, lead.lost());
    let finished = agent::run(options(dir, dialer)?, Arc::new(executor), ends).await;
    keeper.abort();
    if lead.lost().is_cancelled() {
        bail!(
            "the lease was lost to another agent, or could not be renewed; this one ends and waits for it"
        );
    }
    lead.leave().await;
    finished?;
    Ok(())
}

/// The namespace of the lease and the identity.
fn own_namespace(args: &ClusterArgs) -> anyhow::Result<String> {
    if let Some(namespace) = &args.own_namespace {
        return Ok(namespace.clone());
    }
    let read = std::fs::read_to_string(OWN_NAMESPACE);
    let name =
        read.context("cannot tell which namespace the agent is at home in; give --own-namespace")?;
    Ok(name.trim().to_owned())
}

/// Who this agent is among those that want the lease.
fn holder(args: &ClusterArgs) -> anyhow::Result<String> {
    // A container that is started again in its pod has the lease still.
    if let Some(pod) = &args.pod {
        return Ok(pod.clone());
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.context("cannot tell the name of this machine; give --pod")?;
    Ok(format!("{}_{}", host.trim(), std::process::id()))
}

/// The identity that is kept in the cluster, or a new one by the token.
async fn identity(
    home: &Home,
    dir: &StateDir,
    dialer: &Dialer,
    args: &ClusterArgs,
) -> anyhow::Result<Identity> {
    if let Some(kept) = home.identity().await? {
        // A renewal that was not kept any more is lost with its pod; what is kept works for days.
        write_durably(&dir.identity(), &kept).context("cannot write the identity")?;
        return Ok(Identity::load(dir)?);
    }
    let token = args.token.clone().context(
        "this agent is not enrolled: its Secret towline-agent-identity has no identity, and TOWLINE_ENROLMENT_TOKEN is not set; \
         make a token with `towline agents token NAME --kubernetes`",
    )?;
    let enrolment = Enrolment {
        token: token.trim().to_owned(),
        name: args.name.clone().unwrap_or_else(|| "kubernetes".to_owned()),
        existing: Existing::Replace,
    };
    let new = enrol(dir, dialer, &enrolment).await?;
    if let Some(warning) = new.clock {
        tracing::warn!("{warning}");
    }
    let written = read(&dir.identity()).context("cannot read the identity")?;
    home.keep_identity(&written).await?;
    Ok(new.identity)
}

/// Keeps the identity in the cluster whenever it is renewed.
async fn keep(home: Home, path: PathBuf) {
    let mut kept = read(&path).ok();
    loop {
        tokio::time::sleep(LOOK).await;
        let now = read(&path).ok();
        if now.is_none() || now == kept {
            continue;
        }
        let identity = now.as_deref().map_or(&[][..], Vec::as_slice);
        match home.keep_identity(identity).await {
            Ok(()) => kept = now,
            Err(error) => tracing::warn!(%error, "the renewed identity is not kept yet"),
        }
    }
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    std::fs::read(path).map(Zeroizing::new)
}

/// Tripped when one of both is.
fn either(one: &CancellationToken, other: &CancellationToken) -> CancellationToken {
    let (either, one, other) = (CancellationToken::new(), one.clone(), other.clone());
    let tripped = either.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = one.cancelled() => {}
            () = other.cancelled() => {}
        }
        tripped.cancel();
    });
    either
}

fn options(dir: StateDir, dialer: Dialer) -> anyhow::Result<Options> {
    let terms = Terms {
        relay: Relay::new(dir.clone(), dialer.clone()),
        program: Program::here().context("cannot tell which program this is")?,
        // It becomes another version with its image.
        release_keys: dir.root().join("release-keys"),
        downgrade: towline_shared::policy::Permission::Deny,
    };
    Ok(Options {
        dir,
        dialer,
        engine_data: None,
        pace: Pace {
            capabilities: CAPABILITIES,
            ..Pace::default()
        },
        logs: LogLimits::default(),
        upgrades: Upgrades {
            terms,
            standing: Standing::Fresh,
            patience: Duration::ZERO,
        },
    })
}
