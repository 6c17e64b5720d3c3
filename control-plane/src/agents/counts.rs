//! Counters of the agents' side, for the process's own metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A reading of the counters. All but `connected` only rise.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            /// Agents connected to this process now.
            pub connected: u64,
            $($(#[$doc])* pub $name: u64,)+
        }

        /// The counters themselves.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)+
        }

        impl Counters {
            pub(super) fn read(&self, connected: usize) -> Counts {
                Counts {
                    connected: connected as u64,
                    $($name: self.$name.0.load(Relaxed),)+
                }
            }
        }
    };
}

counts! {
    /// Connections accepted on the agent listener.
    connections,
    /// Connections that ended before a session began: no TLS, no upgrade, too slow.
    failed_handshakes,
    /// Peers with a good certificate that were not admitted: revoked, unknown, wrong version.
    refused,
    /// Sessions that reached their welcome.
    sessions,
    /// Sessions ended because the same agent connected again.
    superseded,
    /// Sessions ended because the agent broke the protocol.
    violations,
    /// Sessions ended because the agent fell silent or did not read.
    dead_links,
    /// Frames received from agents.
    frames_in,
    /// Frames of kinds that this version does not know.
    frames_unknown,
    /// Messages sent to agents.
    frames_out,
    /// Log lines stored and acknowledged.
    log_lines,
    /// Metrics samples dropped because they came too fast or were not numbers.
    samples_dropped,
}

/// One counter.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }
}
