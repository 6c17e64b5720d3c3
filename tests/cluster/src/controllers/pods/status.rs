//! The statuses of containers and pods, as the kubelet writes them.

use serde_json::{Value, json};

use crate::{
    api::prepare::now,
    controllers::pods::conduct::Part,
    document::{at, items, list, number, put, take, text},
};

/// A container that is about to be.
pub(super) fn created(container: &Value, part: Part) -> Value {
    let reason = match part {
        Part::Initial => "PodInitializing",
        Part::Main => "ContainerCreating",
    };
    waiting(container, reason)
}

/// A container that waits, and has never run.
pub(super) fn waiting(container: &Value, reason: &str) -> Value {
    json!({
        "name": container["name"], "image": container["image"], "imageID": "", "ready": false, "started": false,
        "restartCount": 0, "lastState": {}, "state": {"waiting": {"reason": reason}},
    })
}

/// All main containers wait for the initial ones.
pub(super) fn wait_for_start(pod: &mut Value, reason: &str) {
    if items(pod, Part::Main.statuses()).is_empty() {
        let all = items(pod, Part::Main.containers()).iter();
        let statuses: Vec<Value> = all.map(|container| waiting(container, reason)).collect();
        put(pod, Part::Main.statuses(), statuses);
    }
}

pub(super) fn waits(before: &Value, reason: &str, message: &str) -> Value {
    let mut after = before.clone();
    after["ready"] = false.into();
    after["started"] = false.into();
    after["state"] = json!({"waiting": {"reason": reason, "message": message}});
    after
}

pub(super) fn running(before: &Value) -> Value {
    let mut after = before.clone();
    let image = text(before, "image");
    after["state"] = json!({"running": {"startedAt": now()}});
    after["imageID"] = format!(
        "{}@sha256:{:064x}",
        image.split(':').next().unwrap_or_default(),
        image.len()
    )
    .into();
    after["containerID"] = format!("containerd://{:032x}", fastrand::u128(..)).into();
    after["started"] = false.into();
    after
}

pub(super) fn started(before: &Value, ready: bool) -> Value {
    let mut after = before.clone();
    after["started"] = true.into();
    after["ready"] = ready.into();
    after
}

pub(super) fn terminated(before: &Value, code: i64) -> Value {
    let mut after = before.clone();
    let reason = if code == 0 { "Completed" } else { "Error" };
    after["ready"] = false.into();
    after["started"] = false.into();
    after["state"] = json!({"terminated": {
        "exitCode": code, "reason": reason, "startedAt": at(before, "state/running/startedAt"), "finishedAt": now(),
        "containerID": before["containerID"],
    }});
    after
}

/// Sets a condition; its time changes with its status alone.
pub(crate) fn condition(object: &mut Value, kind: &str, status: &str, reason: &str, message: &str) {
    let conditions = list(object, "status/conditions");
    let mut entry =
        json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": now()});
    for (field, words) in [("reason", reason), ("message", message)] {
        if !words.is_empty() {
            entry[field] = words.into();
        }
    }
    if let Some(map) = entry.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    match conditions
        .iter_mut()
        .find(|there| text(there, "type") == kind)
    {
        Some(there) => {
            if there["status"] == entry["status"] {
                entry["lastTransitionTime"] = there["lastTransitionTime"].clone();
            }
            *there = entry;
        }
        None => conditions.push(entry),
    }
}

/// Phase and conditions, from the containers' statuses.
pub(super) fn settle(pod: &mut Value, initialized: bool) {
    let statuses = items(pod, Part::Main.statuses()).to_vec();
    let initial = items(pod, Part::Initial.statuses()).to_vec();
    let phase = phase(pod, &statuses, &initial);
    put(pod, "status/phase", phase);
    let is = |yes: bool| if yes { "True" } else { "False" };
    let named = |list: &[Value], wrong: &dyn Fn(&Value) -> bool| -> String {
        let names: Vec<&str> = list
            .iter()
            .filter(|there| wrong(there))
            .map(|there| text(there, "name"))
            .collect();
        names.join(" ")
    };
    condition(pod, "PodReadyToStartContainers", "True", "", "");
    let incomplete = named(&initial, &|there| {
        at(there, "state/terminated/exitCode") != 0
    });
    let message = format!("containers with incomplete status: [{incomplete}]");
    if initialized {
        condition(pod, "Initialized", "True", "", "");
    } else {
        condition(
            pod,
            "Initialized",
            "False",
            "ContainersNotInitialized",
            &message,
        );
    }
    let unready = named(&statuses, &|there| there["ready"] != true);
    let ready = unready.is_empty() && !statuses.is_empty();
    let message = format!("containers with unready status: [{unready}]");
    let (reason, message) = match phase {
        "Succeeded" => ("PodCompleted", ""),
        "Failed" => ("PodFailed", ""),
        _ if ready => ("", ""),
        _ => ("ContainersNotReady", message.as_str()),
    };
    for kind in ["ContainersReady", "Ready"] {
        condition(pod, kind, is(ready), reason, message);
    }
    condition(pod, "PodScheduled", "True", "", "");
    let _ = take(pod, "status/reason");
}

fn phase(pod: &Value, statuses: &[Value], initial: &[Value]) -> &'static str {
    let code = |there: &Value| number(there, "state/terminated/exitCode");
    let is_final = text(pod, "spec/restartPolicy") == "Never";
    if is_final && initial.iter().filter_map(code).any(|code| code != 0) {
        return "Failed";
    }
    let all_ended = !statuses.is_empty() && statuses.iter().all(|there| code(there).is_some());
    let failed = statuses.iter().filter_map(code).any(|code| code != 0);
    match (all_ended, failed, text(pod, "spec/restartPolicy")) {
        (true, false, "Never" | "OnFailure") => return "Succeeded",
        (true, true, "Never") => return "Failed",
        _ => {}
    }
    let has_run = |there: &Value| {
        at(there, "state/running").is_object()
            || at(there, "state/terminated").is_object()
            || number(there, "restartCount").unwrap_or(0) > 0
    };
    let any = statuses.iter().any(has_run);
    let none_new = !statuses.is_empty() && statuses.iter().all(has_run);
    if any && none_new {
        "Running"
    } else {
        "Pending"
    }
}
