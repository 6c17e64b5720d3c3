//! Who gets through to whom.

use std::{io, sync::Arc};

use chrono::{TimeDelta, Utc};
use rcgen::KeyPair;
use rustls::{ClientConfig, ProtocolVersion, ServerConfig, crypto::ring, version::TLS12};
use towline_pki::{
    AgentIdentity, Authority, Fingerprint, PinMismatch, PkiError, PrivateKeyDer, ServerCertificate,
    tls::{
        AgentPurpose, agent_client_config, agent_listener_config, ca_client_config,
        install_provider, pinned_client_config, public_server_config,
    },
};
use uuid::Uuid;

use crate::{
    forge::signed_with,
    link::{HOST, authority, connect, connect_to, enrolled, identity_of, server_of, trust},
};

fn listener(authority: &Authority) -> Arc<ServerConfig> {
    agent_listener_config(&server_of(authority), &trust(authority)).unwrap()
}

fn public(authority: &Authority) -> Arc<ServerConfig> {
    public_server_config(&server_of(authority)).unwrap()
}

fn client(authority: &Authority, identity: &AgentIdentity) -> Arc<ClientConfig> {
    agent_client_config(&trust(authority), identity, AgentPurpose::Control).unwrap()
}

#[tokio::test]
async fn an_agent_is_accepted_and_known_by_its_certificate() {
    let authority = authority("Towline CA");
    let agent = Uuid::now_v7();
    let (key, leaf) = enrolled(&authority, agent, Utc::now());
    let identity = AgentIdentity::new(&leaf.pem, &key).unwrap();
    let (greeted, arrived) = connect(listener(&authority), client(&authority, &identity))
        .await
        .agreed();
    let peer = greeted.peer.unwrap();
    assert_eq!(
        (peer.agent, peer.serial, peer.spki),
        (agent, leaf.serial, key.spki())
    );
    assert_eq!(greeted.protocol.as_deref(), Some("http/1.1"));
    assert_eq!(arrived.version, Some(ProtocolVersion::TLSv1_3));
    assert_eq!(
        arrived.tickets, 0,
        "a session that resumes would not ask the store"
    );
    assert_eq!(identity.peer().unwrap().agent, agent);
}

#[tokio::test]
async fn without_a_certificate_nobody_reaches_the_agent_listener() {
    let authority = authority("Towline CA");
    let nobody = ca_client_config(&trust(&authority)).unwrap();
    let reason = connect(listener(&authority), nobody).await.server_refusal();
    assert!(reason.contains("peer sent no certificates"), "{reason}");
}

#[tokio::test]
async fn a_foreign_authoritys_agent_is_refused_even_under_our_name() {
    let ours = authority("Towline CA");
    for name in ["Towline CA", "Another CA"] {
        let theirs = authority(name);
        let stranger = identity_of(&theirs, Uuid::now_v7());
        let reason = connect(listener(&ours), client(&ours, &stranger))
            .await
            .server_refusal();
        assert!(
            reason.contains("invalid peer certificate"),
            "{name}: {reason}"
        );
    }
}

#[tokio::test]
async fn an_agent_cannot_make_agents() {
    let authority = authority("Towline CA");
    let (key, leaf) = enrolled(&authority, Uuid::now_v7(), Utc::now());
    let forged_key = KeyPair::generate().unwrap();
    let name = format!("urn:towline:agent:{}", Uuid::now_v7());
    let forged = signed_with(&leaf.der, &key.key_pem(), &name, &forged_key, Utc::now());
    let forged = AgentIdentity {
        chain: vec![forged, leaf.der],
        key: PrivateKeyDer::try_from(forged_key.serialize_der()).unwrap(),
    };
    let reason = connect(listener(&authority), client(&authority, &forged))
        .await
        .server_refusal();
    assert!(reason.contains("invalid peer certificate"), "{reason}");
}

#[tokio::test]
async fn each_leaf_serves_its_one_purpose() {
    let authority = authority("Towline CA");
    let ServerCertificate { chain, key, .. } = server_of(&authority);
    let server_as_client = AgentIdentity { chain, key };
    let reason = connect(listener(&authority), client(&authority, &server_as_client))
        .await
        .server_refusal();
    assert!(
        reason.contains("does not allow extended key usage"),
        "{reason}"
    );

    let agent = identity_of(&authority, Uuid::now_v7());
    let agent_as_server = ServerCertificate {
        chain: agent.chain.clone(),
        key: agent.key.clone_key(),
        ..server_of(&authority)
    };
    let impostor = agent_listener_config(&agent_as_server, &trust(&authority)).unwrap();
    let reason = connect(impostor, client(&authority, &agent))
        .await
        .client_refusal()
        .to_string();
    assert!(
        reason.contains("does not allow extended key usage"),
        "{reason}"
    );
}

#[tokio::test]
async fn dates_are_kept_on_both_sides() {
    let authority = Authority::generate("Towline CA", Utc::now() - TimeDelta::days(400)).unwrap();
    for (issued, reason) in [
        (Utc::now() - TimeDelta::days(8), "expired"),
        (Utc::now() + TimeDelta::days(1), "not valid yet"),
    ] {
        let (key, leaf) = enrolled(&authority, Uuid::now_v7(), issued);
        let identity = AgentIdentity::new(&leaf.pem, &key).unwrap();
        let refusal = connect(listener(&authority), client(&authority, &identity))
            .await
            .server_refusal();
        assert!(refusal.contains(reason), "{refusal}");

        let stale = authority
            .issue_server(&[HOST], issued, TimeDelta::days(7))
            .unwrap();
        let stale = public_server_config(&stale).unwrap();
        for config in [
            ca_client_config(&trust(&authority)).unwrap(),
            pinned_client_config(authority.fingerprint()).unwrap(),
        ] {
            let refusal = connect(stale.clone(), config)
                .await
                .client_refusal()
                .to_string();
            assert!(refusal.contains(reason), "{refusal}");
        }
    }
}

#[tokio::test]
async fn a_slow_clock_is_forgiven_five_minutes() {
    let authority = authority("Towline CA");
    let (key, leaf) = enrolled(
        &authority,
        Uuid::now_v7(),
        Utc::now() + TimeDelta::minutes(4),
    );
    let identity = AgentIdentity::new(&leaf.pem, &key).unwrap();
    connect(listener(&authority), client(&authority, &identity))
        .await
        .agreed();
}

#[tokio::test]
async fn the_pinned_authority_opens_the_first_connection() {
    let authority = authority("Towline CA");
    let pinned = pinned_client_config(authority.fingerprint()).unwrap();
    let (greeted, _) = connect(public(&authority), pinned.clone()).await.agreed();
    assert!(greeted.peer.is_none());
    connect_to("192.0.2.7", public(&authority), pinned)
        .await
        .agreed();
}

#[tokio::test]
async fn another_authority_than_the_pinned_is_told_by_type() {
    let (ours, theirs) = (authority("Towline CA"), authority("Towline CA"));
    let pinned = pinned_client_config(theirs.fingerprint()).unwrap();
    let error = connect(public(&ours), pinned).await.client_refusal();
    let expected = PinMismatch {
        presented: ours.fingerprint(),
        expected: theirs.fingerprint(),
    };
    assert_eq!(PinMismatch::find_in(&error), Some(&expected));
    let wrapped = io::Error::other(io::Error::new(io::ErrorKind::NotConnected, error));
    assert_eq!(PinMismatch::find_in(&wrapped), Some(&expected));
    assert_eq!(PinMismatch::find_in(&io::Error::other("no route")), None);
}

/// To show the pinned certificate is not enough: it must have signed the leaf.
#[tokio::test]
async fn a_borrowed_root_does_not_help() {
    let (ours, theirs) = (authority("Towline CA"), authority("Towline CA"));
    let mut served = server_of(&theirs);
    served.chain.push(ours.cert_der().clone());
    let pinned = pinned_client_config(ours.fingerprint()).unwrap();
    let error = connect(public_server_config(&served).unwrap(), pinned)
        .await
        .client_refusal();
    assert!(
        error.to_string().contains("invalid peer certificate"),
        "{error}"
    );
    assert_eq!(PinMismatch::find_in(&error), None);

    // Nor does the leaf alone, whose fingerprint anybody can see.
    let served = server_of(&ours);
    let leaf = Fingerprint::of(&served.chain[0]);
    let pinned = pinned_client_config(leaf).unwrap();
    connect(public_server_config(&served).unwrap(), pinned)
        .await
        .client_refusal();
}

#[tokio::test]
async fn the_server_must_have_the_name_that_was_dialled() {
    let authority = authority("Towline CA");
    let agent = identity_of(&authority, Uuid::now_v7());
    for (server, config) in [
        (
            public(&authority),
            pinned_client_config(authority.fingerprint()).unwrap(),
        ),
        (
            public(&authority),
            ca_client_config(&trust(&authority)).unwrap(),
        ),
        (listener(&authority), client(&authority, &agent)),
    ] {
        let error = connect_to("elsewhere.example", server, config)
            .await
            .client_refusal();
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }
}

#[tokio::test]
async fn a_client_of_another_installation_refuses_this_one() {
    let (ours, theirs) = (authority("Towline CA"), authority("Towline CA"));
    let stranger = ca_client_config(&trust(&theirs)).unwrap();
    connect(public(&ours), stranger).await.client_refusal();
    let agent = identity_of(&ours, Uuid::now_v7());
    connect(listener(&ours), client(&theirs, &agent))
        .await
        .client_refusal();
}

#[tokio::test]
async fn tls_12_is_for_the_public_listener_only() {
    let authority = authority("Towline CA");
    let mut store = rustls::RootCertStore::empty();
    store.add(authority.cert_der().clone()).unwrap();
    let AgentIdentity { chain, key } = identity_of(&authority, Uuid::now_v7());
    let old = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(store)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let old = Arc::new(old);
    let (_, arrived) = connect(public(&authority), old.clone()).await.agreed();
    assert_eq!(arrived.version, Some(ProtocolVersion::TLSv1_2));
    let reason = connect(listener(&authority), old).await.server_refusal();
    assert!(reason.contains("peer is incompatible"), "{reason}");
}

#[tokio::test]
async fn the_public_listener_speaks_http_2() {
    let authority = authority("Towline CA");
    let mut browser = ClientConfig::clone(&ca_client_config(&trust(&authority)).unwrap());
    browser.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (greeted, _) = connect(public(&authority), Arc::new(browser))
        .await
        .agreed();
    assert_eq!(greeted.protocol.as_deref(), Some("h2"));
}

#[test]
fn configurations_of_mixed_pairs_are_refused() {
    let authority = authority("Towline CA");
    let (one, two) = (server_of(&authority), server_of(&authority));
    let mixed = ServerCertificate {
        key: two.key.clone_key(),
        ..one
    };
    assert!(matches!(
        public_server_config(&mixed),
        Err(PkiError::KeyMismatch)
    ));
    assert!(matches!(
        agent_listener_config(&mixed, &trust(&authority)),
        Err(PkiError::KeyMismatch)
    ));
    let mixed = AgentIdentity {
        key: two.key.clone_key(),
        ..identity_of(&authority, Uuid::now_v7())
    };
    assert!(matches!(
        agent_client_config(&trust(&authority), &mixed, AgentPurpose::Control),
        Err(PkiError::KeyMismatch)
    ));
}

#[test]
fn installing_the_provider_twice_does_nothing() {
    install_provider();
    install_provider();
    assert!(rustls::crypto::CryptoProvider::get_default().is_some());
}
