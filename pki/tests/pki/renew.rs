//! When to renew, and how to come back after a long sleep.

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::KeyPair;
use towline_pki::{
    AgentKey, PeerIdentity, Serial, TrustRoots,
    renew::{EXPIRED_RENEWAL_WINDOW, RenewRefusal, expired_renewal, renew_at},
};
use uuid::Uuid;

use crate::{
    Judge,
    forge::{client_leaf, signed_with, uri},
    link::{authority, enrolled, request, server_of, trust},
};

#[test]
fn renewal_comes_at_half_life_give_or_take_a_tenth() {
    let start = DateTime::UNIX_EPOCH;
    let end = start + TimeDelta::hours(1000);
    for (jitter, hours) in [
        (0.0, 450),
        (0.5, 500),
        (1.0, 550),
        (-3.0, 450),
        (7.0, 550),
        (f64::NAN, 500),
        (f64::INFINITY, 550),
    ] {
        let at = renew_at(start, end, jitter);
        let off = (at - start - TimeDelta::hours(hours)).abs();
        assert!(off < TimeDelta::seconds(1), "jitter {jitter}: {at}");
    }
    assert_eq!(renew_at(end, start, 0.5), end, "no lifetime left: at once");
}

#[test]
fn an_agent_that_slept_comes_back_by_its_key() {
    let authority = authority("Towline CA");
    let agent = Uuid::now_v7();
    let now = Utc::now();
    let (key, leaf) = enrolled(&authority, agent, now - TimeDelta::days(20));
    let peer: PeerIdentity =
        expired_renewal(&leaf.der, &request(&key), &trust(&authority), now).unwrap();
    let serial: &Serial = &peer.serial;
    assert_eq!((peer.agent, serial), (agent, &leaf.serial));
}

#[test]
fn both_roots_of_a_rotation_let_a_sleeper_back() {
    let (old, new) = (authority("Towline CA"), authority("Towline CA"));
    let now = Utc::now();
    let (key, leaf) = enrolled(&old, Uuid::now_v7(), now - TimeDelta::days(20));
    let csr = request(&key);
    let overlap = TrustRoots::overlap(old.root().clone(), new.root().clone());
    assert!(expired_renewal(&leaf.der, &csr, &overlap, now).is_ok());
    let refusal = expired_renewal(&leaf.der, &csr, &trust(&new), now).unwrap_err();
    assert!(
        matches!(refusal, RenewRefusal::ForeignIssuer),
        "{refusal:?}"
    );
}

#[test]
fn each_reason_to_refuse_is_told_apart() {
    type R = RenewRefusal;
    let (ours, theirs) = (authority("Towline CA"), authority("Towline CA"));
    let roots = trust(&ours);
    let now = Utc::now();
    let agent = Uuid::now_v7();
    let (key, leaf) = enrolled(&ours, agent, now - TimeDelta::days(20));
    let csr = request(&key);
    let end = leaf.not_after;
    let (foreign_key, foreign) = enrolled(&theirs, agent, now - TimeDelta::days(20));
    let own_make = client_leaf(&[uri(&format!("urn:towline:agent:{agent}"))]);
    let server = server_of(&ours).chain.remove(0);
    let minted_by_agent = signed_with(
        &leaf.der,
        &key.key_pem(),
        &format!("urn:towline:agent:{}", Uuid::now_v7()),
        &KeyPair::from_pem(&foreign_key.key_pem()).unwrap(),
        now,
    );
    let second = TimeDelta::seconds(1);
    let table: Vec<(&str, _, _, DateTime<Utc>, Judge<R>)> = vec![
        ("still valid", &leaf.der, &csr, end, |r| {
            matches!(r, R::StillValid { .. })
        }),
        (
            "a day too late",
            &leaf.der,
            &csr,
            end + EXPIRED_RENEWAL_WINDOW + second,
            |r| matches!(r, R::TooLate { .. }),
        ),
        (
            "a clock before its issue",
            &leaf.der,
            &csr,
            leaf.not_before - second,
            |r| matches!(r, R::StillValid { .. }),
        ),
        ("another authority", &foreign.der, &csr, now, |r| {
            matches!(r, R::ForeignIssuer)
        }),
        ("signed by itself", &own_make, &csr, now, |r| {
            matches!(r, R::ForeignIssuer)
        }),
        ("signed by an agent", &minted_by_agent, &csr, now, |r| {
            matches!(r, R::ForeignIssuer)
        }),
        ("a listener's leaf", &server, &csr, now, |r| {
            matches!(r, R::NotAnAgent(_))
        }),
    ];
    for (what, leaf, csr, now, expected) in table {
        let refusal = expired_renewal(leaf, csr, &roots, now).expect_err(what);
        assert!(expected(&refusal), "{what}: {refusal:?}");
    }
    let thief = request(&AgentKey::generate().unwrap());
    let refusal = expired_renewal(&leaf.der, &thief, &roots, now).unwrap_err();
    assert!(matches!(refusal, R::OtherKey), "{refusal:?}");
    for moment in [end + second, end + EXPIRED_RENEWAL_WINDOW] {
        assert!(
            expired_renewal(&leaf.der, &csr, &roots, moment).is_ok(),
            "{moment}"
        );
    }
}
