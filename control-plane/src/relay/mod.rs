//! Images on their way from the host that has built them to those that run them.
//!
//! A builder asks which layers are missing here and sends those, each from where a cut left it; a host that runs the
//! images fetches what it lacks in turn. So what travels twice is only what both of them lack, builder and host need
//! not be there at the same time, and neither reaches the other. Layers are files of the data directory by their
//! digest ([`Layers`]), verified before anybody gets them; what images are made of them is in the store. Whose they are
//! comes from the agent's certificate and the job it does now, under its fence: an agent reaches the layers of its own
//! job's build and no others.
//!
//! Servers that share a PostgreSQL share no layers unless their data directories lie on one file system.

mod layers;
mod programs;
mod requests;
mod serve;

pub use layers::{Layers, LayersError};
pub use serve::{Door, Visitor};
