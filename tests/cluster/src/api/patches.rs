//! What a body asks to be changed.

use serde_json::Value;

use crate::{
    api::{
        document,
        request::{Asked, Verb},
    },
    apply::OnConflict,
    refusal::{Answer, Refusal},
};

/// How an object is to come about from what is there.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Create(Value),
    Replace(Value),
    Merge(Value),
    Json(Value),
    Strategic(Value),
    Apply(Value, OnConflict),
}

/// Media types of objects.
const ACCEPTED: [&str; 4] = [
    "",
    "application/json",
    "application/vnd.kubernetes.protobuf",
    "application/x-www-form-urlencoded",
];
const SUPPORTED: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";

/// Of the body, by verb and media type.
pub(crate) fn change(asked: &Asked, body: &[u8]) -> Answer<Change> {
    let media = asked.content_type.split(';').next().unwrap_or_default();
    if asked.verb != Verb::Patch {
        if !ACCEPTED.contains(&media) {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf (was {media})"
            );
            return Err(Refusal::plain(415, "UnsupportedMediaType", message));
        }
        let object = document(body)?.ok_or_else(|| Refusal::bad_request("no object was given"))?;
        return Ok(match asked.verb {
            Verb::Create => Change::Create(object),
            _ => Change::Replace(object),
        });
    }
    let patch = document(body).map_err(|refusal| match media {
        "application/apply-patch+yaml" => {
            Refusal::bad_request("error decoding YAML: this server reads YAML that is JSON alone")
        }
        _ => refusal,
    })?;
    let patch = patch.ok_or_else(|| Refusal::bad_request("no patch was given"))?;
    match media {
        "application/json-patch+json" => Ok(Change::Json(patch)),
        "application/merge-patch+json" => Ok(Change::Merge(patch)),
        "application/strategic-merge-patch+json" => Ok(Change::Strategic(patch)),
        "application/apply-patch+yaml" | "application/apply-patch+json" => apply(asked, patch),
        _ => {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: {SUPPORTED}"
            );
            Err(Refusal::plain(415, "UnsupportedMediaType", message))
        }
    }
}

fn apply(asked: &Asked, configuration: Value) -> Answer<Change> {
    if asked.parameter("fieldManager").is_empty() {
        let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        return Err(Refusal::plain(422, "Invalid", message).because(
            "FieldValueRequired",
            "Required value: is required for apply patch",
            "fieldManager",
        ));
    }
    let on_conflict = if asked.says("force") {
        OnConflict::TakeOver
    } else {
        OnConflict::Refuse
    };
    Ok(Change::Apply(configuration, on_conflict))
}
