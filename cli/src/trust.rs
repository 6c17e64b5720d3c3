//! What makes a server's certificate trusted.

use std::{fs, path::Path};

use reqwest::Url;
use towline_pki::{Fingerprint, TrustRoots};

use crate::{
    config::{ApiKey, Context},
    exit::Failure,
};

/// What makes a server's certificate trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authority with this SHA-256, which the server presents in its chain.
    Fingerprint(Fingerprint),
    /// These authorities.
    Authority(TrustRoots),
    /// The authorities that this machine trusts.
    Machine,
}

impl Trust {
    /// Reads `TOWLINE_CA` or `--ca`: a fingerprint, PEM text, or the path of a PEM file.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if let Ok(fingerprint) = text.parse() {
            return Ok(Self::Fingerprint(fingerprint));
        }
        if text.contains("-----BEGIN") {
            return Self::from_pem(text);
        }
        let pem = fs::read_to_string(Path::new(text)).map_err(|error| {
            Failure::usage(format!("The CA {text:?} cannot be read"))
                .detail(error.to_string())
                .remedy("give the path of the control plane's ca.pem, or its SHA-256 fingerprint")
        })?;
        Self::from_pem(&pem)
    }

    fn from_pem(pem: &str) -> Result<Self, Failure> {
        let roots = TrustRoots::from_pem(pem).map_err(|error| {
            Failure::usage("The CA certificate cannot be used").detail(error.to_string())
        })?;
        Ok(Self::Authority(roots))
    }

    /// A login as the configuration file writes it.
    pub fn context(&self, url: &Url, key: ApiKey) -> Context {
        let (ca_fingerprint, ca) = match self {
            Self::Fingerprint(fingerprint) => (Some(*fingerprint), None),
            Self::Authority(roots) => (None, Some(roots.to_pem())),
            Self::Machine => (None, None),
        };
        Context {
            url: url.as_str().trim_end_matches('/').to_owned(),
            key,
            ca_fingerprint,
            ca,
        }
    }

    /// The trust of a stored login.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        match (&context.ca_fingerprint, &context.ca) {
            (Some(fingerprint), _) => Ok(Self::Fingerprint(*fingerprint)),
            (None, Some(pem)) => Self::from_pem(pem),
            (None, None) => Ok(Self::Machine),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use towline_pki::Authority;

    use super::*;

    #[test]
    fn trust_is_a_fingerprint_a_text_or_a_file_and_is_stored_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::generate("test", chrono::Utc::now()).unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, authority.cert_pem()).unwrap();
        let pinned = Trust::parse(&format!("sha256:{}", authority.fingerprint())).unwrap();
        assert_eq!(pinned, Trust::Fingerprint(authority.fingerprint()));
        let known = Trust::parse(path.to_str().unwrap()).unwrap();
        assert_eq!(known, Trust::parse(&authority.cert_pem()).unwrap());
        for trust in [pinned, known, Trust::Machine] {
            let url = Url::parse("https://plane.example").unwrap();
            let context = trust.context(&url, ApiKey::new("key").unwrap());
            assert_eq!(Trust::of(&context).unwrap(), trust);
        }
        for text in ["/nowhere/ca.pem", "-----BEGIN CERTIFICATE-----", "abcd"] {
            assert!(Trust::parse(text).is_err(), "{text}");
        }
    }
}
