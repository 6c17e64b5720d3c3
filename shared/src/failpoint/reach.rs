//! Points at which a process ends when a test has set them.
//!
//! The variable [`SET`] sets them in the syntax of the crate `fail`: `agent: sent Hello=return` ends the process the first
//! time, `agent: sent Hello=2*off->return` the third time. Each point that is reached is appended, as a line, to the file
//! that the variable [`REACHED`] names. Without the feature `failpoints` all of this is nothing.

#[cfg(feature = "failpoints")]
mod setting;

/// Environment variable: the failpoints that are set.
pub const SET: &str = "FAILPOINTS";
/// Environment variable: the file that tells which points were reached.
pub const REACHED: &str = "FAILPOINTS_REACHED";

/// Here the process ends, when a test has set this point.
#[cfg(feature = "failpoints")]
pub fn reach(point: &str) {
    setting::load();
    setting::note(point);
    if super::is_planted(point) {
        std::process::abort();
    }
}

/// Here nothing happens in this build.
#[cfg(not(feature = "failpoints"))]
pub const fn reach(_point: &str) {}

/// A side of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The agent.
    Agent,
    /// The control plane.
    Plane,
}

/// Here the process ends, when a test has set the point behind a message of this name.
#[cfg(feature = "failpoints")]
pub fn sent(side: Side, message: Option<&str>) {
    let side = match side {
        Side::Agent => "agent",
        Side::Plane => "plane",
    };
    if let Some(message) = message {
        reach(&format!("{side}: sent {message}"));
    }
}

/// Here nothing happens in this build.
#[cfg(not(feature = "failpoints"))]
pub const fn sent(_side: Side, _message: Option<&str>) {}

/// The control plane's messages that are written and not yet flushed, by name.
#[derive(Debug, Default)]
pub struct Departing {
    #[cfg(feature = "failpoints")]
    names: Vec<Option<&'static str>>,
}

impl Departing {
    /// A message was written whole.
    #[cfg(feature = "failpoints")]
    pub fn add(&mut self, message: Option<&'static str>) {
        self.names.push(message);
    }

    /// Nothing is kept in this build.
    #[cfg(not(feature = "failpoints"))]
    pub const fn add(&mut self, _message: Option<&'static str>) {}

    /// All that was written has left: the points behind those messages.
    #[cfg(feature = "failpoints")]
    pub fn flushed(&mut self) {
        for message in self.names.drain(..) {
            sent(Side::Plane, message);
        }
    }

    /// Nothing was kept in this build.
    #[cfg(not(feature = "failpoints"))]
    pub const fn flushed(&mut self) {}
}
