//! An agent beside its control plane, for an engine on another host that is reached over TLS.
//!
//! It is an agent like any other, over a socket that leads elsewhere. What it is told comes by its standard input and stays
//! in memory; when that is closed, whoever has started it is gone, and it ends. Nothing of this machine is told as the
//! host's: no measurements, no policy file, no logins.

mod forward;

use std::io::{self, BufRead as _, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::Utc;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use towline_pki::ServerName;
use towline_pki::docker::ClientFiles;
use towline_pki::renew::EXPIRED_RENEWAL_WINDOW;
use towline_shared::policy::{HostPolicy, Permission};
use towline_shared::remote_engine::{MAX_ORDERS, RemoteEngine};
use zeroize::Zeroizing;

use crate::access::Access;
use crate::agent::{self, Options, Pace};
use crate::dial::Dialer;
use crate::enroll::{Enrolment, Existing, enrol};
use crate::executor::docker::{DockerConfig, DockerExecutor, EnginePlace};
use crate::identity::Identity;
use crate::logs::LogLimits;
use crate::proxy::Proxies;
use crate::relay::Relay;
use crate::state_dir::StateDir;
use crate::upgrade::{Program, Standing, Terms, Upgrades};
use forward::Remote;

/// The socket that leads to the engine, in the state folder, which is its user's alone.
const SOCKET: &str = "engine.sock";
/// The longest path that a socket may have.
const LONGEST_SOCKET: usize = 107;
/// How often to look whether the engine is there: its host may be away while this machine is not.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// It has no identity to connect by, and no token.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this agent is not enrolled, and was given no token")]
pub struct NotEnrolled;

/// Reads what to do from standard input, and does it until that is closed or `stop` is tripped.
pub async fn run(state_dir: &Path, stop: CancellationToken) -> anyhow::Result<()> {
    let orders = read_orders(stop.clone())?;
    let dir = StateDir::open(state_dir)?;
    if dir.is_locked() {
        bail!(
            "another agent works on {}; it has to end first",
            dir.root().display()
        );
    }
    let dialer = Dialer::new(Proxies::from_env()?);
    let identity = identity(&dir, &dialer, &orders).await?;
    let socket = serve(&dir, &orders)?;
    tracing::info!(agent = %identity.agent(), engine = orders.url, "starting beside the control plane");
    let relay = Relay::new(dir.clone(), dialer.clone());
    let executor = DockerExecutor::new(DockerConfig {
        host: format!("unix://{}", socket.display()),
        place: EnginePlace::Elsewhere {
            url: orders.url.clone(),
        },
        state_dir: dir.root().to_path_buf(),
        // Nobody has written one on that host.
        policy: HostPolicy::default(),
        access: Access::default(),
        docker_config: dir.root().join("docker"),
        relay: relay.clone(),
    });
    // It becomes another version with the control plane, which asks nothing of the kind; there are no keys, either.
    let terms = Terms {
        relay,
        program: Program::here().context("cannot tell which program this is")?,
        release_keys: dir.root().join("release-keys"),
        downgrade: Permission::Deny,
    };
    let options = Options {
        dir,
        dialer,
        engine_data: None,
        pace: Pace {
            capabilities: LOOK_EVERY,
            ..Pace::default()
        },
        logs: LogLimits::default(),
        upgrades: Upgrades {
            terms,
            standing: Standing::Fresh,
            patience: Duration::ZERO,
        },
    };
    agent::run(options, Arc::new(executor), stop).await?;
    // Who starts next finds none that leads nowhere.
    let _ = std::fs::remove_file(socket);
    Ok(())
}

/// Reads one line; what closes the pipe behind it trips `stop`. It is a thread of its own, because reading standard input
/// cannot be given up, and must not keep the process.
fn read_orders(stop: CancellationToken) -> anyhow::Result<RemoteEngine> {
    let (sender, line) = std::sync::mpsc::channel();
    let read = move || {
        let mut line = Zeroizing::new(String::new());
        let mut stdin = io::stdin().lock();
        let orders = stdin.by_ref().take(MAX_ORDERS).read_line(&mut line);
        // Whoever waits for it is there.
        let _ = sender.send(orders.map(|_| line));
        while matches!(stdin.read(&mut [0; 64]), Ok(1..)) {}
        stop.cancel();
    };
    std::thread::Builder::new()
        .name("orders".to_owned())
        .spawn(read)
        .context("the system gives no thread")?;
    let line = line.recv().context("standard input cannot be read")?;
    let line = line.context("standard input cannot be read")?;
    // The error of the reader would show a piece of the text, which is secret.
    serde_json::from_str(&line).map_err(|_| {
        anyhow::anyhow!("standard input has no orders; the control plane starts this agent")
    })
}

/// Who it is: as it was, if that is whom the control plane knows, or anew by the token.
async fn identity(
    dir: &StateDir,
    dialer: &Dialer,
    orders: &RemoteEngine,
) -> anyhow::Result<Identity> {
    if let Some(token) = &orders.token {
        let enrolment = Enrolment {
            token: token.clone(),
            name: orders.host.clone(),
            existing: Existing::Replace,
        };
        return Ok(enrol(dir, dialer, &enrolment).await?.identity);
    }
    let identity = Identity::load(dir).map_err(|_| NotEnrolled)?;
    let is_known = orders.agent == Some(identity.agent());
    if is_known && identity.not_after() + EXPIRED_RENEWAL_WINDOW > Utc::now() {
        Ok(identity)
    } else {
        Err(NotEnrolled.into())
    }
}

/// Opens the socket that leads to the engine.
fn serve(dir: &StateDir, orders: &RemoteEngine) -> anyhow::Result<PathBuf> {
    let files = ClientFiles::read(&orders.ca, &orders.cert, &orders.key, Utc::now())?;
    let name = ServerName::try_from(orders.host.clone())
        .with_context(|| format!("{:?} is no host", orders.host))?;
    let socket = dir.root().join(SOCKET);
    if socket.as_os_str().len() > LONGEST_SOCKET {
        bail!(
            "{} is too long for a socket; give the control plane a --data-dir with a shorter path",
            socket.display()
        );
    }
    // One that a former process has left.
    let _ = std::fs::remove_file(&socket);
    let listener =
        UnixListener::bind(&socket).with_context(|| format!("cannot open {}", socket.display()))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot close {} to others", socket.display()))?;
    let remote = Remote {
        url: orders.url.clone(),
        address: orders.address,
        name,
        config: files.config(),
    };
    tokio::spawn(forward::serve(listener, remote));
    Ok(socket)
}
