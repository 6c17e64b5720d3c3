//! Certificates for the Docker API of one host.

use chrono::{TimeDelta, Utc};
use rustls::pki_types::CertificateDer;
use towline_pki::{
    AgentCsr, AgentIdentity, AgentKey, Authority, DOCKER_CLIENT_LIFETIME, DockerClient, IssuedLeaf,
    PeerIdentity, PeerRefusal,
    tls::{AgentPurpose, agent_client_config, docker_listener_config},
};
use uuid::Uuid;

use crate::link::{authority, connect, identity_of, server_of, trust};

fn issued(authority: &Authority, id: Uuid, lifetime: TimeDelta) -> (AgentKey, IssuedLeaf) {
    let key = AgentKey::generate().unwrap();
    let csr = AgentCsr::parse(key.csr_pem().unwrap().as_bytes()).unwrap();
    let leaf = authority.issue_docker_client(&csr, id, Utc::now(), lifetime);
    (key, leaf.unwrap())
}

#[test]
fn one_is_read_back_and_lasts_for_hours_at_most() {
    let authority = authority("Towline CA");
    let id = Uuid::now_v7();
    for (asked, given) in [
        (TimeDelta::hours(1), TimeDelta::hours(1)),
        (TimeDelta::days(30), DOCKER_CLIENT_LIFETIME),
    ] {
        let (key, leaf) = issued(&authority, id, asked);
        let client = DockerClient::from_leaf(&leaf.der).unwrap();
        assert_eq!(
            (client.certificate, client.serial, client.spki),
            (id, leaf.serial, key.spki())
        );
        let left = client.not_after - Utc::now();
        assert!(
            left <= given && left > given - TimeDelta::minutes(1),
            "{left}"
        );
    }
}

#[test]
fn neither_kind_passes_for_the_other() {
    let authority = authority("Towline CA");
    let (_, leaf) = issued(&authority, Uuid::now_v7(), DOCKER_CLIENT_LIFETIME);
    let as_agent = PeerIdentity::from_leaf(&leaf.der);
    assert!(
        matches!(as_agent, Err(PeerRefusal::NotAnAgent)),
        "{as_agent:?}"
    );
    let agent = identity_of(&authority, Uuid::now_v7());
    let as_client = DockerClient::from_leaf(&agent.chain[0]);
    assert!(
        matches!(as_client, Err(PeerRefusal::NotForDocker)),
        "{as_client:?}"
    );
    let server = &server_of(&authority).chain[0];
    assert!(DockerClient::from_leaf(server).is_err());
    assert!(DockerClient::from_leaf(&CertificateDer::from(vec![0x30])).is_err());
}

#[tokio::test]
async fn the_listener_takes_ours_as_long_as_they_last_and_no_others() {
    let ours = authority("Towline CA");
    let past = Authority::generate("Towline CA", Utc::now() - TimeDelta::days(2)).unwrap();
    let stranger = authority("Towline CA");
    let at = |authority: &Authority, now| {
        let key = AgentKey::generate().unwrap();
        let csr = AgentCsr::parse(key.csr_pem().unwrap().as_bytes()).unwrap();
        let hours = DOCKER_CLIENT_LIFETIME;
        let leaf = authority.issue_docker_client(&csr, Uuid::now_v7(), now, hours);
        AgentIdentity::new(&leaf.unwrap().pem, &key).unwrap()
    };
    for (root, identity, refusal) in [
        (&ours, at(&ours, Utc::now()), None),
        (
            &past,
            at(&past, Utc::now() - TimeDelta::days(1)),
            Some("expired"),
        ),
        (
            &ours,
            at(&stranger, Utc::now()),
            Some("invalid peer certificate"),
        ),
    ] {
        let listener = docker_listener_config(&server_of(root), &trust(root)).unwrap();
        let client = agent_client_config(&trust(root), &identity, AgentPurpose::Control);
        let outcome = connect(listener, client.unwrap()).await;
        match refusal {
            None => {
                let (greeted, arrived) = outcome.agreed();
                assert_eq!(greeted.protocol.as_deref(), Some("http/1.1"));
                assert_eq!(arrived.tickets, 0);
            }
            Some(reason) => {
                let refused = outcome.server_refusal();
                assert!(refused.contains(reason), "{refused}");
            }
        }
    }
}
