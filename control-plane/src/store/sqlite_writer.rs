//! The one writer of an SQLite file, with group commit.
//!
//! Each write runs alone, inside a savepoint, on the one connection. When it is done it leaves the
//! transaction open for those who wait behind it and queues up once more; whoever first comes to
//! its second turn commits for all who were done before. The lock is fair, so a lone write commits
//! at once, and eight that wait together share one sync of the disk. Each call of the connection is
//! a hop to its thread and back, so that a write has one before its statements, and the commit.
//!
//! Promises: `commit` returns only when the write is durable; a write that is dropped, or whose
//! caller is gone in the middle, leaves nothing; a failed commit fails everybody who shared it.

use std::sync::Arc;

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::error::DatabaseError;

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct SqliteWriter {
    line: Arc<Mutex<Line>>,
}

/// A write under way. Dropping it takes it back.
pub(crate) struct SqliteTx {
    turn: Option<Turn>,
    line: Arc<Mutex<Line>>,
}

type Turn = OwnedMutexGuard<Line>;

struct Line {
    connection: Option<SqliteConnection>,
    phase: Phase,
    /// Those whose writes are done and not yet durable.
    batch: Vec<oneshot::Sender<Result<(), DatabaseError>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No transaction.
    Idle,
    /// A transaction with finished writes, and the last one's savepoint.
    Open,
    /// A transaction with a write under way.
    Inside,
}

impl SqliteWriter {
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        let line = Line {
            connection: Some(connection),
            phase: Phase::Idle,
            batch: Vec::new(),
        };
        Self {
            line: Arc::new(Mutex::new(line)),
        }
    }

    /// Waits for its turn and opens a savepoint.
    ///
    /// It runs as a task of its own, so that a caller that gives up leaves no half-open transaction:
    /// what the task made is dropped, which takes it back.
    pub(crate) async fn begin(&self) -> Result<SqliteTx, DatabaseError> {
        let line = Arc::clone(&self.line);
        joined(tokio::spawn(async move {
            let mut turn = Arc::clone(&line).lock_owned().await;
            turn.enter().await?;
            Ok(SqliteTx {
                turn: Some(turn),
                line,
            })
        }))
        .await
    }

    /// Closes the connection, which also folds the write-ahead log into the file.
    pub(crate) async fn close(&self) {
        let mut line = self.line.lock().await;
        // Its failure is told to those who wait for it.
        let _ = line.settle().await;
        if let Some(connection) = line.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database was not closed cleanly; it recovers when it is opened");
        }
    }
}

impl SqliteTx {
    /// The connection, inside of the savepoint.
    ///
    /// # Panics
    /// Never: the turn is there until `commit` or `drop` take the whole value.
    #[expect(
        clippy::expect_used,
        reason = "only commit and drop take the turn, and both end the value"
    )]
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        let turn = self.turn.as_mut().expect("a transaction holds its turn");
        turn.connection
            .as_mut()
            .expect("a closed writer gives out no turn")
    }

    /// Makes the write durable, together with those of others who are done.
    pub(crate) async fn commit(mut self) -> Result<(), DatabaseError> {
        let Some(mut turn) = self.turn.take() else {
            return Err(DatabaseError::closed());
        };
        let line = Arc::clone(&self.line);
        joined(tokio::spawn(async move {
            let durable = turn.leave();
            drop(turn);
            // A failure is told to all who shared the commit, and so to us.
            let _ = line.lock_owned().await.settle().await;
            durable
                .await
                .unwrap_or_else(|_| Err(DatabaseError::closed()))
        }))
        .await
    }
}

impl SqliteTx {
    /// Takes the write back, and returns when all that it may have read is durable: it read what
    /// others had done and not yet committed.
    pub(crate) async fn roll_back(mut self) -> Result<(), DatabaseError> {
        let Some(mut turn) = self.turn.take() else {
            return Err(DatabaseError::closed());
        };
        joined(tokio::spawn(async move {
            turn.take_back().await;
            turn.settle().await
        }))
        .await
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        // Without a runtime the next turn finds the phase and takes it back.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { turn.take_back().await });
        }
    }
}

impl Line {
    async fn enter(&mut self) -> Result<(), DatabaseError> {
        if self.phase == Phase::Inside {
            self.take_back().await;
        }
        let entry = match self.phase {
            Phase::Idle => "BEGIN IMMEDIATE; SAVEPOINT turn",
            Phase::Open | Phase::Inside => "RELEASE turn; SAVEPOINT turn",
        };
        if let Err(error) = self.run(entry).await {
            self.abandon(&error).await;
            return Err(error);
        }
        self.phase = Phase::Inside;
        Ok(())
    }

    /// Ends the write and joins those who wait for the commit. Its savepoint is released by the next
    /// one, or by the commit.
    fn leave(&mut self) -> oneshot::Receiver<Result<(), DatabaseError>> {
        self.phase = Phase::Open;
        let (sender, durable) = oneshot::channel();
        self.batch.push(sender);
        durable
    }

    /// Commits what is done, unless somebody else has.
    async fn settle(&mut self) -> Result<(), DatabaseError> {
        if self.phase == Phase::Inside {
            self.take_back().await;
        }
        if self.phase == Phase::Idle {
            return Ok(());
        }
        if let Err(error) = self.run("COMMIT").await {
            self.abandon(&error).await;
            return Err(error);
        }
        self.phase = Phase::Idle;
        for waiting in self.batch.drain(..) {
            // Who does not listen any more has gone; the write stays.
            let _ = waiting.send(Ok(()));
        }
        Ok(())
    }

    /// Undoes the write under way; what others finished stays.
    async fn take_back(&mut self) {
        if self.batch.is_empty() {
            if let Err(error) = self.run("ROLLBACK").await {
                tracing::debug!(%error, "nothing was left to roll back");
            }
            self.phase = Phase::Idle;
            return;
        }
        match self.run("ROLLBACK TO turn").await {
            Ok(()) => self.phase = Phase::Open,
            // SQLite itself rolls the whole transaction back on a full disk or an I/O error.
            Err(error) => self.abandon(&error).await,
        }
    }

    /// Rolls everything back and tells all who shared it.
    async fn abandon(&mut self, error: &DatabaseError) {
        if let Err(error) = self.run("ROLLBACK").await {
            tracing::debug!(%error, "nothing was left to roll back");
        }
        self.phase = Phase::Idle;
        for waiting in self.batch.drain(..) {
            let _ = waiting.send(Err(error.clone()));
        }
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), DatabaseError> {
        let connection = self.connection.as_mut().ok_or_else(DatabaseError::closed)?;
        sqlx::raw_sql(sql).execute(connection).await?;
        Ok(())
    }
}

async fn joined<T>(
    task: tokio::task::JoinHandle<Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    task.await.unwrap_or_else(|_| Err(DatabaseError::closed()))
}
