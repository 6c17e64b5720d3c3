//! The controls over HTTP, for tests in another process; the admin's alone.

use std::{sync::Arc, time::Duration};

use http::Response;
use serde_json::{Value, json};

use crate::{
    api::{
        answer::{Body, json as as_json},
        document,
        request::Asked,
    },
    bulk,
    controls::Failure,
    document::{number, text},
    refusal::{Answer, Refusal},
    state::Shared,
};

/// Where they are.
pub(crate) const PREFIX: &str = "/_towline/";

/// Does what the path says; see the crate's documentation.
pub(crate) async fn respond(
    shared: &Arc<Shared>,
    asked: &Asked,
    body: &[u8],
) -> Answer<Response<Body>> {
    if !asked.user.is_master() {
        return Err(Refusal::plain(
            403,
            "Forbidden",
            "the controls are the admin's",
        ));
    }
    let path = asked.path.strip_prefix(PREFIX).unwrap_or_default();
    let words: Vec<&str> = path.split('/').collect();
    if let ["pods", namespace, pod, container, what] = words.as_slice() {
        let key = (
            (*namespace).to_owned(),
            (*pod).to_owned(),
            (*container).to_owned(),
        );
        shared.with(|state| match *what {
            "log" => {
                let words = String::from_utf8_lossy(body);
                state.containers.add(key, &words);
                Ok(())
            }
            "restart" => {
                state.containers.restart(key);
                Ok(())
            }
            "rotate" => {
                state.containers.rotate(&key);
                Ok(())
            }
            _ => Err(Refusal::no_such_resource()),
        })?;
        shared.wake();
        return Ok(as_json(200, &json!({})));
    }
    let wanted = document(body)?.unwrap_or_default();
    let answer = control(shared, &words, &wanted)?;
    Ok(as_json(200, &answer))
}

fn milliseconds(wanted: &Value) -> Duration {
    let time = number(wanted, "milliseconds").unwrap_or(0);
    Duration::from_millis(u64::try_from(time).unwrap_or(0))
}

fn control(shared: &Arc<Shared>, words: &[&str], wanted: &Value) -> Answer<Value> {
    match words {
        ["counts"] => Ok(shared.with(|state| {
            let counts = state.controls.counts().into_iter();
            counts
                .map(|(kind, count)| {
                    json!({"verb": kind.verb, "dryRun": kind.dry_run, "resource": kind.resource, "count": count})
                })
                .collect()
        })),
        ["mark"] => {
            shared.with(|state| state.controls.mark());
            Ok(json!({}))
        }
        ["away"] => {
            shared.go_away(milliseconds(wanted));
            Ok(json!({}))
        }
        ["latency"] => {
            shared.with(|state| state.controls.delay(milliseconds(wanted)));
            Ok(json!({}))
        }
        ["fail"] => {
            shared.with(|state| state.controls.fail(failure(wanted)));
            Ok(json!({}))
        }
        ["compact"] => {
            shared.with(|state| state.store.compact());
            Ok(json!({}))
        }
        ["metrics"] => {
            shared.with(|state| {
                state.kinds.add_metrics();
                if !text(wanted, "name").is_empty() {
                    let (cpu, memory) = (text(wanted, "cpu"), text(wanted, "memory"));
                    state.controls.use_resources(text(wanted, "name"), cpu, memory);
                }
            });
            Ok(json!({}))
        }
        ["tokens", namespace, name] => Ok(shared.with(|state| {
            state.access.issue(&state.store, namespace, name, wanted)
        })),
        ["tokens", namespace, name, "expire"] => {
            shared.with(|state| state.access.expire(namespace, name, milliseconds(wanted)));
            Ok(json!({}))
        }
        ["pods", "bulk"] => {
            let count = number(wanted, "count").and_then(|count| usize::try_from(count).ok());
            let namespace = text(wanted, "namespace");
            shared.with(|state| bulk::pods(state, namespace, count.unwrap_or(5000)))?;
            Ok(json!({}))
        }
        _ => Err(Refusal::no_such_resource()),
    }
}

fn failure(wanted: &Value) -> Failure {
    const REASONS: [&str; 8] = [
        "InternalError",
        "ServiceUnavailable",
        "TooManyRequests",
        "Timeout",
        "Conflict",
        "Forbidden",
        "ServerTimeout",
        "Expired",
    ];
    let reason = text(wanted, "reason");
    let reason = REASONS.into_iter().find(|known| *known == reason);
    let count = |name: &str| number(wanted, name).and_then(|number| usize::try_from(number).ok());
    Failure {
        method: text(wanted, "method").to_owned(),
        path: text(wanted, "path").to_owned(),
        times: count("times").unwrap_or(1),
        code: number(wanted, "code")
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(500),
        reason: reason.unwrap_or("InternalError"),
        message: text(wanted, "message").to_owned(),
    }
}
