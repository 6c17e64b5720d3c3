//! The way for images to and from the control plane: connections of their own beside the control connection.
//!
//! What it is for: [`Courier`] speaks [`towline_shared::relay`] for one attempt of a job. A cut costs what was under
//! way at that moment: the connection is made anew, and a layer goes on where it was. It is tried until the caller gives
//! up; only a refusal of the control plane ends it.

mod body;
mod connection;
mod program;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use towline_shared::protocol::v1::Attempt;
use towline_shared::relay::{Digest, Images, MAX_LAYER_BYTES, Offered, Received, Wanted};

use crate::dial::Dialer;
use crate::link::{Backoff, Cause, dice};
use crate::state_dir::StateDir;
use connection::{Connection, Failure};

/// The pauses after failures: from the first bound to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Who goes the way: this agent, with its certificate of the day.
#[derive(Clone, Debug)]
pub struct Relay {
    dir: StateDir,
    dialer: Dialer,
}

/// The control plane refused, and would refuse again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control plane refuses: {0}")]
pub struct Refused(pub String);

/// What was carried of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes that went over the network.
    pub bytes: u64,
    /// How often the transfer was cut.
    pub cuts: u32,
}

/// Carries the images of one attempt of a job.
#[derive(Debug)]
pub struct Courier<'a> {
    relay: &'a Relay,
    attempt: Attempt,
    connection: Option<Connection>,
    backoff: Backoff,
}

impl Relay {
    /// The way of the agent whose state is in this folder.
    pub const fn new(dir: StateDir, dialer: Dialer) -> Self {
        Self { dir, dialer }
    }

    /// Somebody who goes it for an attempt.
    pub const fn courier(&self, attempt: Attempt) -> Courier<'_> {
        Courier {
            relay: self,
            attempt,
            connection: None,
            backoff: Backoff::new(FIRST_PAUSE, LAST_PAUSE),
        }
    }
}

impl Courier<'_> {
    /// Asks what of these the control plane lacks.
    pub async fn offer(&mut self, offered: &Offered) -> Result<Wanted, Refused> {
        let path = self.path("offer");
        self.exchange(Method::POST, &path, Some(offered)).await
    }

    /// Brings a layer, from where the control plane has it; the file holds all of it, compressed.
    pub async fn bring(
        &mut self,
        digest: Digest,
        mut have: u64,
        file: &Path,
    ) -> Result<Carried, Refused> {
        let mut carried = Carried::default();
        let length = file.metadata().map_err(unreadable)?.len();
        let mut begun_anew = false;
        loop {
            let path = self.path(&format!("layers/{digest}?offset={have}&length={length}"));
            let sent = self.once(async |connection| connection.put_file(&path, file, have).await);
            match sent.await {
                Ok(sent) => {
                    carried.bytes += sent.bytes;
                    match sent.received {
                        Received::Whole => return Ok(carried),
                        Received::Part(part) => have = part,
                    }
                }
                // Another agent's beginning of it does not fit to this end.
                Err(Failure::Refused(StatusCode::UNPROCESSABLE_ENTITY, _)) if !begun_anew => {
                    (begun_anew, have) = (true, 0);
                }
                Err(Failure::Refused(_, words)) => return Err(Refused(words)),
                Err(Failure::Cut { bytes, why }) => {
                    carried.bytes += bytes;
                    carried.cuts += 1;
                    self.wait(&why).await;
                    have = self.known(digest).await?.unwrap_or(length);
                }
            }
        }
    }

    /// How much of a layer the control plane has; nothing when it has it whole.
    async fn known(&mut self, digest: Digest) -> Result<Option<u64>, Refused> {
        let offered = Offered {
            layers: vec![digest],
            ..Offered::default()
        };
        let wanted = self.offer(&offered).await?;
        Ok(wanted.layers.first().map(|(_, have)| *have))
    }

    /// Tells what was built, once all of it was brought.
    pub async fn tell(&mut self, images: &Images) -> Result<(), Refused> {
        let path = self.path("images");
        self.exchange::<_, ()>(Method::PUT, &path, Some(images))
            .await
    }

    /// Asks what was built.
    pub async fn images(&mut self) -> Result<Images, Refused> {
        let path = self.path("images");
        self.exchange::<(), _>(Method::GET, &path, None).await
    }

    /// Fetches a layer, from where the file has it.
    pub async fn fetch(&mut self, digest: Digest, file: &Path) -> Result<Carried, Refused> {
        let mut carried = Carried::default();
        loop {
            let have = file.metadata().map_or(0, |file| file.len());
            let path = self.path(&format!("layers/{digest}?offset={have}"));
            let got = self
                .once(async |connection| connection.get_file(&path, file, MAX_LAYER_BYTES).await);
            match got.await {
                Ok(bytes) => {
                    carried.bytes += bytes;
                    return Ok(carried);
                }
                Err(Failure::Refused(_, words)) => return Err(Refused(words)),
                Err(Failure::Cut { bytes, why }) => {
                    carried.bytes += bytes;
                    carried.cuts += 1;
                    self.wait(&why).await;
                }
            }
        }
    }

    fn path(&self, what: &str) -> String {
        format!("/jobs/{}/{what}", self.attempt.job)
    }

    /// A small request and its answer, until there is one.
    async fn exchange<B: Serialize, A: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<A, Refused> {
        loop {
            let asked = self.once(async |connection| connection.ask(&method, path, body).await);
            match asked.await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Refused(_, words)) => return Err(Refused(words)),
                Err(Failure::Cut { why, .. }) => self.wait(&why).await,
            }
        }
    }

    /// Does something once on the connection, which is made if there is none; one that failed is not used again.
    async fn once<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_open() => connection,
            _ => Connection::open(&self.relay.dir, &self.relay.dialer, self.attempt.fence).await?,
        };
        let done = work(&mut connection).await;
        if done.is_ok() {
            self.connection = Some(connection);
        }
        done
    }

    fn wait(&mut self, why: &str) -> impl Future<Output = ()> + use<> {
        let pause = self.backoff.pause(Cause::Lost(Duration::ZERO), dice());
        tracing::debug!(job = %self.attempt.job, %why, ?pause, "a transfer of images was cut");
        sleep(pause)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn unreadable(error: std::io::Error) -> Refused {
    Refused(format!(
        "a layer in the job's folder cannot be read: {error}"
    ))
}
