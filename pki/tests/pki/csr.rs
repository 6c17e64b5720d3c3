//! Requests, good and bad.

use rcgen::{
    Attribute, BasicConstraints, CertificateParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    SigningKey,
};
use towline_pki::{AgentCsr, AgentKey, CSR_LIMIT, CsrRefusal};

use crate::{
    Judge,
    forge::{Impostor, blank, dns, uri},
};

const CHALLENGE_PASSWORD: &[u64] = &[1, 2, 840, 113_549, 1, 9, 7];
const UNSTRUCTURED_NAME: &[u64] = &[1, 2, 840, 113_549, 1, 9, 2];
const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];
/// A set of one UTF-8 string.
const ABC: &[u8] = &[0x31, 5, 0x0c, 3, b'a', b'b', b'c'];

fn signed(params: &CertificateParams, key: &impl SigningKey) -> Vec<u8> {
    params.serialize_request(key).unwrap().der().to_vec()
}

/// A request by a good key that asks for what `wish` adds.
fn wishing(wish: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = blank();
    wish(&mut params);
    signed(&params, &KeyPair::generate().unwrap())
}

fn with_attribute(oid: &'static [u64], values: &[u8]) -> Vec<u8> {
    let attribute = Attribute {
        oid,
        values: values.to_vec(),
    };
    let key = KeyPair::generate().unwrap();
    blank()
        .serialize_request_with_attributes(&key, vec![attribute])
        .unwrap()
        .der()
        .to_vec()
}

fn good() -> Vec<u8> {
    AgentKey::generate().unwrap().csr_der().unwrap()
}

fn replaced(mut der: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = der
        .windows(from.len())
        .rposition(|window| window == from)
        .expect("it is in there");
    der[at..at + to.len()].copy_from_slice(to);
    der
}

#[test]
fn our_own_request_passes_in_both_forms() {
    let key = AgentKey::generate().unwrap();
    let der = AgentCsr::parse(&key.csr_der().unwrap()).unwrap();
    let pem = AgentCsr::parse(key.csr_pem().unwrap().as_bytes()).unwrap();
    assert_eq!(der, pem);
    assert_eq!(der.spki(), key.spki());
}

#[test]
fn a_request_that_openssl_made_passes() {
    AgentCsr::parse(include_bytes!("openssl.csr.pem")).unwrap();
}

/// What it is, the request, and what the refusal must be.
type Case = (&'static str, Vec<u8>, Judge<CsrRefusal>);

fn check(table: Vec<Case>) {
    for (what, request, expected) in table {
        let refusal = AgentCsr::parse(&request).expect_err(what);
        assert!(expected(&refusal), "{what}: {refusal:?}");
        assert!(
            refusal.to_string().len() > 20,
            "{what} deserves a sentence: {refusal}"
        );
    }
}

#[test]
fn only_a_p256_key_that_signed_is_taken() {
    use CsrRefusal as R;
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let impostor = Impostor {
        shown: KeyPair::generate().unwrap(),
        held: KeyPair::generate().unwrap(),
    };
    let mut broken_signature = good();
    *broken_signature.last_mut().unwrap() ^= 1;
    let ecdsa_with_sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let ecdsa_with_sha384 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    let other_hash = replaced(good(), &ecdsa_with_sha256, &ecdsa_with_sha384);
    check(vec![
        ("an RSA key", include_bytes!("rsa.csr.pem").to_vec(), |r| {
            *r == R::KeyKind
        }),
        (
            "a compressed point",
            include_bytes!("compressed.csr.pem").to_vec(),
            |r| *r == R::KeyKind,
        ),
        ("a P-384 key", signed(&blank(), &p384), |r| *r == R::KeyKind),
        ("an Ed25519 key", signed(&blank(), &ed25519), |r| {
            *r == R::KeyKind
        }),
        ("somebody else's key", signed(&blank(), &impostor), |r| {
            *r == R::Signature
        }),
        ("a broken signature", broken_signature, |r| {
            *r == R::Signature
        }),
        (
            "another hash",
            other_hash,
            |r| matches!(r, R::SignatureAlgorithm(oid) if oid == "1.2.840.10045.4.3.3"),
        ),
    ]);
}

#[test]
fn a_request_that_asks_for_anything_is_refused() {
    use CsrRefusal as R;
    let name_constraints = CustomExtension::from_oid_content(&[2, 5, 29, 30], vec![0x30, 0]);
    let unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    let other_agent = uri("urn:towline:agent:0192f0c1-2345-7000-8000-000000000001");
    let authority = |constraints| wishing(|p| p.is_ca = IsCa::Ca(constraints));
    let usage = |usage| wishing(|p| p.key_usages = vec![usage]);
    let purpose = |purpose| wishing(|p| p.extended_key_usages = vec![purpose]);
    let name = |name| wishing(|p| p.subject_alt_names = vec![name]);
    let extension = |extension| wishing(|p| p.custom_extensions = vec![extension]);
    check(vec![
        ("CA:TRUE", authority(BasicConstraints::Unconstrained), |r| {
            *r == R::AsksForAuthority
        }),
        (
            "pathlen 0",
            authority(BasicConstraints::Constrained(0)),
            |r| *r == R::AsksForAuthority,
        ),
        ("CA:FALSE", wishing(|p| p.is_ca = IsCa::ExplicitNoCa), |r| {
            *r == R::AsksForAuthority
        }),
        ("keyCertSign", usage(KeyUsagePurpose::KeyCertSign), |r| {
            *r == R::AsksForKeyUsage
        }),
        ("keyAgreement", usage(KeyUsagePurpose::KeyAgreement), |r| {
            *r == R::AsksForKeyUsage
        }),
        (
            "serverAuth",
            purpose(ExtendedKeyUsagePurpose::ServerAuth),
            |r| *r == R::AsksForExtendedKeyUsage,
        ),
        ("any purpose", purpose(ExtendedKeyUsagePurpose::Any), |r| {
            *r == R::AsksForExtendedKeyUsage
        }),
        ("a DNS name", name(dns("control.example")), |r| {
            *r == R::AsksForNames
        }),
        ("another agent's name", name(other_agent), |r| {
            *r == R::AsksForNames
        }),
        (
            "name constraints",
            extension(name_constraints),
            |r| matches!(r, R::AsksForExtension(oid) if oid == "2.5.29.30"),
        ),
        (
            "an unknown extension",
            extension(unknown),
            |r| matches!(r, R::AsksForExtension(oid) if oid == "1.3.6.1.4.1.99999.1"),
        ),
        (
            "a subject",
            wishing(|p| p.distinguished_name.push(DnType::CommonName, "root")),
            |r| matches!(r, R::AsksForSubject(name) if name == "CN=root"),
        ),
        (
            "a challenge password",
            with_attribute(CHALLENGE_PASSWORD, ABC),
            |r| matches!(r, R::Attribute(oid) if oid == "1.2.840.113549.1.9.7"),
        ),
        (
            "an unknown attribute",
            with_attribute(UNSTRUCTURED_NAME, ABC),
            |r| matches!(r, R::Attribute(oid) if oid == "1.2.840.113549.1.9.2"),
        ),
        (
            "a request for no extension",
            with_attribute(EXTENSION_REQUEST, &[0x31, 2, 0x30, 0]),
            |r| matches!(r, R::Attribute(oid) if oid == "1.2.840.113549.1.9.14"),
        ),
    ]);
}

#[test]
fn what_is_no_request_is_told_so() {
    use CsrRefusal as R;
    let pem = |label: &str| {
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n").into_bytes()
    };
    let endless = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n".to_vec();
    check(vec![
        ("bytes after the end", [good(), vec![0]].concat(), |r| {
            matches!(r, R::NotARequest(_))
        }),
        ("two requests", [good(), good()].concat(), |r| {
            matches!(r, R::NotARequest(_))
        }),
        ("nothing", vec![], |r| matches!(r, R::NotARequest(_))),
        ("garbage", vec![0xa5; 400], |r| {
            matches!(r, R::NotARequest(_))
        }),
        ("text", b"please sign this".to_vec(), |r| {
            matches!(r, R::NotARequest(_))
        }),
        (
            "a length that lies",
            vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            |r| matches!(r, R::NotARequest(_)),
        ),
        ("PEM of garbage", pem("CERTIFICATE REQUEST"), |r| {
            matches!(r, R::NotARequest(_))
        }),
        ("a certificate", pem("CERTIFICATE"), |r| {
            matches!(r, R::Pem(_))
        }),
        ("PEM without an end", endless, |r| matches!(r, R::Pem(_))),
        ("too much", vec![b' '; CSR_LIMIT + 1], |r| {
            *r == R::TooLarge {
                bytes: CSR_LIMIT + 1,
            }
        }),
    ]);
}

#[test]
fn a_truncated_request_is_none() {
    let der = good();
    for length in 0..der.len() {
        assert!(
            AgentCsr::parse(&der[..length]).is_err(),
            "the first {length} bytes"
        );
    }
}

/// Whatever bit falls over, the request is refused, or the key in it is the one that signed.
#[test]
fn no_flipped_bit_smuggles_in_another_key() {
    let key = AgentKey::generate().unwrap();
    let der = key.csr_der().unwrap();
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut flipped = der.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(csr) = AgentCsr::parse(&flipped) {
                assert_eq!(csr.spki(), key.spki(), "byte {at}, bit {bit}");
            }
        }
    }
}
