//! What a Deployment's status says of its way.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    api::prepare::now,
    controllers::{
        deployments::{MANAGER, RESOURCE, bounds, has_template},
        desk::Desk,
        replica_sets,
    },
    document::{items, number, put, text},
    store::Key,
};

pub(super) fn tell(desk: &mut Desk, key: &Key) {
    let Some(deployment) = desk.get(RESOURCE, key) else {
        return;
    };
    let sets = desk.owned(replica_sets::RESOURCE, &deployment);
    let sum = |field: &str, meant: &dyn Fn(&Value) -> bool| -> i64 {
        let meant = sets.iter().filter(|set| meant(set));
        meant
            .map(|set| number(set, &format!("status/{field}")).unwrap_or(0))
            .sum()
    };
    let all = |_: &Value| true;
    let is_new = |set: &Value| has_template(set, &deployment);
    let wanted = number(&deployment, "spec/replicas").unwrap_or(1);
    let counts = Counts {
        wanted,
        all: sum("replicas", &all),
        updated: sum("replicas", &is_new),
        ready: sum("readyReplicas", &all),
        available: sum("availableReplicas", &all),
    };
    let mut status = json!({"observedGeneration": deployment["metadata"]["generation"]});
    for (field, count) in [
        ("replicas", counts.all),
        ("updatedReplicas", counts.updated),
        ("readyReplicas", counts.ready),
        ("availableReplicas", counts.available),
        (
            "unavailableReplicas",
            (counts.all.max(wanted) - counts.available).max(0),
        ),
    ] {
        if count > 0 {
            status[field] = count.into();
        }
    }
    let new = sets.iter().find(|set| is_new(set));
    let before = items(&deployment, "status/conditions").to_vec();
    let conditions = conditions(desk, key, &deployment, &counts, new, before);
    status["conditions"] = conditions.into();
    let mut told = (*deployment).clone();
    put(&mut told, "status", status);
    if told != *deployment {
        desk.put_status(RESOURCE, MANAGER, told);
    }
}

struct Counts {
    wanted: i64,
    all: i64,
    updated: i64,
    ready: i64,
    available: i64,
}

impl Counts {
    const fn is_complete(&self) -> bool {
        self.updated == self.wanted && self.all == self.wanted && self.available == self.wanted
    }
}

fn conditions(
    desk: &mut Desk,
    key: &Key,
    deployment: &Value,
    counts: &Counts,
    new: Option<&Arc<Value>>,
    mut before: Vec<Value>,
) -> Vec<Value> {
    let (_, unavailable) = bounds(deployment);
    if counts.available >= counts.wanted - unavailable {
        set(
            &mut before,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
            Touch::Keep,
        );
    } else {
        set(
            &mut before,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            Touch::Keep,
        );
    }
    let failure = new.and_then(|set| items(set, "status/conditions").first().cloned());
    before.retain(|there| there["type"] != "ReplicaFailure");
    if let Some(failure) = failure {
        let message = text(&failure, "message").to_owned();
        set(
            &mut before,
            "ReplicaFailure",
            "True",
            "FailedCreate",
            &message,
            Touch::Keep,
        );
    }
    if deployment["spec"]["paused"] == true {
        set(
            &mut before,
            "Progressing",
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused",
            Touch::Keep,
        );
        return before;
    }
    let name = new.map_or("", |set| text(set, "metadata/name"));
    if counts.is_complete() {
        let message = format!("ReplicaSet {name:?} has successfully progressed.");
        set(
            &mut before,
            "Progressing",
            "True",
            "NewReplicaSetAvailable",
            &message,
            Touch::Keep,
        );
        return before;
    }
    went_on(deployment, counts, name, &mut before);
    hold_deadline(desk, key, deployment, name, &mut before);
    before
}

/// Says that the rollout has begun, or has come further.
fn went_on(deployment: &Value, counts: &Counts, name: &str, before: &mut Vec<Value>) {
    let was = |field: &str| number(deployment, &format!("status/{field}")).unwrap_or(0);
    let old = was("replicas") - was("updatedReplicas");
    let went_on = counts.updated > was("updatedReplicas")
        || counts.all - counts.updated < old
        || counts.ready > was("readyReplicas")
        || counts.available > was("availableReplicas");
    let known = before
        .iter()
        .find(|there| there["type"] == "Progressing")
        .cloned();
    let is_begun = known
        .as_ref()
        .is_some_and(|there| there["reason"] != "NewReplicaSetAvailable");
    let named = known
        .as_ref()
        .is_some_and(|there| text(there, "message").contains(name));
    if went_on || !is_begun || !named {
        let (reason, message) = if is_begun && named {
            (
                "ReplicaSetUpdated",
                format!("ReplicaSet {name:?} is progressing."),
            )
        } else {
            (
                "NewReplicaSetCreated",
                format!("Created new replica set {name:?}"),
            )
        };
        set(
            before,
            "Progressing",
            "True",
            reason,
            &message,
            Touch::Renew,
        );
    }
}

/// Says that the rollout has come no further for too long.
fn hold_deadline(
    desk: &mut Desk,
    key: &Key,
    deployment: &Value,
    name: &str,
    before: &mut Vec<Value>,
) {
    if let Some(seconds) = number(deployment, "spec/progressDeadlineSeconds")
        .filter(|seconds| *seconds < i64::from(i32::MAX))
    {
        let since = before.iter().find(|there| there["type"] == "Progressing");
        let since = since.map_or("", |there| text(there, "lastUpdateTime"));
        let since =
            DateTime::parse_from_rfc3339(since).map_or_else(|_| Utc::now(), |time| time.to_utc());
        if (Utc::now() - since).num_seconds() >= seconds {
            let message = format!("ReplicaSet {name:?} has timed out progressing.");
            set(
                before,
                "Progressing",
                "False",
                "ProgressDeadlineExceeded",
                &message,
                Touch::Keep,
            );
        } else {
            desk.look_again(RESOURCE, key, Duration::from_millis(500));
        }
    }
}

/// Whether a condition that stays what it is counts as said anew.
#[derive(Clone, Copy, PartialEq)]
enum Touch {
    Keep,
    Renew,
}

fn set(list: &mut Vec<Value>, kind: &str, status: &str, reason: &str, message: &str, touch: Touch) {
    let time = now();
    let mut entry = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": time, "lastTransitionTime": time,
    });
    let Some(there) = list.iter_mut().find(|there| there["type"] == kind) else {
        list.push(entry);
        return;
    };
    if there["status"] == status {
        entry["lastTransitionTime"] = there["lastTransitionTime"].clone();
        if there["reason"] == reason && there["message"] == message && touch == Touch::Keep {
            entry["lastUpdateTime"] = there["lastUpdateTime"].clone();
        }
    }
    *there = entry;
}
