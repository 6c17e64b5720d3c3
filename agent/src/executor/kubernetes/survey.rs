//! What a cluster has of what a release wants, and what is therefore to be done.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;
use towline_shared::cluster::{Conflicts, Immutable};
use towline_shared::outcome::FailureReason;

use super::api::{Api, Force, Run, text};
use super::at::{At, Kind};
use super::compare;
use super::error::{ApiError, Why};
use super::inventory::{Inventory, Origin};
use super::job::Job;
use super::labels::Whose;
use super::many;
use super::wanted::{self, Footing, Wanted, told};
use crate::executor::stop::Stop;

/// An object that a release wants, and what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub wanted: Wanted,
    pub change: Change,
    /// As the cluster has it.
    pub live: Option<Value>,
    /// As it would be, where the cluster could be asked.
    pub would_be: Option<Value>,
    pub origin: Origin,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It stays as it is.
    Keep,
    /// It is deleted and made anew.
    Replace,
}

/// Looks at all that is wanted, and asks the cluster what applying it would do. Nothing is changed. What the cluster or
/// its owner would refuse is told here, all of it.
pub(super) async fn survey(
    job: &Job<'_>,
    api: &Api,
    inventory: &Inventory,
    wanted: Vec<Wanted>,
) -> Result<Vec<Planned>, Stop> {
    let live = Live::of(job, api, &wanted).await?;
    let mut looks = Vec::new();
    for wanted in wanted {
        let there = live.get(&wanted.at);
        looks.push(look(job, api, inventory, wanted, there));
    }
    let looked = many::all(looks).await?;
    let (mut planned, mut objections) = (Vec::new(), Vec::new());
    for look in looked {
        match look {
            Ok(plan) => planned.push(plan),
            Err(objection) => objections.push(objection),
        }
    }
    refuse(objections)?;
    Ok(planned)
}

/// Why an object cannot be applied.
#[derive(Clone, Debug)]
pub(super) struct Objection {
    pub reason: FailureReason,
    pub message: String,
}

/// Ends a job that has objections: all of one kind are told together, the gravest kind alone.
pub(super) fn refuse(objections: Vec<Objection>) -> Result<(), Stop> {
    const GRAVEST: [FailureReason; 4] = [
        FailureReason::PolicyRefused,
        FailureReason::InvalidProject,
        FailureReason::ClusterRefused,
        FailureReason::Conflict,
    ];
    let Some(reason) = GRAVEST.into_iter().find(|reason| {
        objections
            .iter()
            .any(|objection| objection.reason == *reason)
    }) else {
        return Ok(());
    };
    let told = told(
        objections
            .into_iter()
            .filter(|objection| objection.reason == reason)
            .map(|objection| objection.message),
    );
    let message = match reason {
        FailureReason::Conflict => format!(
            "{told}\nNothing was changed. Take those fields out of the release, or take them over (`--force-conflicts`)"
        ),
        _ => format!("{told}\nNothing was changed"),
    };
    Err(Stop::failed(reason, message))
}

async fn look(
    job: &Job<'_>,
    api: &Api,
    inventory: &Inventory,
    wanted: Wanted,
    listed: Option<Value>,
) -> Result<Result<Planned, Objection>, Stop> {
    let entry = inventory.entry(&wanted.at);
    if let Some(live) = &listed
        && entry.is_some_and(|entry| entry.digest == wanted.digest)
        && compare::holds(live, &wanted.object)
    {
        return Ok(Ok(Planned {
            origin: origin(job, inventory, &wanted, listed.as_ref()),
            wanted,
            change: Change::Keep,
            live: listed,
            would_be: None,
        }));
    }
    if wanted.footing == Footing::Coming {
        return Ok(Ok(created(wanted, None)));
    }
    let asked = ask(job, api, &wanted).await?;
    let live = match (listed, &asked) {
        // What the cluster would make has no version yet.
        (None, Ok(would_be)) if text(would_be, "/metadata/resourceVersion").is_empty() => None,
        // It is there, and does not bear our label.
        (None, _) => job.must(|| api.get(&wanted.at)).await?,
        (listed, _) => listed,
    };
    if let Some(objection) = live.as_ref().and_then(|live| foreign(job, &wanted, live)) {
        return Ok(Err(objection));
    }
    Ok(match asked {
        Ok(would_be) => judged(job, inventory, wanted, live, would_be),
        Err(error) if error.why() == Why::NoAccount && live.is_none() => {
            let coming = Wanted {
                footing: Footing::Coming,
                ..wanted
            };
            Ok(created(coming, None))
        }
        Err(error) if may_replace(job, &error) && live.is_some() => Ok(Planned {
            origin: origin(job, inventory, &wanted, live.as_ref()),
            wanted,
            change: Change::Replace,
            live,
            would_be: None,
        }),
        Err(error) => Err(objection(&wanted, &error)),
    })
}

/// The plan of an object whose applying the cluster has tried.
fn judged(
    job: &Job<'_>,
    inventory: &Inventory,
    wanted: Wanted,
    live: Option<Value>,
    would_be: Value,
) -> Result<Planned, Objection> {
    let broken = wanted::judge(job, &wanted.at, &would_be);
    if !broken.is_empty() {
        return Err(forbidden(&wanted, &broken));
    }
    let Some(there) = &live else {
        return Ok(created(wanted, Some(would_be)));
    };
    // Fields that were another's become ours, too, although nothing else changes.
    let stays = compare::bare(there) == compare::bare(&would_be) && ours(there) == ours(&would_be);
    Ok(Planned {
        origin: origin(job, inventory, &wanted, live.as_ref()),
        wanted,
        change: if stays { Change::Keep } else { Change::Update },
        live,
        would_be: Some(would_be),
    })
}

fn created(wanted: Wanted, would_be: Option<Value>) -> Planned {
    Planned {
        wanted,
        change: Change::Create,
        live: None,
        would_be,
        origin: Origin::Made,
    }
}

fn origin(job: &Job<'_>, inventory: &Inventory, wanted: &Wanted, live: Option<&Value>) -> Origin {
    match (inventory.entry(&wanted.at), live) {
        (Some(entry), _) => entry.origin,
        (None, Some(live)) if job.owner.judge(live) != Whose::Ours => Origin::Found,
        (None, _) => Origin::Made,
    }
}

/// Asks the cluster what applying an object would do.
async fn ask(job: &Job<'_>, api: &Api, wanted: &Wanted) -> Result<Result<Value, ApiError>, Stop> {
    let force = force(job);
    let asked = job
        .ask(|| api.apply(&wanted.at, &wanted.object, Run::Dry, force))
        .await?;
    match asked {
        Err(error) if error.is_by_hand() => {
            job.ask(|| api.apply(&wanted.at, &wanted.object, Run::Dry, Force::Yes))
                .await
        }
        asked => Ok(asked),
    }
}

/// What we own of an object.
fn ours(object: &Value) -> Option<&Value> {
    let managers = object.pointer("/metadata/managedFields")?.as_array()?;
    let ours = managers.iter().find(|entry| {
        entry
            .get("manager")
            .is_some_and(|name| name == super::api::MANAGER)
            && entry
                .get("operation")
                .is_some_and(|operation| operation == "Apply")
    });
    ours?.get("fieldsV1")
}

/// Whether fields of others are taken by this job.
pub(super) fn force(job: &Job<'_>) -> Force {
    match job.task.terms.cluster().conflicts {
        Conflicts::Refuse => Force::No,
        Conflicts::Force => Force::Yes,
    }
}

fn may_replace(job: &Job<'_>, error: &ApiError) -> bool {
    error.why() == Why::Immutable && job.task.terms.cluster().immutable == Immutable::Replace
}

/// An object that is another's.
fn foreign(job: &Job<'_>, wanted: &Wanted, live: &Value) -> Option<Objection> {
    let whose = match job.owner.judge(live) {
        Whose::Ours | Whose::Nobodys => return None,
        Whose::AnotherProjects => "another project of Towline",
        Whose::AnotherTargets => "this project as another target has deployed it",
    };
    let message = format!(
        "{}: belongs to {whose}; remove it there first, or give it another name or namespace",
        named(wanted)
    );
    Some(Objection {
        reason: FailureReason::ClusterRefused,
        message,
    })
}

fn forbidden(wanted: &Wanted, broken: &[towline_shared::policy::Violation]) -> Objection {
    let broken = broken
        .iter()
        .map(|broken| wanted::said(&wanted.place, &wanted.at, broken));
    Objection {
        reason: FailureReason::PolicyRefused,
        message: format!(
            "the owner of this cluster forbids it:\n{}",
            broken.collect::<Vec<_>>().join("\n")
        ),
    }
}

/// An object with its place, for people.
pub(super) fn named(wanted: &Wanted) -> String {
    match wanted.place.as_str() {
        "" => wanted.at.to_string(),
        place => format!("{place}: {}", wanted.at),
    }
}

/// What the cluster has against an object, and what to do.
pub(super) fn objection(wanted: &Wanted, error: &ApiError) -> Objection {
    let name = named(wanted);
    let (reason, message) = match (error.why(), error) {
        (Why::Conflict, ApiError::Refused(refused)) => {
            let causes = refused.causes.iter();
            let causes = causes.map(|cause| format!("{} ({})", cause.field, cause.message));
            let fields: Vec<String> = causes.collect();
            let message = format!("{name}: fields belong to others: {}", fields.join(", "));
            (FailureReason::Conflict, message)
        }
        (Why::Right, _) => (
            FailureReason::ClusterRefused,
            missing_right(&name, &wanted.at, error),
        ),
        (Why::Immutable, _) => (
            FailureReason::ClusterRefused,
            format!(
                "{name}: {error}\n  it can be deleted and made anew, with all that belongs to it (`--replace-immutable`)"
            ),
        ),
        (Why::Terminating, _) => (
            FailureReason::ClusterRefused,
            format!("{name}: {error}; wait until it is gone, or take another namespace"),
        ),
        (_, ApiError::Refused(refused)) if refused.code == 404 => (
            FailureReason::ClusterRefused,
            format!(
                "{name}: {error}; put the Namespace into the release, where the cluster's owner allows it, or have it made"
            ),
        ),
        _ => (FailureReason::ClusterRefused, format!("{name}: {error}")),
    };
    Objection { reason, message }
}

/// The very rule that an agent lacks.
fn missing_right(name: &str, at: &At, error: &ApiError) -> String {
    let verbs = [
        "create", "patch", "get", "list", "watch", "delete", "update",
    ];
    let words = error.to_string();
    let verb = verbs
        .into_iter()
        .find(|verb| words.contains(&format!(" cannot {verb} ")))
        .unwrap_or("patch");
    format!(
        "{name}: {error}\n  the agent's role lacks: {{apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [\"{verb}\"]}}",
        at.kind.group(),
        at.kind.plural
    )
}

/// What a cluster has of the objects that are wanted, as far as it bears our label.
struct Live {
    objects: HashMap<(String, String, Option<String>, String), Value>,
}

impl Live {
    /// Ours, by one list of each kind in each namespace.
    async fn of(job: &Job<'_>, api: &Api, wanted: &[Wanted]) -> Result<Self, Stop> {
        let mut collections: BTreeMap<(String, Option<String>), Arc<Kind>> = BTreeMap::new();
        for wanted in wanted
            .iter()
            .filter(|wanted| wanted.footing == Footing::There)
        {
            let at = &wanted.at;
            let path = at.kind.collection(at.namespace.as_deref());
            collections.insert((path, at.namespace.clone()), Arc::clone(&at.kind));
        }
        let selector = job.owner.selector();
        let mut lists = Vec::new();
        for ((_, namespace), kind) in &collections {
            let selector = &selector;
            lists.push(async move {
                let listed = job
                    .must(|| api.list(kind, namespace.as_deref(), selector))
                    .await?;
                Ok((kind, listed))
            });
        }
        let lists = many::all(lists).await?;
        let mut objects = HashMap::new();
        for (kind, listed) in lists {
            for object in listed {
                objects.insert(key(kind, &object), object);
            }
        }
        Ok(Self { objects })
    }

    fn get(&self, at: &At) -> Option<Value> {
        self.objects.get(&at.key()).cloned()
    }
}

fn key(kind: &Kind, object: &Value) -> (String, String, Option<String>, String) {
    let namespace = Some(text(object, "/metadata/namespace")).filter(|name| !name.is_empty());
    (
        kind.group().to_owned(),
        kind.kind.clone(),
        namespace,
        text(object, "/metadata/name"),
    )
}

/// The namespaces that objects are in.
pub(super) fn namespaces(wanted: impl Iterator<Item = At>) -> BTreeSet<String> {
    wanted.filter_map(|at| at.namespace).collect()
}
