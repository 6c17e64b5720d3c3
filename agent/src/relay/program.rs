//! The way for the agent's own next program.

use std::path::Path;
use std::time::Duration;

use towline_shared::Fence;
use towline_shared::relay::Digest;

use super::connection::{Connection, Failure};
use super::{FIRST_PAUSE, LAST_PAUSE, Refused, Relay};
use crate::link::{Backoff, Cause, dice};

/// How often in a row a transfer may be cut without that anything came.
const MOST_CUTS: u32 = 10;

impl Relay {
    /// Fetches a program of so many bytes, from where the file has it; a longer one is cut off, and so found to be wrong.
    pub async fn fetch_program(
        &self,
        sha256: Digest,
        bytes: u64,
        file: &Path,
    ) -> Result<(), Refused> {
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        let mut cuts = 0;
        loop {
            let have = file.metadata().map_or(0, |file| file.len());
            if have >= bytes {
                return Ok(());
            }
            let path = format!("/agent/{}?offset={have}", sha256.hex());
            let got = async {
                let mut connection =
                    Connection::open(&self.dir, &self.dialer, Fence::default()).await?;
                connection.get_file(&path, file, bytes - have).await
            };
            let (came, why) = match got.await {
                Ok(came) => (came, "it ended early".to_owned()),
                Err(Failure::Refused(_, words)) => return Err(Refused(words)),
                Err(Failure::Cut { bytes, why }) => (bytes, why),
            };
            if have + came >= bytes {
                return Ok(());
            }
            cuts = if came > 0 { 0 } else { cuts + 1 };
            if cuts >= MOST_CUTS {
                return Err(Refused(format!(
                    "the transfer was cut again and again: {why}"
                )));
            }
            tracing::debug!(%why, "the transfer of a program was cut");
            tokio::time::sleep(backoff.pause(Cause::Lost(Duration::ZERO), dice())).await;
        }
    }
}
