#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

use std::fmt::Write as _;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::time::timeout;
use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::log::{Fit, LogChunk, LogLine, LogPosition, LogStream};
use towline_shared::outcome::Outcome;
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{Attempt, Finished, FromAgent};

use super::spool::Spool;
use super::*;
use crate::small_disk::SmallDisk;

const LIMIT: u64 = 64 * 1024 * 1024;

fn line(number: u64) -> LogLine {
    LogLine {
        at_us: 1_000_000 + (number / 3) as i64,
        stream: LogStream::Stdout,
        source: format!("web-{}", number % 2),
        text: format!("line {number}"),
    }
}

fn batch(numbers: std::ops::Range<u64>) -> Batch {
    Batch {
        offsets: numbers
            .clone()
            .enumerate()
            .map(|(index, number)| (index, number * 10))
            .collect(),
        lines: numbers.map(line).collect(),
    }
}

/// What the control plane keeps of a log.
#[derive(Debug, Default)]
struct Stored {
    position: LogPosition,
    lines: Vec<LogLine>,
    positions: Vec<(LogPosition, usize)>,
}

impl Stored {
    fn take(&mut self, chunk: &LogChunk) {
        match chunk.fit(self.position).unwrap() {
            Fit::Known => {}
            Fit::Next(after) => {
                self.position = after;
                self.lines.extend(chunk.decode().unwrap());
                self.positions.push((after, self.lines.len()));
            }
        }
    }

    /// Loses what it stored last, as after a power cut, down to the position after `chunks`.
    fn roll_back(&mut self, chunks: usize) {
        self.positions.truncate(chunks);
        let (position, lines) = self.positions.last().copied().unwrap_or_default();
        self.position = position;
        self.lines.truncate(lines);
    }

    fn take_all(&mut self, spool: &mut Spool) {
        spool.anchor(self.position).unwrap();
        while let Some(chunk) = spool.read().unwrap() {
            self.take(&chunk);
        }
    }

    fn assert_is(&self, count: u64) {
        assert_eq!(self.lines.len() as u64, count);
        for (number, got) in self.lines.iter().enumerate() {
            assert_eq!(got, &line(number as u64));
        }
    }
}

fn open(dir: &Path) -> Spool {
    Spool::open(dir, LogPosition::default(), LIMIT).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Lines, restarts, acknowledgements and a control plane that lost some or has more: the whole
    /// arrives, in order.
    #[test]
    fn a_log_arrives_whole_whatever_is_lost(
        rounds in prop::collection::vec((1..400_u64, any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 1..8)
    ) {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("spool");
        let mut spool = open(&dir);
        let mut stored = Stored::default();
        let mut next = 0;
        for (count, index, restart, acknowledge) in rounds {
            for start in (next..next + count).step_by(37) {
                spool.append(&batch(start..(start + 37).min(next + count))).unwrap();
            }
            next += count;
            stored.take_all(&mut spool);
            stored.assert_is(next);
            if acknowledge {
                spool.acknowledge(stored.position.next_line);
            } else {
                stored.roll_back(index.index(stored.positions.len() + 1));
            }
            if restart {
                spool = open(&dir);
                let web = spool.points()["web-0"];
                let last = (0..next).rev().find(|number| number % 2 == 0).unwrap();
                prop_assert_eq!((web.at_us, web.offset), (line(last).at_us, Some(last * 10)));
            }
        }
        stored.take_all(&mut spool);
        stored.assert_is(next);
    }
}

#[test]
fn lines_that_a_power_cut_took_from_the_spool_do_not_break_the_log() {
    for produced_before_the_answer in [0, 1, 500] {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("spool");
        let mut spool = open(&dir);
        let mut stored = Stored::default();
        for start in (0..1000).step_by(100) {
            spool.append(&batch(start..start + 100)).unwrap();
        }
        stored.take_all(&mut spool);
        // The file loses its last chunks, in the middle of one.
        let file = segment::list(&dir).unwrap().pop().unwrap();
        let length = std::fs::metadata(&file).unwrap().len();
        std::fs::OpenOptions::new()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(length - 1500)
            .unwrap();
        drop(spool);
        let mut spool = open(&dir);
        let resumed = spool.end().next_line;
        assert!(resumed < 1000 && resumed.is_multiple_of(100), "{resumed}");
        // The source goes on where the spool remembers it, so some lines come twice, none is missing.
        spool
            .append(&batch(resumed..resumed + produced_before_the_answer))
            .unwrap();
        stored.take_all(&mut spool);
        let so_far = 1000 + produced_before_the_answer;
        assert_eq!(spool.end(), stored.position);
        assert_eq!(stored.position.next_line, so_far);
        spool.append(&batch(2000..2100)).unwrap();
        drop(spool);
        let mut spool = open(&dir);
        stored.take_all(&mut spool);
        assert_eq!(stored.lines.len() as u64, so_far + 100);
        assert_eq!(
            stored.lines[1000..so_far as usize],
            batch(resumed..resumed + produced_before_the_answer).lines
        );
        assert_eq!(stored.lines[so_far as usize..], batch(2000..2100).lines);
    }
}

#[test]
fn a_rebase_that_died_half_way_is_finished() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("spool");
    let mut spool = open(&dir);
    spool.append(&batch(0..10)).unwrap();
    drop(spool);
    // Died before the old files were removed: the new ones are given up.
    std::fs::create_dir(home.path().join("spool.rebased")).unwrap();
    assert_eq!(open(&dir).end().next_line, 10);
    assert!(!home.path().join("spool.rebased").exists());
    // Died after.
    std::fs::rename(&dir, home.path().join("spool.rebased")).unwrap();
    assert_eq!(open(&dir).end().next_line, 10);
}

#[test]
fn acknowledged_files_go_and_the_position_stays() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("spool");
    let mut spool = Spool::open(&dir, LogPosition::default(), 2 * 1024 * 1024).unwrap();
    let mut noise = 1_u64;
    let mut next = 0;
    while spool.has_room() {
        // Lines that do not compress.
        let lines = (0..100).map(|_| {
            let mut text = String::new();
            for _ in 0..60 {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                write!(text, "{noise:016x}").unwrap();
            }
            LogLine { text, ..line(0) }
        });
        spool
            .append(&Batch {
                lines: lines.collect(),
                offsets: Vec::new(),
            })
            .unwrap();
        next += 100;
    }
    let files = segment::list(&dir).unwrap().len();
    assert!((3..=5).contains(&files), "{files} files");
    while spool.read().unwrap().is_some() {}
    spool.acknowledge(next);
    assert!(spool.has_room());
    assert_eq!(segment::list(&dir).unwrap().len(), 1);
    drop(spool);
    let spool = open(&dir);
    assert_eq!(spool.end().next_line, next);
    assert!(spool.kept().next_line > next / 2);
    assert_eq!(spool.points()["web-0"].lines_at, next);
}

#[test]
fn a_full_disk_loses_no_line() {
    let disk = SmallDisk::mount(512);
    let dir = disk.path().join("spool");
    let mut spool = open(&dir);
    spool.append(&batch(0..100)).unwrap();
    disk.fill();
    let mut next = 100;
    while spool.append(&batch(next..next + 100)).is_ok() {
        next += 100;
    }
    next += 100;
    let mut stored = Stored::default();
    assert!(spool.waits_for_disk());
    // What waits in memory is sent from there,
    stored.take_all(&mut spool);
    stored.assert_is(next);
    // and written when there is room.
    let _ = spool.append(&batch(next..next + 100));
    next += 100;
    disk.free();
    spool.write_memory().unwrap();
    assert!(!spool.waits_for_disk());
    drop(spool);
    let mut spool = open(&dir);
    stored.take_all(&mut spool);
    stored.assert_is(next);
    // What was acknowledged while it waited is not written any more.
    disk.fill();
    while spool.append(&batch(next..next + 100)).is_ok() {
        next += 100;
    }
    next += 100;
    stored.take_all(&mut spool);
    spool.acknowledge(next);
    assert!(!spool.waits_for_disk());
    disk.free();
    spool.append(&batch(next..next + 50)).unwrap();
    drop(spool);
    let mut spool = open(&dir);
    stored.take_all(&mut spool);
    stored.assert_is(next + 50);
}

fn attempt() -> Attempt {
    Attempt {
        job: JobId::new(),
        fence: Fence::new(1, 1),
    }
}

async fn receive(link: &mut mpsc::Receiver<Bytes>) -> FromAgent {
    let frame = timeout(Duration::from_secs(10), link.recv())
        .await
        .unwrap()
        .unwrap();
    match FromAgent::decode(&frame).unwrap() {
        Received::Message(message) => message,
        Received::Unknown(kind) => panic!("kind {kind}"),
    }
}

#[tokio::test]
async fn a_line_is_sent_soon_and_the_result_after_the_log() {
    let home = tempfile::tempdir().unwrap();
    let log = JobLog::open(
        attempt(),
        home.path(),
        LogPosition::default(),
        LogLimits::default(),
    );
    let (link, mut received) = mpsc::channel(8);
    log.send_from(LogPosition::default(), link);
    let mut stored = Stored::default();
    for number in 0..5 {
        let written = std::time::Instant::now();
        log.sink().send(line(number)).await;
        let FromAgent::Log(sent) = receive(&mut received).await else {
            panic!()
        };
        assert!(
            written.elapsed() < Duration::from_millis(200),
            "{:?}",
            written.elapsed()
        );
        stored.take(&sent.chunk);
    }
    stored.assert_is(5);
    log.sink().send(line(5)).await;
    let end = log.complete();
    let outcome = Outcome::Succeeded { images: Vec::new() };
    log.report(outcome.clone());
    let FromAgent::Log(sent) = receive(&mut received).await else {
        panic!()
    };
    stored.take(&sent.chunk);
    let FromAgent::Finished(Finished {
        outcome: reported,
        log: position,
        ..
    }) = receive(&mut received).await
    else {
        panic!()
    };
    assert_eq!(
        (reported, position, end.await),
        (outcome, stored.position, stored.position)
    );
    // The log has ended: a line that comes late goes nowhere and blocks nobody.
    log.sink().send(line(6)).await;
    assert_eq!(log.complete().await, stored.position);
}

#[tokio::test]
async fn a_slow_control_plane_slows_the_producer_within_bounds() {
    let home = tempfile::tempdir().unwrap();
    let limits = LogLimits {
        spool_bytes: 64 * 1024,
        ..LogLimits::default()
    };
    let log = JobLog::open(attempt(), home.path(), LogPosition::default(), limits);
    let (link, mut received) = mpsc::channel(1);
    log.send_from(LogPosition::default(), link.clone());
    let sink = log.sink();
    let text = |number: u64| {
        let noise = (0..40_u32).map(|n| {
            format!(
                "{:x}",
                number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(n)
            )
        });
        format!("{number} {}", noise.collect::<String>())
    };
    let producer = tokio::spawn(async move {
        for number in 0..10_000 {
            sink.send(LogLine {
                text: text(number),
                ..line(0)
            })
            .await;
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!producer.is_finished());
    let mut stored = Stored::default();
    let mut in_flight = 0;
    while stored.position.next_line < 10_000 {
        let FromAgent::Log(sent) = receive(&mut received).await else {
            panic!()
        };
        stored.take(&sent.chunk);
        in_flight += 1;
        assert!(in_flight <= 34, "more in flight than the window");
        if received.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if received.is_empty() {
            log.acknowledge(stored.position.next_line);
            in_flight = 0;
        }
    }
    producer.await.unwrap();
    for (number, line) in stored.lines.iter().enumerate() {
        assert_eq!(line.text, text(number as u64));
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_is_sent_again() {
    let home = tempfile::tempdir().unwrap();
    let limits = LogLimits {
        resend_after: Duration::from_millis(300),
        ..LogLimits::default()
    };
    let log = JobLog::open(attempt(), home.path(), LogPosition::default(), limits);
    let (link, mut received) = mpsc::channel(8);
    log.send_from(LogPosition::default(), link);
    log.sink().send(line(0)).await;
    log.report(Outcome::Succeeded { images: Vec::new() });
    log.complete().await;
    for _ in 0..2 {
        let sent = receive(&mut received).await;
        assert!(matches!(sent, FromAgent::Log(_)), "{}", sent.name());
        let sent = receive(&mut received).await;
        assert!(matches!(sent, FromAgent::Finished(_)), "{}", sent.name());
    }
    log.acknowledge(1);
    let sent = receive(&mut received).await;
    assert!(matches!(sent, FromAgent::Finished(_)), "{}", sent.name());
}
