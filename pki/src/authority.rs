//! The certificate authority of an installation.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, DnsName};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    certificate,
    csr::AgentCsr,
    docker_client::{DOCKER_CLIENT_LIFETIME, docker_urn},
    error::PkiError,
    fingerprint::Fingerprint,
    key::P256Key,
    leaf::IssuedLeaf,
    peer, pem,
    roots::Root,
    serial::Serial,
    server_certificate::ServerCertificate,
};

/// How long an agent's certificate lives; it is renewed at half of that.
pub const AGENT_LEAF_LIFETIME: TimeDelta = TimeDelta::days(7);
/// How long a certificate of our own listeners lives; well under what browsers accept.
pub const SERVER_LEAF_LIFETIME: TimeDelta = TimeDelta::days(90);
/// How long an authority lives, about ten years.
pub const AUTHORITY_LIFETIME: TimeDelta = TimeDelta::days(3652);
/// How far certificates are dated back, so that a host whose clock is a little slow accepts them.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// A root certificate and its key. It signs leaves and nothing else (path length 0).
#[derive(Debug)]
pub struct Authority {
    root: Root,
    key: P256Key,
}

impl Authority {
    /// Makes a new authority that is valid for [`AUTHORITY_LIFETIME`] from `now`.
    pub fn generate(common_name: &str, now: DateTime<Utc>) -> Result<Self, PkiError> {
        let key = P256Key::generate()?;
        let (mut params, _) = params(Validity::from(now, AUTHORITY_LIFETIME))?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(key.pair()).map_err(PkiError::Issue)?;
        Ok(Self {
            root: Root::new(certificate.into())?,
            key,
        })
    }

    /// Reads an authority back; the certificate must be an authority's and the key must be its own.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let chain = pem::certificates(certificate)?;
        let [root] = <[_; 1]>::try_from(chain).map_err(|chain| PkiError::RootCount(chain.len()))?;
        let key = P256Key::from_pem(key)?;
        if certificate::spki(&certificate::parse(&root)?) != key.spki() {
            return Err(PkiError::KeyMismatch);
        }
        Ok(Self {
            root: Root::new(root)?,
            key,
        })
    }

    /// The root certificate, as machines trust it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The root certificate as PEM text.
    pub fn cert_pem(&self) -> String {
        self.root.to_pem()
    }

    /// The root certificate's bytes.
    pub fn cert_der(&self) -> &CertificateDer<'static> {
        self.root.der()
    }

    /// The key as PEM text; to be stored with mode 0600 or encrypted.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }

    /// SHA-256 of the root certificate, which enrolment tokens carry.
    pub fn fingerprint(&self) -> Fingerprint {
        self.root.fingerprint()
    }

    /// A certificate for one of our listeners: server authentication only, for the given DNS names
    /// and IP addresses.
    pub fn issue_server(
        &self,
        names: &[impl AsRef<str>],
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<ServerCertificate, PkiError> {
        let names = names
            .iter()
            .map(|name| server_name(name.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() {
            return Err(PkiError::NoNames);
        }
        let (leaf, key, not_after) = self.issue_with_key(
            "Towline control plane",
            names,
            ExtendedKeyUsagePurpose::ServerAuth,
            now,
            lifetime,
        )?;
        Ok(ServerCertificate::new(
            vec![leaf, self.cert_der().clone()],
            key.to_der(),
            not_after,
        ))
    }

    /// A leaf for one purpose, with a key that is made for it, and the end of its validity.
    pub(crate) fn issue_with_key(
        &self,
        common_name: &str,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<(CertificateDer<'static>, P256Key, DateTime<Utc>), PkiError> {
        let validity = self.leaf_validity(now, lifetime)?;
        let (mut params, _) = params(validity)?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        let key = P256Key::generate()?;
        let leaf = self.sign(&leaf(params), key.pair())?;
        Ok((leaf, key, validity.not_after))
    }

    /// A certificate for an agent: client authentication only. The request brings the key; the name
    /// is the agent's id.
    pub fn issue_agent(
        &self,
        csr: &AgentCsr,
        agent: Uuid,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<IssuedLeaf, PkiError> {
        self.issue_client(csr, peer::agent_urn(agent), now, lifetime)
    }

    /// A certificate for the Docker API of one host: client authentication only, at most
    /// [`DOCKER_CLIENT_LIFETIME`] long. The name is the id that the control plane keeps it by.
    pub fn issue_docker_client(
        &self,
        csr: &AgentCsr,
        certificate: Uuid,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<IssuedLeaf, PkiError> {
        let lifetime = lifetime.min(DOCKER_CLIENT_LIFETIME);
        self.issue_client(csr, docker_urn(certificate), now, lifetime)
    }

    fn issue_client(
        &self,
        csr: &AgentCsr,
        name: String,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<IssuedLeaf, PkiError> {
        let validity = self.leaf_validity(now, lifetime)?;
        let (mut params, serial) = params(validity)?;
        let name = name.try_into().map_err(PkiError::Issue)?;
        params.subject_alt_names = vec![SanType::URI(name)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let public_key =
            SubjectPublicKeyInfo::from_der(csr.public_key()).map_err(PkiError::Issue)?;
        let der = self.sign(&leaf(params), &public_key)?;
        Ok(IssuedLeaf {
            pem: pem::encode_certificates(std::slice::from_ref(&der)),
            der,
            serial,
            spki: csr.spki(),
            issuer: self.fingerprint(),
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, PkiError> {
        let issuer: Issuer<'_, &KeyPair> =
            Issuer::from_ca_cert_der(self.cert_der(), self.key.pair()).map_err(PkiError::Issue)?;
        params
            .signed_by(key, &issuer)
            .map(Into::into)
            .map_err(PkiError::Issue)
    }

    /// A leaf never outlives its authority: TLS clients ignore a root's own dates, so this is the
    /// place that heeds them.
    fn leaf_validity(&self, now: DateTime<Utc>, lifetime: TimeDelta) -> Result<Validity, PkiError> {
        let root_end = certificate::not_after(&certificate::parse(self.cert_der())?)?;
        if now >= root_end {
            return Err(PkiError::AuthorityExpired {
                not_after: root_end,
            });
        }
        let validity = Validity::from(now, lifetime);
        Ok(Validity {
            not_after: validity.not_after.min(root_end),
            ..validity
        })
    }
}

#[derive(Clone, Copy)]
struct Validity {
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
}

impl Validity {
    /// Whole seconds, because X.509 knows no others and the database must hold what the certificate
    /// says.
    fn from(now: DateTime<Utc>, lifetime: TimeDelta) -> Self {
        let now = now.trunc_subsecs(0);
        Self {
            not_before: now
                .checked_sub_signed(CLOCK_SKEW)
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
            not_after: now
                .checked_add_signed(lifetime)
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }
}

/// A certificate without names and rights, but with its serial and validity.
fn params(validity: Validity) -> Result<(CertificateParams, Serial), PkiError> {
    let (bytes, serial) = Serial::random()?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + since_epoch(validity.not_before)?;
    params.not_after = epoch + since_epoch(validity.not_after)?;
    params.serial_number = Some(SerialNumber::from_slice(&bytes));
    params.distinguished_name = DistinguishedName::new();
    Ok((params, serial))
}

fn since_epoch(moment: DateTime<Utc>) -> Result<Duration, PkiError> {
    match u64::try_from(moment.timestamp()) {
        Ok(seconds) if moment.year() <= 9999 => Ok(Duration::from_secs(seconds)),
        _ => Err(PkiError::Time(moment)),
    }
}

/// What is true of every leaf: it signs handshakes, and no certificates.
fn leaf(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) fn server_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refusal = || PkiError::Name(name.to_owned());
    DnsName::try_from(name).map_err(|_| refusal())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| refusal())?))
}
