//! What an agent in a cluster has there of its own: the lease by which only one of it works, and its identity.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::api::{Access, Api, text};
use super::at::{At, Kind};
use super::error::ApiError;

/// The Lease and the Secret.
const LEASE: &str = "towline-agent";
const IDENTITY: &str = "towline-agent-identity";
/// Where the identity stands in the Secret.
const KEY: &str = "identity.json";
/// How long a lease holds that is not renewed, in seconds.
const HOLDS_S: i64 = 15;
/// How often it is renewed, and looked at by who waits for it.
const RENEW: Duration = Duration::from_secs(4);
/// Who cannot renew it for so long stops before another may begin.
const GIVE_UP: Duration = Duration::from_secs(11);

/// Why an agent has no home in a cluster.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct HomeError {
    what: &'static str,
    cause: ApiError,
}

/// An agent's own place in a cluster.
#[derive(Clone)]
pub struct Home {
    api: Api,
    namespace: String,
    /// Who it is among those that want the lease: the pod's name.
    holder: String,
}

impl Home {
    /// Its place in a namespace.
    pub async fn open(access: &Access, namespace: &str, holder: &str) -> Result<Self, HomeError> {
        let api = Api::new(access).await;
        let (api, _) = api.map_err(because("cannot reach the cluster"))?;
        Ok(Self {
            api,
            namespace: namespace.to_owned(),
            holder: holder.to_owned(),
        })
    }

    /// The identity that is kept; nothing where there is none yet.
    pub async fn identity(&self) -> Result<Option<Zeroizing<Vec<u8>>>, HomeError> {
        let at = At::new(Kind::secret(), &self.namespace, IDENTITY);
        let kept = self.api.get(&at).await;
        let kept = kept.map_err(because("cannot read the Secret of the agent's identity"))?;
        let value = kept.and_then(|kept| Some(kept.get("data")?.get(KEY)?.as_str()?.to_owned()));
        Ok(value
            .and_then(|value| STANDARD.decode(value).ok())
            .map(Zeroizing::new))
    }

    /// Keeps an identity in the place of the one before.
    pub async fn keep_identity(&self, identity: &[u8]) -> Result<(), HomeError> {
        let at = At::new(Kind::secret(), &self.namespace, IDENTITY);
        let because = because("cannot keep the agent's identity in its Secret");
        let there = self.api.get(&at).await.map_err(because)?;
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": IDENTITY, "namespace": self.namespace},
            "data": {KEY: STANDARD.encode(identity)},
        });
        let kept = match there {
            None => self.api.create(&at, &object).await,
            Some(there) => {
                object["metadata"]["resourceVersion"] =
                    text(&there, "/metadata/resourceVersion").into();
                self.api.replace(&at, &object).await
            }
        };
        kept.map(|_| ()).map_err(because)
    }

    /// Waits until this agent alone has the lease, and keeps it.
    pub async fn lead(&self) -> Result<Lead, HomeError> {
        let mut said = false;
        loop {
            match self.renew(Utc::now()).await {
                Ok(Held::Ours) => break,
                Ok(Held::By(other)) => {
                    if !said {
                        tracing::info!(
                            holder = other,
                            "another agent has the lease; waiting for it"
                        );
                        said = true;
                    }
                }
                Err(error) if error.is_outage() => {
                    tracing::warn!(%error, "the lease cannot be had at the moment");
                }
                Err(error) => return Err(because("cannot take the Lease towline-agent")(error)),
            }
            tokio::time::sleep(RENEW).await;
        }
        let lost = CancellationToken::new();
        let keeper = tokio::spawn(self.clone().keep(lost.clone()));
        Ok(Lead {
            home: self.clone(),
            lost,
            keeper,
        })
    }

    async fn keep(self, lost: CancellationToken) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < GIVE_UP {
            tokio::time::sleep(RENEW).await;
            match self.renew(Utc::now()).await {
                Ok(Held::Ours) => renewed = Instant::now(),
                Ok(Held::By(other)) => {
                    tracing::error!(holder = other, "another agent has taken the lease");
                    break;
                }
                Err(error) => tracing::warn!(%error, "the lease was not renewed"),
            }
        }
        lost.cancel();
    }

    async fn leave(&self) {
        let at = self.lease();
        if let Ok(Some(mut lease)) = self.api.get(&at).await
            && text(&lease, "/spec/holderIdentity") == self.holder
        {
            lease["spec"]["holderIdentity"] = Value::from("");
            // It ends by itself otherwise.
            let _ = self.api.replace(&at, &lease).await;
        }
    }

    async fn renew(&self, now: DateTime<Utc>) -> Result<Held, ApiError> {
        let at = self.lease();
        let Some(mut lease) = self.api.get(&at).await? else {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": LEASE, "namespace": self.namespace},
                "spec": self.spec(now, 0),
            });
            return match self.api.create(&at, &lease).await {
                Ok(_) => Ok(Held::Ours),
                Err(error) if error.is_there_already() => Ok(Held::By("another".to_owned())),
                Err(error) => Err(error),
            };
        };
        let holder = text(&lease, "/spec/holderIdentity");
        let transitions = lease
            .pointer("/spec/leaseTransitions")
            .and_then(Value::as_i64);
        let transitions = transitions.unwrap_or(0);
        if holder == self.holder {
            lease["spec"]["renewTime"] = written(now).into();
        } else if holder.is_empty() || has_ended(&lease, now) {
            lease["spec"] = self.spec(now, transitions + 1);
        } else {
            return Ok(Held::By(holder));
        }
        match self.api.replace(&at, &lease).await {
            Ok(_) => Ok(Held::Ours),
            Err(error) if error.is_conflict() => Ok(Held::By(holder)),
            Err(error) => Err(error),
        }
    }

    fn spec(&self, now: DateTime<Utc>, transitions: i64) -> Value {
        json!({
            "holderIdentity": self.holder,
            "leaseDurationSeconds": HOLDS_S,
            "acquireTime": written(now),
            "renewTime": written(now),
            "leaseTransitions": transitions,
        })
    }

    fn lease(&self) -> At {
        let kind = Kind::own("coordination.k8s.io/v1", "Lease", "leases");
        At::new(kind, &self.namespace, LEASE)
    }
}

/// The lease, as long as it is had.
pub struct Lead {
    home: Home,
    lost: CancellationToken,
    keeper: JoinHandle<()>,
}

impl Lead {
    /// Tripped when it is lost.
    pub const fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives it to whoever waits for it.
    pub async fn leave(self) {
        self.keeper.abort();
        self.home.leave().await;
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Who has the lease.
enum Held {
    Ours,
    By(String),
}

fn has_ended(lease: &Value, now: DateTime<Utc>) -> bool {
    let renewed = DateTime::parse_from_rfc3339(&text(lease, "/spec/renewTime"));
    let holds = lease
        .pointer("/spec/leaseDurationSeconds")
        .and_then(Value::as_i64);
    renewed.is_ok_and(|renewed| (now - renewed.to_utc()).num_seconds() > holds.unwrap_or(HOLDS_S))
}

/// As Kubernetes writes a MicroTime.
fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn because(what: &'static str) -> impl Fn(ApiError) -> HomeError + Copy {
    move |cause| HomeError { what, cause }
}
