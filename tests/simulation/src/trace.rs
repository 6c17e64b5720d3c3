//! What happened in a run, for people: kept only when somebody will read it.

/// A run's story.
#[derive(Debug)]
pub enum Trace {
    /// Nobody reads it.
    Off,
    /// One line a happening.
    On(Vec<String>),
}

impl Trace {
    /// Adds a line.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Self::On(lines) = self {
            lines.push(line());
        }
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        match self {
            Self::Off => &[],
            Self::On(lines) => lines,
        }
    }
}
