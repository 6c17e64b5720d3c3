//! Scheduler and kubelet in one: what becomes of a pod, by what it is.

mod conduct;
mod status;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    api::prepare::now,
    bulk::STILL,
    containers::ContainerKey,
    controllers::desk::Desk,
    document::{annotation, at, items, list, number, put, text, texts},
    store::Key,
};
use conduct::{Conduct, Part};
pub(super) use status::condition;

const PODS: &str = "pods";
/// What the scheduler says behind each obstacle.
const NO_HELP: &str =
    "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";

pub(super) fn look(desk: &mut Desk, key: &Key) {
    let Some(pod) = desk.get(PODS, key) else {
        desk.state.containers.forget_pod(&key.0, &key.1);
        return;
    };
    if !text(&pod, "metadata/deletionTimestamp").is_empty() {
        end(desk, &pod);
        return;
    }
    let is_over = ["Succeeded", "Failed"].contains(&text(&pod, "status/phase"));
    if is_over || annotation(&pod, STILL).is_some() {
        return;
    }
    if text(&pod, "spec/nodeName").is_empty() {
        schedule(desk, key, &pod);
        return;
    }
    run(desk, key, &pod);
}

/// The kubelet has ended the containers, and lets the pod go.
fn end(desk: &mut Desk, pod: &Arc<Value>) {
    if number(pod, "metadata/deletionGracePeriodSeconds") == Some(0)
        && !items(pod, "metadata/finalizers").is_empty()
    {
        return;
    }
    let mut last = (**pod).clone();
    put(&mut last, "metadata/deletionGracePeriodSeconds", 0);
    desk.put_last(PODS, last);
}

fn schedule(desk: &mut Desk, key: &Key, pod: &Arc<Value>) {
    let mut placed = (**pod).clone();
    match obstacle(desk, pod) {
        None => {
            put(&mut placed, "spec/nodeName", crate::NODE);
            status::condition(&mut placed, "PodScheduled", "True", "", "");
            desk.state.store.write(PODS, placed);
            let message = format!(
                "Successfully assigned {}/{} to {}",
                key.0,
                key.1,
                crate::NODE
            );
            desk.event(pod, ("Scheduled", "Normal"), "default-scheduler", &message);
        }
        Some(message) => {
            status::condition(
                &mut placed,
                "PodScheduled",
                "False",
                "Unschedulable",
                &message,
            );
            if placed != **pod {
                desk.put_status(PODS, "kube-scheduler", placed);
                desk.event(
                    pod,
                    ("FailedScheduling", "Warning"),
                    "default-scheduler",
                    &message,
                );
            }
            desk.look_again(PODS, key, Duration::from_millis(200));
        }
    }
}

/// Why the pod has no place on the node.
fn obstacle(desk: &Desk, pod: &Value) -> Option<String> {
    let node = desk.get("nodes", &(String::new(), crate::NODE.to_owned()))?;
    if node["spec"]["unschedulable"] == true {
        return Some(format!(
            "0/1 nodes are available: 1 node(s) were unschedulable. {NO_HELP}"
        ));
    }
    let labels = texts(&node, "metadata/labels");
    let wanted = texts(pod, "spec/nodeSelector");
    if wanted
        .iter()
        .any(|(name, value)| labels.get(name) != Some(value))
    {
        return Some(format!(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. {NO_HELP}"
        ));
    }
    let namespace = text(pod, "metadata/namespace");
    for volume in items(pod, "spec/volumes") {
        let name = text(volume, "persistentVolumeClaim/claimName");
        if name.is_empty() {
            continue;
        }
        let key = (namespace.to_owned(), name.to_owned());
        match desk.get("persistentvolumeclaims", &key) {
            None => {
                return Some(format!(
                    "0/1 nodes are available: persistentvolumeclaim {name:?} not found. {NO_HELP}"
                ));
            }
            Some(claim) if text(&claim, "status/phase") != "Bound" => {
                return Some(format!(
                    "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. {NO_HELP}"
                ));
            }
            Some(_) => {}
        }
    }
    None
}

/// One step of all containers.
fn run(desk: &mut Desk, key: &Key, pod: &Arc<Value>) {
    let mut next = (**pod).clone();
    if at(&next, "status/startTime").is_null() {
        put(&mut next, "status/startTime", now());
        put(&mut next, "status/hostIP", "192.0.2.10");
        put(&mut next, "status/hostIPs", json!([{"ip": "192.0.2.10"}]));
        let address = format!("10.244.0.{}", fastrand::u8(2..255));
        put(&mut next, "status/podIP", address.clone());
        put(&mut next, "status/podIPs", json!([{"ip": address}]));
    }
    let initialized = step(desk, key, &mut next, Part::Initial);
    if initialized {
        step(desk, key, &mut next, Part::Main);
    } else {
        status::wait_for_start(&mut next, "PodInitializing");
    }
    status::settle(&mut next, initialized);
    if next != **pod {
        desk.put_status(PODS, "kubelet", next);
    }
}

/// Brings the containers of one part a step further; true if its initial ones are through, or it is the main part.
fn step(desk: &mut Desk, key: &Key, pod: &mut Value, part: Part) -> bool {
    let containers: Vec<Value> = items(pod, part.containers()).to_vec();
    for (place, container) in containers.iter().enumerate() {
        let name = text(container, "name");
        let before = items(pod, part.statuses())
            .iter()
            .find(|there| text(there, "name") == name)
            .cloned()
            .unwrap_or_else(|| status::created(container, part));
        let after = container_step(desk, key, pod, container, &before, part);
        let done = part == Part::Main || at(&after, "state/terminated/exitCode") == 0;
        let statuses = list(pod, part.statuses());
        match statuses
            .iter_mut()
            .find(|there| text(there, "name") == name)
        {
            Some(there) => *there = after,
            None => statuses.push(after),
        }
        if !done {
            for later in &containers[place + 1..] {
                let statuses = list(pod, part.statuses());
                if statuses.iter().all(|there| there["name"] != later["name"]) {
                    statuses.push(status::waiting(later, "PodInitializing"));
                }
            }
            return false;
        }
    }
    true
}

fn container_step(
    desk: &mut Desk,
    key: &Key,
    pod: &Value,
    container: &Value,
    before: &Value,
    part: Part,
) -> Value {
    let name = text(container, "name").to_owned();
    let whole = (key.0.clone(), key.1.clone(), name);
    let conduct = Conduct::of(desk, pod, container, part);
    if at(before, "state/running").is_object() {
        let crashed = desk.state.containers.takes_restart(&whole);
        return match conduct {
            _ if crashed => status::terminated(before, 1),
            // One look of it running first, as anybody would see.
            Conduct::Exits(_) if before["started"] == false && part == Part::Main => {
                desk.look_again(PODS, key, Duration::from_millis(20));
                status::started(before, false)
            }
            Conduct::Exits(code) => status::terminated(before, code),
            Conduct::Runs { ready } => {
                if !ready && before["started"] == false {
                    desk.event(
                        pod,
                        ("Unhealthy", "Warning"),
                        "kubelet",
                        "Readiness probe failed: ",
                    );
                }
                status::started(before, ready)
            }
            Conduct::NoImage | Conduct::NoConfiguration(_) => before.clone(),
        };
    }
    if at(before, "state/terminated").is_object() {
        return ended(desk, key, pod, container, before, &whole);
    }
    match conduct {
        Conduct::NoImage => no_image(desk, key, pod, container, before),
        Conduct::NoConfiguration(why) => {
            desk.look_again(PODS, key, Duration::from_millis(200));
            status::waits(before, "CreateContainerConfigError", &why)
        }
        Conduct::Runs { .. } | Conduct::Exits(_) => {
            start(desk, key, pod, container, before, &whole)
        }
    }
}

fn start(
    desk: &mut Desk,
    key: &Key,
    pod: &Value,
    container: &Value,
    before: &Value,
    whole: &ContainerKey,
) -> Value {
    if let Some(pause) = desk.memory.pauses.get(whole) {
        let left = pause.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            desk.look_again(PODS, key, left);
            return before.clone();
        }
    }
    let image = text(container, "image");
    let name = &whole.2;
    let pulled = format!("Container image {image:?} already present on machine");
    desk.event(pod, ("Pulled", "Normal"), "kubelet", &pulled);
    desk.event(
        pod,
        ("Started", "Normal"),
        "kubelet",
        &format!("Started container {name}"),
    );
    desk.state.containers.start(whole, container);
    desk.look_again(PODS, key, Duration::from_millis(20));
    status::running(before)
}

/// A container that has ended starts again, if its pod says so, after a pause that doubles.
fn ended(
    desk: &mut Desk,
    key: &Key,
    pod: &Value,
    container: &Value,
    before: &Value,
    whole: &ContainerKey,
) -> Value {
    let code = number(before, "state/terminated/exitCode").unwrap_or(0);
    let is_initial = items(pod, Part::Initial.containers()).contains(container);
    let again = match text(pod, "spec/restartPolicy") {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => !(is_initial && code == 0),
    };
    if !again {
        return before.clone();
    }
    let restarts = number(before, "restartCount").unwrap_or(0);
    let mut after = before.clone();
    after["lastState"] = before["state"].clone();
    after["restartCount"] = (restarts + 1).into();
    if restarts == 0 {
        desk.memory.pauses.remove(whole);
        return start(desk, key, pod, container, &after, whole);
    }
    let doubled = u32::try_from(restarts - 1).unwrap_or(0).min(5);
    let pause = desk.state.settings.back_off * 2_u32.pow(doubled);
    desk.memory
        .pauses
        .insert(whole.clone(), Instant::now() + pause);
    desk.look_again(PODS, key, pause);
    let (name, namespace) = (text(pod, "metadata/name"), text(pod, "metadata/namespace"));
    let seconds = 10 * 2_u32.pow(doubled);
    let message = format!(
        "back-off {seconds}s restarting failed container={} pod={name}_{namespace}({})",
        whole.2,
        text(pod, "metadata/uid")
    );
    let event = format!(
        "Back-off restarting failed container {} in pod {name}_{namespace}({})",
        whole.2,
        text(pod, "metadata/uid")
    );
    desk.event(pod, ("BackOff", "Warning"), "kubelet", &event);
    status::waits(&after, "CrashLoopBackOff", &message)
}

/// An image that is nowhere: an error first, then ever longer pauses.
fn no_image(desk: &mut Desk, key: &Key, pod: &Value, container: &Value, before: &Value) -> Value {
    let image = text(container, "image");
    let cause = format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image {image:?}: failed to resolve reference {image:?}: {image}: not found"
    );
    match text(before, "state/waiting/reason") {
        "ErrImagePull" | "ImagePullBackOff" => {
            let back_off = format!("Back-off pulling image {image:?}");
            desk.event(pod, ("BackOff", "Normal"), "kubelet", &back_off);
            let message = format!("{back_off}: ErrImagePull: {cause}");
            status::waits(before, "ImagePullBackOff", &message)
        }
        _ => {
            desk.event(
                pod,
                ("Pulling", "Normal"),
                "kubelet",
                &format!("Pulling image {image:?}"),
            );
            let failed = format!("Failed to pull image {image:?}: {cause}");
            desk.event(pod, ("Failed", "Warning"), "kubelet", &failed);
            desk.event(pod, ("Failed", "Warning"), "kubelet", "Error: ErrImagePull");
            desk.look_again(PODS, key, Duration::from_millis(300));
            status::waits(before, "ErrImagePull", &cause)
        }
    }
}
