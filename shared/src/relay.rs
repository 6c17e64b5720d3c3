//! Images on their way from the host that has built them to those that run them.
//!
//! They go over connections of their own to the agents' listener, whose TLS settles that they are for this; so no image
//! delays a heartbeat or a cancel. On them HTTP/1.1 is spoken, and an agent does all the asking:
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /jobs/{job}/offer` | [`Offered`] | [`Wanted`] |
//! | `PUT /jobs/{job}/layers/{digest}?offset=N&length=L` | bytes `N..` of the layer, compressed | [`Received`] |
//! | `PUT /jobs/{job}/images` | [`Images`] | nothing |
//! | `GET /jobs/{job}/images` | | [`Images`] |
//! | `GET /jobs/{job}/layers/{digest}?offset=N` | | bytes `N..` of the layer, compressed |
//!
//! The first three are of a job that builds, the others of one that runs what it has built; each names the fence of
//! its attempt in the header [`FENCE_HEADER`]. A layer is a tar archive, named by the SHA-256 of its plain bytes (the
//! `diff_id` of the OCI image specification) and travels as one zstd frame; the control plane takes none whose bytes do
//! not have that digest. Bodies that are no layer's are postcard. A refusal's body is text for a person.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The header that names the fence of an attempt: `incarnation.epoch`.
pub const FENCE_HEADER: &str = "towline-fence";
/// The most bytes of a body that is no layer.
pub const MAX_BODY: usize = 8 * 1024 * 1024;
/// The most images that one job may build.
pub const MAX_IMAGES: usize = 64;
/// The most layers that an image may have; engines know at most 128.
pub const MAX_LAYERS: usize = 256;
/// The most bytes of an image's configuration.
pub const MAX_CONFIG: usize = 1024 * 1024;
/// The most bytes of a layer as it travels.
pub const MAX_LAYER_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// The most bytes of a layer that was unpacked.
pub const MAX_PLAIN_LAYER_BYTES: u64 = 256 * 1024 * 1024 * 1024;

/// The SHA-256 of a layer or of an image's configuration: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

/// Text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no digest: one is `sha256:` and 64 hexadecimal digits in lower case")]
pub struct NoDigest;

impl Digest {
    /// The digits alone.
    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let hex = text.strip_prefix("sha256:").ok_or(NoDigest)?;
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes());
        let bytes = bytes.map_err(|_| NoDigest)?;
        bytes.try_into().map(Self).map_err(|_| NoDigest)
    }
}

/// What a builder has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The images: the digests of their configurations.
    pub images: Vec<Digest>,
    /// All their layers, each once.
    pub layers: Vec<Digest>,
}

/// What of that the control plane does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Images whose configuration it does not know.
    pub images: Vec<Digest>,
    /// Layers that it does not have whole, each with how many bytes of it are there.
    pub layers: Vec<(Digest, u64)>,
}

/// How much of a layer the control plane has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Received {
    /// As many bytes, durably; the next is awaited.
    Part(u64),
    /// All of it, and it was verified.
    Whole,
}

/// The images that a job has built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images(pub Vec<Image>);

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The service in the compose file that it was built for.
    pub service: String,
    /// The reference that its engine gave it (`shop-web`), for people.
    pub reference: String,
    /// The digest of its configuration, which is its id.
    pub id: Digest,
    /// Its configuration, JSON; empty on the way up where the control plane knows it.
    pub config: Vec<u8>,
    /// Its layers, the lowest first.
    pub layers: Vec<Digest>,
    /// What it takes on the disk of an engine that has no layer of it, in bytes.
    pub size: u64,
}

/// The layers that an image's configuration names, the lowest first.
///
/// # Errors
/// When it is no image configuration of the OCI specification.
pub fn layers_of(config: &[u8]) -> Result<Vec<Digest>, NoDigest> {
    #[derive(Deserialize)]
    struct Config {
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        #[serde(default)]
        diff_ids: Vec<String>,
    }
    let config: Config = serde_json::from_slice(config).map_err(|_| NoDigest)?;
    let named = config.rootfs.diff_ids.iter();
    named.map(|digest| digest.parse()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_digest_is_written_and_read() {
        let digest = Digest([0xab; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let hex = "ab".repeat(32);
        for text in [
            hex.clone(),
            format!("sha512:{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{hex}00"),
            "sha256:".to_owned(),
            "sha256:../../../../etc/passwd".to_owned(),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(NoDigest), "{text}");
        }
    }

    #[test]
    fn a_configuration_names_its_layers() {
        let digest = Digest([7; 32]);
        let config =
            format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#);
        assert_eq!(layers_of(config.as_bytes()), Ok(vec![digest]));
        assert_eq!(layers_of(br#"{"rootfs":{"type":"layers"}}"#), Ok(vec![]));
        for wrong in [&b"{}"[..], b"[]", b"", br#"{"rootfs":{"diff_ids":["x"]}}"#] {
            assert_eq!(layers_of(wrong), Err(NoDigest));
        }
    }
}
