//! The authority changes while agents stay connected.

use chrono::Utc;
use towline_pki::{
    Authority, Fingerprint, Rotation, RotationEvent, RotationRefusal, ServerCertificate,
    TrustRoots,
    tls::{
        AgentPurpose, LiveServerConfig, agent_client_config, agent_listener_config,
        pinned_client_config,
    },
};
use uuid::Uuid;

use crate::link::{authority, connect, identity_of, server_of, trust};

/// Whichever of the two authorities a rotation names.
fn held(authorities: [&Authority; 2], wanted: Fingerprint) -> &Authority {
    authorities
        .into_iter()
        .find(|one| one.fingerprint() == wanted)
        .unwrap()
}

#[tokio::test]
async fn no_agent_is_lost_while_the_authority_changes() {
    // Same name on purpose: the roots must be told apart by key.
    let (old, new) = (authority("Towline CA"), authority("Towline CA"));
    let both = [&old, &new];
    let certificate = |rotation: &Rotation| -> ServerCertificate {
        server_of(held(both, rotation.server_issuer().fingerprint()))
    };
    let config = |rotation: &Rotation| {
        agent_listener_config(&certificate(rotation), &rotation.trust_roots()).unwrap()
    };

    let before = Rotation::Single(old.root().clone());
    let listener = LiveServerConfig::new(config(&before));
    let sleeper = identity_of(&old, Uuid::now_v7());
    let sleeper = agent_client_config(&trust(&old), &sleeper, AgentPurpose::Control).unwrap();
    connect(listener.current(), sleeper.clone()).await.agreed();

    let overlap = before
        .apply(RotationEvent::Introduce(new.root().clone()))
        .unwrap();
    assert_eq!(overlap.agent_issuer(), new.root());
    listener.replace(config(&overlap));
    connect(listener.current(), sleeper.clone()).await.agreed();
    let agent = Uuid::now_v7();
    let renewed = identity_of(held(both, overlap.agent_issuer().fingerprint()), agent);
    let renewed =
        agent_client_config(&overlap.trust_roots(), &renewed, AgentPurpose::Control).unwrap();
    let (greeted, _) = connect(listener.current(), renewed.clone()).await.agreed();
    assert_eq!(greeted.peer.unwrap().agent, agent);
    let pin = pinned_client_config(overlap.server_issuer().fingerprint()).unwrap();
    let public = towline_pki::tls::public_server_config(&certificate(&overlap)).unwrap();
    connect(public, pin).await.agreed();

    let after = overlap
        .apply(RotationEvent::Retire { live_leaves: 0 })
        .unwrap();
    listener.replace(config(&after));
    connect(listener.current(), renewed).await.agreed();
    // The sleeper does not even trust the listener now; and one who does is refused for its leaf.
    connect(listener.current(), sleeper).await.client_refusal();
    let late = identity_of(&old, Uuid::now_v7());
    let late = agent_client_config(&overlap.trust_roots(), &late, AgentPurpose::Control).unwrap();
    let reason = connect(listener.current(), late).await.server_refusal();
    assert!(reason.contains("invalid peer certificate"), "{reason}");
}

#[test]
fn every_state_answers_every_event() {
    let [a, b, c] = ["A", "B", "C"].map(|name| {
        Authority::generate(name, Utc::now())
            .unwrap()
            .root()
            .clone()
    });
    let single = Rotation::Single(a.clone());
    let overlap = Rotation::Overlap {
        old: a.clone(),
        new: b.clone(),
    };
    let done = Rotation::Single(b.clone());
    let under_way = RotationRefusal::UnderWay {
        from: a.fingerprint(),
        to: b.fingerprint(),
    };
    let still_live = RotationRefusal::OldStillLive {
        old: a.fingerprint(),
        live_leaves: 3,
    };
    let table = [
        (
            &single,
            RotationEvent::Introduce(b.clone()),
            Ok(overlap.clone()),
        ),
        (
            &single,
            RotationEvent::Introduce(a.clone()),
            Err(RotationRefusal::SameRoot(a.fingerprint())),
        ),
        (
            &single,
            RotationEvent::Retire { live_leaves: 0 },
            Err(RotationRefusal::NotUnderWay),
        ),
        (
            &single,
            RotationEvent::ForceRetire,
            Err(RotationRefusal::NotUnderWay),
        ),
        (&overlap, RotationEvent::Introduce(c), Err(under_way)),
        (
            &overlap,
            RotationEvent::Retire { live_leaves: 3 },
            Err(still_live),
        ),
        (
            &overlap,
            RotationEvent::Retire { live_leaves: 0 },
            Ok(done.clone()),
        ),
        (&overlap, RotationEvent::ForceRetire, Ok(done)),
    ];
    for (state, event, expected) in table {
        assert_eq!(state.apply(event.clone()), expected, "{event:?}");
    }
    assert_eq!(single.trust_roots(), TrustRoots::single(a.clone()));
    assert_eq!(
        overlap.trust_roots(),
        TrustRoots::overlap(a.clone(), b.clone())
    );
    assert_eq!((overlap.server_issuer(), overlap.agent_issuer()), (&a, &b));
}
