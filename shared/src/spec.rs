//! What a job is: an immutable specification with a digest.

mod terms;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{JobId, ProjectId, ReleaseId, TargetId};
pub use terms::{
    KEPT_RELEASES, MAX_KEPT_RELEASES, MAX_REGISTRIES, PushTo, REGISTRY_PASSWORD, RegistryLogin,
    Term, Termed, TermedWork, Terms,
};

/// The most bytes that the files of one project may have together.
pub const MAX_PROJECT_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes that one compose file may have.
pub const MAX_COMPOSE_BYTES: usize = 1024 * 1024;
/// The most files one project may have.
pub const MAX_PROJECT_FILES: usize = 1000;

/// The name of the secret by which a source is read; no project may have a secret of this name.
pub const SOURCE_PASSWORD: &str = "TOWLINE_SOURCE_PASSWORD";

/// A job, as it was submitted. It never changes afterwards; secrets are no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The project the job works for.
    pub project: ProjectId,
    /// The target the job works on.
    pub target: TargetId,
    /// What there is to do.
    pub work: Work,
    /// What happens when the agent dies in the middle.
    pub interruption: Interruption,
    /// How long the work may take before it counts as failed, in seconds.
    pub deadline_s: u32,
}

/// What there is to do. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Bring a compose project to the state its files describe.
    Deploy(Deploy),
    /// Take a deployed compose project away.
    Remove(Remove),
    /// Bring a compose project to the state of a release that is more than its files.
    Release(DeployRelease),
    /// Build a project's images, for another host to run.
    Build(Build),
    /// Bring a compose project to the state of a release whose images another host has built.
    Relayed(Relayed),
    /// Tell what applying a release would change, and change nothing.
    Preview(Proposal),
    /// Some of the above, under terms of the project.
    Termed(Termed),
}

/// A compose project to apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// The release these files belong to.
    pub release: ReleaseId,
    /// The name under which the engine knows the project (`[a-z0-9][a-z0-9_-]*`).
    pub compose_project: String,
    /// Which of the files is the compose file.
    pub compose_file: String,
    /// All files of the project.
    pub files: Vec<ProjectFile>,
    /// How long a service without a health check must stay up to count as running, in
    /// milliseconds from its start.
    pub settle_ms: u32,
}

/// A release that is more than its files: with images that are settled already, or with a source that is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployRelease {
    /// The compose project.
    pub deploy: Deploy,
    /// The images that services run, whatever their references name today. A service that is not among them runs what
    /// its reference names.
    pub images: Vec<PinnedImage>,
    /// Where the files come from that the project's own lie over; nothing when those are all.
    pub source: Option<GitSource>,
    /// What happens when the release does not come up.
    pub on_failure: OnFailure,
}

/// Images to build. They go to the control plane, which gives them to who runs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The compose project.
    pub deploy: Deploy,
    /// Where the files come from that the project's own lie over; nothing when those are all.
    pub source: Option<GitSource>,
}

/// A release that somebody thinks of applying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The compose project.
    pub deploy: Deploy,
    /// Where the files come from that the project's own lie over; nothing when those are all.
    pub source: Option<GitSource>,
}

/// A release whose images another host has built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed {
    /// The release.
    pub release: DeployRelease,
    /// The job that has built its images; their ids are known when that has ended.
    pub build: JobId,
}

/// The image that a service runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedImage {
    /// The service in the compose file.
    pub service: String,
    /// The reference that was resolved (`nginx:latest`), for people.
    pub reference: String,
    /// The engine's id of the image (`sha256:…`): the digest of its configuration.
    pub id: String,
    /// Under which digests registries have it (`nginx@sha256:…`); none for an image that was built on the host.
    pub digests: Vec<String>,
}

/// A commit of a Git repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSource {
    /// Its address, without any credential (`https://…`, `ssh://…`).
    pub url: String,
    /// Who reads it, where that needs a password: that is the secret [`SOURCE_PASSWORD`]. Empty where it needs none, and
    /// over ssh, where the secret is the key.
    pub user: String,
    /// The commit: 40 or 64 hexadecimal digits.
    pub commit: String,
    /// The folder of the project within the repository; empty for all of it.
    pub folder: String,
    /// Whether submodules are taken, too.
    pub submodules: Submodules,
    /// The lines of a `known_hosts` file by which its server is known over ssh; none for other ways.
    pub host_keys: Vec<String>,
}

/// What happens to a repository's submodules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Submodules {
    /// Their folders stay empty.
    Leave,
    /// They are taken, as deep as a limit allows.
    Take,
}

/// What happens on the host when a release does not come up. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// What came up stays as it is, for people to look at.
    Leave,
    /// What ran before is brought back, with the images it ran.
    RollBack,
}

/// One file of a project.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFile {
    /// Relative, `/`-separated, without `.` or `..` parts.
    pub path: String,
    /// The content as uploaded.
    pub content: Vec<u8>,
    /// Whether the file may be run.
    pub mode: FileMode,
}

impl fmt::Debug for ProjectFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ProjectFile({}, {} bytes)",
            self.path,
            self.content.len()
        )
    }
}

/// The permission of a project's file on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileMode {
    /// 0644: containers run as other users and must be able to read what is mounted.
    Regular,
    /// 0755.
    Executable,
}

/// A compose project to take away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// The name under which the engine knows the project.
    pub compose_project: String,
    /// What happens to its named volumes.
    pub volumes: VolumeFate,
}

/// What happens to a removed project's named volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeFate {
    /// They stay, for a later deploy.
    Keep,
    /// They go, with their data.
    Delete,
}

/// What happens to a job whose agent dies in the middle. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// Adopt what is there and go on.
    Resume,
    /// Count as failed.
    Fail,
    /// Start again, if it had not started; otherwise count as failed.
    RequeueIfNotStarted,
}

/// A value that only the executing agent sees in clear. It is not part of the specification and
/// never stands in a ledger, a log or an argument list.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The name of the environment variable that carries it to `docker compose`.
    pub name: String,
    /// The value.
    pub value: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, redacted)", self.name)
    }
}

/// An encoded specification and the SHA-256 of those very bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSpec {
    bytes: Vec<u8>,
    digest: [u8; 32],
}

/// Why a sealed specification cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// The bytes are not those that were sealed.
    #[error("the job's specification does not match its digest")]
    Digest,
    /// The bytes are no specification this version understands.
    #[error("the job's specification cannot be read; it may need a newer agent")]
    Unreadable,
    /// The specification cannot be encoded.
    #[error("the job's specification cannot be encoded")]
    Unwritable,
}

impl SealedSpec {
    /// Encodes and seals a specification.
    pub fn seal(spec: &JobSpec) -> Result<Self, SpecError> {
        let bytes = postcard::to_stdvec(spec).map_err(|_| SpecError::Unwritable)?;
        let digest = Sha256::digest(&bytes).into();
        Ok(Self { bytes, digest })
    }

    /// Puts a stored specification together again; [`Self::open`] verifies it.
    pub const fn from_parts(bytes: Vec<u8>, digest: [u8; 32]) -> Self {
        Self { bytes, digest }
    }

    /// The encoded specification, to be stored as it is.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of the bytes.
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Verifies the digest and decodes.
    pub fn open(&self) -> Result<JobSpec, SpecError> {
        if <[u8; 32]>::from(Sha256::digest(&self.bytes)) != self.digest {
            return Err(SpecError::Digest);
        }
        postcard::from_bytes(&self.bytes).map_err(|_| SpecError::Unreadable)
    }
}

impl fmt::Debug for SealedSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSpec({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            project: ProjectId::new(),
            target: TargetId::new(),
            work: Work::Remove(Remove {
                compose_project: "shop".into(),
                volumes: VolumeFate::Keep,
            }),
            interruption: Interruption::Resume,
            deadline_s: 60,
        }
    }

    #[test]
    fn a_sealed_specification_opens_to_itself() {
        let spec = spec();
        assert_eq!(SealedSpec::seal(&spec).unwrap().open().unwrap(), spec);
    }

    #[test]
    fn a_changed_byte_is_found() {
        let sealed = SealedSpec::seal(&spec()).unwrap();
        let mut bytes = sealed.bytes().to_vec();
        bytes[3] ^= 1;
        let changed = SealedSpec::from_parts(bytes, sealed.digest());
        assert_eq!(changed.open(), Err(SpecError::Digest));
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret {
            name: "PASSWORD".into(),
            value: "hunter2".into(),
        };
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
