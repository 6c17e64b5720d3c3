//! The certificates of a Docker engine's API, as x509-parser reads them and OpenSSL judges them.

use std::{fs, path::Path, process::Command};

use chrono::{SubsecRound, TimeDelta, Utc};
use rustls::pki_types::pem::PemObject;
use towline_pki::{
    AUTHORITY_LIFETIME, CertificateDer, PkiError,
    docker::{CLIENT_LIFETIME, ClientName, DockerAuthority, HostNames, Issued, SERVER_LIFETIME},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

const NAMES: [&str; 2] = ["build-1.example.org", "build-1"];
const ADDRESSES: [&str; 2] = ["192.0.2.7", "2001:db8::7"];

fn names() -> HostNames {
    HostNames::read(&NAMES, &ADDRESSES).unwrap()
}

fn authority() -> DockerAuthority {
    let names = names();
    DockerAuthority::generate(names.iter().next().unwrap(), Utc::now()).unwrap()
}

fn client(name: &str) -> ClientName {
    name.parse().unwrap()
}

#[test]
fn each_certificate_has_one_purpose_and_its_names() {
    let (authority, now) = (authority(), Utc::now());
    let server = authority.issue_server(&names(), now).unwrap();
    let person = authority.issue_client(&client("ann@laptop"), now).unwrap();
    let table = [
        (&server, "CN=build-1.example.org", true, SERVER_LIFETIME),
        (&person, "CN=ann@laptop", false, CLIENT_LIFETIME),
    ];
    for (pair, subject, serves, lifetime) in table {
        let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let leaf = X509Certificate::from_der(&der).unwrap().1;
        assert_eq!(leaf.subject().to_string(), subject);
        assert_eq!(
            leaf.issuer().to_string(),
            "CN=Docker API of build-1.example.org"
        );
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert_eq!((usage.server_auth, usage.client_auth), (serves, !serves));
        assert!(!usage.any && usage.other.is_empty());
        let key_usage = leaf.key_usage().unwrap().unwrap();
        assert_eq!(key_usage.value.to_string(), "Digital Signature");
        assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
        assert_eq!(pair.not_after, now.trunc_subsecs(0) + lifetime);
    }
    let read = Issued::from_pem(&server.certificate).unwrap();
    assert_eq!(read.names, [NAMES, ADDRESSES].concat());
    assert_eq!(read.not_after, server.not_after);
    let half = now + SERVER_LIFETIME / 2;
    assert!((half - read.renew_from()).abs() < TimeDelta::minutes(3));
    assert!(
        Issued::from_pem(&person.certificate)
            .unwrap()
            .names
            .is_empty()
    );
}

#[test]
fn an_authority_comes_back_and_issues_again() {
    let made = authority();
    let back = DockerAuthority::from_pem(&made.certificate(), &made.key()).unwrap();
    assert_eq!(back.fingerprint(), made.fingerprint());
    let foreign = DockerAuthority::from_pem(&made.certificate(), &authority().key());
    assert!(matches!(foreign, Err(PkiError::KeyMismatch)));
    let late = Utc::now() + AUTHORITY_LIFETIME;
    let refusal = back.issue_client(&client("ann"), late);
    assert!(matches!(refusal, Err(PkiError::AuthorityExpired { .. })));
}

#[test]
fn a_client_has_a_name_that_can_be_read_in_a_log() {
    for name in ["", "ann smith", "ann\n", "änn", "a/b", &"a".repeat(65)] {
        let refusal = name.parse::<ClientName>().unwrap_err().to_string();
        assert!(refusal.contains("letters, digits"), "{refusal}");
    }
}

/// What `openssl verify` says of a certificate for a purpose.
fn openssl(folder: &Path, authority: &str, purpose: &[&str], certificate: &str) -> bool {
    let path = |name: &str| folder.join(name).display().to_string();
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile", &path(authority)])
        .args(purpose)
        .arg(path(certificate))
        .output()
        .expect("openssl is installed (tests/setup)");
    output.status.success()
}

#[test]
fn openssl_accepts_each_for_its_purpose_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other, now) = (authority(), authority(), Utc::now());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("ca.pem", &own.certificate());
    write("other.pem", &other.certificate());
    write(
        "server.pem",
        &own.issue_server(&names(), now).unwrap().certificate,
    );
    let person = own.issue_client(&client("ann"), now).unwrap();
    write("client.pem", &person.certificate);
    let (serve, call) = (["-purpose", "sslserver"], ["-purpose", "sslclient"]);
    let host = |name: &'static str| ["-purpose", "sslserver", "-verify_hostname", name];
    let address = |ip: &'static str| ["-purpose", "sslserver", "-verify_ip", ip];
    let table: [(&str, &[&str], &str, bool); 11] = [
        ("ca.pem", &serve, "server.pem", true),
        ("ca.pem", &call, "server.pem", false),
        ("ca.pem", &call, "client.pem", true),
        ("ca.pem", &serve, "client.pem", false),
        ("other.pem", &serve, "server.pem", false),
        ("other.pem", &call, "client.pem", false),
        ("ca.pem", &host("build-1"), "server.pem", true),
        ("ca.pem", &host("build-2"), "server.pem", false),
        ("ca.pem", &address("192.0.2.7"), "server.pem", true),
        ("ca.pem", &address("2001:db8::7"), "server.pem", true),
        ("ca.pem", &address("192.0.2.8"), "server.pem", false),
    ];
    for (authority, purpose, certificate, accepted) in table {
        assert_eq!(
            openssl(folder.path(), authority, purpose, certificate),
            accepted,
            "{certificate} by {authority}: {purpose:?}"
        );
    }
}
