//! Where the master key comes from.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::config::{Config, MasterKeySource};
use crate::error::StartError;
use crate::vault::{MASTER_KEY_FILE, Vault, VaultError};

/// How long a program may take to give the key.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do when there is no key in the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// To make one: this may be the first start.
    Make,
    /// To fail: there is an installation already.
    Fail,
}

/// The vault with the keys from where the configuration says. Makes the data directory at the first
/// start.
pub async fn vault(config: &Config, absent: Absent) -> Result<Vault, StartError> {
    if absent == Absent::Make {
        make_data_dir(&config.data_dir)?;
    }
    match &config.master_key {
        MasterKeySource::DataDirectory if absent == Absent::Fail => {
            of_file(&config.data_dir.join(MASTER_KEY_FILE))
        }
        MasterKeySource::DataDirectory => Ok(Vault::load_or_create(&config.data_dir, None)?),
        MasterKeySource::Environment(keys) => given(config, keys),
        MasterKeySource::File(path) => of_file(path),
        MasterKeySource::Command(command) => given(config, &from_command(command).await?),
    }
}

fn given(config: &Config, keys: &str) -> Result<Vault, StartError> {
    Ok(Vault::load_or_create(&config.data_dir, Some(keys))?)
}

fn of_file(path: &Path) -> Result<Vault, StartError> {
    Vault::of_file(path).map_err(|error| match error {
        VaultError::File { path, cause } => StartError::File {
            path,
            done: "read",
            cause,
            remedy: "name the master key's file with --master-key-file",
        },
        error => error.into(),
    })
}

fn make_data_dir(path: &Path) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|cause| StartError::File {
        path: path.to_owned(),
        done: "made",
        cause,
        remedy: "give another with --data-dir, or make its parent writable for this user",
    })
}

async fn from_command(command: &[String]) -> Result<Zeroizing<String>, StartError> {
    let (program, arguments) = command
        .split_first()
        .map_or(("", [].as_slice()), |(p, a)| (p.as_str(), a));
    let failed = |cause: String| StartError::KeyCommand {
        program: program.to_owned(),
        cause,
    };
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run)
        .await
        .map_err(|_| failed(format!("it took longer than {} s", PATIENCE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("it ended with {}", output.status)));
    }
    String::from_utf8(output.stdout)
        .map(Zeroizing::new)
        .map_err(|_| failed("it printed something else than text".to_owned()))
}
