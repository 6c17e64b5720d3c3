//! A simulation that finds lost jobs: the real transitions of both sides, the real journal and spool, in a faulty world
//! whose every accident comes from a seed.
//!
//! What is real: [`towline_server`]'s job rules and the conversation of a session, [`towline_agent`]'s machine, its
//! journal and its log spool (on files), and every byte that travels. What is played: the executor and its engine, the
//! network, the disk's faults, time, and the processes' lives. The control plane's store is either a model of its
//! promises or the real one ([`plane`]).
//!
//! Within a connection TCP and TLS keep order and lose nothing but the end, so there a loss is a cut; what is dropped,
//! delayed, repeated and reordered is what travels on several connections of the same agent.
#![allow(
    clippy::expect_used,
    reason = "a simulation that cannot be played stops and says why"
)]

mod account;
mod dice;
mod engine;
mod faults;
mod figures;
mod host;
mod link;
mod model;
mod plane;
#[cfg(feature = "failpoints")]
pub mod planted;
#[cfg(feature = "failpoints")]
mod real;
mod replica;
mod runs;
mod trace;
mod work;
mod world;

pub use figures::Figures;
pub use runs::{Store, first_broken, many, run};
pub use world::Ran;
