//! What the authority's certificates say.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rcgen::{BasicConstraints, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use towline_pki::{
    AGENT_LEAF_LIFETIME, AUTHORITY_LIFETIME, AgentIdentity, AgentKey, Authority, CLOCK_SKEW,
    CertificateDer, Fingerprint, PeerIdentity, PkiError, PrivateKeyDer, Root, ServerCertificate,
    TrustRoots,
};
use uuid::Uuid;
use x509_parser::{certificate::X509Certificate, extensions::ExtendedKeyUsage, prelude::FromDer};

use crate::forge::blank;
use crate::link::{HOST, authority, enrolled, request, server_of, trust};

fn parse<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
    X509Certificate::from_der(der).unwrap().1
}

fn usage<'a>(certificate: &'a X509Certificate<'_>) -> &'a ExtendedKeyUsage<'a> {
    certificate.extended_key_usage().unwrap().unwrap().value
}

#[test]
fn a_root_signs_leaves_and_nothing_else() {
    let now = Utc::now();
    let authority = Authority::generate("Towline CA", now).unwrap();
    let root = parse(authority.cert_der());
    assert_eq!(root.subject().to_string(), "CN=Towline CA");
    let constraints = root.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let key_usage = root.key_usage().unwrap().unwrap();
    assert!(key_usage.critical);
    assert_eq!(key_usage.value.to_string(), "Key Cert Sign, CRL Sign");
    assert_eq!(
        root.validity().not_after.timestamp(),
        (now + AUTHORITY_LIFETIME).timestamp(),
        "ten years"
    );
    assert_eq!(
        authority.fingerprint(),
        Fingerprint::of(authority.cert_der())
    );
}

#[test]
fn an_agents_leaf_carries_one_name_and_one_right() {
    let authority = authority("Towline CA");
    let agent = Uuid::now_v7();
    let now = Utc::now();
    let (key, issued) = enrolled(&authority, agent, now);
    let leaf = parse(&issued.der);

    assert!(
        leaf.subject().iter_rdn().next().is_none(),
        "the name stands in one place only"
    );
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(
        names.critical,
        "without a subject, RFC 5280 wants the names critical"
    );
    assert_eq!(names.value.general_names.len(), 1);
    let constraints = leaf.basic_constraints().unwrap().unwrap();
    assert!(!constraints.value.ca);
    assert_eq!(
        leaf.key_usage().unwrap().unwrap().value.to_string(),
        "Digital Signature"
    );
    let usage = usage(&leaf);
    assert!(usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty());

    let peer = PeerIdentity::from_leaf(&issued.der).unwrap();
    assert_eq!(peer.agent, agent);
    assert_eq!((&peer.serial, peer.spki), (&issued.serial, issued.spki));
    assert_eq!(peer.spki, key.spki());
    assert_eq!(
        (peer.not_before, peer.not_after),
        (issued.not_before, issued.not_after)
    );
    assert_eq!(peer.not_before, now.trunc_subsecs(0) - CLOCK_SKEW);
    assert_eq!(peer.not_after, now.trunc_subsecs(0) + AGENT_LEAF_LIFETIME);
    assert_eq!(issued.issuer, authority.fingerprint());

    let renewed = authority
        .issue_agent(&request(&key), agent, now, AGENT_LEAF_LIFETIME)
        .unwrap();
    assert_ne!(renewed.serial, issued.serial);
}

#[test]
fn a_listeners_leaf_serves_and_brings_its_root() {
    let authority = authority("Towline CA");
    let served = server_of(&authority);
    let [leaf, root] = served.chain.as_slice() else {
        panic!("leaf and root")
    };
    assert_eq!(root, authority.cert_der());
    let leaf = parse(leaf);
    let usage = usage(&leaf);
    assert!(usage.server_auth && !usage.client_auth && !usage.any && usage.other.is_empty());
    assert_eq!(
        served.not_after.timestamp(),
        leaf.validity().not_after.timestamp()
    );
    assert_eq!(
        leaf.subject_alternative_name()
            .unwrap()
            .unwrap()
            .value
            .general_names
            .len(),
        2
    );
}

#[test]
fn names_that_are_none_are_refused() {
    let authority = authority("Towline CA");
    let lifetime = TimeDelta::days(1);
    let issue = |names: &[&str]| authority.issue_server(names, Utc::now(), lifetime);
    assert!(matches!(issue(&[]), Err(PkiError::NoNames)));
    for name in [
        "",
        "https://host",
        "host:8443",
        "a b",
        "[::1]",
        "*.example",
        "ünï",
    ] {
        let refusal = issue(&[HOST, name]).unwrap_err();
        assert!(
            matches!(&refusal, PkiError::Name(bad) if bad == name),
            "{name:?}: {refusal}"
        );
    }
    for name in ["localhost", "127.0.0.1", "::1", "xn--bcher-kva.example"] {
        assert!(issue(&[name]).is_ok(), "{name}");
    }
}

#[test]
fn no_leaf_outlives_its_authority() {
    let start = Utc::now() - AUTHORITY_LIFETIME + TimeDelta::days(2);
    let authority = Authority::generate("Towline CA", start).unwrap();
    let (_, leaf) = enrolled(&authority, Uuid::now_v7(), Utc::now());
    assert_eq!(leaf.not_after, start.trunc_subsecs(0) + AUTHORITY_LIFETIME);

    let csr = request(&AgentKey::generate().unwrap());
    let late = Utc::now() + TimeDelta::days(3);
    let refusal = authority.issue_agent(&csr, Uuid::now_v7(), late, AGENT_LEAF_LIFETIME);
    assert!(matches!(refusal, Err(PkiError::AuthorityExpired { .. })));
}

#[test]
fn a_clock_that_x509_cannot_write_is_an_error() {
    for now in [
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        DateTime::UNIX_EPOCH,
    ] {
        let refusal = Authority::generate("Towline CA", now);
        assert!(
            matches!(refusal, Err(PkiError::Time(_))),
            "{now}: {refusal:?}"
        );
    }
}

#[test]
fn everything_survives_being_written_down() {
    let authority = authority("Towline CA");
    let read = Authority::from_pem(&authority.cert_pem(), &authority.key_pem()).unwrap();
    assert_eq!(read.fingerprint(), authority.fingerprint());
    let csr = request(&AgentKey::generate().unwrap());
    let leaf = read
        .issue_agent(&csr, Uuid::now_v7(), Utc::now(), AGENT_LEAF_LIFETIME)
        .unwrap();
    assert_eq!(
        parse(&leaf.der).verify_signature(Some(parse(authority.cert_der()).public_key())),
        Ok(())
    );

    let served = server_of(&authority);
    let read = ServerCertificate::from_pem(&served.chain_pem(), &served.key_pem()).unwrap();
    assert_eq!(
        (&read.chain, read.not_after),
        (&served.chain, served.not_after)
    );
    assert_eq!(read.key.secret_der(), served.key.secret_der());

    let key = AgentKey::generate().unwrap();
    assert_eq!(
        AgentKey::from_pem(&key.key_pem()).unwrap().spki(),
        key.spki()
    );

    let roots = TrustRoots::overlap(
        authority.root().clone(),
        self::authority("Next").root().clone(),
    );
    assert_eq!(TrustRoots::from_pem(&roots.to_pem()).unwrap(), roots);
    assert!(roots.contains(authority.fingerprint()) && roots.fingerprints().len() == 2);
}

#[test]
fn pairs_that_do_not_belong_together_are_refused() {
    let (one, two) = (authority("One"), authority("Two"));
    assert!(matches!(
        Authority::from_pem(&one.cert_pem(), &two.key_pem()),
        Err(PkiError::KeyMismatch)
    ));

    let (a, b) = (server_of(&one), server_of(&one));
    assert!(matches!(
        ServerCertificate::from_pem(&a.chain_pem(), &b.key_pem()),
        Err(PkiError::KeyMismatch)
    ));

    let (_, leaf) = enrolled(&one, Uuid::now_v7(), Utc::now());
    let other = AgentKey::generate().unwrap();
    assert!(matches!(
        AgentIdentity::new(&leaf.pem, &other),
        Err(PkiError::KeyMismatch)
    ));
}

#[test]
fn what_is_no_authority_is_not_trusted() {
    let one = authority("One");
    let served = server_of(&one);
    let leaf = ServerCertificate {
        chain: served.chain[..1].to_vec(),
        ..served.clone()
    };
    assert!(matches!(
        Authority::from_pem(&leaf.chain_pem(), &leaf.key_pem()),
        Err(PkiError::NotAnAuthority(_))
    ));
    assert!(matches!(
        TrustRoots::from_pem(&leaf.chain_pem()),
        Err(PkiError::NotAnAuthority(_))
    ));

    let [two, three] = ["Two", "Three"].map(|name| authority(name).cert_pem());
    let one = one.cert_pem();
    for (text, count) in [
        (format!("{one}{one}"), 2),
        (format!("{one}{two}{three}"), 3),
    ] {
        let refusal = TrustRoots::from_pem(&text).unwrap_err();
        assert!(
            matches!(refusal, PkiError::RootCount(found) if found == count),
            "{refusal}"
        );
    }
    for text in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n",
    ] {
        assert!(
            matches!(TrustRoots::from_pem(text), Err(PkiError::Pem { .. })),
            "{text:?}"
        );
    }
    let truncated = &trust(&authority("One")).to_pem()[..300];
    assert!(matches!(
        TrustRoots::from_pem(truncated),
        Err(PkiError::Pem { .. })
    ));
}

#[test]
fn a_root_needs_both_marks_of_an_authority() {
    let key = KeyPair::generate().unwrap();
    let signs = vec![KeyUsagePurpose::KeyCertSign];
    let authority = IsCa::Ca(BasicConstraints::Unconstrained);
    for (is_ca, usages, accepted) in [
        (authority, signs.clone(), true),
        (authority, vec![], false),
        (authority, vec![KeyUsagePurpose::CrlSign], false),
        (IsCa::ExplicitNoCa, signs.clone(), false),
        (IsCa::NoCa, signs, false),
    ] {
        let mut params = blank();
        (params.is_ca, params.key_usages) = (is_ca, usages);
        let root = Root::new(params.self_signed(&key).unwrap().into());
        assert_eq!(
            root.is_ok(),
            accepted,
            "{:?} {:?}",
            params.is_ca,
            params.key_usages
        );
    }
}

#[test]
fn no_key_is_printed_by_accident() {
    let authority = authority("Towline CA");
    let served = server_of(&authority);
    let key = AgentKey::generate().unwrap();
    for (text, pem) in [
        (format!("{authority:?}"), authority.key_pem()),
        (format!("{served:?}"), served.key_pem()),
        (format!("{key:?}"), key.key_pem()),
    ] {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        // The secret scalar, after 36 bytes of PKCS#8.
        let scalar = &der.secret_der()[36..68];
        let hex = Fingerprint(scalar.try_into().unwrap()).to_string();
        let decimal = format!("{scalar:?}");
        for spelling in [
            hex.as_str(),
            &decimal[1..decimal.len() - 1],
            pem.lines().nth(1).unwrap(),
        ] {
            assert!(!text.contains(spelling), "{text}");
        }
    }
}
