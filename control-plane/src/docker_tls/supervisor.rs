//! Keeps an agent beside the control plane for each target that this server has the lease of.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use towline_pki::Fingerprint;
use towline_pki::docker::ClientFiles;
use towline_shared::ids::TargetId;
use towline_shared::remote_engine::{NOT_ENROLLED, RemoteEngine};
use uuid::Uuid;

use super::check::{Located, check, locate};
use super::process::{Ended, Running};
use crate::domain::docker_tls::EngineAddress;
use crate::egress::Egress;
use crate::store::docker_tls::HeldEngine;
use crate::store::{Store, StoreError};
use crate::wake::Topic;

/// How often to look what there is to keep, although nothing was heard of it; leases last for minutes.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often to look at an engine, its certificate and where its name leads.
const CHECK_EVERY: Duration = Duration::from_mins(5);
/// Pauses between attempts to keep an agent running.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Who ran for so long did not fail at its start.
const RAN_WELL: Duration = Duration::from_mins(1);

/// What agents beside this server need.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The rows.
    pub store: Store,
    /// Which addresses may be connected to.
    pub egress: Egress,
    /// The agent's program.
    pub program: PathBuf,
    /// The folder of the agents' folders.
    pub folder: PathBuf,
    /// The public listener's address, where they enrol.
    pub url: String,
    /// What they find at the end of its chain, when that is not the built-in authority.
    pub pin: Option<Fingerprint>,
}

/// An agent that is kept.
struct Kept {
    revision: i64,
    over: CancellationToken,
    task: AbortHandle,
}

/// Keeps agents until it is time to stop, and ends them then.
pub async fn serve(beside: Beside, stopping: CancellationToken) {
    let server = match server_id(&beside.folder) {
        Ok(server) => server,
        Err(error) => {
            let folder = beside.folder.display();
            tracing::error!(%folder, %error, "no agents can be kept for targets over TLS");
            return;
        }
    };
    beside.clear_all().await;
    let mut woken = beside.store.wake().subscribe(Topic::DockerTls);
    let mut kept: HashMap<TargetId, Kept> = HashMap::new();
    let mut tasks = JoinSet::new();
    while !stopping.is_cancelled() {
        match beside.store.hold_docker_tls(server).await {
            Ok(held) => settle(&beside, server, held, &mut kept, &mut tasks),
            Err(error) => tracing::warn!(%error, "the targets over TLS cannot be read"),
        }
        while tasks.try_join_next().is_some() {}
        tokio::select! {
            () = stopping.cancelled() => {}
            () = woken.woken() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
    for one in kept.values() {
        one.over.cancel();
    }
    while tasks.join_next().await.is_some() {}
}

/// Begins and ends what is to be begun and ended.
fn settle(
    beside: &Beside,
    server: Uuid,
    held: Vec<HeldEngine>,
    kept: &mut HashMap<TargetId, Kept>,
    tasks: &mut JoinSet<()>,
) {
    // One that gave its target up while it was another server's begins anew.
    kept.retain(|target, one| {
        !one.task.is_finished() && {
            let is_held = held
                .iter()
                .any(|held| held.id == *target && held.revision == one.revision);
            if !is_held {
                one.over.cancel();
            }
            is_held
        }
    });
    for engine in held {
        if kept.contains_key(&engine.id) {
            continue;
        }
        let over = CancellationToken::new();
        let (beside, tripped) = (beside.clone(), over.clone());
        let task = tasks.spawn(async move {
            beside.keep(server, engine.id, tripped).await;
            beside.clear(engine.id).await;
        });
        let one = Kept {
            revision: engine.revision,
            over,
            task,
        };
        kept.insert(engine.id, one);
    }
}

/// This server among those on one database: a number that lies beside the agents' identities.
fn server_id(folder: &Path) -> io::Result<Uuid> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let path = folder.join("server");
    if let Ok(text) = std::fs::read_to_string(&path)
        && let Ok(known) = text.trim().parse()
    {
        return Ok(known);
    }
    let new = Uuid::now_v7();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    io::Write::write_all(&mut file, new.to_string().as_bytes())?;
    file.sync_all()?;
    Ok(new)
}

/// What an attempt came to.
enum Attempt {
    /// It is over.
    Over,
    /// Another has to be made, at once: things are another way now.
    Anew,
    /// It failed.
    Failed(String),
}

impl Beside {
    /// Keeps the agent of one target running until it is over.
    async fn keep(&self, server: Uuid, target: TargetId, over: CancellationToken) {
        let (mut pause, mut enrol) = (FIRST_PAUSE, Enrol::IfUnknown);
        loop {
            let began = Instant::now();
            match self.attempt(server, target, &mut enrol, &over).await {
                Attempt::Over => return,
                Attempt::Anew => continue,
                Attempt::Failed(why) => {
                    tracing::warn!(%target, why, "the agent of a target over TLS does not run");
                    let noted = self.store.note_docker_tls_trouble(target, Some(&why));
                    if let Err(error) = noted.await {
                        tracing::warn!(%target, %error, "that could not be written down");
                    }
                }
            }
            if began.elapsed() > RAN_WELL {
                pause = FIRST_PAUSE;
            }
            if timeout(pause, over.cancelled()).await.is_ok() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn folder_of(&self, target: TargetId) -> PathBuf {
        self.folder.join(target.uuid().simple().to_string())
    }

    /// Takes the folder of an agent away whose target was taken away.
    async fn clear(&self, target: TargetId) {
        if let Ok(None) = self.store.docker_tls_pems(target).await
            && let Err(error) = std::fs::remove_dir_all(self.folder_of(target))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%target, %error, "the folder of a target's agent stays");
        }
    }

    /// The same of all targets that were taken away while this server was not there.
    async fn clear_all(&self) {
        let Ok(folders) = std::fs::read_dir(&self.folder) else {
            return;
        };
        for folder in folders.flatten() {
            let name = folder.file_name();
            if let Some(target) = name.to_str().and_then(|name| Uuid::try_parse(name).ok()) {
                self.clear(target.into()).await;
            }
        }
    }

    async fn attempt(
        &self,
        server: Uuid,
        target: TargetId,
        enrol: &mut Enrol,
        over: &CancellationToken,
    ) -> Attempt {
        let orders = match self.orders(server, target, *enrol).await {
            Ok(Some(orders)) => orders,
            Ok(None) => return Attempt::Over,
            Err(why) => return Attempt::Failed(why),
        };
        let folder = self.folder_of(target);
        let started = Running::start(&self.program, &folder, target, &orders).await;
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                let program = self.program.display();
                return Attempt::Failed(format!("{program} cannot be started: {error}"));
            }
        };
        *enrol = Enrol::IfUnknown;
        let (attempt, ended) = self.watch(target, &orders, running, over).await;
        match ended {
            Some(Ended { status, .. }) if status.code() == Some(NOT_ENROLLED.into()) => {
                *enrol = Enrol::Anew;
                Attempt::Anew
            }
            Some(Ended { status, complaint }) => Attempt::Failed(
                complaint
                    .unwrap_or_else(|| format!("the agent beside the server ended ({status})")),
            ),
            None => attempt,
        }
    }

    /// Minds a running agent, and looks at its engine now and then, until the one ends or the other has moved.
    async fn watch(
        &self,
        target: TargetId,
        orders: &RemoteEngine,
        mut running: Running,
        over: &CancellationToken,
    ) -> (Attempt, Option<Ended>) {
        let mut look = Duration::ZERO;
        loop {
            tokio::select! {
                () = over.cancelled() => {
                    running.stop().await;
                    return (Attempt::Over, None);
                }
                ended = running.ended() => {
                    let failed = |error: io::Error| Attempt::Failed(error.to_string());
                    return match ended {
                        Ok(ended) => (Attempt::Over, Some(ended)),
                        Err(error) => (failed(error), None),
                    };
                }
                () = sleep(look) => {}
            }
            look = CHECK_EVERY;
            if self.has_moved(target, orders).await {
                running.stop().await;
                return (Attempt::Anew, None);
            }
        }
    }

    /// Looks at an engine and writes down what it shows; whether its name leads elsewhere now. What is wrong with it is told
    /// by its agent.
    async fn has_moved(&self, target: TargetId, orders: &RemoteEngine) -> bool {
        let Ok(address) = EngineAddress::parse(&orders.url) else {
            return false;
        };
        let Ok(at) = locate(&self.egress, &address).await else {
            return false;
        };
        if at != Located(orders.address) {
            return true;
        }
        let files = ClientFiles::read(&orders.ca, &orders.cert, &orders.key, Utc::now());
        let Ok(files) = files else { return false };
        let noted = match check(&address, at, &files).await {
            Ok(seen) => self.store.note_docker_tls_seen(target, &seen).await,
            Err(error) => {
                let why = error.to_string();
                self.store.note_docker_tls_trouble(target, Some(&why)).await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(%target, %error, "what an engine shows could not be written down");
        }
        false
    }

    /// What an agent is told; nothing if the target is no longer this server's.
    async fn orders(
        &self,
        server: Uuid,
        target: TargetId,
        enrol: Enrol,
    ) -> Result<Option<RemoteEngine>, String> {
        let words = |error: StoreError| error.to_string();
        let held = self.store.hold_docker_tls(server).await.map_err(words)?;
        let Some(held) = held.into_iter().find(|held| held.id == target) else {
            return Ok(None);
        };
        let Some(pems) = self.store.docker_tls_pems(target).await.map_err(words)? else {
            return Ok(None);
        };
        let address = EngineAddress::parse(&held.host).map_err(|error| error.message)?;
        let at = locate(&self.egress, &address).await;
        let Located(at) = at.map_err(|error| error.to_string())?;
        let is_known = held.agent_id.is_some() && held.home == Some(server);
        let token = match enrol {
            Enrol::IfUnknown if is_known => None,
            Enrol::IfUnknown | Enrol::Anew => {
                let token = self.store.docker_tls_token(server, target, &self.url);
                let mut token = token.await.map_err(words)?;
                if let Some(pin) = self.pin {
                    token.ca = pin;
                }
                Some(token.to_string())
            }
        };
        Ok(Some(RemoteEngine {
            url: address.to_string(),
            host: address.host().to_owned(),
            address: at,
            ca: pems.ca.clone(),
            cert: pems.cert.clone(),
            key: pems.key.clone(),
            agent: held.agent_id.map(Into::into),
            token,
        }))
    }
}

/// Whether an agent is given a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Enrol {
    /// Unless its identity should be there.
    IfUnknown,
    /// In any case: it is not there.
    Anew,
}
