//! Who a certificate says its holder is.

use chrono::Utc;
use rcgen::{KeyPair, SanType};
use towline_pki::{CertificateDer, PeerIdentity, PeerRefusal};
use uuid::Uuid;

use crate::{
    Judge,
    forge::{blank, client_leaf, dns, uri},
    link::{authority, enrolled, server_of},
};

const NAME: &str = "urn:towline:agent:0192f0c1-2345-7abc-8000-00000000000f";

#[test]
fn an_agents_leaf_names_its_agent() {
    let agent = Uuid::now_v7();
    let (_, leaf) = enrolled(&authority("Towline CA"), agent, Utc::now());
    assert_eq!(PeerIdentity::from_leaf(&leaf.der).unwrap().agent, agent);
}

#[test]
fn exactly_one_name_of_one_form_is_an_agents() {
    type R = PeerRefusal;
    let server = server_of(&authority("Towline CA")).chain.remove(0);
    let mut no_usage = blank();
    no_usage.subject_alt_names = vec![uri(NAME)];
    let no_usage = no_usage
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .into();
    let table: Vec<(&str, CertificateDer<'static>, Judge<R>)> = vec![
        ("no name", client_leaf(&[]), |r| {
            matches!(r, R::NameCount(0))
        }),
        (
            "the same name twice",
            client_leaf(&[uri(NAME), uri(NAME)]),
            |r| matches!(r, R::NameCount(2)),
        ),
        (
            "a DNS name besides",
            client_leaf(&[uri(NAME), dns("a.example")]),
            |r| matches!(r, R::NameCount(2)),
        ),
        ("the name as a DNS name", client_leaf(&[dns(NAME)]), |r| {
            matches!(r, R::NotAnAgent)
        }),
        (
            "an e-mail address",
            client_leaf(&[SanType::Rfc822Name("a@b.example".try_into().unwrap())]),
            |r| matches!(r, R::NotAnAgent),
        ),
        (
            "another URN",
            client_leaf(&[uri("urn:towline:user:0192f0c1-2345-7abc-8000-00000000000f")]),
            |r| matches!(r, R::NotAnAgent),
        ),
        ("no id", client_leaf(&[uri("urn:towline:agent:")]), |r| {
            matches!(r, R::NotAnAgent)
        }),
        (
            "capitals",
            client_leaf(&[uri(&NAME.replace("abc", "ABC"))]),
            |r| matches!(r, R::NotAnAgent),
        ),
        (
            "braces",
            client_leaf(&[uri(
                "urn:towline:agent:{0192f0c1-2345-7abc-8000-00000000000f}",
            )]),
            |r| matches!(r, R::NotAnAgent),
        ),
        (
            "a tail",
            client_leaf(&[uri(&format!("{NAME}/admin"))]),
            |r| matches!(r, R::NotAnAgent),
        ),
        ("no client authentication", no_usage, |r| {
            matches!(r, R::NotForClients)
        }),
        ("a listener's leaf", server, |r| {
            matches!(r, R::NameCount(2))
        }),
        (
            "garbage",
            CertificateDer::from(vec![0x30, 3, 1, 2, 3]),
            |r| matches!(r, R::Unreadable(_)),
        ),
    ];
    assert!(
        PeerIdentity::from_leaf(&client_leaf(&[uri(NAME)])).is_ok(),
        "the table's measure"
    );
    for (what, leaf, expected) in table {
        let refusal = PeerIdentity::from_leaf(&leaf).expect_err(what);
        assert!(expected(&refusal), "{what}: {refusal:?}");
    }
}
