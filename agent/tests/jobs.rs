//! The life of a job between a control plane and a real agent.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::agent::TestHost;
use support::control_plane::ControlPlane;
use support::eventually;
use support::peer::{StoredLog, attempt, target};
use support::small_disk::SmallDisk;
use towline_agent::executor::fake::{Obedience, Script, ScriptEnd};
use towline_agent::task::Start;
use towline_shared::Fence;
use towline_shared::log::LogPosition;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::protocol::v1::{Attempt, FromAgent, FromServer, Offer, Refusal, StepLine};
use towline_shared::spec::{Interruption, SealedSpec};

fn hang() -> Script {
    Script {
        end: ScriptEnd::Hang,
        ..Script::default()
    }
}

#[tokio::test]
async fn a_job_is_accepted_begun_logged_finished_and_forgotten() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let script = Script {
        lines: 1000,
        ..Script::default()
    };
    let (attempt, spec) = (attempt(1), script.job(target(), Interruption::Resume));
    peer.offer(attempt, &spec, &["hunter2"]).await;
    assert_eq!(peer.next().await, FromAgent::Accepted(attempt));
    // It is prepared, and nothing more, for as long as there is no Go.
    eventually("preparing", || host.fake.prepared() == [attempt]).await;
    peer.assert_quiet(300).await;
    assert_eq!(host.fake.begun(), []);
    peer.send(&FromServer::Go(attempt)).await;
    assert_eq!(peer.next().await, FromAgent::Started(attempt));
    let FromAgent::Progress(progress) = peer.until("Progress").await else {
        panic!()
    };
    assert_eq!((progress.attempt, progress.step), (attempt, Step::Applying));
    let mut stored = StoredLog::default();
    let finished = peer.finish(&mut stored).await;
    assert_eq!(
        (finished.attempt, finished.outcome),
        (attempt, Outcome::Succeeded { images: Vec::new() })
    );
    stored.assert_numbered(1000);
    let (step, line) = (Step::Applying, 0);
    let begins = StepLine {
        attempt,
        step,
        line,
    };
    assert_eq!(peer.step_lines, [begins]);
    assert_eq!(host.fake.begun(), [(attempt, Start::Fresh)]);
    assert_eq!(host.fake.secrets(), ["hunter2"]);
    assert_eq!(host.job_folders(), 1);
    no_secret_on_disk(&host, "hunter2");
    peer.send(&FromServer::Forget(attempt)).await;
    eventually("forgetting", || host.job_folders() == 0).await;
    agent.stop().await.unwrap();
}

fn no_secret_on_disk(host: &TestHost, secret: &str) {
    let mut folders = vec![host.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                let found = content
                    .windows(secret.len())
                    .any(|part| part == secret.as_bytes());
                assert!(!found, "{} holds a secret", path.display());
            }
        }
    }
}

#[tokio::test]
async fn offers_are_refused_for_their_fence_their_target_or_their_bytes() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let target = target();
    let spec = hang().job(target, Interruption::Resume);
    let running = attempt(5);
    peer.begin(running, &spec).await;
    peer.until("Progress").await;
    for (offered, expected) in [
        (attempt(4), Refusal::StaleFence),
        (attempt(5), Refusal::StaleFence),
        (attempt(6), Refusal::Busy),
    ] {
        peer.offer(offered, &spec, &[]).await;
        let FromAgent::Refused(refused) = peer.next().await else {
            panic!()
        };
        assert_eq!((refused.attempt, refused.reason), (offered, expected));
    }
    // The same offer again is no new job.
    peer.offer(running, &spec, &[]).await;
    assert_eq!(peer.next().await, FromAgent::Accepted(running));
    // Another target is not concerned.
    let other = attempt(1);
    peer.begin(
        other,
        &Script::default().job(support::peer::target(), Interruption::Resume),
    )
    .await;
    let FromAgent::Finished(finished) = peer.until("Finished").await else {
        panic!()
    };
    assert_eq!(finished.attempt, other);
    let damaged = attempt(9);
    let sealed = SealedSpec::seal(&spec).unwrap();
    let spec = SealedSpec::from_parts(sealed.bytes()[1..].to_vec(), sealed.digest());
    let offer = Offer {
        attempt: damaged,
        spec,
        secrets: Vec::new(),
        log: LogPosition::default(),
    };
    peer.send(&FromServer::Offer(offer)).await;
    let FromAgent::Refused(refused) = peer.next().await else {
        panic!()
    };
    assert_eq!(
        (refused.attempt, refused.reason),
        (damaged, Refusal::Unreadable)
    );
    assert_eq!(host.fake.begun().len(), 2);
    assert_eq!(host.fake.most_busy(), 1);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancel_stops_a_job_in_each_phase() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let target = target();
    let spec = hang().job(target, Interruption::Resume);
    // Before Go: nothing happens.
    let waiting = attempt(1);
    peer.offer(waiting, &spec, &[]).await;
    assert_eq!(peer.next().await, FromAgent::Accepted(waiting));
    peer.send(&FromServer::Cancel(waiting)).await;
    let finished = peer.finish(&mut StoredLog::default()).await;
    assert_eq!(
        finished.outcome,
        Outcome::Cancelled {
            left: "nothing was changed".into()
        }
    );
    assert_eq!(host.fake.begun(), []);
    peer.send(&FromServer::Go(waiting)).await;
    peer.send(&FromServer::Forget(waiting)).await;
    // While it runs.
    let running = attempt(2);
    peer.begin(running, &spec).await;
    peer.until("Progress").await;
    peer.send(&FromServer::Cancel(running)).await;
    let finished = peer.finish(&mut StoredLog::default()).await;
    assert_eq!(
        finished.outcome,
        Outcome::Cancelled {
            left: "what was begun".into()
        }
    );
    assert_eq!(host.fake.begun(), [(running, Start::Fresh)]);
    // After it has ended: nothing.
    peer.send(&FromServer::Cancel(running)).await;
    peer.assert_quiet(200).await;
    peer.send(&FromServer::Forget(running)).await;
    // When it does not listen: it is given up.
    let stubborn = attempt(3);
    let script = Script {
        obedience: Obedience::Ignores,
        ..hang()
    };
    peer.begin(stubborn, &script.job(target, Interruption::Resume))
        .await;
    peer.until("Progress").await;
    peer.send(&FromServer::Cancel(stubborn)).await;
    let finished = peer.finish(&mut StoredLog::default()).await;
    let Outcome::Cancelled { left } = finished.outcome else {
        panic!()
    };
    assert!(left.contains("abandoned"), "{left}");
    peer.send(&FromServer::Forget(stubborn)).await;
    eventually("forgetting", || host.job_folders() == 0).await;
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_forgotten_job_is_stopped_and_never_reported() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let target = target();
    let spec = hang().job(target, Interruption::Resume);
    for (epoch, begin) in [(1, false), (2, true)] {
        let attempt = attempt(epoch);
        peer.offer(attempt, &spec, &[]).await;
        assert_eq!(peer.next().await, FromAgent::Accepted(attempt));
        if begin {
            peer.send(&FromServer::Go(attempt)).await;
            peer.until("Progress").await;
        }
        peer.send(&FromServer::Forget(attempt)).await;
        eventually("forgetting", || host.job_folders() == 0).await;
        peer.assert_quiet(200).await;
    }
    // The target is free.
    peer.begin(attempt(3), &spec).await;
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_failing_a_panicking_and_a_refusing_job_are_failures() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    for (end, reason, go) in [
        (ScriptEnd::Fail, FailureReason::ComposeFailed, true),
        (ScriptEnd::Panic, FailureReason::Internal, true),
        (
            ScriptEnd::FailPreparing,
            FailureReason::ComposeFailed,
            false,
        ),
    ] {
        let script = Script {
            lines: 10,
            end,
            ..Script::default()
        };
        let attempt = attempt(1);
        peer.offer(attempt, &script.job(target(), Interruption::Resume), &[])
            .await;
        assert_eq!(peer.next().await, FromAgent::Accepted(attempt));
        if go {
            peer.send(&FromServer::Go(attempt)).await;
        }
        let mut stored = StoredLog::default();
        let finished = peer.finish(&mut stored).await;
        assert!(
            matches!(finished.outcome, Outcome::Failed { reason: got, .. } if got == reason),
            "{finished:?}"
        );
        stored.assert_numbered(if go { 10 } else { 0 });
        peer.send(&FromServer::Forget(attempt)).await;
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn one_hung_job_delays_nobody() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    peer.begin(attempt(1), &hang().job(target(), Interruption::Resume))
        .await;
    peer.until("Progress").await;
    for _ in 0..10 {
        let attempt = attempt(1);
        let script = Script {
            lines: 100,
            ..Script::default()
        };
        peer.begin(attempt, &script.job(target(), Interruption::Resume))
            .await;
        let mut stored = StoredLog::default();
        assert_eq!(peer.finish(&mut stored).await.attempt, attempt);
        stored.assert_numbered(100);
        peer.send(&FromServer::Forget(attempt)).await;
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_offers_and_keeps_what_is_held() {
    let disk = SmallDisk::mount(256);
    let control = ControlPlane::start().await;
    let host = TestHost::new();
    let dir = towline_agent::state_dir::StateDir::open(disk.path()).unwrap();
    control.identity().save(&dir).unwrap();
    let agent = host.start_in(dir);
    let mut peer = control.welcome_idle().await;
    let busy = target();
    let running = attempt(1);
    peer.begin(running, &hang().job(busy, Interruption::Resume))
        .await;
    peer.until("Progress").await;
    disk.fill();
    let mut epoch = 1;
    // What fits into the block that is begun is still taken.
    let refused = loop {
        epoch += 1;
        // A forgotten job keeps its target busy until it has stopped.
        let spec = Script::default().job(target(), Interruption::Resume);
        assert!(epoch < 200, "nothing is refused on a full disk");
        peer.offer(
            Attempt {
                fence: Fence::new(1, epoch),
                ..attempt(1)
            },
            &spec,
            &[],
        )
        .await;
        match peer.next().await {
            FromAgent::Refused(refused) => break refused,
            FromAgent::Accepted(attempt) => peer.send(&FromServer::Forget(attempt)).await,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused.reason, Refusal::Journal);
    assert!(
        refused.message.contains("No space left on device"),
        "{}",
        refused.message
    );
    // What runs can be cancelled and reported all the same.
    peer.send(&FromServer::Cancel(running)).await;
    let finished = peer.finish(&mut StoredLog::default()).await;
    assert_eq!(finished.attempt, running);
    disk.free();
    peer.send(&FromServer::Forget(running)).await;
    let next = attempt(500);
    let spec = Script::default().job(busy, Interruption::Resume);
    peer.begin(next, &spec).await;
    assert_eq!(peer.finish(&mut StoredLog::default()).await.attempt, next);
    agent.stop().await.unwrap();
}
