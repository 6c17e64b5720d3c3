//! Reading one object, and lists of them.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Response;
use serde_json::{Value, json};

use crate::{
    api::{
        answer::{Body, json as as_json},
        prepare::shown_as,
        request::{Asked, ResourcePlace},
    },
    controls,
    document::take,
    kinds::{Kind, Origin},
    refusal::{Answer, Refusal},
    selectors::Selection,
    state::State,
    store::{Key, key_of},
};

/// The object in the version that the path says.
pub(crate) fn shown(state: &State, place: &ResourcePlace, object: &Value) -> Answer<Value> {
    Ok(shown_as(&*place.kind(state)?, object))
}

pub(super) fn get(state: &State, place: &ResourcePlace, asked: &Asked) -> Answer<Response<Body>> {
    let kind = place.kind(state)?;
    if kind.origin == Origin::Metrics {
        let metrics = controls::metrics_of(state, &kind, &place.namespace, &place.name);
        let found = metrics.into_iter().next();
        let found = found.ok_or_else(|| Refusal::not_found(&kind, &place.name))?;
        return Ok(as_json(200, &found));
    }
    current(state, asked.number("resourceVersion"))?;
    let found = find(state, &kind, &place.namespace, &place.name)?;
    Ok(as_json(200, &shown_as(&kind, &found)))
}

/// The object, or that it is not there.
pub(crate) fn find(state: &State, kind: &Kind, namespace: &str, name: &str) -> Answer<Arc<Value>> {
    let found = state.store.get(&kind.resource(), namespace, name);
    found.ok_or_else(|| Refusal::not_found(kind, name))
}

/// A revision that is not there yet is waited for in vain.
fn current(state: &State, wanted: Option<u64>) -> Answer<()> {
    let now = state.store.revision();
    match wanted {
        Some(wanted) if wanted > now => {
            let message = format!("Too large resource version: {wanted}, current: {now}");
            let mut refusal = Refusal::plain(504, "Timeout", format!("Timeout: {message}"));
            refusal.details = json!({"retryAfterSeconds": 1});
            Err(refusal.because("ResourceVersionTooLarge", "Too large resource version", ""))
        }
        _ => Ok(()),
    }
}

/// Where a list goes on.
struct Mark {
    revision: u64,
    after: Key,
}

impl Mark {
    fn token(&self) -> String {
        STANDARD.encode(
            json!({"v": "meta.k8s.io/v1", "rv": self.revision, "after": self.after}).to_string(),
        )
    }

    fn read(token: &str) -> Option<Self> {
        let bytes = STANDARD.decode(token).ok()?;
        let read: Value = serde_json::from_slice(&bytes).ok()?;
        let word = |at: usize| Some(read["after"][at].as_str()?.to_owned());
        Some(Self {
            revision: read["rv"].as_u64()?,
            after: (word(0)?, word(1)?),
        })
    }
}

const TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn mark(state: &State, token: &str) -> Answer<Option<Mark>> {
    if token.is_empty() {
        return Ok(None);
    }
    let mark = Mark::read(token)
        .ok_or_else(|| Refusal::bad_request("continue key is not valid: illegal base64 data"))?;
    if mark.revision < state.store.history.oldest() {
        return Err(Refusal::plain(410, "Expired", TOO_OLD));
    }
    Ok(Some(mark))
}

pub(super) fn list(state: &State, place: &ResourcePlace, asked: &Asked) -> Answer<Response<Body>> {
    let kind = place.kind(state)?;
    let selection = selection(&kind, place, asked)?;
    if kind.origin == Origin::Metrics {
        let all = controls::metrics_of(state, &kind, &place.namespace, "");
        let items: Vec<Value> = all
            .into_iter()
            .filter(|object| selection.meets(object))
            .collect();
        return Ok(as_json(200, &of_items(&kind, &items, &json!({}))));
    }
    current(state, asked.number("resourceVersion"))?;
    let exact = asked
        .number("resourceVersion")
        .filter(|_| asked.parameter("resourceVersionMatch") == "Exact");
    if exact.is_some_and(|exact| exact < state.store.history.oldest()) {
        let message = "The resourceVersion for the provided list is too old.";
        return Err(Refusal::plain(410, "Expired", message));
    }
    let mark = mark(state, asked.parameter("continue"))?;
    let limit = asked
        .number("limit")
        .filter(|limit| *limit > 0)
        .map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
    let resource = kind.resource();
    let all = state.store.list(&resource, &place.namespace);
    let rest = all.filter(|object| {
        let behind = |mark: &Mark| key_of(object) > mark.after;
        mark.as_ref().is_none_or(behind) && selection.meets(object)
    });
    let rest: Vec<&Arc<Value>> = rest.collect();
    let page = &rest[..rest.len().min(limit)];
    let revision = mark.map_or_else(|| state.store.revision(), |mark| mark.revision);
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let Some(last) = page.last().filter(|_| rest.len() > page.len()) {
        let after = key_of(last);
        metadata["continue"] = Mark { revision, after }.token().into();
        if selection.is_empty() {
            metadata["remainingItemCount"] = (rest.len() - page.len()).into();
        }
    }
    let items: Vec<Value> = page.iter().map(|object| item(&kind, object)).collect();
    Ok(as_json(200, &of_items(&kind, &items, &metadata)))
}

/// What a list's or watch's parameters select.
pub(super) fn selection(kind: &Kind, place: &ResourcePlace, asked: &Asked) -> Answer<Selection> {
    let mut fields = asked.parameter("fieldSelector").to_owned();
    if !place.name.is_empty() {
        fields = format!("{fields},metadata.name={}", place.name);
    }
    Selection::read(
        kind,
        asked.parameter("labelSelector"),
        fields.trim_matches(','),
    )
}

fn item(kind: &Kind, object: &Value) -> Value {
    let mut item = object.clone();
    if kind.is_custom() {
        return shown_as(kind, &item);
    }
    // A typed list says once what its items are.
    let _ = take(&mut item, "apiVersion");
    let _ = take(&mut item, "kind");
    item
}

fn of_items(kind: &Kind, items: &[Value], metadata: &Value) -> Value {
    json!({
        "kind": format!("{}List", kind.kind),
        "apiVersion": kind.api_version(),
        "metadata": metadata,
        "items": items,
    })
}
