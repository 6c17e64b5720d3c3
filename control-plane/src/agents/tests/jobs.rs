//! The life of a job over a connection, and over the loss of one.

use towline_shared::fence::Fence;
use towline_shared::ids::JobId;
use towline_shared::log::LogPosition;
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{
    Attempt, Finished, FromAgent, FromServer, GoodbyeReason, Held, HeldPhase, Log, Refusal,
    Refused, SecretsNeed, Verdict,
};

use super::peer::Peer;
use super::site::Site;
use super::{Duration, Pace, below, chunk, until};
use crate::job::JobState;
use crate::ops;

fn held(attempt: Attempt, phase: HeldPhase, log_from: LogPosition) -> Held {
    Held {
        attempt,
        phase,
        secrets: SecretsNeed::Known,
        log_from,
    }
}

#[tokio::test]
async fn from_offer_to_forget() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    drop(Peer::welcome(&site, &host).await);
    let deployment = site.deploy(&host).await;
    assert_eq!(site.state(deployment).await, JobState::Queued);

    let mut peer = Peer::welcome(&site, &host).await;
    let offer = peer.offer().await;
    assert_eq!(site.state(deployment).await, JobState::Offered);
    offer.spec.open().unwrap();
    let attempt = offer.attempt;
    peer.say(FromAgent::Accepted(attempt)).await;
    assert_eq!(peer.hear().await, FromServer::Go(attempt));
    assert_eq!(site.state(deployment).await, JobState::Accepted);
    peer.say(FromAgent::Started(attempt)).await;
    let first = peer
        .log(
            attempt,
            offer.log,
            &["Container web-1 Starting", "Container web-1 Started"],
        )
        .await;
    assert_eq!(site.state(deployment).await, JobState::Running);
    let end = peer.log(attempt, first, &["done"]).await;
    peer.finish(attempt, end).await;
    assert_eq!(peer.hear().await, FromServer::Forget(attempt));
    assert_eq!(site.state(deployment).await, JobState::Succeeded);
    assert_eq!(
        site.log_texts(deployment).await,
        [
            "Container web-1 Starting",
            "Container web-1 Started",
            "done"
        ]
    );
    assert_eq!(site.registry.counts().log_lines, 3);

    // Said again, because the answer was lost: answered again, and nothing changes.
    peer.finish(attempt, end).await;
    assert_eq!(peer.hear().await, FromServer::Forget(attempt));
    assert_eq!(site.state(deployment).await, JobState::Succeeded);
}

#[tokio::test]
async fn a_commit_wakes_the_session_and_a_finish_brings_the_next_job() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let first = site.deploy(&host).await;
    let began = tokio::time::Instant::now();
    let attempt = peer.begin().await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let second = site.deploy(&host).await;
    let end = peer.log(attempt, LogPosition::default(), &["one"]).await;
    assert_eq!(
        site.state(second).await,
        JobState::Queued,
        "one job at a time per target"
    );
    peer.finish(attempt, end).await;
    assert_eq!(peer.hear().await, FromServer::Forget(attempt));
    let next = peer.begin().await;
    assert!(next.fence > attempt.fence);
    until("running", || async {
        site.state(second).await == JobState::Running
    })
    .await;
    assert_eq!(site.state(first).await, JobState::Succeeded);
}

#[tokio::test]
async fn many_chunks_are_acknowledged_together_and_repeats_are_harmless() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let deployment = site.deploy(&host).await;
    let attempt = peer.begin().await;
    let mut position = LogPosition::default();
    let mut expected = Vec::new();
    for number in 0..300 {
        let text = format!("line {number}");
        let (chunk, after) = chunk(position, &[&text]);
        for _ in 0..if number % 7 == 0 { 2 } else { 1 } {
            peer.say(FromAgent::Log(Log {
                attempt,
                chunk: chunk.clone(),
            }))
            .await;
        }
        (position, expected) = (after, [expected, vec![text]].concat());
    }
    let (mut stored, mut acks) = (0, 0);
    while stored < 300 {
        let FromServer::LogAck(ack) = peer.hear().await else {
            panic!("no acknowledgement")
        };
        assert!(ack.next_line >= stored, "acknowledgements never go back");
        (stored, acks) = (ack.next_line, acks + 1);
    }
    assert!(acks < 300, "{acks} acknowledgements are not cumulative");
    assert_eq!(site.log_texts(deployment).await, expected);
}

#[tokio::test]
async fn a_held_job_goes_on_where_its_log_is_stored() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let deployment = site.deploy(&host).await;
    let attempt = peer.begin().await;
    let stored = peer
        .log(attempt, LogPosition::default(), &["one", "two"])
        .await;
    let (lost, _) = chunk(stored, &["three"]);
    drop(peer);

    let running = held(attempt, HeldPhase::Running, LogPosition::default());
    let (mut peer, verdicts) = Peer::welcome_with(&site, &host, vec![running]).await;
    assert_eq!(
        verdicts,
        vec![(
            attempt,
            Verdict::Continue {
                log: stored,
                secrets: vec![]
            }
        )]
    );
    peer.say(FromAgent::Log(Log {
        attempt,
        chunk: lost.clone(),
    }))
    .await;
    assert!(matches!(peer.hear().await, FromServer::LogAck(ack) if ack.next_line == 3));
    drop(peer);

    let finished = held(attempt, HeldPhase::Finished, LogPosition::default());
    let (mut peer, verdicts) = Peer::welcome_with(&site, &host, vec![finished]).await;
    assert_eq!(
        verdicts,
        vec![(attempt, Verdict::Resend { log: lost.end() })]
    );
    peer.finish(attempt, lost.end()).await;
    assert_eq!(peer.hear().await, FromServer::Forget(attempt));
    assert_eq!(site.state(deployment).await, JobState::Succeeded);
    drop(peer);

    let (_, verdicts) = Peer::welcome_with(&site, &host, vec![finished]).await;
    assert_eq!(verdicts, vec![(attempt, Verdict::Forget)]);
}

#[tokio::test]
async fn a_result_before_its_log_sends_the_agent_through_the_reconnect() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let deployment = site.deploy(&host).await;
    let attempt = peer.begin().await;
    let (chunk, end) = chunk(LogPosition::default(), &["one"]);
    peer.finish(attempt, end).await;
    assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Protocol));
    let finished = held(attempt, HeldPhase::Finished, LogPosition::default());
    let (mut peer, verdicts) = Peer::welcome_with(&site, &host, vec![finished]).await;
    assert_eq!(
        verdicts,
        vec![(
            attempt,
            Verdict::Resend {
                log: LogPosition::default()
            }
        )]
    );
    peer.say(FromAgent::Log(Log { attempt, chunk })).await;
    peer.finish(attempt, end).await;
    while peer.hear().await != FromServer::Forget(attempt) {}
    assert_eq!(site.state(deployment).await, JobState::Succeeded);
}

#[tokio::test]
async fn a_cancel_reaches_a_running_job() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let deployment = site.deploy(&host).await;
    let attempt = peer.begin().await;
    ops::cancel(&site.store, &site.tenant, deployment)
        .await
        .unwrap();
    assert_eq!(peer.hear().await, FromServer::Cancel(attempt));
    let outcome = Outcome::Cancelled {
        left: "nothing".into(),
    };
    let log = LogPosition::default();
    peer.say(FromAgent::Finished(Finished {
        attempt,
        outcome,
        log,
    }))
    .await;
    // The cancel is said again with each look, until the job has ended.
    while peer.hear().await != FromServer::Forget(attempt) {}
    assert_eq!(site.state(deployment).await, JobState::Cancelled);
}

#[tokio::test]
async fn a_cancel_before_the_acceptance_is_final() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let deployment = site.deploy(&host).await;
    let attempt = peer.offer().await.attempt;
    ops::cancel(&site.store, &site.tenant, deployment)
        .await
        .unwrap();
    peer.say(FromAgent::Accepted(attempt)).await;
    assert_eq!(peer.hear().await, FromServer::Forget(attempt));
    assert_eq!(site.state(deployment).await, JobState::Cancelled);
}

#[tokio::test]
async fn an_agent_can_touch_only_its_own_jobs() {
    let site = Site::open().await;
    let (host, other) = (site.enrol("one").await, site.enrol("two").await);
    let mut peer = Peer::welcome(&site, &host).await;
    let deployment = site.deploy(&host).await;
    let attempt = peer.offer().await.attempt;
    let mut thief = Peer::welcome(&site, &other).await;
    let (chunk, end) = chunk(LogPosition::default(), &["planted"]);
    let nobodys = Attempt {
        job: JobId::new(),
        fence: Fence::new(1, 1),
    };
    for attempt in [attempt, nobodys] {
        for message in [
            FromAgent::Accepted(attempt),
            FromAgent::Started(attempt),
            FromAgent::Log(Log {
                attempt,
                chunk: chunk.clone(),
            }),
            FromAgent::Refused(Refused {
                attempt,
                reason: Refusal::StaleFence,
                message: String::new(),
            }),
            FromAgent::Finished(Finished {
                attempt,
                outcome: Outcome::Succeeded { images: vec![] },
                log: end,
            }),
        ] {
            thief.say(message).await;
            assert_eq!(thief.hear().await, FromServer::Forget(attempt));
        }
    }
    let stolen = held(attempt, HeldPhase::Running, LogPosition::default());
    let (_thief, verdicts) = Peer::welcome_with(&site, &other, vec![stolen]).await;
    assert_eq!(verdicts, vec![(attempt, Verdict::Forget)]);
    assert_eq!(site.state(deployment).await, JobState::Offered);
    assert!(site.log_texts(deployment).await.is_empty());
    peer.say(FromAgent::Accepted(attempt)).await;
    assert_eq!(peer.hear().await, FromServer::Go(attempt));
}

#[tokio::test]
async fn reports_under_a_stale_fence_change_nothing() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let deployment = site.deploy(&host).await;
    let attempt = peer.begin().await;
    let stale = Attempt {
        fence: below(attempt.fence),
        ..attempt
    };
    let (chunk, end) = chunk(LogPosition::default(), &["old"]);
    for message in [
        FromAgent::Accepted(stale),
        FromAgent::Log(Log {
            attempt: stale,
            chunk,
        }),
        FromAgent::Finished(Finished {
            attempt: stale,
            outcome: Outcome::Succeeded { images: vec![] },
            log: end,
        }),
    ] {
        peer.say(message).await;
        assert_eq!(peer.hear().await, FromServer::Forget(stale));
    }
    assert_eq!(site.state(deployment).await, JobState::Running);
    assert!(site.log_texts(deployment).await.is_empty());
}

#[tokio::test]
async fn a_refused_offer_is_made_again_under_a_higher_fence() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let deployment = site.deploy(&host).await;
    let attempt = peer.offer().await.attempt;
    peer.say(FromAgent::Refused(Refused {
        attempt,
        reason: Refusal::Busy,
        message: "busy".into(),
    }))
    .await;
    until("queued", || async {
        site.state(deployment).await == JobState::Queued
    })
    .await;
    let began = tokio::time::Instant::now();
    let again = peer.offer().await.attempt;
    assert_eq!(again.job, attempt.job);
    assert!(again.fence > attempt.fence);
    assert!(
        began.elapsed() > Duration::from_secs(3),
        "it waits a while: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn an_agent_that_lost_its_offer_is_offered_again() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    site.deploy(&host).await;
    let attempt = peer.offer().await.attempt;
    drop(peer);
    let mut peer = Peer::welcome(&site, &host).await;
    let again = peer.offer().await.attempt;
    assert_eq!(again.job, attempt.job);
    assert!(again.fence > attempt.fence);
}

#[tokio::test]
async fn a_running_job_s_lease_is_renewed_and_an_idle_session_renews_nothing() {
    let pace = Pace {
        leases: Duration::from_millis(200),
        ..Pace::default()
    };
    let site = Site::open_at(pace).await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    site.deploy(&host).await;
    let attempt = peer.begin().await;
    let log = peer.log(attempt, LogPosition::default(), &["one"]).await;
    let first = site.lease(attempt.job).await.expect("a lease");
    until("renewed", || async {
        site.lease(attempt.job).await > Some(first)
    })
    .await;
    peer.finish(attempt, log).await;
    assert_eq!(peer.hear().await, FromServer::Forget(attempt));
    let ended = site.lease(attempt.job).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(site.lease(attempt.job).await, ended);
}
