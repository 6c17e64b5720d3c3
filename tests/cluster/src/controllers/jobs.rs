//! Jobs: pods until so many have succeeded, or too many have not.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    api::prepare::now,
    controllers::{
        desk::Desk,
        owned_pods::{is_going, is_over, is_ready, make, of_template},
    },
    document::{items, list, number, put, put_default, text},
    store::{Key, key_of},
};

const RESOURCE: &str = "jobs.batch";
const SOURCE: &str = "job-controller";

/// How a job ended: type, reason, message.
type End = (&'static str, &'static str, &'static str);

pub(super) fn look(desk: &mut Desk, key: &Key) {
    let Some(job) = desk.get(RESOURCE, key) else {
        return;
    };
    if !text(&job, "metadata/deletionTimestamp").is_empty() {
        return;
    }
    if ended(&job) {
        expire(desk, key, &job);
        return;
    }
    let mut told = (*job).clone();
    if job["spec"]["suspend"] == true {
        suspend(desk, &job, &mut told);
    } else {
        put_default(&mut told, "status/startTime", now());
        step(desk, key, &job, &mut told);
    }
    if told != *job {
        desk.put_status(RESOURCE, "kube-controller-manager", told);
    }
}

fn ended(job: &Value) -> bool {
    items(job, "status/conditions").iter().any(|there| {
        ["Complete", "Failed"].contains(&text(there, "type")) && there["status"] == "True"
    })
}

fn seconds_since(time: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(time).ok()?;
    Some((Utc::now() - time.to_utc()).num_seconds())
}

/// A job that has ended goes after its time.
fn expire(desk: &mut Desk, key: &Key, job: &Value) {
    let Some(seconds) = number(job, "spec/ttlSecondsAfterFinished") else {
        return;
    };
    let conditions = items(job, "status/conditions").iter();
    let since = conditions
        .filter_map(|there| seconds_since(text(there, "lastTransitionTime")))
        .min();
    if since.is_some_and(|since| since >= seconds) {
        desk.delete(RESOURCE, key);
    } else {
        desk.look_again(RESOURCE, key, Duration::from_millis(500));
    }
}

fn suspend(desk: &mut Desk, job: &Arc<Value>, told: &mut Value) {
    for pod in desk.owned("pods", job).iter().filter(|pod| !is_over(pod)) {
        desk.delete("pods", &key_of(pod));
    }
    let is_told = items(job, "status/conditions")
        .iter()
        .any(|there| there["type"] == "Suspended");
    if !is_told {
        condition(told, ("Suspended", "JobSuspended", "Job suspended"));
    }
}

fn condition(job: &mut Value, (kind, reason, message): End) {
    let time = now();
    list(job, "status/conditions").push(json!({
        "type": kind, "status": "True", "reason": reason, "message": message, "lastProbeTime": time, "lastTransitionTime": time,
    }));
}

fn step(desk: &mut Desk, key: &Key, job: &Arc<Value>, told: &mut Value) {
    let pods = desk.owned("pods", job);
    let phase = |pod: &Value| text(pod, "status/phase").to_owned();
    let count = |wanted: &str| {
        i64::try_from(pods.iter().filter(|pod| phase(pod) == wanted).count()).unwrap_or(0)
    };
    let (succeeded, failed) = (count("Succeeded"), count("Failed"));
    let running: Vec<&Arc<Value>> = pods
        .iter()
        .filter(|pod| !is_over(pod) && !is_going(pod))
        .collect();
    let restarts: i64 = running
        .iter()
        .flat_map(|pod| items(pod, "status/containerStatuses"))
        .filter_map(|status| number(status, "restartCount"))
        .sum();
    let wanted = number(job, "spec/completions").unwrap_or(1);
    let limit = number(job, "spec/backoffLimit").unwrap_or(6);
    let deadline = number(job, "spec/activeDeadlineSeconds");
    let late = deadline.is_some_and(|deadline| {
        seconds_since(text(told, "status/startTime")).is_some_and(|since| since >= deadline)
    });
    if deadline.is_some() {
        desk.look_again(RESOURCE, key, Duration::from_millis(500));
    }
    let end: Option<[End; 2]> = if succeeded >= wanted {
        let message = "Reached expected number of succeeded pods";
        Some([
            ("SuccessCriteriaMet", "CompletionsReached", message),
            ("Complete", "CompletionsReached", message),
        ])
    } else if failed > limit || (restarts > 0 && restarts > limit) {
        let message = "Job has reached the specified backoff limit";
        Some([
            ("FailureTarget", "BackoffLimitExceeded", message),
            ("Failed", "BackoffLimitExceeded", message),
        ])
    } else if late {
        let message = "Job was active longer than specified deadline";
        Some([
            ("FailureTarget", "DeadlineExceeded", message),
            ("Failed", "DeadlineExceeded", message),
        ])
    } else {
        None
    };
    let ready = running.iter().filter(|pod| is_ready(pod)).count();
    let active = running.len();
    let mut status = json!({"uncountedTerminatedPods": {}, "ready": ready, "startTime": told["status"]["startTime"], "terminating": 0});
    for (field, count) in [("succeeded", succeeded), ("failed", failed)] {
        if count > 0 {
            status[field] = count.into();
        }
    }
    if let Some(conditions) = told["status"].get("conditions") {
        status["conditions"] = conditions.clone();
    }
    put(told, "status", status);
    if let Some(conditions) = end {
        let running: Vec<Key> = running.iter().map(|pod| key_of(pod)).collect();
        for pod in &running {
            desk.delete("pods", pod);
        }
        let [_, (kind, reason, message)] = conditions;
        if kind == "Complete" {
            put(told, "status/completionTime", now());
            desk.event(job, ("Completed", "Normal"), SOURCE, "Job completed");
        } else {
            desk.event(job, (reason, "Warning"), SOURCE, message);
        }
        put(told, "status/ready", 0);
        for entry in conditions {
            condition(told, entry);
        }
        return;
    }
    let parallel = number(job, "spec/parallelism")
        .unwrap_or(1)
        .min(wanted - succeeded);
    let missing = usize::try_from(parallel)
        .unwrap_or(0)
        .saturating_sub(active);
    for _ in 0..missing {
        begin(desk, job);
    }
    if active + missing > 0 {
        put(told, "status/active", active + missing);
    }
}

fn begin(desk: &mut Desk, job: &Arc<Value>) {
    let Some(kind) = desk.state.kinds.of_resource(RESOURCE) else {
        return;
    };
    let mut pod = of_template(&kind, job);
    put(
        &mut pod,
        "metadata/generateName",
        format!("{}-", text(job, "metadata/name")),
    );
    let _ = make(desk, job, SOURCE, pod);
}
