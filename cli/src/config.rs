//! The configuration file: named installations with their addresses, trust and keys.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use towline_pki::Fingerprint;

use crate::{exit::Failure, private_files};

/// The name of the first installation one logs in to.
pub const DEFAULT_CONTEXT: &str = "default";

/// The content of `config.toml`.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The installation that commands go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All known installations.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One installation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// `https://host:port`.
    pub url: String,
    /// The API key; never printed.
    pub key: ApiKey,
    /// The SHA-256 of the installation's authority, which the server presents in its chain. With
    /// neither this nor `ca` the machine's own authorities are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_fingerprint: Option<Fingerprint>,
    /// The authority's certificate as PEM text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// A key of the API. It shows itself only where it is sent or stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key as typed or piped in: without the space around it.
    pub fn new(text: &str) -> Result<Self, Failure> {
        let key = text.trim();
        let visible = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if visible {
            Ok(Self(key.to_owned()))
        } else {
            Err(Failure::usage("That is no API key")
                .detail("it is empty or has spaces or control characters in it")
                .remedy("copy the whole key; it is shown once, when it is made"))
        }
    }

    /// The key in clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([redacted])")
    }
}

/// Where the file is.
#[derive(Debug)]
pub struct ConfigFile {
    folder: PathBuf,
}

impl ConfigFile {
    /// `$TOWLINE_CONFIG_HOME`, else `$XDG_CONFIG_HOME/towline`, else `~/.config/towline`.
    pub fn locate(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let folder = set("TOWLINE_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CONFIG_HOME").map(|home| Path::new(&home).join("towline")))
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".config/towline")));
        match folder {
            Some(folder) => Ok(Self { folder }),
            None => Err(
                Failure::usage("There is no place for the configuration file")
                    .remedy("set TOWLINE_CONFIG_HOME to a folder of your own"),
            ),
        }
    }

    /// The file's path.
    pub fn path(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// Reads the file; an absent one is empty.
    pub fn read(&self) -> Result<Config, Failure> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(error) => return Err(unusable(&path, "read", &error)),
        };
        toml::from_str(&text).map_err(|error| {
            Failure::usage(format!("{} is not as towline writes it", path.display()))
                .detail(error.message())
                .remedy("mend the line, or move the file away and log in again")
        })
    }

    /// Whether others than the owner may read the file.
    pub fn open_to_others(&self) -> bool {
        let mode = fs::metadata(self.path()).map(|file| file.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o077 != 0)
    }

    /// Writes the file as 0600: all of it or nothing.
    pub fn write(&self, config: &Config) -> Result<(), Failure> {
        let path = self.path();
        let text = toml::to_string_pretty(config).map_err(|error| {
            Failure::usage("The configuration cannot be encoded").detail(error.to_string())
        })?;
        self.replace(&path, &text)
            .map_err(|error| unusable(&path, "written", &error))
    }

    /// Fails when [`Self::write`] would, so that a key that is shown once is not asked for in vain.
    pub fn check_writable(&self) -> Result<(), Failure> {
        let config = self.read()?;
        self.write(&config)
    }

    /// The folder that it is in, where other files of one's own may be.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        private_files::folder(&self.folder)?;
        private_files::replace(path, text)
    }
}

fn unusable(path: &Path, done: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("{} cannot be {done}", path.display()))
        .detail(error.to_string())
        .remedy("make it yours and writable, or set TOWLINE_CONFIG_HOME to another folder")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn place(folder: &Path) -> ConfigFile {
        let home = folder.join("towline").to_str().unwrap().to_owned();
        ConfigFile::locate(|name| (name == "TOWLINE_CONFIG_HOME").then(|| home.clone())).unwrap()
    }

    fn config() -> Config {
        let fingerprint = "ab".repeat(32).parse().unwrap();
        let context = Context {
            url: "https://plane.example:8443".into(),
            key: ApiKey::new("twlk_abc").unwrap(),
            ca_fingerprint: Some(fingerprint),
            ca: None,
        };
        Config {
            current: Some("default".into()),
            contexts: BTreeMap::from([("default".into(), context)]),
        }
    }

    #[test]
    fn the_file_is_its_owners_alone_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = place(folder.path());
        assert_eq!(file.read().unwrap(), Config::default());
        file.write(&config()).unwrap();
        file.write(&config()).unwrap();
        assert_eq!(file.read().unwrap(), config());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file.path()), 0o600);
        assert_eq!(mode(&folder.path().join("towline")), 0o700);
        assert!(!file.open_to_others());
        assert_eq!(
            fs::read_dir(folder.path().join("towline")).unwrap().count(),
            1
        );
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(file.open_to_others());
        file.write(&config()).unwrap();
        assert_eq!(mode(&file.path()), 0o600);
    }

    #[test]
    fn a_damaged_file_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = place(folder.path());
        file.write(&config()).unwrap();
        for text in ["contexts = 3", "unknown = 1", "[contexts.a]\nurl = \"x\""] {
            fs::write(file.path(), text).unwrap();
            assert!(
                file.read().unwrap_err().sentence().contains("config.toml"),
                "{text}"
            );
            assert!(file.check_writable().is_err());
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
        }
    }

    #[test]
    fn the_place_follows_the_environment() {
        type Case = (
            &'static [(&'static str, &'static str)],
            Option<&'static str>,
        );
        let table: [Case; 5] = [
            (&[("TOWLINE_CONFIG_HOME", "/a"), ("HOME", "/h")], Some("/a")),
            (
                &[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")],
                Some("/x/towline"),
            ),
            (
                &[("TOWLINE_CONFIG_HOME", ""), ("HOME", "/h")],
                Some("/h/.config/towline"),
            ),
            (&[("HOME", "/h")], Some("/h/.config/towline")),
            (&[], None),
        ];
        for (variables, folder) in table {
            let variable = |wanted: &str| {
                let found = variables.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| (*value).to_owned())
            };
            let located = ConfigFile::locate(variable).ok().map(|file| file.folder);
            assert_eq!(located, folder.map(PathBuf::from), "{variables:?}");
        }
    }

    #[test]
    fn a_key_is_trimmed_checked_and_never_printed() {
        assert_eq!(ApiKey::new(" twlk_x\n").unwrap().reveal(), "twlk_x");
        for text in ["", " \n", "a b", "a\u{1b}[0m", "ä"] {
            assert!(ApiKey::new(text).is_err(), "{text:?}");
        }
        assert!(!format!("{:?}", config()).contains("twlk_abc"));
    }
}
