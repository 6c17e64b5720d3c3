//! Where the master key comes from.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::config::{Config, MasterKeySource};
use crate::error::StartError;

/// How long a program may take to give the key.
const PATIENCE: Duration = Duration::from_secs(30);

/// The key, if it comes from elsewhere than the data directory, in base64. Makes the data directory, so
/// that the vault can make the key there.
pub async fn read(config: &Config) -> Result<Option<Zeroizing<String>>, StartError> {
    make_data_dir(&config.data_dir)?;
    match &config.master_key {
        MasterKeySource::DataDirectory => Ok(None),
        MasterKeySource::Environment(key) => Ok(Some(key.clone())),
        MasterKeySource::File(path) => from_file(path).map(Some),
        MasterKeySource::Command(command) => from_command(command).await.map(Some),
    }
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

fn from_file(path: &Path) -> Result<Zeroizing<String>, StartError> {
    let failed = |cause| StartError::File {
        path: path.to_owned(),
        done: "read",
        cause,
        remedy: "name the master key's file with --master-key-file",
    };
    let mode = std::fs::metadata(path)
        .map_err(failed)?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(StartError::ExposedKey {
            path: path.to_owned(),
            mode: mode & 0o777,
        });
    }
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(failed)
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
