//! Certificate requests: what is signed is one key, under one name, for one use.

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use towline_pki::{AgentCsr, Authority, CSR_LIMIT, CertificateDer, PeerIdentity};
use uuid::Uuid;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::bound::within;

const BASE: usize = 1024 * 1024;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// It was made for this process, and signs for nobody else.
static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::generate("Properties", now()).unwrap());

/// A certificate request, PEM or DER.
pub fn csr(bytes: &[u8]) {
    let Ok(request) = within(BASE, || AgentCsr::parse(bytes)) else {
        return;
    };
    assert!(bytes.len() <= CSR_LIMIT, "it was read over its limit");
    let agent = Uuid::from_u128(7);
    let issued = AUTHORITY
        .issue_agent(&request, agent, now(), TimeDelta::days(7))
        .expect("an accepted request is signed");
    let der = CertificateDer::from(rest_of_pem(&issued.pem));
    let peer = PeerIdentity::from_leaf(&der).expect("it is an agent's");
    assert_eq!((peer.agent, peer.spki), (agent, request.spki()));
    asks_for_nothing(&der);
}

fn rest_of_pem(pem: &str) -> Vec<u8> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
    pem.contents
}

/// Only the authority's own names and rights are in it.
fn asks_for_nothing(der: &[u8]) {
    let (rest, leaf) = X509Certificate::from_der(der).expect("a certificate");
    assert!(rest.is_empty() && !leaf.is_ca());
    let lifetime = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert!(lifetime <= TimeDelta::days(8).num_seconds());
    for extension in leaf.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                assert_eq!(names.general_names.len(), 1);
                assert!(matches!(names.general_names[0], GeneralName::URI(_)));
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                assert!(usage.client_auth && !usage.server_auth && !usage.any);
                assert!(!usage.code_signing && !usage.ocsp_signing && usage.other.is_empty());
            }
            ParsedExtension::KeyUsage(usage) => {
                assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
            }
            ParsedExtension::BasicConstraints(constraints) => assert!(!constraints.ca),
            ParsedExtension::AuthorityKeyIdentifier(_)
            | ParsedExtension::SubjectKeyIdentifier(_) => {}
            other => panic!("{other:?} is none of the authority's"),
        }
    }
}
