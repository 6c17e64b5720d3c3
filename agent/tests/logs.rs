//! Logs over links that break.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::agent::TestHost;
use support::control_plane::ControlPlane;
use support::peer::{StoredLog, attempt, target};
use towline_agent::executor::fake::Script;
use towline_agent::logs::LogLimits;
use towline_shared::log::LogPosition;
use towline_shared::protocol::v1::{FromAgent, Verdict};
use towline_shared::spec::Interruption;

fn from(log: LogPosition) -> impl Fn(towline_shared::protocol::v1::Attempt) -> Verdict {
    move |_| Verdict::Continue {
        log,
        secrets: Vec::new(),
    }
}

/// Each link takes some chunks; of those, the control plane stores all, some or none, and
/// acknowledges all, some or none of what it stores.
#[tokio::test]
async fn a_log_arrives_whole_over_twenty_cuts() {
    const LINES: u64 = 200_000;
    let control = ControlPlane::start().await;
    let mut host = TestHost::with(&control.identity());
    host.logs = LogLimits {
        spool_bytes: 2 * 1024 * 1024,
        ..LogLimits::default()
    };
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let job = attempt(1);
    peer.begin(
        job,
        &Script {
            lines: LINES,
            ..Script::default()
        }
        .job(target(), Interruption::Resume),
    )
    .await;
    let mut stored = StoredLog::default();
    for cut in 0..20_usize {
        let mut taken = 0;
        while taken <= cut % 7 {
            let FromAgent::Log(log) = peer.next().await else {
                continue;
            };
            taken += 1;
            // What comes after this is lost with the link.
            if taken > cut % 3 {
                continue;
            }
            stored.store(&log);
            if cut.is_multiple_of(2) {
                peer.acknowledge(job, &stored).await;
            }
        }
        drop(peer);
        peer = control.welcome(from(stored.position)).await.0;
    }
    assert!(stored.position.next_line > 0);
    peer.finish(&mut stored).await;
    stored.assert_numbered(LINES);
    assert_eq!(host.fake.begun().len(), 1);
    agent.stop().await.unwrap();
}

/// While nobody acknowledges, no more than the window is sent, and the spool stops at its limit.
#[tokio::test]
async fn what_is_not_acknowledged_is_bounded_in_flight_and_on_disk() {
    let control = ControlPlane::start().await;
    let mut host = TestHost::with(&control.identity());
    host.logs = LogLimits {
        spool_bytes: 1024 * 1024,
        ..LogLimits::default()
    };
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let job = attempt(1);
    peer.begin(
        job,
        &Script {
            lines: 2_000_000,
            ..Script::default()
        }
        .job(target(), Interruption::Resume),
    )
    .await;
    let mut chunks = 0;
    let quiet = tokio::time::Duration::from_secs(2);
    while let Ok(message) = tokio::time::timeout(quiet, peer.next()).await {
        chunks += usize::from(matches!(message, FromAgent::Log(_)));
    }
    assert_eq!(chunks, 32);
    tokio::time::sleep(quiet).await;
    let on_disk = size(&host.dir().jobs());
    assert!(on_disk < 3 * 1024 * 1024 / 2, "{on_disk} bytes");
    agent.kill().await;
}

fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                size(&path)
            } else {
                path.metadata().unwrap().len()
            }
        })
        .sum()
}
