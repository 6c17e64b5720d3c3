//! From what was asked and what is there to the object that would be written: everything up to the effect, so that a dry run is the same.

use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::{
    access::User,
    admission,
    api::{patches::Change, request::Effect},
    apply::{self, Managers, Operation, Writer},
    document::{at, carry, items, number, put, take, text},
    kinds::{
        Kind,
        decode::{Strictness, decode},
        defaults, validation,
    },
    patch::{json_patch, merge_patch, strategic},
    refusal::{Answer, Cause, Refusal},
    state::State,
};

/// Who wants it, as far as that makes a difference.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Somebody at the API.
    Client(User),
    /// A controller of the cluster itself.
    Server,
}

/// One write that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub kind: Arc<Kind>,
    pub namespace: String,
    /// Empty for a creation whose object has it.
    pub name: String,
    pub subresource: String,
    pub change: Change,
    pub manager: String,
    pub strictness: Strictness,
    pub effect: Effect,
    pub trust: Trust,
}

/// What a write would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created,
    Updated,
    Unchanged,
}

/// A write that can be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub object: Value,
    pub live: Option<Arc<Value>>,
    pub outcome: Outcome,
    pub warnings: Vec<String>,
}

/// Letters of names that the server makes up.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five of them.
pub(crate) fn random_suffix() -> String {
    let letter = || char::from(LETTERS[fastrand::usize(..LETTERS.len())]);
    std::iter::repeat_with(letter).take(5).collect()
}

/// The time as objects have it.
pub(crate) fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Looks at everything, and changes nothing.
pub(crate) fn plan(state: &State, task: &Task) -> Answer<Plan> {
    let resource = task.kind.resource();
    let live = state.store.get(&resource, &task.namespace, &task.name);
    let (mut object, owners, warnings) = match &task.change {
        Change::Create(object) => creation(state, task, object)?,
        Change::Apply(configuration, on_conflict) => {
            fits(task, configuration)?;
            if live.is_none() && !task.subresource.is_empty() {
                return Err(Refusal::not_found(&task.kind, &task.name));
            }
            let writer = writer(task, Operation::Apply);
            let (object, owners) = apply::apply(
                &task.kind,
                live.as_deref(),
                configuration,
                &writer,
                *on_conflict,
            )?;
            same_version(task, live.as_deref(), configuration)?;
            (object, Some(owners), Vec::new())
        }
        change => {
            let live = live
                .as_deref()
                .ok_or_else(|| Refusal::not_found(&task.kind, &task.name))?;
            let (object, warnings) = changed(task, live, change)?;
            same_version(task, Some(live), &object)?;
            (object, None, warnings)
        }
    };
    let is_creation = matches!(task.change, Change::Create(_));
    let live = if is_creation { None } else { live };
    settle(task, &mut object, live.as_deref());
    let owners = owners.unwrap_or_else(|| {
        let writer = writer(task, Operation::Update);
        apply::owners_after_update(&task.kind, live.as_deref(), &object, &writer)
    });
    finish(state, task, object, live, &owners, warnings)
}

fn finish(
    state: &State,
    task: &Task,
    mut object: Value,
    live: Option<Arc<Value>>,
    owners: &Managers,
    warnings: Vec<String>,
) -> Answer<Plan> {
    apply::settle(&mut object, owners, live.as_deref());
    if live.as_deref() == Some(&object) {
        let outcome = Outcome::Unchanged;
        return Ok(Plan {
            object,
            live,
            outcome,
            warnings,
        });
    }
    raise_generation(&task.kind, &mut object, live.as_deref());
    if let Trust::Client(_) = &task.trust {
        if live.is_none() {
            admission::complete(state, task, &mut object)?;
        }
        let causes = validation::check(&task.kind, &object, live.as_deref());
        let name = text(&object, "metadata/name");
        if !causes.is_empty() {
            return Err(Refusal::invalid(&task.kind, name, &causes));
        }
        if live.is_none() {
            admission::admit(state, task, &object)?;
        }
    }
    let outcome = match live {
        None => Outcome::Created,
        Some(_) => Outcome::Updated,
    };
    Ok(Plan {
        object,
        live,
        outcome,
        warnings,
    })
}

fn writer(task: &Task, operation: Operation) -> Writer {
    Writer {
        manager: task.manager.clone(),
        operation,
        api_version: task.kind.api_version(),
        subresource: task.subresource.clone(),
    }
}

fn creation(
    state: &State,
    task: &Task,
    object: &Value,
) -> Answer<(Value, Option<Managers>, Vec<String>)> {
    fits(task, object)?;
    let (mut object, warnings) = decode(&task.kind, object.clone(), task.strictness)?;
    if !text(&object, "metadata/resourceVersion").is_empty() {
        let message = "resourceVersion should not be set on objects to be created";
        return Err(Refusal::plain(500, "", message));
    }
    let base = text(&object, "metadata/generateName").to_owned();
    if text(&object, "metadata/name").is_empty() {
        if base.is_empty() {
            let why = "name or generateName is required";
            let cause = Cause::required("metadata.name", why);
            return Err(Refusal::invalid(&task.kind, "", &[cause]));
        }
        put(
            &mut object,
            "metadata/name",
            format!("{base}{}", random_suffix()),
        );
    }
    let _ = take(&mut object, "metadata/managedFields");
    let name = text(&object, "metadata/name");
    let namespace = text(&object, "metadata/namespace");
    let namespace = if namespace.is_empty() {
        &task.namespace
    } else {
        namespace
    };
    if state
        .store
        .get(&task.kind.resource(), namespace, name)
        .is_some()
    {
        admission::namespace_takes(state, task, name)?;
        return Err(Refusal::already_exists(&task.kind, name));
    }
    Ok((object, None, warnings))
}

fn changed(task: &Task, live: &Value, change: &Change) -> Answer<(Value, Vec<String>)> {
    let mut object = shown_as(&task.kind, live);
    match change {
        Change::Replace(new) => {
            fits(task, new)?;
            object = new.clone();
            if task.kind.is_custom() && text(new, "metadata/resourceVersion").is_empty() {
                let why = "must be specified for an update";
                let cause = Cause::invalid("metadata.resourceVersion", &json!(0), why);
                return Err(Refusal::invalid(&task.kind, &task.name, &[cause]));
            }
        }
        Change::Merge(patch) => merge_patch(&mut object, patch),
        Change::Strategic(_) if task.kind.is_custom() => {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            return Err(Refusal::plain(415, "UnsupportedMediaType", message));
        }
        Change::Strategic(patch) => strategic(&task.kind.shape, &mut object, patch),
        Change::Json(patch) => json_patch(&mut object, patch).map_err(|why| {
            let message =
                format!("the server rejected our request due to an error in our request ({why})");
            Refusal::plain(422, "Invalid", message)
        })?,
        Change::Create(_) | Change::Apply(..) => {}
    }
    fits(task, &object)?;
    let (mut object, warnings) = decode(&task.kind, object, task.strictness)?;
    match items(&object, "metadata/managedFields") {
        // Nothing is said of them.
        [] => carry(&mut object, "metadata/managedFields", live),
        // An empty entry is how they are thrown away.
        [one] if one.as_object().is_some_and(serde_json::Map::is_empty) => {
            let _ = take(&mut object, "metadata/managedFields");
        }
        _ => {}
    }
    Ok((object, warnings))
}

/// The object in the version of this kind.
pub(crate) fn shown_as(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    put(&mut object, "apiVersion", kind.api_version());
    put(&mut object, "kind", kind.kind.clone());
    object
}

/// The object is of the kind, namespace, and name that the path says.
fn fits(task: &Task, object: &Value) -> Answer<()> {
    let (kind, version) = (text(object, "kind"), text(object, "apiVersion"));
    let expected = task.kind.api_version();
    if kind.is_empty() && version.is_empty() && matches!(task.change, Change::Apply(..)) {
        return Err(Refusal::bad_request(
            "Object 'Kind' is missing in the applied configuration",
        ));
    }
    if !version.is_empty() && version != expected {
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if !kind.is_empty() && kind != task.kind.kind {
        let (group, own) = (expected, &task.kind.kind);
        return Err(Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {own}): {version}, Kind={kind} is not {group}, Kind={own}"
        )));
    }
    let namespace = text(object, "metadata/namespace");
    if !namespace.is_empty() && namespace != task.namespace {
        return Err(Refusal::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request ({namespace} != {})",
            task.namespace
        )));
    }
    let name = text(object, "metadata/name");
    if !task.name.is_empty() && !name.is_empty() && name != task.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            task.name
        )));
    }
    if let Change::Apply(configuration, _) = &task.change
        && at(configuration, "metadata/managedFields").is_array()
    {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

/// What was read must still be there.
fn same_version(task: &Task, live: Option<&Value>, object: &Value) -> Answer<()> {
    let uid = text(object, "metadata/uid");
    let there = live.map_or("", |live| text(live, "metadata/uid"));
    if live.is_some() && !uid.is_empty() && uid != there {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {there}");
        return Err(Refusal::conflict(&task.kind, &task.name, &why));
    }
    let wanted = text(object, "metadata/resourceVersion");
    let current = live.map_or("", |live| text(live, "metadata/resourceVersion"));
    if !wanted.is_empty() && wanted != current {
        return Err(match live {
            Some(_) => Refusal::modified(&task.kind, &task.name),
            None => Refusal::not_found(&task.kind, &task.name),
        });
    }
    Ok(())
}

/// What the server itself has to say of an object: its metadata, defaults, and the half that this path does not write.
fn settle(task: &Task, object: &mut Value, live: Option<&Value>) {
    put(object, "apiVersion", task.kind.api_version());
    put(object, "kind", task.kind.kind.clone());
    if task.kind.is_namespaced() {
        put(object, "metadata/namespace", task.namespace.clone());
    }
    if !task.name.is_empty() {
        put(object, "metadata/name", task.name.clone());
    }
    let _ = take(object, "metadata/selfLink");
    match live {
        None => born(object),
        Some(live) => {
            for field in [
                "uid",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "generation",
                "resourceVersion",
            ] {
                carry(object, &format!("metadata/{field}"), live);
            }
        }
    }
    keep_other_half(task, object, live);
    defaults::fill(&task.kind, object, live);
}

fn born(object: &mut Value) {
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        let _ = take(object, &format!("metadata/{field}"));
    }
    put(object, "metadata/uid", new_uid());
    put(object, "metadata/creationTimestamp", now());
}

fn keep_other_half(task: &Task, object: &mut Value, live: Option<&Value>) {
    let is_status = matches!(task.subresource.as_str(), "status" | "finalize");
    let none = Value::Null;
    let live_or_none = live.unwrap_or(&none);
    if is_status {
        let status = at(object, "status").clone();
        let mut whole = live_or_none.clone();
        put(&mut whole, "apiVersion", task.kind.api_version());
        carry(&mut whole, "metadata/managedFields", object);
        if task.subresource == "status" {
            whole["status"] = status;
            if whole["status"].is_null() {
                let _ = take(&mut whole, "status");
            }
        } else {
            carry(&mut whole, "spec/finalizers", object);
        }
        *object = whole;
    } else if task.kind.has("status") && !(live.is_none() && matches!(task.trust, Trust::Server)) {
        carry(object, "status", live_or_none);
    }
}

/// Kinds whose generation counts the changes of what is wanted.
fn has_generation(kind: &Kind) -> bool {
    const OTHERS: [&str; 12] = [
        "ConfigMap",
        "Secret",
        "Service",
        "Namespace",
        "Node",
        "Pod",
        "Event",
        "ServiceAccount",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Endpoints",
        "ResourceQuota",
    ];
    !OTHERS.contains(&kind.kind.as_str())
        && !kind.group.starts_with("rbac.")
        && kind.group != "coordination.k8s.io"
}

fn raise_generation(kind: &Kind, object: &mut Value, live: Option<&Value>) {
    if !has_generation(kind) {
        return;
    }
    let Some(live) = live else {
        put(object, "metadata/generation", 1);
        return;
    };
    let wanted = |object: &Value| {
        let mut wanted = object.clone();
        for field in ["metadata", "status", "apiVersion"] {
            let _ = take(&mut wanted, field);
        }
        wanted
    };
    if wanted(object) != wanted(live) {
        let before = number(live, "metadata/generation").unwrap_or(0);
        put(object, "metadata/generation", before + 1);
    }
}

/// A version 4 UUID.
fn new_uid() -> String {
    let mut bytes = [0; 16];
    fastrand::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}
