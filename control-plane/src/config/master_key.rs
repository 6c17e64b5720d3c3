//! Where the key comes from that encrypts secrets at rest.

use std::fmt;
use std::path::PathBuf;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::ConfigError;

/// The source of the master key. It never stands in the database.
#[derive(Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// `master.key` in the data directory, mode 0600, made at the first start.
    DataDirectory,
    /// A file of the operator's.
    File(PathBuf),
    /// The environment (`TOWLINE_MASTER_KEY`).
    Environment(Zeroizing<String>),
    /// The standard output of a program, for keys that a key service holds.
    Command(Vec<String>),
}

/// What one source says about the master key.
#[derive(Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MasterKeySettings {
    /// File with the master key (32 bytes, base64; while it is exchanged the new one above the old) [default: master.key in the data directory, made at the first start]
    #[arg(
        id = "master_key_file",
        long = "master-key-file",
        env = "TOWLINE_MASTER_KEY_FILE",
        value_name = "FILE"
    )]
    pub file: Option<PathBuf>,
    /// Program, with arguments, that prints the master key; in the configuration file only, because an
    /// environment variable could only be split by guessing.
    #[arg(skip)]
    pub command: Option<Vec<String>>,
    /// The key itself; in the environment only, because files and argument lists are read by others.
    #[arg(skip)]
    #[serde(skip)]
    pub value: Option<Zeroizing<String>>,
}

impl fmt::Debug for MasterKeySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKeySettings")
            .field("file", &self.file)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

impl MasterKeySettings {
    /// A higher source's word about the key outdoes a lower one's, also when it is of another kind.
    pub(super) fn over(self, below: Self) -> Self {
        if self.file.is_some() || self.command.is_some() || self.value.is_some() {
            self
        } else {
            below
        }
    }

    pub(super) fn resolve(self) -> Result<MasterKeySource, ConfigError> {
        match (self.value, self.file, self.command) {
            (None, None, None) => Ok(MasterKeySource::DataDirectory),
            (Some(value), None, None) => Ok(MasterKeySource::Environment(value)),
            (None, Some(file), None) => Ok(MasterKeySource::File(file)),
            (None, None, Some(command)) if !command.is_empty() => {
                Ok(MasterKeySource::Command(command))
            }
            (None, None, Some(_)) => Err(ConfigError::Setting {
                setting: "master-key.command",
                problem: "it names no program".into(),
                remedy: "write command = [\"/path/to/program\", \"argument\"]",
            }),
            _ => Err(ConfigError::Setting {
                setting: "master-key",
                problem: "the key is given in two ways at once".into(),
                remedy: "keep one of TOWLINE_MASTER_KEY, --master-key-file and master-key.command",
            }),
        }
    }
}

impl fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataDirectory => f.write_str("DataDirectory"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(_) => f.write_str("Environment(***)"),
            Self::Command(command) => f.debug_tuple("Command").field(command).finish(),
        }
    }
}

impl Serialize for MasterKeySource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::DataDirectory => {}
            Self::File(path) => map.serialize_entry("file", path)?,
            Self::Environment(_) => map.serialize_entry("environment", "***")?,
            Self::Command(command) => map.serialize_entry("command", command)?,
        }
        map.end()
    }
}
