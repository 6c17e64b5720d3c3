//! The control plane's process: puts its parts together, starts them, and stops them in order.

mod billing;
mod certificates;
mod lane;
mod listeners;
mod mail;
mod master_key;
mod setup_link;
mod sign_in;
mod stop;
mod timers;

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::agents::{self, Registry};
use crate::config::{Config, PublicUrl};
use crate::docker_api;
use crate::docker_tls::{self, Beside};
use crate::egress::{self, Egress, PlainHttp, Policy};
use crate::error::StartError;
use crate::http::{self, Api, ApiParts};
use crate::install::Binaries;
use crate::notifications::Notifications;
use crate::outbox;
use crate::plugins::Plugins;
use crate::pushes::Pushes;
use crate::relay::{self, Layers};
use crate::sso;
use crate::statuses::Statuses;
use crate::store::{DatabaseConfig, Store};
use crate::stripe;
use crate::telemetry::ProcessMetrics;
use crate::vault::Vault;
use crate::webhooks::Webhooks;
use certificates::Certificates;
use lane::Lane;
use listeners::Listeners;
use master_key::Absent;

/// Readers of SQLite, or connections to PostgreSQL.
const CONNECTIONS: u32 = 8;
/// The folder of agents beside this server, in its own.
const BESIDE: &str = "docker-tls";
/// How long agents have to take their leave, and requests to end. Both at once, and well below the
/// ten seconds after which a service manager may lose its patience.
const GOODBYE: Duration = Duration::from_secs(6);
/// How long the database has for the last second's measurements.
const FLUSH: Duration = Duration::from_millis(500);
/// How long the database has to be closed.
const CLOSE: Duration = Duration::from_secs(2);

/// Opens the store as the configuration says.
pub async fn open_store(config: &Config) -> Result<Store, StartError> {
    let vault = master_key::vault(config, Absent::Make).await?;
    Ok(Store::open(&database(config), vault).await?)
}

/// The keys of an installation that is there already.
pub async fn open_vault(config: &Config) -> Result<Vault, StartError> {
    master_key::vault(config, Absent::Fail).await
}

/// Opens the store of an installation whose servers may be running.
pub async fn open_store_beside(config: &Config, vault: Vault) -> Result<Store, StartError> {
    Ok(Store::open_beside(&database(config), vault).await?)
}

/// Where the store is.
pub fn database(config: &Config) -> DatabaseConfig {
    let url = config.database.url.as_ref();
    DatabaseConfig {
        data_dir: config.data_dir.clone(),
        url: url.map(|url| url.reveal().to_owned()),
        connections: CONNECTIONS,
    }
}

/// Runs the control plane until it is told to stop.
pub async fn serve(config: Config) -> Result<(), StartError> {
    let stopping = stop::on_signal()?;
    listeners::allow_many_descriptors();
    let store = open_store(&config).await?;
    let lane = Lane::start()?;
    let served = run(&config, &store, &lane, stopping).await;
    if timeout(CLOSE, store.close()).await.is_err() {
        tracing::warn!(
            "the database was not closed in time; nothing is lost, the next start checks it"
        );
    }
    lane.end();
    served
}

/// The public listener's address as others write it, when nothing listens.
pub fn expected_url(config: &Config) -> PublicUrl {
    let hostname = listeners::hostname();
    config.public.url_at(config.public.listen, &hostname)
}

async fn run(
    config: &Config,
    store: &Store,
    lane: &Lane,
    stopping: CancellationToken,
) -> Result<(), StartError> {
    let listeners = Listeners::open(config)?;
    store.ensure_authority().await?;
    let certificates = Certificates::make(config, &listeners.names(), store).await?;
    let registry = Registry::new();
    let egress = egress(config, outbox::LIMITS);
    let providers = sign_in::providers(config, &self::egress(config, sso::LIMITS), &listeners.url)?;
    let stripe = billing::stripe(
        config,
        store,
        &self::egress(config, stripe::LIMITS),
        &listeners.url,
    )
    .await?;
    let metrics = ProcessMetrics::new(store.commits());
    let notifications = Notifications {
        store: store.clone(),
        egress: egress.clone(),
        mailer: mail::mailer(config)?,
        url: listeners.url.to_string(),
    };
    let binaries = Binaries::new(config.agents.binaries.clone());
    let api = Api::new(ApiParts {
        store: store.clone(),
        agents: registry.clone(),
        egress: egress.clone(),
        metrics,
        stopping: stopping.clone(),
        url: listeners.url.clone(),
        agent_address: listeners.agent_address.clone(),
        docker_address: listeners
            .docker
            .as_ref()
            .map(|docker| docker.address.clone()),
        binaries: binaries.clone(),
        agent_program: config.agents.program(),
        mailer: notifications.mailer.clone(),
        chat_hosts: config.egress.chat_hosts.clone(),
        sign_up: config.accounts.sign_up,
        providers,
        configuration: serde_json::to_value(config)?,
        stripe,
        pin: certificates.pin(),
    });
    let router = http::router(api)?;
    setup_link::print(store, &listeners.url, certificates.pinning()).await?;
    tracing::info!(
        public = %listeners.public_bound,
        agents = %listeners.agents_bound,
        url = %listeners.url,
        "the control plane is up"
    );

    let tasks = TaskTracker::new();
    let public = http::serve(
        listeners.public,
        certificates.public(),
        router,
        http::LIMITS,
        stopping.clone(),
    );
    tasks.spawn(public);
    let layers = Layers::new(&config.data_dir);
    let agents = agents::serve(
        listeners.agents,
        certificates.agents(),
        store.clone(),
        registry.clone(),
        relay::Door::new(layers.clone(), binaries, stopping.clone()),
        stopping.clone(),
    );
    tasks.spawn_on(agents, lane.handle());
    if let Some(docker) = listeners.docker {
        tasks.spawn(serve_docker(
            docker,
            &certificates,
            store,
            &registry,
            &stopping,
        ));
    }
    let beside = Beside {
        store: store.clone(),
        egress: notifications.egress.clone(),
        program: config.agents.program(),
        folder: config.data_dir.join(BESIDE),
        url: notifications.url.clone(),
        pin: certificates.pin(),
    };
    tasks.spawn(docker_tls::serve(beside, stopping.clone()));
    send_messages(&tasks, notifications, &stopping);
    timers::start(&tasks, store, layers, certificates, &stopping);
    stopping.cancelled().await;
    tasks.close();
    tokio::join!(registry.stop(GOODBYE), finish(&tasks));
    write_last_measurements(store).await;
    tracing::info!("the control plane has stopped");
    Ok(())
}

/// Sends what is queued, to whomever it is for.
fn send_messages(tasks: &TaskTracker, notifications: Notifications, stopping: &CancellationToken) {
    let (store, egress) = (notifications.store.clone(), notifications.egress.clone());
    let plugins = Plugins {
        store: store.clone(),
        egress: egress.clone(),
    };
    let pushes = Pushes::new(store.clone(), egress.clone());
    let statuses = Statuses {
        store: store.clone(),
        egress: egress.clone(),
        url: notifications.url.clone(),
    };
    let webhooks = Webhooks { store, egress };
    tasks.spawn(outbox::send(plugins, stopping.clone()));
    tasks.spawn(outbox::send(pushes, stopping.clone()));
    tasks.spawn(outbox::send(statuses, stopping.clone()));
    tasks.spawn(outbox::send(webhooks, stopping.clone()));
    tasks.spawn(outbox::send(notifications, stopping.clone()));
}

/// Takes in clients of Docker.
fn serve_docker(
    docker: listeners::Docker,
    certificates: &Certificates,
    store: &Store,
    registry: &Registry,
    stopping: &CancellationToken,
) -> impl Future<Output = ()> + use<> {
    tracing::info!(docker = %docker.bound, address = %docker.address, "clients of Docker are taken in");
    docker_api::serve(
        docker.listener,
        certificates.docker(),
        store.clone(),
        registry.clone(),
        stopping.clone(),
    )
}

/// The way out that the configuration allows.
fn egress(config: &Config, limits: egress::Limits) -> Egress {
    let policy = Policy {
        allow: config.egress.allow.clone(),
        plain_http: if config.egress.allow_http {
            PlainHttp::Allowed
        } else {
            PlainHttp::Refused
        },
    };
    Egress::new(policy, limits)
}

/// A secret that an operator keeps in a file, without the end of its line.
fn secret_file(path: &Path, remedy: &'static str) -> Result<Zeroizing<String>, StartError> {
    let text = std::fs::read_to_string(path).map_err(|cause| StartError::File {
        path: path.to_owned(),
        done: "read",
        cause,
        remedy,
    })?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim_end().to_owned()))
}

/// They are not worth that anybody waits for a database that hangs.
async fn write_last_measurements(store: &Store) {
    match timeout(FLUSH, store.flush_metrics()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last measurements were not written"),
        Err(_) => tracing::warn!("the last measurements were not written in time"),
    }
}

/// Waits for what is under way: requests, log streams, a running sweep.
async fn finish(tasks: &TaskTracker) {
    if timeout(GOODBYE, tasks.wait()).await.is_err() {
        tracing::warn!(
            left = tasks.len(),
            "some connections did not end in time; they are cut"
        );
    }
}

#[cfg(test)]
mod tests;
