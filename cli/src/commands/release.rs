//! `towline pki release-key` and `sign-agent`: whose agents hosts become by an upgrade.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use towline_pki::release::{Architecture, Claim, FileDigest, ReleaseSecret, Signature};
use zeroize::Zeroizing;

use super::Session;
use crate::{
    bundle::{self, Piece, Readers},
    exit::{Exit, Failure},
    output::table::facts,
};

const SECRET: &str = "towline-release.key";
const PUBLIC: &str = "towline-release.pub";
/// As far as the head of a program of Linux says what it is for.
const HEAD: u64 = 64;
/// The most bytes of a secret key's file.
const MAX_KEY: u64 = 4096;

/// A key that signs releases of agents, of which hosts keep the public half
///
/// Keep the secret half away from the control plane: who has both is root on every host by an upgrade. It is a key of
/// minisign without a password; `minisign -G` makes one with a password, by which `minisign -S` signs.
#[derive(Debug, Args)]
pub struct ReleaseKeyFiles {
    /// Where the two files are written
    #[arg(long, value_name = "DIR", default_value = "towline-release")]
    out: PathBuf,
}

/// Sign an agent, so that hosts that trust the key become it by an upgrade
///
/// Writes FILE.minisig, which the standard `minisign -V` verifies, too. What the program runs on is read from itself.
#[derive(Debug, Args)]
pub struct SignAgent {
    /// The program
    file: PathBuf,
    /// The secret key
    #[arg(
        long,
        value_name = "FILE",
        default_value = "towline-release/towline-release.key"
    )]
    key: PathBuf,
    /// The version that it is, as `towline-agent version` says it
    #[arg(long, value_name = "VERSION")]
    version: String,
}

#[derive(Debug, Serialize)]
struct Made {
    secret: PathBuf,
    public: PathBuf,
    key: String,
}

#[derive(Debug, Serialize)]
struct SignedFile {
    signature: PathBuf,
    version: String,
    architecture: String,
}

impl ReleaseKeyFiles {
    /// Writes files.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let secret = ReleaseSecret::generate()
            .map_err(|error| Failure::usage("No key can be made").detail(error.to_string()))?;
        let made = Made {
            secret: self.out.join(SECRET),
            public: self.out.join(PUBLIC),
            key: secret.public().to_string(),
        };
        if let Some(there) = [&made.secret, &made.public]
            .into_iter()
            .find(|it| it.exists())
        {
            let title = format!("{} is there already", there.display());
            return Err(Failure::usage(title)
                .remedy("a key that hosts trust is not replaced; give another folder by --out"));
        }
        let pieces = [
            Piece {
                name: SECRET,
                text: secret.file(),
                readers: Readers::Owner,
            },
            Piece {
                name: PUBLIC,
                text: Zeroizing::new(secret.public().file()),
                readers: Readers::Everybody,
            },
        ];
        bundle::write(&self.out, &pieces)?;
        session.output.result(&made, |surface| {
            let list = [
                ("secret key", made.secret.display().to_string()),
                ("public key", made.public.display().to_string()),
                ("for hosts", made.key.clone()),
            ];
            facts(surface, &list)
        })?;
        Ok(Exit::Success)
    }
}

impl SignAgent {
    /// Writes a file.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let architecture = self.architecture()?;
        let claim = Claim::of(&self.version, architecture).map_err(|error| {
            Failure::usage("--version cannot be used").detail(error.to_string())
        })?;
        let secret = read_key(&self.key)?;
        let digest = File::open(&self.file)
            .and_then(FileDigest::of)
            .map_err(|error| unreadable(&self.file, &error))?;
        let signature = Signature::make(&secret, &digest, &claim);
        let mut beside = self.file.clone().into_os_string();
        beside.push(".minisig");
        let beside = PathBuf::from(beside);
        fs::write(&beside, signature.to_string()).map_err(|error| {
            Failure::usage(format!("{} cannot be written", beside.display()))
                .detail(error.to_string())
        })?;
        let signed = SignedFile {
            signature: beside,
            version: claim.version.to_string(),
            architecture: architecture.to_string(),
        };
        session.output.result(&signed, |_| {
            format!(
                "Signed {} as version {} for {architecture}: {}",
                self.file.display(),
                signed.version,
                signed.signature.display()
            )
        })?;
        Ok(Exit::Success)
    }

    fn architecture(&self) -> Result<Architecture, Failure> {
        let mut head = Vec::new();
        File::open(&self.file)
            .and_then(|file| file.take(HEAD).read_to_end(&mut head))
            .map_err(|error| unreadable(&self.file, &error))?;
        Architecture::of_program(&head).ok_or_else(|| {
            Failure::usage(format!(
                "{} is no program of Linux for x86_64 or aarch64",
                self.file.display()
            ))
            .remedy("give the towline-agent that was built")
        })
    }
}

fn read_key(path: &Path) -> Result<ReleaseSecret, Failure> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)
        .and_then(|file| file.take(MAX_KEY).read_to_string(&mut text))
        .map_err(|error| {
            unreadable(path, &error)
                .remedy("make one by `towline pki release-key`, or give it by --key")
        })?;
    text.parse()
        .map_err(|error: towline_pki::release::ReleaseKeyError| {
            Failure::usage(format!("{} cannot be used", path.display())).detail(error.to_string())
        })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read", path.display())).detail(error.to_string())
}
