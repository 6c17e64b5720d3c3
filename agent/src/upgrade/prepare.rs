//! From what the control plane asks for to a program that is known to be good here. Nothing of it touches what runs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use semver::Version;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use towline_pki::release::{Architecture, Claim, FileDigest, ReleaseKeys, Signature, Signed};
use towline_shared::policy::Permission;
use towline_shared::relay::Digest;
use towline_shared::upgrade::{MAX_PROGRAM, Upgrade};

use super::program::{Program, digest};
use super::release_keys;
use crate::relay::Relay;

/// What this process runs, whatever is in the place of its file now.
const RUNNING: &str = "/proc/self/exe";
/// How long a trial may take; a connection's three handshakes have ten seconds each.
const TRIAL: Duration = Duration::from_mins(1);
/// The pause until a file that is written no more can be started.
const AGAIN: Duration = Duration::from_millis(50);
/// The argument that makes `run` a trial.
const TRIAL_ARGUMENT: &str = "--trial";

/// Where programs come from, and what they must be.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The way to the control plane.
    pub relay: Relay,
    /// What runs now.
    pub program: Program,
    /// The file of the keys that count here.
    pub release_keys: PathBuf,
    /// Whether it may become older than it is.
    pub downgrade: Permission,
}

/// A program that may take the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Its file, beside the program that runs.
    pub file: PathBuf,
    /// What it is known by.
    pub sha256: Digest,
    /// What it is.
    pub version: Version,
}

/// What there is to do about a program that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// It may take the place.
    Ready(Prepared),
    /// It runs already.
    Running,
}

/// Fetches, verifies and tries a program; or why it is refused, and what to do.
pub async fn prepare(terms: &Terms, upgrade: &Upgrade) -> Result<Preparation, String> {
    let running = tokio::task::spawn_blocking(|| digest(Path::new(RUNNING))).await;
    if running.is_ok_and(|running| running.is_ok_and(|running| running == upgrade.sha256)) {
        return Ok(Preparation::Running);
    }
    let keys = release_keys::load(&terms.release_keys).map_err(|error| error.to_string())?;
    let signature: Signature = upgrade
        .signature
        .parse()
        .map_err(|error| format!("the signature beside the agent cannot be used: {error}"))?;
    let claim = signature.claim().map_err(|error| error.to_string())?;
    judge(&claim, terms.downgrade)?;
    let file = fetch(terms, upgrade).await?;
    let checked = {
        let (file, upgrade) = (file.clone(), upgrade.clone());
        tokio::task::spawn_blocking(move || check(&file, &upgrade, &keys, &signature)).await
    };
    let made = match checked.map_err(|error| error.to_string()) {
        Ok(Ok(())) => tried(&file, &claim.version).await,
        Ok(Err(why)) | Err(why) => Err(why),
    };
    if let Err(why) = made {
        // What was refused is fetched again the next time, and not kept.
        let _ = fs::remove_file(&file);
        return Err(why);
    }
    Ok(Preparation::Ready(Prepared {
        file,
        sha256: upgrade.sha256,
        version: claim.version,
    }))
}

/// Whether it is for this host, and no step back.
fn judge(claim: &Claim, downgrade: Permission) -> Result<(), String> {
    let own = Architecture::of_this_program();
    if own != Some(claim.architecture) {
        return Err(format!(
            "the agent is for {}, and this host is {}",
            claim.architecture,
            std::env::consts::ARCH
        ));
    }
    let running = running_version()?;
    if claim.version < running && downgrade == Permission::Deny {
        return Err(format!(
            "version {} is older than {running}, which runs: an old agent may have faults that are known; the host's owner allows it by agent_downgrade = \"allow\" in the host policy",
            claim.version
        ));
    }
    Ok(())
}

fn running_version() -> Result<Version, String> {
    let running = Version::parse(env!("CARGO_PKG_VERSION"));
    running.map_err(|error| format!("this agent's own version cannot be read: {error}"))
}

async fn fetch(terms: &Terms, upgrade: &Upgrade) -> Result<PathBuf, String> {
    if upgrade.bytes > MAX_PROGRAM {
        return Err(format!(
            "the agent has {} bytes, more than {MAX_PROGRAM}",
            upgrade.bytes
        ));
    }
    let program = terms.program.path();
    let file = terms
        .program
        .next(upgrade.sha256)
        .and_then(|next| {
            // What cannot be written is told before anything is fetched.
            File::options().append(true).create(true).open(&next)?;
            Ok(next)
        })
        .map_err(|error| unwritable(program, &error))?;
    let fetched = terms
        .relay
        .fetch_program(upgrade.sha256, upgrade.bytes, &file)
        .await;
    match fetched {
        Ok(()) => Ok(file),
        Err(refused) => {
            // A disk that is full must not stay so for this.
            let _ = fs::remove_file(&file);
            Err(format!("the agent could not be fetched: {refused}"))
        }
    }
}

fn unwritable(program: &Path, error: &io::Error) -> String {
    let folder = program.parent().unwrap_or(program).display();
    format!(
        "the agent cannot write its program's folder {folder}: {error}; make room there, or add the folder to ReadWritePaths of its unit (the install script of today does)"
    )
}

/// Whether the file is what was promised, signed by somebody who is trusted here; then it is made a program, durably.
fn check(
    path: &Path,
    upgrade: &Upgrade,
    keys: &ReleaseKeys,
    signature: &Signature,
) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("what was fetched cannot be read: {error}");
    let got = digest(path).map_err(unreadable)?;
    if got != upgrade.sha256 {
        return Err(format!(
            "what came is not what the control plane names: it is {got}, not {}",
            upgrade.sha256
        ));
    }
    let file = FileDigest::of(File::open(path).map_err(unreadable)?).map_err(unreadable)?;
    let Signed(_) = signature
        .verify(keys, &file)
        .map_err(|refusal| format!("the agent's signature does not count: {refusal}"))?;
    let made = fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .and_then(|()| File::open(path)?.sync_all());
    made.map_err(|error| format!("what was fetched cannot be made a program: {error}"))
}

/// Runs it by this agent's own command line, up to the point at which it would take the agent's place: so it must start,
/// understand what it is told, read its host's files, and be let in by the control plane.
async fn tried(path: &Path, version: &Version) -> Result<(), String> {
    let failed = |why: String| format!("the new agent failed its trial: {why}");
    let output = timeout(TRIAL, started(path))
        .await
        .map_err(|_| failed(format!("it did not end within {} s", TRIAL.as_secs())))?
        .map_err(|error| failed(format!("it cannot be started: {error}")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().rfind(|line| !line.trim().is_empty());
        let last: String = last
            .unwrap_or("it said nothing")
            .chars()
            .take(300)
            .collect();
        return Err(failed(format!("{} ({last})", output.status)));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    if said.trim() != version.to_string() {
        return Err(failed(format!(
            "it says that it is version {:?}, and is signed as {version}",
            said.trim()
        )));
    }
    Ok(())
}

/// Another process that is started at this moment may hold the file open for writing until it has become what it is.
async fn started(path: &Path) -> io::Result<Output> {
    loop {
        let output = Command::new(path)
            .args(std::env::args_os().skip(1))
            .arg(TRIAL_ARGUMENT)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        match output {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => sleep(AGAIN).await,
            ended => return ended,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_is_for_this_host_and_no_step_back_is_fetched() {
        let own = Architecture::of_this_program().unwrap();
        let other = match own {
            Architecture::X86_64 => Architecture::Aarch64,
            Architecture::Aarch64 => Architecture::X86_64,
        };
        let running = running_version().unwrap();
        let claim = |version: &str, architecture| Claim {
            version: version.parse().unwrap(),
            architecture,
        };
        for (claim, downgrade, words) in [
            (claim("999.0.0", own), Permission::Deny, None),
            (claim(&running.to_string(), own), Permission::Deny, None),
            (
                claim("0.0.1", own),
                Permission::Deny,
                Some("agent_downgrade"),
            ),
            (claim("0.0.1", own), Permission::Allow, None),
            (
                claim("999.0.0", other),
                Permission::Allow,
                Some("this host is"),
            ),
        ] {
            let refused = judge(&claim, downgrade).err();
            assert_eq!(refused.is_some(), words.is_some(), "{claim}: {refused:?}");
            assert!(refused.unwrap_or_default().contains(words.unwrap_or("")));
        }
    }
}
