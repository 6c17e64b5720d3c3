//! Keys by which repositories are read over ssh: one for each address of a project, for nobody else, and not for ever.

use futures_util::future::join_all;
use towline_shared::ids::ProjectId;

use super::world::{World, on_both};
use crate::store::{DeployKey, Former, NewDeployKey, NewSource, StoreError};

on_both!(
    those_who_race_for_a_key_get_the_same_one,
    a_key_is_replaced_and_a_servers_keys_are_accepted,
    keys_go_when_they_are_not_needed,
    another_team_finds_no_key,
);

fn url(name: &str) -> String {
    format!("ssh://git@example.org/{name}.git")
}

fn key(name: &str, half: &str) -> NewDeployKey {
    NewDeployKey {
        url: url(name),
        public_key: format!("ssh-ed25519 {half} towline"),
        private_key: half.to_owned().into(),
        host_keys: vec!["example.org ssh-ed25519 AAAA".to_owned()],
        installed: None,
    }
}

async fn keep(world: &World, project: ProjectId, new: NewDeployKey, former: Former) -> DeployKey {
    let kept = (world.store).keep_deploy_key(&world.tenant, project, new, former);
    kept.await.unwrap().key
}

/// Both halves, if they are there; those of one key.
async fn whole(world: &World, project: ProjectId, name: &str) -> Option<String> {
    let url = url(name);
    let found = (world.store).whole_deploy_key(&world.tenant, project, &url);
    let found = found.await.unwrap()?;
    let half = found.private.as_str().to_owned();
    assert_eq!(
        found.public.public_key,
        format!("ssh-ed25519 {half} towline")
    );
    Some(half)
}

async fn come_from(world: &World, project: ProjectId, name: &str) {
    let new = NewSource {
        url: url(name),
        branch: None,
        folder: String::new(),
        submodules: crate::domain::repository::Submodules::Leave,
        login: None,
        commit: "a".repeat(40),
        title: "Open the shop".to_owned(),
        integration: None,
    };
    let set = world.store.set_source(&world.tenant, project, new);
    set.await.unwrap();
}

async fn those_who_race_for_a_key_get_the_same_one(world: &World) {
    let project = world.project("web").await.id;
    let halves: Vec<String> = (0..8).map(|number| format!("half-{number}")).collect();
    let racers = halves
        .iter()
        .map(|half| keep(world, project, key("shop", half), Former::Kept));
    let kept = join_all(racers).await;
    assert!(kept.iter().all(|one| *one == kept[0]), "{kept:?}");
    let half = whole(world, project, "shop").await.unwrap();
    assert!(kept[0].public_key.contains(&half));
}

async fn a_key_is_replaced_and_a_servers_keys_are_accepted(world: &World) {
    let project = world.project("web").await.id;
    let other = vec!["example.org ssh-rsa AAAA".to_owned()];
    let accept = || (world.store).accept_host_keys(&world.tenant, project, "ssh://x", &other);
    assert!(matches!(accept().await, Err(StoreError::NotFound(_))));
    keep(world, project, key("shop", "one"), Former::Kept).await;
    keep(world, project, key("shop", "two"), Former::Kept).await;
    assert_eq!(whole(world, project, "shop").await.as_deref(), Some("one"));
    keep(world, project, key("shop", "two"), Former::Replaced).await;
    assert_eq!(whole(world, project, "shop").await.as_deref(), Some("two"));
    let url = url("shop");
    let accepted = (world.store).accept_host_keys(&world.tenant, project, &url, &other);
    assert_eq!(accepted.await.unwrap().host_keys, other);
    assert_eq!(whole(world, project, "shop").await.as_deref(), Some("two"));
}

async fn keys_go_when_they_are_not_needed(world: &World) {
    let project = world.project("web").await.id;
    keep(world, project, key("shop", "shop"), Former::Kept).await;
    come_from(world, project, "shop").await;
    let names = ["one", "two", "three", "four", "five"];
    for name in names {
        keep(world, project, key(name, name), Former::Kept).await;
    }
    assert_eq!(
        whole(world, project, "one").await,
        None,
        "it was the oldest"
    );
    assert!(whole(world, project, "two").await.is_some());
    let shown = world.store.shown_deploy_key(&world.tenant, project);
    assert_eq!(shown.await.unwrap().unwrap().url, url("shop"));
    come_from(world, project, "two").await;
    for name in ["shop", "three", "four", "five"] {
        assert_eq!(whole(world, project, name).await, None, "{name}");
    }
    assert_eq!(whole(world, project, "two").await.as_deref(), Some("two"));
    world
        .store
        .forget_source(&world.tenant, project)
        .await
        .unwrap();
    assert_eq!(whole(world, project, "two").await, None);
}

async fn another_team_finds_no_key(world: &World) {
    let project = world.project("web").await.id;
    keep(world, project, key("shop", "one"), Former::Kept).await;
    let (store, eve, url) = (&world.store, world.stranger().await, url("shop"));
    let shown = store.shown_deploy_key(&eve, project).await.unwrap();
    assert_eq!(shown, None);
    let whole = store.whole_deploy_key(&eve, project, &url).await.unwrap();
    assert!(whole.is_none());
    let new = key("shop", "two");
    let kept = store.keep_deploy_key(&eve, project, new, Former::Replaced);
    assert!(matches!(kept.await, Err(StoreError::NotFound(_))));
    let accepted = store.accept_host_keys(&eve, project, &url, &[]);
    assert!(matches!(accepted.await, Err(StoreError::NotFound(_))));
    let mine = self::whole(world, project, "shop").await;
    assert_eq!(mine.as_deref(), Some("one"));
}
