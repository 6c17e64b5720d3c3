//! The first set-up and API keys.

use chrono::{TimeDelta, Utc};

use super::world::{World, on_both};
use crate::domain::permission::Role;
use crate::ops::{self, OpsError};
use crate::store::{Credential, Page, Resource, StoreError};

on_both!(
    a_link_sets_up_once,
    a_key_opens_until_it_is_revoked_or_ends,
    odd_keys_open_nothing,
    pages_follow_each_other
);

async fn a_link_sets_up_once(world: &World) {
    let store = &world.store;
    assert!(
        store.ensure_setup_link().await.unwrap().is_none(),
        "it is set up"
    );
    let again = ops::complete_setup(store, "twls_guess", "eve@example.org", "Eve", None).await;
    assert!(matches!(again, Err(OpsError::SetUpDone)));
    let invalid = ops::complete_setup(store, "twls_guess", "not an address", "Eve", None).await;
    assert!(matches!(
        invalid,
        Err(OpsError::Store(StoreError::Invalid { field: "email", .. }))
    ));

    let me = store.me(&world.tenant).await.unwrap();
    assert_eq!(
        (me.user.email.as_str(), me.user.role.as_str(), me.role),
        ("anna@example.org", "admin", Role::Owner)
    );
    assert_eq!(me.team.id, world.set_up.team.id);
    assert_eq!(me.key.unwrap().id, world.set_up.api_key.id);
}

async fn a_key_opens_until_it_is_revoked_or_ends(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let key = store.create_api_key(tenant, "laptop", None).await.unwrap();
    assert!(key.key.starts_with(&key.prefix));
    assert!(!format!("{key:?}").contains(&key.key));
    let found = store.authenticate(&key.key).await.unwrap().unwrap();
    assert_eq!(
        (found.team(), found.user(), found.credential()),
        (tenant.team(), tenant.user(), Credential::Key(key.id))
    );

    store.revoke_api_key(tenant, key.id).await.unwrap();
    assert!(store.authenticate(&key.key).await.unwrap().is_none());
    let again = store.revoke_api_key(tenant, key.id).await;
    assert!(matches!(again, Err(StoreError::NotFound(Resource::ApiKey))));

    let soon = Utc::now() + TimeDelta::milliseconds(300);
    let brief = store
        .create_api_key(tenant, "brief", Some(soon))
        .await
        .unwrap();
    assert!(store.authenticate(&brief.key).await.unwrap().is_some());
    tokio::time::sleep(std::time::Duration::from_millis(350)).await;
    assert!(store.authenticate(&brief.key).await.unwrap().is_none());
    let past = store
        .create_api_key(tenant, "past", Some(Utc::now() - TimeDelta::days(1)))
        .await;
    assert!(matches!(past, Err(StoreError::Invalid { .. })));
}

async fn odd_keys_open_nothing(world: &World) {
    let real = &world.set_up.api_key.key;
    let cut = &real[..real.len() - 1];
    for key in [
        "",
        "twlk_",
        cut,
        &format!("{real}x"),
        &real.to_uppercase(),
        &"twlk_".repeat(1000),
    ] {
        assert!(
            world.store.authenticate(key).await.unwrap().is_none(),
            "{key:.20}"
        );
    }
}

async fn pages_follow_each_other(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    for number in 0..4 {
        store
            .create_api_key(tenant, &format!("key {number}"), None)
            .await
            .unwrap();
    }
    let mut names = Vec::new();
    let mut page = Page {
        limit: 2,
        after: None,
    };
    loop {
        let listed = store.list_api_keys(tenant, page).await.unwrap();
        assert!(listed.items.len() <= 2);
        names.extend(listed.items.into_iter().map(|key| key.name));
        match listed.next_cursor {
            Some(cursor) => page.after = Some(cursor),
            None => break,
        }
    }
    assert_eq!(names, ["key 3", "key 2", "key 1", "key 0", "first key"]);
}
