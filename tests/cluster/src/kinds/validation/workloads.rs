//! What makes pods.

use serde_json::{Value, json};

use crate::{
    document::{at, items, number, text},
    kinds::{
        Kind,
        validation::{immutable, metadata::labels, pods},
    },
    refusal::Cause,
    selectors::Selection,
};

const SET_UPDATES: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

pub(super) fn with_selector(
    kind: &Kind,
    object: &Value,
    live: Option<&Value>,
    causes: &mut Vec<Cause>,
) {
    if let Some(replicas) = number(object, "spec/replicas").filter(|replicas| *replicas < 0) {
        let why = "must be greater than or equal to 0";
        causes.push(Cause::invalid("spec.replicas", &json!(replicas), why));
    }
    selector(kind, object, causes);
    labels(object, "spec/template/metadata/labels", causes);
    let mut spec = at(object, "spec/template/spec").clone();
    // Its claims are volumes of each of its pods.
    for claim in items(object, "spec/volumeClaimTemplates") {
        let volume = json!({"name": claim["metadata"]["name"]});
        crate::document::list(&mut spec, "volumes").retain(|there| there["name"] != volume["name"]);
        crate::document::list(&mut spec, "volumes").push(volume);
    }
    pods::spec(&spec, "spec.template.spec", causes);
    let policy = at(&spec, "restartPolicy");
    if ["OnFailure", "Never"].iter().any(|other| policy == other) {
        causes.push(Cause::unsupported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always"],
        ));
    }
    match (kind.kind.as_str(), live) {
        ("StatefulSet", Some(live)) => set_update(object, live, causes),
        (_, live) => immutable(object, live, "spec/selector", causes),
    }
}

fn selector(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let selector = at(object, "spec/selector");
    let Some(selection) = Selection::of(selector) else {
        causes.push(Cause::required("spec.selector", ""));
        return;
    };
    if selection.is_empty() {
        let name = match kind.kind.as_str() {
            "StatefulSet" => "statefulset",
            "DaemonSet" => "daemonset",
            _ => "deployment",
        };
        let why = format!("empty selector is invalid for {name}");
        causes.push(Cause::invalid("spec.selector", selector, &why));
    }
    labels(object, "spec/selector/matchLabels", causes);
    let template = at(object, "spec/template/metadata/labels");
    if !selection.meets_labels(template) {
        let shown = if template.is_null() {
            json!({})
        } else {
            template.clone()
        };
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", &shown, why));
    }
}

fn set_update(object: &Value, live: &Value, causes: &mut Vec<Cause>) {
    const CHANGES: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |set: &Value| {
        let mut spec = set["spec"].clone();
        if let Some(map) = spec.as_object_mut() {
            map.retain(|name, _| !CHANGES.contains(&name.as_str()));
        }
        spec
    };
    if fixed(object) != fixed(live) {
        causes.push(Cause::forbidden("spec", SET_UPDATES));
    }
}

pub(super) fn job(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    job_spec(at(object, "spec"), "spec", causes);
    let template = |job: &Value| {
        let mut template = at(job, "spec/template").clone();
        // A suspended job may still be told where to run.
        if job["spec"]["suspend"] == true {
            let _ = crate::document::take(&mut template, "spec/nodeSelector");
        }
        template
    };
    if let Some(live) = live {
        if template(object) != template(live) {
            let shown = at(object, "spec/template");
            causes.push(Cause::invalid("spec.template", shown, "field is immutable"));
        }
        for field in ["spec/selector", "spec/completions", "spec/completionMode"] {
            immutable(object, Some(live), field, causes);
        }
    }
}

fn job_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let below = format!("{path}.template.spec");
    pods::spec(at(spec, "template/spec"), &below, causes);
    if text(spec, "template/spec/restartPolicy") == "Always" {
        let supported = ["OnFailure", "Never"];
        causes.push(Cause::unsupported(
            &format!("{below}.restartPolicy"),
            &json!("Always"),
            &supported,
        ));
    }
    for field in ["parallelism", "completions", "backoffLimit"] {
        if let Some(value) = number(spec, field).filter(|value| *value < 0) {
            let why = "must be greater than or equal to 0";
            causes.push(Cause::invalid(
                &format!("{path}.{field}"),
                &json!(value),
                why,
            ));
        }
    }
}

pub(super) fn cron_job(object: &Value, causes: &mut Vec<Cause>) {
    let schedule = text(object, "spec/schedule");
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if schedule.is_empty() {
        causes.push(Cause::required("spec.schedule", ""));
    } else if fields.len() != 5 && !schedule.starts_with('@') {
        let why = format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        );
        causes.push(Cause::invalid("spec.schedule", &json!(schedule), &why));
    }
    job_spec(
        at(object, "spec/jobTemplate/spec"),
        "spec.jobTemplate.spec",
        causes,
    );
}
