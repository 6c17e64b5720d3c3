//! The first set-up and API keys.

use chrono::{TimeDelta, Utc};

use super::world::{World, on_both};
use crate::domain::access::Reach;
use crate::domain::permission::Role;
use crate::domain::scope::Scopes;
use crate::ops::{self, OpsError};
use crate::store::{Credential, NewApiKey, Page, RateLimits, Resource, StoreError, UserRole};

on_both!(
    a_link_sets_up_once,
    a_key_opens_until_it_is_revoked_or_ends,
    a_key_is_bounded_by_what_it_was_made_for_and_by,
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
        (me.user.email.as_str(), me.user.role, me.role),
        ("anna@example.org", UserRole::Admin, Some(Role::Owner))
    );
    assert_eq!(me.team.id, world.set_up.team.id);
    assert_eq!(me.key.unwrap().id, world.set_up.api_key.about.id);
}

async fn a_key_opens_until_it_is_revoked_or_ends(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let key = store
        .create_api_key(tenant, NewApiKey::named("laptop"))
        .await
        .unwrap();
    assert!(key.key.starts_with(&key.about.prefix));
    assert!(!format!("{key:?}").contains(&key.key));
    let found = store.authenticate(&key.key).await.unwrap().unwrap();
    assert_eq!(
        (found.team(), found.user(), found.credential()),
        (tenant.team(), tenant.user(), Credential::Key(key.about.id))
    );

    store.revoke_api_key(tenant, key.about.id).await.unwrap();
    assert!(store.authenticate(&key.key).await.unwrap().is_none());
    let again = store.revoke_api_key(tenant, key.about.id).await;
    assert!(matches!(again, Err(StoreError::NotFound(Resource::ApiKey))));

    let soon = Utc::now() + TimeDelta::milliseconds(300);
    let brief = store
        .create_api_key(
            tenant,
            NewApiKey {
                expires_at: Some(soon),
                ..NewApiKey::named("brief")
            },
        )
        .await
        .unwrap();
    assert!(store.authenticate(&brief.key).await.unwrap().is_some());
    tokio::time::sleep(std::time::Duration::from_millis(350)).await;
    assert!(store.authenticate(&brief.key).await.unwrap().is_none());
    let past = store
        .create_api_key(
            tenant,
            NewApiKey {
                expires_at: Some(Utc::now() - TimeDelta::days(1)),
                ..NewApiKey::named("past")
            },
        )
        .await;
    assert!(matches!(past, Err(StoreError::Invalid { .. })));
}

async fn a_key_is_bounded_by_what_it_was_made_for_and_by(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (shop, _blog) = (world.project("shop").await, world.project("blog").await);
    let scopes: Scopes = "api-keys:write deployments:write projects:read"
        .parse()
        .unwrap();
    let soon = Utc::now() + TimeDelta::days(3);
    let maker = NewApiKey {
        scopes: scopes.clone(),
        requests_per_minute: Some(70),
        expires_at: Some(soon),
        ..NewApiKey::named("maker")
    };
    let maker = store.create_api_key(tenant, maker).await.unwrap();
    let maker = store.authenticate(&maker.key).await.unwrap().unwrap();
    let limits = |key| RateLimits { key, team: None };
    assert_eq!((maker.scopes(), maker.rates()), (&scopes, limits(Some(70))));

    let more = NewApiKey {
        scopes: "projects:write".parse().unwrap(),
        ..NewApiKey::named("more")
    };
    let all = NewApiKey::named("all");
    for refused in [more, all] {
        let refused = store.create_api_key(&maker, refused).await;
        assert!(
            matches!(refused, Err(StoreError::Forbidden { .. })),
            "{refused:?}"
        );
    }
    let less = NewApiKey {
        scopes: "deployments:read".parse().unwrap(),
        project: Some(&shop),
        requests_per_minute: Some(500),
        ..NewApiKey::named("less")
    };
    let less = store.create_api_key(&maker, less).await.unwrap();
    assert_eq!(
        less.about.expires_at.unwrap().timestamp(),
        soon.timestamp(),
        "it ends with the other"
    );
    let bearer = store.authenticate(&less.key).await.unwrap().unwrap();
    assert_eq!(bearer.rates(), limits(Some(70)));
    assert_eq!(bearer.access().seen(), Reach::Projects(vec![shop.id]));
    let page = Page {
        limit: 9,
        after: None,
    };
    let seen = store.list_projects(&bearer, page).await.unwrap();
    assert_eq!(
        seen.items.iter().map(|one| &one.name).collect::<Vec<_>>(),
        ["shop"]
    );
    let listed = store
        .list_api_keys(tenant, page)
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(
        (listed.project_name.as_deref(), listed.scopes.names()),
        (Some("shop"), vec!["deployments:read".to_owned()])
    );
    assert_eq!(store.me(&bearer).await.unwrap().role, None);

    store.delete_project(tenant, shop.id).await.unwrap();
    assert!(
        store.authenticate(&less.key).await.unwrap().is_none(),
        "it went with its project"
    );
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
            .create_api_key(tenant, NewApiKey::named(&format!("key {number}")))
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
