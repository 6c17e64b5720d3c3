//! Reading what every connection of an agent reads at its start. Agents may come all at once; of the
//! store's readers they take a part, so that in a storm people's requests find one.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::db::{Conn, Reader};
use super::{Result, Store};

/// The readers that a crowd takes; the rest is everybody's.
const READERS: usize = 4;

/// The turns of the crowd.
#[derive(Debug)]
pub(super) struct Crowd(Semaphore);

/// A reader of the crowd. Its turn ends with it.
pub(super) struct CrowdReader<'a> {
    reader: Reader,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self(Semaphore::new(READERS))
    }
}

impl CrowdReader<'_> {
    /// The connection, for one statement.
    pub(super) fn conn(&mut self) -> Conn<'_> {
        self.reader.conn()
    }
}

impl Store {
    /// Waits for a turn and takes a reader.
    pub(super) async fn read_in_turn(&self) -> Result<CrowdReader<'_>> {
        // Nobody closes it.
        let turn = self.inner.crowd.0.acquire().await.ok();
        let reader = self.main().read().await?;
        Ok(CrowdReader {
            reader,
            _turn: turn,
        })
    }
}
