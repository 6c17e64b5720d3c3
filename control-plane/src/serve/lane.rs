//! The agents' lane: threads of their own, so that a storm of handshakes or a flood of log lines does
//! not queue ahead of people's requests. Among threads the kernel shares fairly; among the tasks of
//! one runtime, a request would wait behind all of them.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// The threads. To be kept until the store is closed: connections to the database that were made
/// here end with them.
pub struct Lane {
    runtime: Runtime,
}

impl Lane {
    /// Starts them: as many as there are processors.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("agents")
            .enable_all()
            .build()?;
        Ok(Self { runtime })
    }

    /// Where to spawn.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Ends them, without waiting for what is under way.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }
}
