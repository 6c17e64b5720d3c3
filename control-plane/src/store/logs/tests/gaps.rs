//! Lines that were acknowledged and are lost.

use towline_shared::log::{LogPosition, LogStream};

use super::super::super::StoreError;
use super::super::LogEnd;
use super::{Fixture, ack, chunks, numbered};

#[tokio::test]
async fn a_gap_keeps_the_numbers_right_and_is_told_once() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let sent = chunks(0, 50, 10);
        for chunk in &sent[..4] {
            fixture.append(&job, chunk).await;
        }
        fixture.lose_all_but(&job, &sent[..1]).await;
        let (id, at) = (job.attempt.job, sent[2].end());
        assert_eq!(fixture.store.adopt_gap(id, at).await.unwrap(), at);
        assert_eq!(
            fixture.store.adopt_gap(id, at).await.unwrap(),
            at,
            "once is enough"
        );
        assert_eq!(fixture.chunk_count(&job).await, 2);
        for chunk in &sent[3..] {
            assert_eq!(
                fixture.append(&job, chunk).await,
                ack(&job, chunk.end().next_line)
            );
        }

        let page = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, 0, 100)
            .await
            .unwrap();
        let (number, gap) = &page.lines[10];
        assert_eq!(
            (*number, gap.stream),
            (29, LogStream::Gap),
            "under the last of the lost numbers"
        );
        assert!(gap.text.starts_with("20 lines are lost"), "{}", gap.text);
        assert_eq!(page.lines[..10], numbered(0, 10));
        assert_eq!(page.lines[11..], numbered(30, 50));
        assert_eq!(page.next, 50);

        for (from, limit, numbers, next) in [
            (9, 1, vec![9], 10),
            (9, 2, vec![9, 29], 30),
            (9, 21, vec![9, 29], 30),
            (15, 100, (29..50).collect(), 50),
            (29, 1, vec![29], 30),
            (30, 1, vec![30], 31),
        ] {
            let page = fixture
                .store
                .log_range(&fixture.tenant, job.deployment, from, limit)
                .await
                .unwrap();
            let found: Vec<u64> = page.lines.iter().map(|(number, _)| *number).collect();
            assert_eq!((found, page.next), (numbers, next), "{limit} from {from}");
        }
        let tail = fixture
            .store
            .log_tail(&fixture.tenant, job.deployment, 21)
            .await
            .unwrap();
        assert_eq!(tail.lines[0].1.stream, LogStream::Gap);
        assert_eq!(tail.lines[1..], numbered(30, 50));

        fixture.set_state(&job, "succeeded").await;
        let before = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, 0, 100)
            .await
            .unwrap();
        assert_eq!(before.end, LogEnd::Complete);
        assert_eq!(fixture.store.compact_logs().await.unwrap(), 1);
        let after = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, 0, 100)
            .await
            .unwrap();
        assert_eq!(after, before, "compaction leaves gaps where they are");
        assert_eq!(fixture.chunk_count(&job).await, 3);
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_wide_gap_hides_nothing_behind_it() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let at = LogPosition {
            next_line: 1_000_000,
            chain: [7; 32],
        };
        fixture.store.adopt_gap(job.attempt.job, at).await.unwrap();
        let mut from = 0;
        let mut found = Vec::new();
        for _ in 0..3 {
            let page = fixture
                .store
                .log_range(&fixture.tenant, job.deployment, from, 10)
                .await
                .unwrap();
            found.extend(
                page.lines
                    .iter()
                    .map(|(number, line)| (*number, line.stream)),
            );
            from = page.next;
        }
        assert_eq!(found, [(999_999, LogStream::Gap)]);
        fixture.end().await;
    }
}

#[tokio::test]
async fn no_gap_is_made_where_nothing_is_missing() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let sent = chunks(0, 30, 10);
        for chunk in &sent {
            fixture.append(&job, chunk).await;
        }
        let (id, end) = (job.attempt.job, sent[2].end());
        for held in [LogPosition::default(), sent[1].end(), end] {
            assert_eq!(fixture.store.adopt_gap(id, held).await.unwrap(), end);
        }
        let absurd = LogPosition {
            next_line: u64::MAX,
            chain: [0; 32],
        };
        assert!(matches!(
            fixture.store.adopt_gap(id, absurd).await,
            Err(StoreError::Chunk(_))
        ));
        fixture.store.end_log(id).await.unwrap();
        let later = LogPosition {
            next_line: 40,
            chain: [0; 32],
        };
        assert_eq!(
            fixture.store.adopt_gap(id, later).await.unwrap(),
            end,
            "an ended log does not grow"
        );
        assert_eq!(fixture.chunk_count(&job).await, 3);
        fixture.end().await;
    }
}
