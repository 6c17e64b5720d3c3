//! Engines that are reached over TLS, with no agent on their host: looking at them, and having an agent beside the control
//! plane for each.
//!
//! The agent is a process of its own, and does for the engine what one on the host would do, by the same program. So there
//! is one executor, and nothing of jobs, fences and logs is another for such a target. What it is told comes by its
//! standard input; it ends when that is closed, so that none is left by a control plane that dies.

mod check;
mod process;
mod supervisor;

pub use check::{CheckError, Located, check, locate};
pub use supervisor::{Beside, serve};
