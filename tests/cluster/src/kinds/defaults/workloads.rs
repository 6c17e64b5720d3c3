//! Of what makes pods.

use serde_json::{Value, json};

use crate::{
    document::{at, list, place, put, put_default, text, texts},
    kinds::defaults::pods::template,
};

pub(super) fn deployment(object: &mut Value) {
    template(object, "spec/template");
    put_default(object, "spec/replicas", 1);
    put_default(object, "spec/strategy/type", "RollingUpdate");
    if text(object, "spec/strategy/type") == "RollingUpdate" {
        put_default(object, "spec/strategy/rollingUpdate/maxUnavailable", "25%");
        put_default(object, "spec/strategy/rollingUpdate/maxSurge", "25%");
    }
    put_default(object, "spec/revisionHistoryLimit", 10);
    put_default(object, "spec/progressDeadlineSeconds", 600);
}

pub(super) fn replica_set(object: &mut Value) {
    template(object, "spec/template");
    put_default(object, "spec/replicas", 1);
}

pub(super) fn stateful_set(object: &mut Value) {
    template(object, "spec/template");
    put_default(object, "spec/replicas", 1);
    put_default(object, "spec/podManagementPolicy", "OrderedReady");
    put_default(object, "spec/updateStrategy/type", "RollingUpdate");
    if text(object, "spec/updateStrategy/type") == "RollingUpdate" {
        put_default(object, "spec/updateStrategy/rollingUpdate/partition", 0);
    }
    put_default(object, "spec/revisionHistoryLimit", 10);
    put_default(
        object,
        "spec/persistentVolumeClaimRetentionPolicy/whenDeleted",
        "Retain",
    );
    put_default(
        object,
        "spec/persistentVolumeClaimRetentionPolicy/whenScaled",
        "Retain",
    );
    if at(object, "spec/volumeClaimTemplates").is_array() {
        for claim in list(object, "spec/volumeClaimTemplates") {
            put_default(claim, "apiVersion", "v1");
            put_default(claim, "kind", "PersistentVolumeClaim");
            put_default(claim, "spec/volumeMode", "Filesystem");
            put_default(claim, "status/phase", "Pending");
        }
    }
}

pub(super) fn daemon_set(object: &mut Value) {
    template(object, "spec/template");
    put_default(object, "spec/updateStrategy/type", "RollingUpdate");
    if text(object, "spec/updateStrategy/type") == "RollingUpdate" {
        put_default(
            object,
            "spec/updateStrategy/rollingUpdate/maxUnavailable",
            1,
        );
        put_default(object, "spec/updateStrategy/rollingUpdate/maxSurge", 0);
    }
    put_default(object, "spec/revisionHistoryLimit", 10);
}

pub(super) fn job(object: &mut Value) {
    template(object, "spec/template");
    job_spec(place(object, "spec"));
    if at(object, "spec/manualSelector") == true {
        return;
    }
    let uid = text(object, "metadata/uid").to_owned();
    let name = text(object, "metadata/name").to_owned();
    put_default(
        object,
        "spec/selector",
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
    );
    let mut labels = texts(object, "spec/template/metadata/labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
    ] {
        labels
            .entry(key.to_owned())
            .or_insert_with(|| value.clone());
    }
    put(object, "spec/template/metadata/labels", json!(labels));
}

fn job_spec(spec: &mut Value) {
    if at(spec, "completions").is_null() && at(spec, "parallelism").is_null() {
        put(spec, "completions", 1);
        put(spec, "parallelism", 1);
    }
    put_default(spec, "parallelism", 1);
    put_default(spec, "backoffLimit", 6);
    put_default(spec, "completionMode", "NonIndexed");
    put_default(spec, "suspend", false);
    put_default(spec, "manualSelector", false);
    put_default(spec, "podReplacementPolicy", "TerminatingOrFailed");
}

pub(super) fn cron_job(object: &mut Value) {
    template(object, "spec/jobTemplate/spec/template");
    put_default(object, "spec/concurrencyPolicy", "Allow");
    put_default(object, "spec/suspend", false);
    put_default(object, "spec/successfulJobsHistoryLimit", 3);
    put_default(object, "spec/failedJobsHistoryLimit", 1);
}
