//! Ranges and tails, at the borders of chunks and of pages.

use towline_shared::ids::DeploymentId;
use towline_shared::log::{LogLine, LogPosition, LogStream};

use super::super::super::db::execute;
use super::super::super::{Resource, StoreError};
use super::super::{LogEnd, MAX_LINES};
use super::{Fixture, ack, continued, numbered};

#[tokio::test]
async fn ranges_and_tails_cut_at_any_line() {
    for fixture in Fixture::each().await {
        let job = fixture.job_with(100, 30).await;
        for (from, limit, want, next) in [
            (0, 100, 0..100, 100),
            (0, 1, 0..1, 1),
            (29, 1, 29..30, 30),
            (29, 2, 29..31, 31),
            (30, 30, 30..60, 60),
            (31, 29, 31..60, 60),
            (59, 50, 59..100, 100),
            (99, 10, 99..100, 100),
            (100, 10, 0..0, 100),
            (500, 10, 0..0, 500),
            (u64::MAX, 10, 0..0, u64::MAX),
            (5, 0, 5..6, 6),
        ] {
            let page = fixture
                .store
                .log_range(&fixture.tenant, job.deployment, from, limit)
                .await
                .unwrap();
            assert_eq!(
                page.lines,
                numbered(want.start, want.end),
                "{limit} from {from}"
            );
            assert_eq!(
                (page.next, page.end),
                (next, LogEnd::Open),
                "{limit} from {from}"
            );
        }
        for (lines, from) in [
            (1, 99),
            (10, 90),
            (11, 89),
            (70, 30),
            (100, 0),
            (5000, 0),
            (0, 99),
        ] {
            let page = fixture
                .store
                .log_tail(&fixture.tenant, job.deployment, lines)
                .await
                .unwrap();
            assert_eq!(
                (page.lines, page.next),
                (numbered(from, 100), 100),
                "the last {lines}"
            );
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_page_spans_many_tiny_chunks_and_is_bounded() {
    for fixture in Fixture::each().await {
        let job = fixture.job_with(12_000, 11).await;
        let page = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, 3, u32::MAX)
            .await
            .unwrap();
        assert_eq!(page.lines, numbered(3, 3 + u64::from(MAX_LINES)));
        let rest = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, page.next, u32::MAX)
            .await
            .unwrap();
        assert_eq!(rest.lines, numbered(page.next, 12_000));
        fixture.end().await;
    }
}

#[tokio::test]
async fn long_lines_end_a_page_early_and_lose_none() {
    for fixture in Fixture::each().await {
        let job = fixture.job().await;
        let long = |number: usize| LogLine {
            at_us: 0,
            stream: LogStream::Stdout,
            source: "web-1".to_owned(),
            text: format!("{number:016384}"),
        };
        let lines: Vec<_> = (0..600).map(long).collect();
        let chunks = continued(LogPosition::default(), &lines, 4);
        let appended = fixture
            .store
            .append_logs(fixture.agent, job.attempt, &chunks)
            .await
            .unwrap();
        assert_eq!(appended, ack(&job, 600));
        let mut from = 0;
        let mut found = Vec::new();
        let mut pages = 0;
        while from < 600 {
            let page = fixture
                .store
                .log_range(&fixture.tenant, job.deployment, from, MAX_LINES)
                .await
                .unwrap();
            assert!(page.lines.len() <= 257, "4 MiB and a line");
            found.extend(page.lines.into_iter().map(|(_, line)| line));
            from = page.next;
            pages += 1;
        }
        assert_eq!(pages, 3);
        assert!(found == lines, "no line is lost between pages");
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_log_is_complete_when_its_job_has_ended_and_it_was_read_to_its_end() {
    for fixture in Fixture::each().await {
        let job = fixture.job_with(20, 10).await;
        let silent = fixture.job().await;
        let read = async |job: DeploymentId, from, limit| {
            fixture
                .store
                .log_range(&fixture.tenant, job, from, limit)
                .await
                .unwrap()
                .end
        };
        assert_eq!(read(job.deployment, 0, 100).await, LogEnd::Open);
        assert_eq!(read(silent.deployment, 0, 100).await, LogEnd::Open);
        for job in [&job, &silent] {
            fixture.set_state(job, "failed").await;
        }
        assert_eq!(
            read(job.deployment, 0, 19).await,
            LogEnd::Open,
            "a line is left"
        );
        assert_eq!(read(job.deployment, 0, 20).await, LogEnd::Complete);
        assert_eq!(read(silent.deployment, 0, 100).await, LogEnd::Complete);
        for job in [job, silent] {
            let late = super::continued(
                fixture.store.log_position(job.attempt.job).await.unwrap(),
                &[super::line(0)],
                1,
            );
            let late = fixture
                .store
                .append_under(job.attempt, &late)
                .await
                .unwrap();
            assert_eq!(
                late,
                super::Appended::Forget,
                "what was called complete stays so"
            );
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn another_team_sees_nothing() {
    for fixture in Fixture::each().await {
        let job = fixture.job_with(10, 10).await;
        for page in [
            fixture
                .store
                .log_range(&Fixture::stranger(), job.deployment, 0, 10)
                .await,
            fixture
                .store
                .log_tail(&Fixture::stranger(), job.deployment, 10)
                .await,
            fixture
                .store
                .log_range(&fixture.tenant, DeploymentId::new(), 0, 10)
                .await,
        ] {
            assert!(matches!(
                page,
                Err(StoreError::NotFound(Resource::Deployment))
            ));
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_damaged_chunk_hides_only_itself() {
    for fixture in Fixture::each().await {
        let job = fixture.job_with(30, 10).await;
        let mut tx = fixture.store.telemetry().begin().await.unwrap();
        let sql = "UPDATE log_chunks SET payload = $2 WHERE job_id = $1 AND first_line = 10";
        execute!(
            tx.conn(),
            sql,
            job.attempt.job.uuid(),
            b"damaged".as_slice()
        )
        .unwrap();
        tx.commit().await.unwrap();
        fixture.set_state(&job, "succeeded").await;
        fixture.store.compact_logs().await.unwrap();
        let page = fixture
            .store
            .log_range(&fixture.tenant, job.deployment, 0, 100)
            .await
            .unwrap();
        assert_eq!(page.lines[..10], numbered(0, 10));
        assert_eq!(
            (page.lines[10].0, page.lines[10].1.stream),
            (19, LogStream::Gap)
        );
        assert!(page.lines[10].1.text.starts_with("10 lines cannot be read"));
        assert_eq!(page.lines[11..], numbered(20, 30));
        assert_eq!(page.end, LogEnd::Complete);
        fixture.end().await;
    }
}
