//! What may be appended, by whom, and what repeats and races come to.

use std::time::Duration;

use towline_shared::Fence;
use towline_shared::ids::{AgentId, JobId};
use towline_shared::log::{ChunkError, LogChunk, LogPosition};
use towline_shared::protocol::v1::Attempt;

use super::super::super::StoreError;
use super::{Appended, Fixture, ack, chunks, numbered};
use crate::wake::Topic;

#[tokio::test]
async fn lines_come_back_as_they_were_sent() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let mut waiter = fixture.store.wake().subscribe(Topic::Log(job.attempt.job));
        assert_eq!(
            fixture.store.log_position(job.attempt.job).await.unwrap(),
            LogPosition::default()
        );
        for chunk in chunks(0, 100, 30) {
            assert_eq!(
                fixture.append(&job, &chunk).await,
                ack(&job, chunk.end().next_line)
            );
            assert_eq!(
                fixture.store.log_position(job.attempt.job).await.unwrap(),
                chunk.end()
            );
            tokio::time::timeout(Duration::from_secs(5), waiter.woken())
                .await
                .expect("readers are woken");
        }
        let page = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, 0, 1000)
            .await
            .unwrap();
        assert_eq!(page.lines, numbered(0, 100));
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_repeat_is_acknowledged_and_changes_nothing() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let sent = chunks(0, 90, 30);
        for chunk in &sent[..2] {
            fixture.append(&job, chunk).await;
        }
        assert_eq!(
            fixture.append(&job, &sent[0]).await,
            ack(&job, 60),
            "the acknowledgement is cumulative"
        );
        assert_eq!(fixture.append(&job, &sent[1]).await, ack(&job, 60));
        let all = fixture
            .store
            .append_logs(fixture.agent, job.attempt, &sent)
            .await
            .unwrap();
        assert_eq!(all, ack(&job, 90), "a batch may begin with what is known");
        assert_eq!(fixture.chunk_count(&job).await, 3);
        fixture.end().await;
    }
}

#[tokio::test]
async fn what_does_not_continue_the_log_is_refused_whole() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let sent = chunks(0, 90, 30);
        fixture.append(&job, &sent[0]).await;
        let mut foreign = sent[1].clone();
        foreign.chain[0] ^= 1;
        let straddling = chunks(0, 60, 60).remove(0);
        let empty = LogChunk {
            lines: 0,
            ..sent[1].clone()
        };
        let gap = ChunkError::Gap {
            expected: 30,
            got: 60,
        };
        for (batch, want) in [
            (vec![sent[2].clone()], gap),
            (vec![foreign], ChunkError::Chain(30)),
            (
                vec![straddling],
                ChunkError::Gap {
                    expected: 30,
                    got: 0,
                },
            ),
            (vec![empty], ChunkError::Limits),
            (
                vec![
                    sent[1].clone(),
                    sent[1].clone(),
                    chunks(0, 120, 100).remove(0),
                ],
                ChunkError::Gap {
                    expected: 60,
                    got: 0,
                },
            ),
        ] {
            let refused = fixture
                .store
                .append_logs(fixture.agent, job.attempt, &batch)
                .await;
            assert!(
                matches!(&refused, Err(StoreError::Chunk(error)) if *error == want),
                "{refused:?} is not {want:?}"
            );
            assert_eq!(
                fixture.store.log_position(job.attempt.job).await.unwrap(),
                sent[0].end()
            );
            assert_eq!(fixture.chunk_count(&job).await, 1);
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn only_the_holder_appends_and_only_while_the_job_lives() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let chunk = chunks(0, 10, 10).remove(0);
        let fence = |incarnation, epoch| Attempt {
            fence: Fence::new(incarnation, epoch),
            ..job.attempt
        };
        let unknown = Attempt {
            job: JobId::new(),
            ..job.attempt
        };
        let mine = fixture.agent;
        for (agent, attempt) in [
            (AgentId::new(), job.attempt),
            (mine, fence(1, 0)),
            (mine, fence(1, 2)),
            (mine, fence(0, 1)),
            (mine, fence(2, 1)),
            (mine, unknown),
        ] {
            let appended = fixture
                .store
                .append_log(agent, attempt, &chunk)
                .await
                .unwrap();
            assert_eq!(appended, Appended::Forget, "{agent} {attempt:?}");
        }
        for state in ["queued", "offered", "succeeded", "failed", "cancelled"] {
            fixture.set_state(&job, state).await;
            assert_eq!(
                fixture.append(&job, &chunk).await,
                Appended::Forget,
                "{state}"
            );
        }
        assert_eq!(fixture.chunk_count(&job).await, 0);
        for (state, chunk) in ["accepted", "running", "unknown"]
            .into_iter()
            .zip(chunks(0, 30, 10))
        {
            fixture.set_state(&job, state).await;
            assert_eq!(
                fixture.append(&job, &chunk).await,
                ack(&job, chunk.end().next_line),
                "{state}"
            );
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn an_append_that_a_new_offer_overtook_comes_too_late() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let sent = chunks(0, 20, 10);
        fixture.append(&job, &sent[0]).await;
        let next = fixture.offer_again(&job).await;
        assert_eq!(
            fixture.store.open_log(next).await.unwrap(),
            sent[0].end(),
            "it goes on where the log ends"
        );
        // The main database was asked before the offer; the log is asked after it.
        let late = fixture
            .store
            .append_under(job.attempt, &sent[1..])
            .await
            .unwrap();
        assert_eq!(late, Appended::Forget);
        fixture.set_state(&job, "accepted").await;
        let taken = fixture
            .store
            .append_log(fixture.agent, next, &sent[1])
            .await
            .unwrap();
        assert!(matches!(taken, Appended::Ack(ack) if ack.next_line == 20));
        assert_eq!(
            fixture.store.open_log(job.attempt).await.unwrap(),
            sent[1].end()
        );
        let still = fixture.store.append_under(next, &sent).await.unwrap();
        assert!(
            matches!(still, Appended::Ack(_)),
            "an old attempt does not take the log back"
        );
        fixture.end().await;
    }
}

#[tokio::test]
async fn an_append_that_the_end_overtook_comes_too_late() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let sent = chunks(0, 20, 10);
        fixture.append(&job, &sent[0]).await;
        fixture.store.end_log(job.attempt.job).await.unwrap();
        assert_eq!(
            fixture
                .store
                .append_under(job.attempt, &sent[1..])
                .await
                .unwrap(),
            Appended::Forget
        );
        assert_eq!(
            fixture.store.log_position(job.attempt.job).await.unwrap(),
            sent[0].end()
        );
        fixture.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_senders_store_each_chunk_once() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let sent = chunks(0, 400, 7);
        let senders = (0..6).map(|_| {
            let (store, agent, sent) = (fixture.store.clone(), fixture.agent, sent.clone());
            tokio::spawn(async move {
                for chunk in sent {
                    let appended = store.append_log(agent, job.attempt, &chunk).await.unwrap();
                    assert!(matches!(appended, Appended::Ack(ack) if ack.next_line >= chunk.end().next_line));
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
        assert_eq!(fixture.chunk_count(&job).await, sent.len() as u64);
        let page = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, 0, 1000)
            .await
            .unwrap();
        assert_eq!(page.lines, numbered(0, 400));
        fixture.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_under_an_old_fence_once_the_new_one_is_out() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let (store, agent) = (fixture.store.clone(), fixture.agent);
        let old = tokio::spawn(async move {
            let mut taken = 0;
            for chunk in chunks(0, 3000, 3) {
                match store.append_log(agent, job.attempt, &chunk).await.unwrap() {
                    Appended::Ack(ack) => taken = ack.next_line,
                    Appended::Forget => return taken,
                }
            }
            taken
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
        let next = fixture.offer_again(&job).await;
        let at_offer = fixture.store.open_log(next).await.unwrap();
        let taken = old.await.unwrap();
        assert!(
            taken <= at_offer.next_line,
            "all that was acknowledged is before the offer"
        );
        assert_eq!(
            fixture.store.log_position(job.attempt.job).await.unwrap(),
            at_offer
        );
        fixture.end().await;
    }
}
