//! The engine's socket itself, for those who speak its API on their own.

use tokio::net::UnixStream;

use super::{Engine, EngineError};

impl Engine {
    /// A connection on which nothing was said.
    pub async fn socket(&self) -> Result<UnixStream, EngineError> {
        let path = self.host.strip_prefix("unix://").unwrap_or(&self.host);
        UnixStream::connect(path)
            .await
            .map_err(|error| EngineError::Unreachable {
                host: self.shown.to_string(),
                why: error.to_string(),
            })
    }
}
