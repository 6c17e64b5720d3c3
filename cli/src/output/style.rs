//! Colours, only where they are wanted.

use std::{fmt::Display, hash::Hasher as _};

/// Whether colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Text only.
    Off,
    /// With SGR sequences.
    On,
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Good.
    Good,
    /// Bad.
    Bad,
    /// To be looked at.
    Warning,
    /// In the works.
    Busy,
    /// Less important.
    Quiet,
    /// More important.
    Strong,
    /// The colour of a source of log lines, by its number in the palette.
    Source(u8),
}

/// Colours that can be told apart on dark and on light backgrounds; red and yellow are left for
/// errors and warnings.
const SOURCE_PALETTE: [u8; 6] = [36, 35, 34, 32, 96, 95];

impl Colours {
    /// Colours are for terminals whose user does not object (<https://no-color.org>).
    pub fn wanted(terminal: bool, no_color: &str, term: &str) -> Self {
        if terminal && no_color.is_empty() && term != "dumb" {
            Self::On
        } else {
            Self::Off
        }
    }

    /// The text in a style.
    pub fn paint(self, style: Style, text: impl Display) -> String {
        match self {
            Self::Off => text.to_string(),
            Self::On => format!("\x1b[{}m{text}\x1b[0m", style.code()),
        }
    }
}

impl Style {
    /// The same colour for the same source, always.
    pub fn of_source(name: &str) -> Self {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        hash.write(name.as_bytes());
        let colours = SOURCE_PALETTE.len() as u64;
        Self::Source(u8::try_from(hash.finish() % colours).unwrap_or_default())
    }

    fn code(self) -> u8 {
        match self {
            Self::Good => 32,
            Self::Bad => 31,
            Self::Warning => 33,
            Self::Busy => 36,
            Self::Quiet => 2,
            Self::Strong => 1,
            Self::Source(number) => SOURCE_PALETTE[usize::from(number) % SOURCE_PALETTE.len()],
        }
    }
}

/// FNV-1a: stable between runs and machines, which the standard library's hasher is not.
struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_user_does_not_object() {
        let table = [
            (true, "", "xterm", Colours::On),
            (true, "1", "xterm", Colours::Off),
            (true, "", "dumb", Colours::Off),
            (false, "", "xterm", Colours::Off),
        ];
        for (terminal, no_color, term, expected) in table {
            assert_eq!(Colours::wanted(terminal, no_color, term), expected);
        }
        assert_eq!(Colours::Off.paint(Style::Bad, "x"), "x");
        assert_eq!(Colours::On.paint(Style::Bad, "x"), "\x1b[31mx\x1b[0m");
    }

    #[test]
    fn a_source_keeps_its_colour() {
        assert_eq!(Style::of_source("web-1"), Style::of_source("web-1"));
        let colours = ["web-1", "db-1", "cache-1", "worker-1", "compose"].map(Style::of_source);
        assert!(colours.iter().any(|colour| *colour != colours[0]));
    }
}
