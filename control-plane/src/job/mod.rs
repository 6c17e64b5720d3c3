//! Jobs: the pure rules of their lives, and the sweep that notices when one went quiet.

pub mod state;
pub mod sweep;

pub use state::{Begun, Cancel, Ending, Event, Job, JobState, Reply, Step};
pub use sweep::{Swept, sweep_expired};
