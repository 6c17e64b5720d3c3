//! What a signed comment says of a program.

use std::fmt;
use std::str::FromStr;

use semver::Version;

/// What the program is called.
pub const PROGRAM: &str = "towline-agent";

/// What an agent runs on, in the words of `uname -m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Architecture {
    /// What this program was made for, if agents are made for it.
    pub fn of_this_program() -> Option<Self> {
        std::env::consts::ARCH.parse().ok()
    }

    /// What a program of Linux was made for, by the start of its file.
    pub fn of_program(start: &[u8]) -> Option<Self> {
        // The System V ABI's e_ident (64 bits, little-endian), and its e_machine at byte 18.
        let little_64 = start.starts_with(b"\x7fELF\x02\x01");
        match start.get(18..20) {
            Some([0x3e, 0]) if little_64 => Some(Self::X86_64),
            Some([0xb7, 0]) if little_64 => Some(Self::Aarch64),
            _ => None,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

impl FromStr for Architecture {
    type Err = ClaimError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Aarch64),
            _ => Err(ClaimError::Architecture(text.to_owned())),
        }
    }
}

/// What a program is, by whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its version.
    pub version: Version,
    /// What it runs on.
    pub architecture: Architecture,
}

/// A comment that does not say what is signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// A part is missing, or there twice.
    #[error("its signed comment does not say {0}: once each, program:, version: and architecture:")]
    Part(&'static str),
    /// It is no agent.
    #[error("it is signed as {0:?}, not as {PROGRAM}")]
    Program(String),
    /// It names no version.
    #[error("the version {0:?} is none (one is like 1.2.3)")]
    Version(String),
    /// It is for something else.
    #[error("the architecture {0:?} is none that agents are made for")]
    Architecture(String),
}

impl Claim {
    /// A program of this version.
    ///
    /// # Errors
    /// [`ClaimError::Version`]
    pub fn of(version: &str, architecture: Architecture) -> Result<Self, ClaimError> {
        let unfit = |_| ClaimError::Version(version.to_owned());
        Ok(Self {
            version: version.parse().map_err(unfit)?,
            architecture,
        })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "program:{PROGRAM} version:{} architecture:{}",
            self.version, self.architecture
        )
    }
}

/// The parts in any order, among others (minisign's own tell time and file).
impl FromStr for Claim {
    type Err = ClaimError;

    fn from_str(comment: &str) -> Result<Self, Self::Err> {
        let program = part(comment, "program:")?;
        if program != PROGRAM {
            return Err(ClaimError::Program(program.to_owned()));
        }
        let architecture = part(comment, "architecture:")?.parse()?;
        Self::of(part(comment, "version:")?, architecture)
    }
}

fn part<'a>(comment: &'a str, name: &'static str) -> Result<&'a str, ClaimError> {
    let mut found = comment
        .split_whitespace()
        .filter_map(|word| word.strip_prefix(name));
    match (found.next(), found.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(ClaimError::Part(name.trim_end_matches(':'))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_claim_is_read_back_and_a_vague_one_refused() {
        let claim = Claim {
            version: Version::new(1, 2, 3),
            architecture: Architecture::Aarch64,
        };
        assert_eq!(claim.to_string().parse(), Ok(claim.clone()));
        let with_more = format!("timestamp:17\tfile:x\thashed {claim}");
        assert_eq!(with_more.parse(), Ok(claim));
        for (comment, words) in [
            ("", "program"),
            (
                "program:towline version:1.0.0 architecture:x86_64",
                "towline",
            ),
            (
                "program:towline-agent version:1 architecture:x86_64",
                "\"1\"",
            ),
            (
                "program:towline-agent version:1.0.0 version:2.0.0 architecture:x86_64",
                "version",
            ),
            (
                "program:towline-agent version:1.0.0 architecture:amd64",
                "amd64",
            ),
        ] {
            let error = comment.parse::<Claim>().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_program_says_what_it_was_made_for() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let known = Architecture::of_program(&own);
        assert_eq!(known, Architecture::of_this_program());
        assert_eq!(
            Architecture::of_program(b"#!/bin/sh\n# a script is none"),
            None
        );
        assert_eq!(Architecture::of_program(b"\x7fELF"), None);
    }
}
