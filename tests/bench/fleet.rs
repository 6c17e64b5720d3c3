//! What `towline-load` has measured of many idle agents, as rows.

use std::path::Path;

use serde_json::Value;

use crate::report::Row;

/// nats-server with mutual TLS, in KB a connection (the figures of the performance bars).
const PEER_CONNECTION_KB: f64 = 39.8;

/// The rows of the load's document.
pub fn rows(document: &Path) -> std::io::Result<Vec<Row>> {
    let load: Value = serde_json::from_slice(&std::fs::read(document)?)?;
    let figure = |pointer: &str| {
        let found = load.pointer(pointer).and_then(Value::as_f64);
        found.unwrap_or_else(|| panic!("{} has no {pointer}", document.display()))
    };
    let agents = figure("/agents");
    Ok(vec![
        Row {
            against: Some((
                "nats-server's connection (noted)".into(),
                PEER_CONNECTION_KB,
            )),
            at_most: Some(1.0),
            ..Row::figure(
                &format!("memory per idle agent, of {agents}"),
                "KB",
                figure("/memory/per_agent") / 1e3,
            )
        },
        Row::figure(
            &format!(
                "connections lost in {} s of rest",
                figure("/idle/seconds").round()
            ),
            "",
            figure("/idle/drops"),
        )
        .at_most(0.0),
        Row::figure(
            "heartbeats, share of a core",
            "%",
            figure("/idle/core_percent"),
        )
        .at_most(5.0),
        Row {
            against: Some((
                "the same on a bare mTLS WebSocket".into(),
                figure("/bare/reconnect/per_second"),
            )),
            at_least: Some(0.7),
            ..Row::figure(
                "agents back after kill -9",
                "/s",
                figure("/reconnect/rate/per_second"),
            )
        },
        Row {
            against: Some(("the same at rest".into(), figure("/idle/api/p99_ms"))),
            at_most: Some(3.0),
            ..Row::figure(
                "API's p99 while they come back",
                "ms",
                figure("/reconnect/api/p99_ms"),
            )
        },
    ])
}
