//! What must hold of everything that reads foreign bytes.
//!
//! Each property is a function of bytes that panics when it does not hold. The fuzzer (`fuzz/`) looks
//! for such bytes for as long as one likes; the tests of this crate try random bytes, changed valid
//! ones and the committed corpus in a few seconds. What the fuzzer finds becomes a file of the corpus,
//! and so a test.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a property says that it does not hold"
)]

#[path = "../../../control-plane/src/domain/archive.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the control plane's file is not this crate's to judge"
)]
mod archive_reader;

#[path = "../../../control-plane/src/domain/webhook_signature.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the control plane's file is not this crate's to judge"
)]
mod webhook_reader;

mod archive;
mod bound;
mod certificates;
mod compose;
mod feed;
mod frames;
mod ledger;
mod lines;
mod logs;
mod seeds;
mod terminal;
mod webhooks;

pub use archive::archive;
pub use certificates::csr;
pub use compose::{compose, policy};
pub use frames::{agent_frame, handshake, server_frame, spec};
pub use ledger::{ledger, ledger_life};
pub use lines::masker;
pub use logs::{log_chunk, log_payload};
pub use terminal::terminal;
pub use webhooks::webhook_signature;

/// A property, and valid inputs to start from.
#[derive(Clone, Copy)]
pub struct Property {
    /// Its name, which is its fuzz target's and its corpus folder's.
    pub name: &'static str,
    /// Panics when it does not hold of these bytes.
    pub holds: fn(&[u8]),
    /// Inputs that are taken.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const ALL: [Property; 15] = [
    Property {
        name: "agent_frame",
        holds: agent_frame,
        seeds: seeds::agent_frames,
    },
    Property {
        name: "server_frame",
        holds: server_frame,
        seeds: seeds::server_frames,
    },
    Property {
        name: "handshake",
        holds: handshake,
        seeds: seeds::handshakes,
    },
    Property {
        name: "spec",
        holds: spec,
        seeds: seeds::specs,
    },
    Property {
        name: "log_payload",
        holds: log_payload,
        seeds: seeds::log_payloads,
    },
    Property {
        name: "log_chunk",
        holds: log_chunk,
        seeds: seeds::log_chunks,
    },
    Property {
        name: "ledger",
        holds: ledger,
        seeds: seeds::ledgers,
    },
    Property {
        name: "ledger_life",
        holds: ledger_life,
        seeds: seeds::lives,
    },
    Property {
        name: "compose",
        holds: compose,
        seeds: seeds::compose_files,
    },
    Property {
        name: "policy",
        holds: policy,
        seeds: seeds::policies,
    },
    Property {
        name: "archive",
        holds: archive,
        seeds: seeds::archives,
    },
    Property {
        name: "masker",
        holds: masker,
        seeds: seeds::masked,
    },
    Property {
        name: "csr",
        holds: csr,
        seeds: seeds::requests,
    },
    Property {
        name: "terminal",
        holds: terminal,
        seeds: terminal::seeds,
    },
    Property {
        name: "webhook_signature",
        holds: webhook_signature,
        seeds: webhooks::seeds,
    },
];
