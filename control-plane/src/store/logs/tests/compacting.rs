//! Compaction: the same lines in fewer bytes.

use towline_shared::log::LogLine;

use super::super::LogEnd;
use super::super::chunk;
use super::super::merge::Merger;
use super::{Fixture, Job, line, numbered};

async fn all_lines(fixture: &Fixture, job: &Job) -> Vec<(u64, LogLine)> {
    let mut lines = Vec::new();
    loop {
        let from = lines.last().map_or(0, |(number, _)| *number + 1);
        let page = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, from, 10_000)
            .await
            .unwrap();
        lines.extend(page.lines);
        if page.end == LogEnd::Complete {
            return lines;
        }
    }
}

#[tokio::test]
async fn a_compacted_log_reads_as_before() {
    for fixture in Fixture::each().await {
        // Exactly two reads of the compaction, and one chunk more.
        for (count, size) in [
            (256 * 5, 5),
            (256 * 5 + 1, 5),
            (3000, 13),
            (1, 1),
            (700, 700),
        ] {
            let job = fixture.job_with(count, size).await;
            assert_eq!(
                fixture.store.compact_logs().await.unwrap(),
                0,
                "a living job's log is left alone"
            );
            fixture.set_state(&job, "succeeded").await;
            let position = fixture.store.log_position(job.attempt.job).await.unwrap();
            let before = all_lines(&fixture, &job).await;
            assert_eq!(before, numbered(0, count));
            assert_eq!(fixture.store.compact_logs().await.unwrap(), 1);
            assert_eq!(all_lines(&fixture, &job).await, before);
            assert_eq!(
                fixture.store.log_position(job.attempt.job).await.unwrap(),
                position,
                "the chain is the agent's"
            );
            let chunks = fixture.chunk_count(&job).await;
            assert!(
                chunks <= 1 + count * 160 / 65_536,
                "{count} lines in {chunks} chunks"
            );
            assert_eq!(
                fixture.store.compact_logs().await.unwrap(),
                0,
                "once is enough"
            );
            let tail = fixture
                .store
                .log_tail(&fixture.tenant, job.deployment, 3)
                .await
                .unwrap();
            assert_eq!(tail.lines, numbered(count.saturating_sub(3), count));
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_compaction_that_died_in_the_middle_is_ended_by_the_next() {
    for fixture in Fixture::each().await {
        let job = fixture.job_with(3000, 10).await;
        fixture.set_state(&job, "failed").await;
        let before = all_lines(&fixture, &job).await;
        let mut reader = fixture.store.telemetry().read().await.unwrap();
        let chunks = chunk::between(reader.conn(), job.attempt.job, 0, u64::MAX)
            .await
            .unwrap();
        drop(reader);
        let mut merger = Merger::default();
        let first = chunks
            .iter()
            .find_map(|chunk| merger.push(chunk))
            .expect("a run ends within the first read");
        fixture
            .store
            .replace(job.attempt.job, Some(first))
            .await
            .unwrap();
        assert_eq!(all_lines(&fixture, &job).await, before);
        assert_eq!(fixture.store.compact_logs().await.unwrap(), 1);
        assert_eq!(all_lines(&fixture, &job).await, before);
        assert!(fixture.chunk_count(&job).await < 10);
        fixture.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_compactions_and_a_reader_do_not_hurt_each_other() {
    for fixture in Fixture::each().await {
        let job = fixture.job_with(4000, 9).await;
        fixture.set_state(&job, "succeeded").await;
        let before = all_lines(&fixture, &job).await;
        let (one, two) = (fixture.store.clone(), fixture.store.clone());
        let (one, two) = (
            tokio::spawn(async move { one.compact_logs().await }),
            tokio::spawn(async move { two.compact_logs().await }),
        );
        while !one.is_finished() || !two.is_finished() {
            assert_eq!(all_lines(&fixture, &job).await, before);
        }
        one.await.unwrap().unwrap();
        two.await.unwrap().unwrap();
        fixture.store.compact_logs().await.unwrap();
        assert_eq!(all_lines(&fixture, &job).await, before);
        assert!(fixture.chunk_count(&job).await < 15);
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_log_at_rest_takes_less_than_a_third_of_its_text() {
    for fixture in Fixture::each().await {
        let Some(file) = fixture.telemetry_file() else {
            fixture.end().await;
            continue;
        };
        // As a busy service writes them, two lines in 20 ms.
        let count = 60_000;
        let job = fixture.job_with(count, 2).await;
        let text: u64 = (0..count)
            .map(|number| line(number).text.len() as u64 + 1)
            .sum();
        fixture.set_state(&job, "succeeded").await;
        fixture.store.compact_logs().await.unwrap();
        fixture.store.close().await;
        let bytes = std::fs::metadata(&file).unwrap().len();
        println!(
            "{bytes} bytes at rest for {text} bytes of text: {} in a thousand",
            bytes * 1000 / text
        );
        assert!(
            bytes * 10 <= text * 3,
            "{bytes} bytes at rest for {text} bytes of text"
        );
        fixture.end().await;
    }
}

#[tokio::test]
async fn the_log_of_a_deleted_deployment_goes_and_others_stay() {
    for fixture in Fixture::each().await {
        let (kept, gone) = (
            fixture.job_with(100, 10).await,
            fixture.job_with(2500, 1).await,
        );
        fixture.delete(&gone).await;
        assert_eq!(fixture.store.prune_logs().await.unwrap(), 1);
        assert_eq!(fixture.chunk_count(&gone).await, 0);
        assert_eq!(fixture.chunk_count(&kept).await, 10);
        assert_eq!(fixture.store.prune_logs().await.unwrap(), 0);
        fixture.end().await;
    }
}
