//! Waiting until what a release has does what it is there for, or explaining why it does not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{AsyncReadExt as _, pin_mut};
use serde_json::Value;
use tokio::time::Instant;
use towline_shared::log::LogStream;
use towline_shared::outcome::{FailureReason, Step};

use super::api::{Api, text};
use super::at::{At, Kind};
use super::job::Job;
use super::mirror::{Collection, Mirror};
use super::ready::{self, Readiness};
use super::survey::{Planned, namespaces};
use super::trouble::{self, Patience, Trouble, Which};
use crate::executor::stop::Stop;

/// How often to look although nothing was heard.
const LOOK: Duration = Duration::from_secs(1);
/// How long what may pass has time to.
const SHORT: Duration = Duration::from_secs(15);
/// How many of a failing container's last lines are told.
const LAST_LINES: u32 = 30;
/// How long their reading may take.
const LOG_PATIENCE: Duration = Duration::from_secs(10);
/// How many events of a pod are told.
const EVENTS: usize = 5;
/// The kinds that are never waited for: they are done when they are there.
const DONE_WHEN_THERE: [&str; 9] = [
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "NetworkPolicy",
    "Namespace",
];

/// Waits until all that is planned is ready.
pub(super) async fn verify(
    job: &Job<'_>,
    api: &Api,
    planned: &[Planned],
) -> Result<Vec<Value>, Stop> {
    let mut awaited: Vec<Awaited> = planned.iter().filter_map(Awaited::of).collect();
    if awaited.is_empty() {
        return Ok(Vec::new());
    }
    job.task.progress.begin(Step::Verifying).await?;
    let mirror = Mirror::start(api, collections(job, &awaited), slim);
    let mut patience = HashMap::new();
    loop {
        if mirror.is_whole() {
            let picture = Look::at(&mirror);
            let missing = tell_changes(job, &mut awaited, &picture).await?;
            if missing.is_empty() {
                return Ok(picture.pods);
            }
            job.wait_for(&waiting(&missing, &picture));
            if let Some((pod, trouble)) = picture.fatal(&missing, &mut patience) {
                return Err(explain(job, api, &missing, &pod, trouble).await);
            }
        } else if let Some(error) = mirror.trouble().filter(|error| !error.is_outage()) {
            return Err(error.into());
        }
        let changed = async {
            tokio::select! {
                () = mirror.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        };
        job.bounded(changed).await?;
    }
}

/// An object without what nobody here looks at, and what is the most of it.
fn slim(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// An object that is waited for.
struct Awaited {
    at: At,
    /// The cluster must have seen this generation of it.
    generation: i64,
    /// What was said of it last.
    said: String,
}

impl Awaited {
    fn of(planned: &Planned) -> Option<Self> {
        let at = planned.wanted.at.clone();
        if DONE_WHEN_THERE.contains(&at.kind.kind.as_str()) {
            return None;
        }
        let live = planned.live.as_ref();
        let generation = live.and_then(|live| live.pointer("/metadata/generation")?.as_i64());
        Some(Self {
            at,
            generation: generation.unwrap_or(0),
            said: String::new(),
        })
    }
}

fn collections(job: &Job<'_>, awaited: &[Awaited]) -> Vec<Collection> {
    let selector = job.owner.selector();
    let mut found: Vec<Collection> = Vec::new();
    let mut add = |kind: Arc<Kind>, namespace: Option<String>| {
        let collection = Collection {
            kind,
            namespace,
            selector: selector.clone(),
        };
        if !found.contains(&collection) {
            found.push(collection);
        }
    };
    for awaited in awaited {
        add(Arc::clone(&awaited.at.kind), awaited.at.namespace.clone());
    }
    let (pods, sets) = (Arc::new(Kind::pod()), Arc::new(Kind::replica_set()));
    for namespace in namespaces(awaited.iter().map(|awaited| awaited.at.clone())) {
        add(Arc::clone(&pods), Some(namespace.clone()));
        add(Arc::clone(&sets), Some(namespace));
    }
    found
}

/// One look at all that is followed.
struct Look {
    objects: HashMap<(String, String, String), Value>,
    pods: Vec<Value>,
}

impl Look {
    fn at(mirror: &Mirror) -> Self {
        let all = mirror.look(|object| Some(object.clone()));
        let (pods, others): (Vec<Value>, Vec<Value>) = all
            .into_iter()
            .partition(|object| text(object, "/kind") == "Pod");
        let others = others.into_iter().chain(pods.iter().cloned());
        let objects = others.map(|object| (key_of(&object), object)).collect();
        Self { objects, pods }
    }

    fn get(&self, at: &At) -> Option<&Value> {
        let namespace = at.namespace.clone().unwrap_or_default();
        self.objects
            .get(&(at.kind.kind.clone(), namespace, at.name.clone()))
    }

    /// The pods that an object makes now; those of a release before it are left out.
    fn pods_of(&self, at: &At) -> Vec<&Value> {
        let newest = self.newest_set(at);
        let mine = |pod: &&Value| {
            let namespace = text(pod, "/metadata/namespace");
            if at.kind.kind == "Pod" {
                return text(pod, "/metadata/name") == at.name;
            }
            let owner = owner_of(pod);
            let direct = owner == (at.kind.kind.clone(), at.name.clone());
            let by_set = newest.as_ref() == Some(&owner.1) && owner.0 == "ReplicaSet";
            at.namespace.as_deref() == Some(namespace.as_str()) && (direct || by_set)
        };
        self.pods.iter().filter(mine).collect()
    }

    /// Whether an object is ready. A volume that no pod uses is often bound to nothing before one does.
    fn judge(&self, at: &At, object: &Value) -> Readiness {
        match ready::judge(object) {
            Readiness::Waiting(_)
                if at.kind.kind == "PersistentVolumeClaim" && !self.is_used(at) =>
            {
                Readiness::Ready
            }
            readiness => readiness,
        }
    }

    fn is_used(&self, claim: &At) -> bool {
        let names = |pod: &Value| {
            let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
            let mut volumes = volumes.into_iter().flatten();
            volumes.any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim.name)
        };
        let namespace = claim.namespace.clone().unwrap_or_default();
        let pods = self.pods.iter();
        pods.filter(|pod| text(pod, "/metadata/namespace") == namespace)
            .any(names)
    }

    /// The newest ReplicaSet of a Deployment.
    fn newest_set(&self, at: &At) -> Option<String> {
        let sets = self.objects.values().filter(|object| {
            text(object, "/kind") == "ReplicaSet"
                && owner_of(object) == (at.kind.kind.clone(), at.name.clone())
                && at.namespace.as_deref() == Some(text(object, "/metadata/namespace").as_str())
        });
        let newest = sets.max_by_key(|set| revision(set))?;
        Some(text(newest, "/metadata/name"))
    }

    /// A pod of something that is missing, that will not come up.
    fn fatal(
        &self,
        missing: &[(At, Readiness)],
        patience: &mut HashMap<String, Instant>,
    ) -> Option<(Value, Trouble)> {
        let mut seen = HashSet::new();
        let mut fatal = None;
        for (at, _) in missing {
            for pod in self.pods_of(at) {
                let Some(trouble) = trouble::of(pod) else {
                    continue;
                };
                let uid = text(pod, "/metadata/uid");
                let since = *patience.entry(uid.clone()).or_insert_with(Instant::now);
                seen.insert(uid);
                let is_over = match trouble.patience {
                    Patience::None => true,
                    Patience::Short => since.elapsed() >= SHORT,
                    Patience::Long => false,
                };
                if is_over && fatal.is_none() {
                    fatal = Some((pod.clone(), trouble));
                }
            }
        }
        patience.retain(|uid, _| seen.contains(uid));
        fatal
    }
}

fn key_of(object: &Value) -> (String, String, String) {
    (
        text(object, "/kind"),
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name"),
    )
}

/// The kind and name of what made an object.
pub(super) fn owner_of(object: &Value) -> (String, String) {
    let owners = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    let owner = owners
        .into_iter()
        .flatten()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    owner.map_or_else(Default::default, |owner| {
        (text(owner, "/kind"), text(owner, "/name"))
    })
}

fn revision(set: &Value) -> i64 {
    let annotations = set.pointer("/metadata/annotations");
    let revision =
        annotations.and_then(|all| all.get("deployment.kubernetes.io/revision")?.as_str());
    revision
        .and_then(|revision| revision.parse().ok())
        .unwrap_or(0)
}

/// Tells what has changed of what is waited for, and gives what is still missing.
async fn tell_changes(
    job: &Job<'_>,
    awaited: &mut [Awaited],
    picture: &Look,
) -> Result<Vec<(At, Readiness)>, Stop> {
    let mut missing = Vec::new();
    for awaited in awaited {
        let readiness = match picture.get(&awaited.at) {
            None => Readiness::Waiting("it is not there".to_owned()),
            Some(object) if generation(object) < awaited.generation => continue_waiting(),
            Some(object) => picture.judge(&awaited.at, object),
        };
        let said = match &readiness {
            Readiness::Ready => "ready",
            Readiness::Waiting(what) | Readiness::Failed(what) => what,
        };
        if awaited.said != said {
            said.clone_into(&mut awaited.said);
            job.note(&format!("{}: {said}", awaited.at)).await;
        }
        if readiness != Readiness::Ready {
            missing.push((awaited.at.clone(), readiness));
        }
    }
    let failed = missing.iter().find_map(|(at, readiness)| match readiness {
        Readiness::Failed(why) => Some(format!("{at}: {why}")),
        _ => None,
    });
    match failed {
        None => Ok(missing),
        Some(message) => {
            let troubles = troubles(&missing, picture);
            let message = format!("{message}{troubles}");
            Err(Stop::failed(FailureReason::Unhealthy, message))
        }
    }
}

fn continue_waiting() -> Readiness {
    Readiness::Waiting("the cluster has not seen the change yet".to_owned())
}

fn generation(object: &Value) -> i64 {
    object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

/// What is missing and why, for the message when the time is over.
fn waiting(missing: &[(At, Readiness)], picture: &Look) -> String {
    let mut text = String::new();
    for (index, (at, readiness)) in missing.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        if let Readiness::Waiting(what) | Readiness::Failed(what) = readiness {
            let _ = write!(text, "{separator}{at} ({what})");
        }
    }
    text + &troubles(missing, picture)
}

/// What is wrong with the pods of what is missing, each thing once.
fn troubles(missing: &[(At, Readiness)], picture: &Look) -> String {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for (at, _) in missing {
        for pod in picture.pods_of(at) {
            if let Some(trouble) = trouble::of(pod) {
                told.entry(trouble.message)
                    .or_insert_with(|| text(pod, "/metadata/name"));
            }
        }
    }
    let mut text = String::new();
    for (message, pod) in told {
        let _ = write!(text, "\n  pod {pod}: {message}");
    }
    text
}

/// Why a release does not come up: what is wrong with a pod of it, what happened to it, and what it said last.
async fn explain(
    job: &Job<'_>,
    api: &Api,
    missing: &[(At, Readiness)],
    pod: &Value,
    trouble: Trouble,
) -> Stop {
    let namespace = text(pod, "/metadata/namespace");
    let name = text(pod, "/metadata/name");
    let at = At::new(Kind::pod(), &namespace, &name);
    for event in events(api, &at, &text(pod, "/metadata/uid")).await {
        job.note(&format!("{at}: {event}")).await;
    }
    if let (Some(container), true) = (&trouble.container, trouble.log != Which::None) {
        let source = format!("{name}/{container}");
        for line in last_lines(api, &at, container, trouble.log).await {
            job.print(&source, LogStream::Stdout, &line).await;
        }
    }
    let of: Vec<String> = missing.iter().map(|(at, _)| at.to_string()).collect();
    let message = format!(
        "{} does not come up: pod {name}: {}",
        of.join(", "),
        trouble.message
    );
    Stop::failed(trouble.reason, message)
}

/// The last events of a pod, the oldest first.
async fn events(api: &Api, at: &At, uid: &str) -> Vec<String> {
    let selector = format!("&fieldSelector=involvedObject.uid={uid}");
    let Ok(mut events) = api
        .list(&Kind::event(), at.namespace.as_deref(), &selector)
        .await
    else {
        return Vec::new();
    };
    events.sort_by_key(|event| {
        let last = text(event, "/lastTimestamp");
        if last.is_empty() {
            text(event, "/eventTime")
        } else {
            last
        }
    });
    let from = events.len().saturating_sub(EVENTS);
    let said = |event: &Value| format!("{}: {}", text(event, "/reason"), text(event, "/message"));
    events[from..].iter().map(said).collect()
}

async fn last_lines(api: &Api, pod: &At, container: &str, which: Which) -> Vec<String> {
    let previous = if which == Which::Previous {
        "&previous=true"
    } else {
        ""
    };
    let query = format!("&container={container}&tailLines={LAST_LINES}&limitBytes=65536{previous}");
    let Ok(log) = api.log(pod, &query).await else {
        return Vec::new();
    };
    pin_mut!(log);
    let mut bytes = Vec::new();
    // What has come by then is told.
    let _ = tokio::time::timeout(LOG_PATIENCE, log.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(without_time).collect()
}

fn without_time(line: &str) -> String {
    line.split_once(' ')
        .map_or(line, |(_, rest)| rest)
        .to_owned()
}
