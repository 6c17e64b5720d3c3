//! The row of a log: its end, and who may append.

use std::str::FromStr;

use sqlx::FromRow;
use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::log::LogPosition;

use super::super::db::{Conn, Tx, execute, local_now, one, optional};
use super::super::{Result, StoreError, counted, stored};

/// Whether a log still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogState {
    /// It may grow.
    Open,
    /// Its job has ended: it never changes any more.
    Ended,
    /// The same, and its small chunks were merged.
    Compacted,
}

impl FromStr for LogState {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "open" => Ok(Self::Open),
            "ended" => Ok(Self::Ended),
            "compacted" => Ok(Self::Compacted),
            _ => Err(StoreError::Damaged(format!(
                "{text:?} is no state of a log"
            ))),
        }
    }
}

/// A log, without its lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogRow {
    /// The highest fence that appended or was offered the job.
    pub(super) fence: Fence,
    /// Its end.
    pub(super) position: LogPosition,
    pub(super) state: LogState,
}

#[derive(FromRow)]
struct Columns {
    fence_incarnation: i64,
    fence_epoch: i64,
    next_line: i64,
    chain: Vec<u8>,
    state: String,
}

impl TryFrom<Columns> for LogRow {
    type Error = StoreError;

    fn try_from(row: Columns) -> Result<Self> {
        let incarnation = u32::try_from(row.fence_incarnation);
        let incarnation = incarnation
            .map_err(|_| StoreError::Damaged("the fence of a log is out of range".to_owned()))?;
        let chain = row.chain.try_into();
        let chain = chain
            .map_err(|_| StoreError::Damaged("the chain of a log is not a SHA-256".to_owned()))?;
        Ok(Self {
            fence: Fence::new(incarnation, counted(row.fence_epoch)),
            position: LogPosition {
                next_line: counted(row.next_line),
                chain,
            },
            state: row.state.parse()?,
        })
    }
}

/// Reads a log's row; nothing if nothing was ever appended.
pub(super) async fn read(conn: Conn<'_>, job: JobId) -> Result<Option<LogRow>> {
    let row = optional!(
        conn,
        Columns,
        "SELECT fence_incarnation, fence_epoch, next_line, chain, state FROM logs WHERE id = $1",
        job.uuid()
    )?;
    row.map(LogRow::try_from).transpose()
}

/// Reads a log's row, made if it is missing, and keeps others from changing it until the
/// transaction ends.
pub(super) async fn lock(tx: &mut Tx, job: JobId) -> Result<LogRow> {
    let conn = tx.conn();
    let sql = select_locking(&conn);
    if let Some(row) = optional!(conn, Columns, sql, job.uuid())? {
        return row.try_into();
    }
    execute!(
        tx.conn(),
        "INSERT INTO logs (id, fence_incarnation, fence_epoch, next_line, chain, state, created_at, updated_at)
         VALUES ($1, 0, 0, 0, $2, 'open', $3, $3) ON CONFLICT (id) DO NOTHING",
        job.uuid(),
        LogPosition::default().chain.as_slice(),
        local_now()
    )?;
    one!(tx.conn(), Columns, sql, job.uuid())?.try_into()
}

/// The transaction is SQLite's only writer; PostgreSQL locks the row.
const fn select_locking(conn: &Conn<'_>) -> &'static str {
    conn.pick(
        "SELECT fence_incarnation, fence_epoch, next_line, chain, state FROM logs WHERE id = $1",
        "SELECT fence_incarnation, fence_epoch, next_line, chain, state FROM logs WHERE id = $1 FOR UPDATE",
    )
}

/// Writes a locked log's new end and fence.
pub(super) async fn advance(
    tx: &mut Tx,
    job: JobId,
    fence: Fence,
    position: LogPosition,
) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE logs SET fence_incarnation = $2, fence_epoch = $3, next_line = $4, chain = $5, updated_at = $6
         WHERE id = $1",
        job.uuid(),
        i64::from(fence.incarnation),
        stored(fence.epoch),
        stored(position.next_line),
        position.chain.as_slice(),
        local_now()
    )?;
    Ok(())
}
