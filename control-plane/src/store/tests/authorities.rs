//! The certificate authority and its rotation.

use towline_pki::{PeerIdentity, Rotation};

use super::world::{World, on_both, pem};
use crate::ops;
use crate::store::db::{all, execute};
use crate::store::{Retirement, StoreError};

on_both!(
    the_authority_is_made_once_and_sealed,
    a_rotation_overlaps,
    a_rotation_waits_for_those_who_sleep,
);

async fn the_authority_is_made_once_and_sealed(world: &World) {
    let before = world.store.server_authority().await.unwrap().fingerprint();
    world.store.ensure_authority().await.unwrap();
    assert_eq!(
        world.store.server_authority().await.unwrap().fingerprint(),
        before
    );
    let mut reader = world.store.main().read().await.unwrap();
    let rows = all!(
        reader.conn(),
        (Vec<u8>,),
        "SELECT key_encrypted FROM authorities"
    )
    .unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].0.windows(11).any(|part| part == b"PRIVATE KEY"));
}

async fn a_rotation_overlaps(world: &World) {
    let store = &world.store;
    let old = store.server_authority().await.unwrap().fingerprint();
    let host = world.host("shop").await;
    assert!(matches!(
        store.retire_authority(Retirement::WhenUnused).await,
        Err(StoreError::Conflict { .. })
    ));

    let rotation = store.introduce_authority().await.unwrap();
    assert!(matches!(rotation, Rotation::Overlap { .. }));
    assert_eq!(store.rotation().await.unwrap(), rotation);
    let new = store.agent_authority().await.unwrap().fingerprint();
    assert_ne!(new, old);
    assert_eq!(
        store.server_authority().await.unwrap().fingerprint(),
        old,
        "old agents know the old root only"
    );
    assert_eq!(
        store.trust_roots().await.unwrap().fingerprints(),
        [old, new]
    );
    assert!(matches!(
        store.introduce_authority().await,
        Err(StoreError::Conflict { .. })
    ));

    let refused = store.retire_authority(Retirement::WhenUnused).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "an agent lives by it"
    );
    let [dependent] = &store.dependents(10).await.unwrap()[..] else {
        panic!("one agent lives by it")
    };
    assert_eq!(
        (dependent.agent.as_str(), dependent.team.as_str()),
        ("shop", "Anna")
    );
    assert_eq!(dependent.certificate_ends, host.peer.not_after);
    let renewed = ops::renew_live(store, &host.peer, &host.key.csr_der().unwrap())
        .await
        .unwrap();
    assert_eq!(renewed.roots.matches("BEGIN CERTIFICATE").count(), 2);
    PeerIdentity::from_leaf(&pem(&renewed.certificate)).unwrap();
    assert_eq!(
        store.dependents(10).await.unwrap().len(),
        1,
        "the new certificate may be lost on its way"
    );
    store.retire_authority(Retirement::Forced).await.unwrap();
    assert_eq!(store.dependents(10).await.unwrap(), []);
    assert_eq!(store.trust_roots().await.unwrap().fingerprints(), [new]);
    assert_eq!(store.server_authority().await.unwrap().fingerprint(), new);
}

async fn a_rotation_waits_for_those_who_sleep(world: &World) {
    let store = &world.store;
    let (host, gone) = (world.host("sleeper").await, world.host("gone").await);
    store.introduce_authority().await.unwrap();
    // Both certificates have ended yesterday, and one agent does not come back.
    let mut tx = store.main().begin().await.unwrap();
    let yesterday = tx.now().await.unwrap() - chrono::TimeDelta::days(1);
    execute!(
        tx.conn(),
        "UPDATE certificates SET not_after = $1",
        yesterday
    )
    .unwrap();
    tx.commit().await.unwrap();
    ops::revoke(store, &world.tenant, gone.id).await.unwrap();
    let dependents = store.dependents(10).await.unwrap();
    assert_eq!(dependents.len(), 1, "{dependents:?}");
    let refused = store.retire_authority(Retirement::WhenUnused).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "it may still renew"
    );

    ops::renew_live(store, &host.peer, &host.key.csr_der().unwrap())
        .await
        .unwrap();
    assert_eq!(store.dependents(10).await.unwrap(), []);
    store
        .retire_authority(Retirement::WhenUnused)
        .await
        .unwrap();
}
