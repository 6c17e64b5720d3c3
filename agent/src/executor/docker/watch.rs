//! Watching a project's containers while a job works on it: what happens to them, and what they print.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use towline_shared::log::{LogLine, LogStream};

use super::engine::{Engine, EngineError, EventKind, LogPiece, LogQuery, Observed};
use super::lines::Lines;
use crate::logs::LogSink;
use crate::mask::Masker;

/// How long to wait before asking an engine again that went away.
const RETRY: Duration = Duration::from_millis(200);
/// How long a written line may take to the engine's log.
const SETTLE: Duration = Duration::from_millis(15);

/// Follows events and logs until it is dropped.
pub(super) struct Watch {
    followers: Arc<Followers>,
    changes: watch::Receiver<u64>,
    _events: AbortOnDropHandle<()>,
}

/// What is to be watched.
pub(super) struct Watched {
    pub engine: Engine,
    pub project: String,
    /// Only what happened from here on counts, Unix microseconds.
    pub since_us: i64,
    pub log: LogSink,
    pub masker: Masker,
}

impl Watch {
    pub fn start(watched: Watched) -> Self {
        let (announce, changes) = watch::channel(0);
        let followers = Arc::new(Followers {
            watched,
            followed: Mutex::default(),
            stopped: Mutex::default(),
        });
        let events = tokio::spawn(take_events(Arc::clone(&followers), announce));
        Self {
            followers,
            changes,
            _events: AbortOnDropHandle::new(events),
        }
    }

    /// Waits until something happened to a container, or to the engine, since the last call.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Follows the log of every container that was started within the time watched.
    pub fn follow(&self, containers: &[Observed]) {
        for container in containers {
            if container.started_at.timestamp_micros() >= self.followers.watched.since_us {
                Followers::follow(&self.followers, &container.id, &container.source);
            }
        }
    }

    /// The containers that were sent a signal since they were started: if they have ended, they did
    /// not end by themselves.
    pub fn stopped(&self) -> HashSet<String> {
        locked(&self.followers.stopped).clone()
    }

    /// Takes what the containers have printed up to now: however far behind the followers are, no
    /// line that came before the verdict is missing.
    pub async fn drain(&self, containers: &[Observed]) {
        self.follow(containers);
        if locked(&self.followers.followed).is_empty() {
            return;
        }
        // What they have written reaches the engine's log a moment later.
        tokio::time::sleep(SETTLE).await;
        let now_us = Utc::now().timestamp_micros();
        for container in containers {
            self.followers.catch_up(container, now_us).await;
        }
    }

    /// The last lines of a container, whether or not they were followed.
    pub async fn last_lines(
        &self,
        container: &str,
        source: &str,
        count: u32,
    ) -> Result<Vec<LogLine>, EngineError> {
        let query = LogQuery {
            tail: Some(count),
            ..LogQuery::default()
        };
        let mut pieces = Box::pin(self.followers.watched.engine.logs(container, query).await?);
        let mut lines = LineReader::new(source, &self.followers.watched.masker);
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await {
            lines.take(&piece?, &mut all);
        }
        lines.finish(&mut all);
        Ok(all)
    }
}

async fn take_events(followers: Arc<Followers>, changed: watch::Sender<u64>) {
    let Watched {
        engine,
        project,
        since_us,
        ..
    } = &followers.watched;
    loop {
        if let Ok(events) = engine.events(project, since_us / 1_000_000).await {
            let mut events = Box::pin(events);
            while let Some(Ok(event)) = events.next().await {
                match event.kind {
                    EventKind::Started => {
                        locked(&followers.stopped).remove(&event.container);
                        Followers::follow(&followers, &event.container, &event.source);
                    }
                    EventKind::Signalled => {
                        locked(&followers.stopped).insert(event.container);
                    }
                    EventKind::Changed => {}
                }
                changed.send_modify(|count| *count += 1);
            }
        }
        changed.send_modify(|count| *count += 1);
        tokio::time::sleep(RETRY).await;
    }
}

/// How far a container's log was taken.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// The time of the last line, microseconds.
    at_us: i64,
    /// How many lines bear that very time.
    lines_at: u64,
}

struct Followers {
    watched: Watched,
    followed: Mutex<HashMap<String, Followed>>,
    /// Containers that were sent a signal since they were started.
    stopped: Mutex<HashSet<String>>,
}

/// How much of a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All that comes, until the container ends.
    Onwards,
    /// What there is up to this time, microseconds.
    Until(i64),
}

impl Extent {
    fn is_over(self, at_us: i64) -> bool {
        matches!(self, Self::Until(until_us) if at_us > until_us)
    }
}

/// Which log is read, from where, and how far.
struct Reading<'a> {
    container: &'a str,
    source: &'a str,
    position: &'a Mutex<Position>,
    extent: Extent,
}

struct Followed {
    position: Arc<Mutex<Position>>,
    taking: Taking,
}

/// Who takes a container's log.
enum Taking {
    /// A task, as long as it comes.
    Following(AbortOnDropHandle<()>),
    /// Nobody any more: it was taken up to the verdict. Remembered, because an engine's events come
    /// again when their stream is opened anew, and the log must not be taken a second time.
    Drained,
}

impl Followed {
    fn is_over_or_going_on(&self) -> bool {
        match &self.taking {
            Taking::Following(task) => !task.is_finished(),
            Taking::Drained => true,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Followers {
    fn follow(this: &Arc<Self>, container: &str, source: &str) {
        let mut followed = locked(&this.followed);
        let position = match followed.get(container) {
            Some(known) if known.is_over_or_going_on() => return,
            Some(known) => Arc::clone(&known.position),
            None => Arc::new(Mutex::new(this.start_of(source))),
        };
        let taking = Arc::clone(this).take_log(
            container.to_owned(),
            source.to_owned(),
            Arc::clone(&position),
        );
        let taking = Taking::Following(AbortOnDropHandle::new(tokio::spawn(taking)));
        followed.insert(container.to_owned(), Followed { position, taking });
    }

    fn start_of(&self, source: &str) -> Position {
        let since_us = self.watched.since_us;
        let resumed = self
            .watched
            .log
            .resume_from(source)
            .filter(|point| point.at_us >= since_us);
        resumed.map_or(
            Position {
                at_us: since_us,
                lines_at: 0,
            },
            |point| Position {
                at_us: point.at_us,
                lines_at: point.lines_at,
            },
        )
    }

    /// Ends the following of a container and reads on from there up to `until_us`. Also of one that
    /// has exited: Docker 20.10 may end a followed log before its last lines.
    async fn catch_up(&self, container: &Observed, until_us: i64) {
        let Some((taking, position)) = self.end_following(&container.id) else {
            return;
        };
        if let Taking::Following(task) = taking {
            task.abort();
            // Only when it has really ended does the position stand.
            let _ = task.await;
        }
        let reading = Reading {
            container: &container.id,
            source: &container.source,
            position: &position,
            extent: Extent::Until(until_us),
        };
        self.read(reading).await;
    }

    /// Nobody follows it from now on; who did, and how far that has come.
    fn end_following(&self, container: &str) -> Option<(Taking, Arc<Mutex<Position>>)> {
        let mut followed = locked(&self.followed);
        let known = followed.get_mut(container)?;
        let taking = std::mem::replace(&mut known.taking, Taking::Drained);
        Some((taking, Arc::clone(&known.position)))
    }

    async fn take_log(
        self: Arc<Self>,
        container: String,
        source: String,
        position: Arc<Mutex<Position>>,
    ) {
        let reading = Reading {
            container: &container,
            source: &source,
            position: &position,
            extent: Extent::Onwards,
        };
        self.read(reading).await;
    }

    async fn read(&self, reading: Reading<'_>) {
        let Reading {
            container,
            source,
            position,
            extent,
        } = reading;
        let start = *locked(position);
        let query = LogQuery {
            since_s: start.at_us / 1_000_000,
            tail: None,
            follow: extent == Extent::Onwards,
        };
        let pieces = match self.watched.engine.logs(container, query).await {
            Ok(pieces) => pieces,
            Err(error) => return self.explain(source, &error).await,
        };
        let mut pieces = Box::pin(pieces);
        let mut reader = LineReader::new(source, &self.watched.masker);
        let mut skip = Skip { to: start, seen: 0 };
        let mut lines = Vec::new();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) if extent.is_over(piece.at_us) => break,
                Ok(piece) => reader.take(&piece, &mut lines),
                Err(error) => {
                    self.explain(source, &error).await;
                    break;
                }
            }
            self.send(&mut lines, &mut skip, position).await;
        }
        reader.finish(&mut lines);
        self.send(&mut lines, &mut skip, position).await;
    }

    async fn send(&self, lines: &mut Vec<LogLine>, skip: &mut Skip, position: &Mutex<Position>) {
        for line in lines.drain(..) {
            if skip.is_known(line.at_us) {
                continue;
            }
            let at_us = line.at_us;
            self.watched.log.send(line).await;
            let mut position = locked(position);
            if position.at_us == at_us {
                position.lines_at += 1;
            } else {
                *position = Position { at_us, lines_at: 1 };
            }
        }
    }

    /// A log that cannot be read is no reason to fail, but must not look like silence.
    async fn explain(&self, source: &str, error: &EngineError) {
        if let EngineError::Refused { status, message } = error
            && *status != 404
        {
            let text = format!("the log of {source} cannot be read: {message}");
            self.watched.log.send(super::job::note(text)).await;
        }
    }
}

/// Passes over the lines that were taken before.
struct Skip {
    to: Position,
    /// How many lines of that very time were passed over.
    seen: u64,
}

impl Skip {
    fn is_known(&mut self, at_us: i64) -> bool {
        if at_us == self.to.at_us && self.seen < self.to.lines_at {
            self.seen += 1;
            return true;
        }
        at_us < self.to.at_us
    }
}

/// Makes log lines of what one container prints.
pub(super) struct LineReader {
    source: String,
    stdout: Lines,
    stderr: Lines,
    last_us: i64,
    cut: Vec<(String, Option<usize>)>,
}

impl LineReader {
    pub fn new(source: &str, masker: &Masker) -> Self {
        Self {
            source: source.to_owned(),
            stdout: Lines::new(masker.clone()),
            stderr: Lines::new(masker.clone()),
            last_us: 0,
            cut: Vec::new(),
        }
    }

    pub fn take(&mut self, piece: &LogPiece, lines: &mut Vec<LogLine>) {
        self.last_us = piece.at_us;
        let reader = if piece.stream == LogStream::Stderr {
            &mut self.stderr
        } else {
            &mut self.stdout
        };
        reader.push(&piece.bytes, &mut self.cut);
        self.give(piece.stream, lines);
    }

    /// What is left of lines without an end.
    pub fn finish(&mut self, lines: &mut Vec<LogLine>) {
        self.stdout.finish(&mut self.cut);
        self.give(LogStream::Stdout, lines);
        self.stderr.finish(&mut self.cut);
        self.give(LogStream::Stderr, lines);
    }

    fn give(&mut self, stream: LogStream, lines: &mut Vec<LogLine>) {
        for (text, _) in self.cut.drain(..) {
            lines.push(LogLine {
                at_us: self.last_us,
                stream,
                source: self.source.clone(),
                text,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followers() -> Arc<Followers> {
        let (log, _intake) = LogSink::new(HashMap::new());
        Arc::new(Followers {
            watched: Watched {
                engine: Engine::new("unix:///nonexistent/docker.sock", "nowhere"),
                project: "shop".into(),
                since_us: 0,
                log,
                masker: Masker::default(),
            },
            followed: Mutex::default(),
            stopped: Mutex::default(),
        })
    }

    /// As when the stream of events is opened anew, and tells of the start once more.
    #[tokio::test]
    async fn a_log_that_was_taken_up_to_the_verdict_is_not_taken_again() {
        let followers = followers();
        let is_drained = |container| {
            let followed = locked(&followers.followed);
            matches!(followed[container].taking, Taking::Drained)
        };
        Followers::follow(&followers, "c1", "web-1");
        assert!(!is_drained("c1"));
        followers.end_following("c1");
        Followers::follow(&followers, "c1", "web-1");
        assert!(is_drained("c1"));
        Followers::follow(&followers, "c2", "web-2");
        assert!(!is_drained("c2"));
    }

    #[test]
    fn lines_taken_before_are_passed_over_to_the_line() {
        let mut skip = Skip {
            to: Position {
                at_us: 5,
                lines_at: 2,
            },
            seen: 0,
        };
        let known: Vec<bool> = [3, 5, 5, 5, 6].map(|at_us| skip.is_known(at_us)).to_vec();
        assert_eq!(known, [true, true, true, false, false]);
        let mut fresh = Skip {
            to: Position {
                at_us: 5,
                lines_at: 0,
            },
            seen: 0,
        };
        assert!(fresh.is_known(4) && !fresh.is_known(5));
    }
}
