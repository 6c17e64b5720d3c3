//! The agent dies and comes back, in each phase of a job.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::time::Duration;

use support::agent::{TestAgent, TestHost};
use support::control_plane::ControlPlane;
use support::eventually;
use support::peer::{Peer, StoredLog, attempt, target};
use towline_agent::executor::fake::{Script, ScriptEnd};
use towline_agent::task::Start;
use towline_shared::log::LogPosition;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::protocol::v1::{
    Attempt, FromAgent, FromServer, HeldPhase, SecretsNeed, Verdict,
};
use towline_shared::spec::{Interruption, Secret};

/// An agent that has said hello to its control plane and holds nothing.
async fn connected() -> (ControlPlane, TestHost, TestAgent, Peer) {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let peer = control.welcome_idle().await;
    (control, host, agent, peer)
}

/// A job whose work has begun.
async fn begun(peer: &mut Peer, script: &Script, interruption: Interruption) -> Attempt {
    let job = attempt(1);
    peer.begin(job, &script.job(target(), interruption)).await;
    peer.until("Progress").await;
    job
}

fn go_on(log: LogPosition, secrets: &[&str]) -> Verdict {
    let secret = |value: &&str| Secret {
        name: "SECRET".into(),
        value: (*value).into(),
    };
    Verdict::Continue {
        log,
        secrets: secrets.iter().map(secret).collect(),
    }
}

fn hang() -> Script {
    Script {
        end: ScriptEnd::Hang,
        ..Script::default()
    }
}

#[tokio::test]
async fn an_accepted_job_is_held_without_effect_and_begins_by_its_verdict() {
    let (control, host, agent, mut peer) = connected().await;
    let accepted = attempt(1);
    peer.offer(
        accepted,
        &Script::default().job(target(), Interruption::Resume),
        &["old"],
    )
    .await;
    assert_eq!(peer.next().await, FromAgent::Accepted(accepted));
    agent.kill().await;
    let agent = host.start();
    let (mut peer, hello) = control
        .welcome(|_| go_on(LogPosition::default(), &["new"]))
        .await;
    let [held] = hello.held[..] else {
        panic!("{:?}", hello.held)
    };
    assert_eq!(
        (held.attempt, held.phase, held.secrets),
        (accepted, HeldPhase::Accepted, SecretsNeed::Lost)
    );
    assert_eq!(hello.fences.len(), 1);
    let finished = peer.finish(&mut StoredLog::default()).await;
    assert_eq!(finished.outcome, Outcome::Succeeded { images: Vec::new() });
    assert_eq!(host.fake.begun(), [(accepted, Start::Fresh)]);
    assert_eq!(host.fake.secrets(), ["old", "new"]);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_running_job_is_resumed_and_its_log_has_every_line_once() {
    let (control, host, mut agent, mut peer) = connected().await;
    let script = Script {
        lines: 20_000,
        pause_ms: 15,
        ..Script::default()
    };
    let job = attempt(1);
    let mut stored = StoredLog::default();
    peer.begin(job, &script.job(target(), Interruption::Resume))
        .await;
    for kill in 0..6 {
        // What arrives until it is killed, a part of it acknowledged.
        let until = tokio::time::Instant::now() + Duration::from_millis(40 + 15 * kill);
        while let Ok(message) = tokio::time::timeout_at(until, peer.next()).await {
            if let FromAgent::Log(log) = message {
                stored.store(&log);
                if kill % 2 == 0 {
                    peer.acknowledge(job, &stored).await;
                }
            }
        }
        agent.kill().await;
        agent = host.start();
        let position = stored.position;
        let (next, hello) = control.welcome(|_| go_on(position, &[])).await;
        peer = next;
        assert_eq!(hello.held[0].phase, HeldPhase::Running);
        assert!(hello.held[0].log_from.next_line <= position.next_line);
    }
    peer.finish(&mut stored).await;
    stored.assert_numbered(20_000);
    let begun = host.fake.begun();
    assert_eq!(begun.len(), 7);
    assert_eq!(begun[0], (job, Start::Fresh));
    assert!(
        begun[1..]
            .iter()
            .all(|begun| *begun == (job, Start::Resumed(Some(Step::Applying)))),
        "{begun:?}"
    );
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_control_plane_a_resumed_job_still_ends_and_is_reported_later() {
    let (control, host, agent, mut peer) = connected().await;
    let script = Script {
        lines: 5000,
        pause_ms: 5,
        ..Script::default()
    };
    let job = begun(&mut peer, &script, Interruption::Resume).await;
    agent.kill().await;
    drop(peer);
    // The new one works before anybody has welcomed it.
    let agent = host.start();
    let (mut peer, _) = control.accept().await;
    eventually("resuming", || host.fake.begun().len() == 2).await;
    drop(peer);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut stored = StoredLog::default();
    let (next, hello) = control
        .welcome(|_| Verdict::Resend {
            log: LogPosition::default(),
        })
        .await;
    peer = next;
    // Older connections of the backoff may come first; the job has ended by now.
    assert_eq!(hello.held[0].attempt, job);
    assert!(matches!(
        peer.finish(&mut stored).await.outcome,
        Outcome::Succeeded { .. }
    ));
    stored.assert_numbered(5000);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_must_not_go_on_is_stopped_and_fails() {
    let (control, host, agent, mut peer) = connected().await;
    begun(&mut peer, &hang(), Interruption::Fail).await;
    agent.kill().await;
    let agent = host.start();
    let (mut peer, _) = control
        .welcome(|_| go_on(LogPosition::default(), &[]))
        .await;
    let finished = peer.finish(&mut StoredLog::default()).await;
    let Outcome::Failed { reason, message } = finished.outcome else {
        panic!()
    };
    assert_eq!(reason, FailureReason::Interrupted);
    assert!(
        message.contains("the agent died") && message.contains("what was begun"),
        "{message}"
    );
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancel_that_waits_for_the_agent_stops_each_phase() {
    for (begin, left) in [
        (false, "nothing was changed on the host"),
        (true, "what was begun"),
    ] {
        let (control, host, agent, mut peer) = connected().await;
        let job = attempt(1);
        peer.offer(
            job,
            &hang().job(target(), Interruption::Resume),
            &["secret"],
        )
        .await;
        assert_eq!(peer.next().await, FromAgent::Accepted(job));
        if begin {
            peer.send(&FromServer::Go(job)).await;
            peer.until("Progress").await;
        }
        agent.kill().await;
        let agent = host.start();
        let cancel = |_| Verdict::Cancel {
            log: LogPosition::default(),
            secrets: Vec::new(),
        };
        let (mut peer, _) = control.welcome(cancel).await;
        let finished = peer.finish(&mut StoredLog::default()).await;
        assert_eq!(finished.outcome, Outcome::Cancelled { left: left.into() });
        agent.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_result_is_sent_again_until_it_may_be_forgotten() {
    let (control, host, mut agent, mut peer) = connected().await;
    let job = attempt(1);
    let script = Script {
        lines: 300,
        ..Script::default()
    };
    peer.begin(job, &script.job(target(), Interruption::Resume))
        .await;
    let mut stored = StoredLog::default();
    let first = peer.finish(&mut stored).await;
    for _ in 0..3 {
        agent.kill().await;
        agent = host.start();
        let log = stored.position;
        let (next, hello) = control.welcome(|_| Verdict::Resend { log }).await;
        peer = next;
        assert_eq!(hello.held[0].phase, HeldPhase::Finished);
        assert_eq!(peer.finish(&mut stored).await, first);
    }
    // A control plane that was restored from a backup has less of the log, and gets it.
    agent.kill().await;
    agent = host.start();
    let (mut peer, _) = control
        .welcome(|_| Verdict::Resend {
            log: LogPosition::default(),
        })
        .await;
    let mut again = StoredLog::default();
    assert_eq!(peer.finish(&mut again).await, first);
    again.assert_numbered(300);
    assert_eq!(host.fake.begun().len(), 1);
    agent.kill().await;
    agent = host.start();
    let (mut peer, _) = control.welcome(|_| Verdict::Forget).await;
    eventually("forgetting", || host.job_folders() == 0).await;
    peer.assert_quiet(200).await;
    agent.kill().await;
    agent = host.start();
    let (_peer, hello) = control.welcome(|_| panic!()).await;
    assert_eq!(hello.held, []);
    assert_eq!(hello.fences.len(), 1, "fences are never forgotten");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_no_longer_ours_is_stopped_after_a_restart() {
    let (control, host, agent, mut peer) = connected().await;
    let (job, target) = (attempt(1), target());
    peer.begin(job, &hang().job(target, Interruption::Resume))
        .await;
    peer.until("Progress").await;
    agent.kill().await;
    let agent = host.start();
    let (mut peer, _) = control.welcome(|_| Verdict::Forget).await;
    eventually("forgetting", || host.job_folders() == 0).await;
    let next: Attempt = attempt(2);
    peer.begin(next, &Script::default().job(target, Interruption::Resume))
        .await;
    assert_eq!(peer.finish(&mut StoredLog::default()).await.attempt, next);
    assert_eq!(host.fake.most_busy(), 1);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_agent_leaves_its_job_to_the_next() {
    let (control, host, agent, mut peer) = connected().await;
    let job = attempt(1);
    let script = Script {
        lines: 2000,
        pause_ms: 20,
        ..Script::default()
    };
    peer.begin(job, &script.job(target(), Interruption::Resume))
        .await;
    let mut stored = StoredLog::default();
    let FromAgent::Log(log) = peer.until("Log").await else {
        panic!()
    };
    stored.store(&log);
    let began = std::time::Instant::now();
    agent.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    // What came before the farewell counts.
    while let Some(message) = peer.next_any().await {
        if let FromAgent::Log(log) = message {
            stored.store(&log);
        }
    }
    let agent = host.start();
    let log = stored.position;
    let (mut peer, _) = control.welcome(|_| go_on(log, &[])).await;
    peer.finish(&mut stored).await;
    stored.assert_numbered(2000);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn two_agents_never_share_a_folder() {
    let (_control, host, agent, _peer) = connected().await;
    let refused = host.start().ended().await.unwrap_err().to_string();
    assert!(
        refused.contains("another towline-agent (process"),
        "{refused}"
    );
    agent.stop().await.unwrap();
}

/// The machine lost its power: what nobody had synced is gone, the journal is not.
#[tokio::test]
async fn a_power_cut_that_takes_the_folder_leaves_the_job() {
    let (control, host, agent, mut peer) = connected().await;
    let job = attempt(1);
    let script = Script {
        lines: 100,
        ..Script::default()
    };
    peer.offer(job, &script.job(target(), Interruption::Resume), &[])
        .await;
    assert_eq!(peer.next().await, FromAgent::Accepted(job));
    agent.kill().await;
    std::fs::remove_dir_all(host.dir().job(job)).unwrap();
    std::fs::write(host.path().join("lock"), "1\nthe boot before\n").unwrap();
    let agent = host.start();
    let (mut peer, _) = control
        .welcome(|_| go_on(LogPosition::default(), &[]))
        .await;
    let mut stored = StoredLog::default();
    peer.finish(&mut stored).await;
    stored.assert_numbered(100);
    agent.kill().await;
    // Without a power cut, a folder that is gone means that the job was forgotten.
    std::fs::remove_dir_all(host.dir().job(job)).unwrap();
    let agent = host.start();
    control.welcome_idle().await;
    agent.stop().await.unwrap();
}
