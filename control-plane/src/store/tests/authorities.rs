//! The certificate authority and its rotation.

use towline_pki::{PeerIdentity, Rotation};

use super::world::{World, on_both, pem};
use crate::ops;
use crate::store::db::all;
use crate::store::{Retirement, StoreError};

on_both!(the_authority_is_made_once_and_sealed, a_rotation_overlaps);

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
    let renewed = ops::renew_live(store, &host.peer, &host.key.csr_der().unwrap())
        .await
        .unwrap();
    assert_eq!(renewed.roots.matches("BEGIN CERTIFICATE").count(), 2);
    PeerIdentity::from_leaf(&pem(&renewed.certificate)).unwrap();
    store.retire_authority(Retirement::Forced).await.unwrap();
    assert_eq!(store.trust_roots().await.unwrap().fingerprints(), [new]);
    assert_eq!(store.server_authority().await.unwrap().fingerprint(), new);
}
