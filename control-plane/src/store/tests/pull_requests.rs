//! Where generated files are delivered, and where deploy keys are installed.

use futures_util::future::join_all;
use towline_shared::ids::IntegrationId;

use super::integrations::connected;
use super::world::{World, on_both};
use crate::domain::integration::RepositoryPath;
use crate::store::{Former, InstalledKey, NewDeployKey, PullRequest, StoreError};

on_both!(
    those_who_race_deliver_by_one_branch,
    another_team_finds_no_delivery_and_no_installed_key,
    an_installed_key_is_told_when_it_is_replaced,
);

fn on(integration: IntegrationId, branch: &str) -> PullRequest {
    PullRequest {
        integration,
        repository: RepositoryPath::stored("ada/shop".to_owned()),
        branch: branch.to_owned(),
        number: None,
    }
}

async fn those_who_race_deliver_by_one_branch(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (hub, project) = (connected(world, "hub").await, world.project("web").await.id);
    let branches: Vec<_> = (0..8)
        .map(|n| on(hub.id, &format!("towline/web-{n}")))
        .collect();
    let racers = branches
        .iter()
        .map(|new| store.begin_pull_request(tenant, project, None, new));
    let counts: Vec<_> = join_all(racers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(counts.iter().all(|one| *one == counts[0]), "{counts:?}");
    let opened = PullRequest {
        number: Some(7),
        ..counts[0].clone()
    };
    let paths = ["Dockerfile".to_owned()];
    let noted = store.note_pull_request(tenant, project, &opened, &paths);
    noted.await.unwrap();
    let found = store.pull_request(tenant, project).await.unwrap();
    assert_eq!(found.as_ref(), Some(&opened));
    // Who has not seen that it was opened begins nothing anew; who has, does.
    let next = on(hub.id, "towline/web-next");
    let late = store.begin_pull_request(tenant, project, Some(&counts[0]), &next);
    assert_eq!(late.await.unwrap(), opened);
    let begun = store.begin_pull_request(tenant, project, found.as_ref(), &next);
    assert_eq!(begun.await.unwrap(), next);
    let stale = store.note_pull_request(tenant, project, &opened, &paths);
    assert!(matches!(stale.await, Err(StoreError::Conflict { .. })));
    store.delete_integration(tenant, hub.id).await.unwrap();
    assert_eq!(store.pull_request(tenant, project).await.unwrap(), None);
}

async fn another_team_finds_no_delivery_and_no_installed_key(world: &World) {
    let (store, eve) = (&world.store, world.stranger().await);
    let (hub, project) = (connected(world, "hub").await, world.project("web").await.id);
    let new = on(hub.id, "towline/web");
    let begun = store.begin_pull_request(&world.tenant, project, None, &new);
    begun.await.unwrap();
    assert_eq!(store.pull_request(&eve, project).await.unwrap(), None);
    let begun = store.begin_pull_request(&eve, project, None, &new).await;
    assert!(matches!(begun, Err(StoreError::NotFound(_))));
    let noted = store.note_pull_request(&eve, project, &new, &[]).await;
    assert!(matches!(noted, Err(StoreError::NotFound(_))));
    assert_eq!(store.generated_files(&eve, project).await.unwrap(), []);
    assert_eq!(store.source_integration(&eve, project).await.unwrap(), None);
    assert_eq!(store.integration_sites(&eve).await.unwrap().len(), 0);
    assert_eq!(
        store.integration_sites(&world.tenant).await.unwrap().len(),
        1
    );
    assert_eq!(
        store.installed_deploy_keys(&eve, project).await.unwrap(),
        []
    );
}

async fn an_installed_key_is_told_when_it_is_replaced(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (hub, project) = (connected(world, "hub").await, world.project("web").await.id);
    let key = |half: &str, installed: Option<InstalledKey>| NewDeployKey {
        url: "ssh://git@github.com/ada/shop.git".to_owned(),
        public_key: format!("ssh-ed25519 {half} towline"),
        private_key: half.to_owned().into(),
        host_keys: vec!["github.com ssh-ed25519 AAAA".to_owned()],
        installed,
    };
    let at = |forge_key: &str| InstalledKey {
        integration: hub.id,
        repository: RepositoryPath::stored("ada/shop".to_owned()),
        forge_key: forge_key.to_owned(),
    };
    let keep = async |new| {
        let kept = store.keep_deploy_key(tenant, project, new, Former::Replaced);
        kept.await.unwrap()
    };
    let first = keep(key("one", None)).await;
    assert_eq!((first.key.installed.as_ref(), first.replaced), (None, None));
    let (seven, nine) = (at("7"), at("9"));
    let noted = store.note_installed_key(tenant, project, &first.key, Some(&seven));
    assert_eq!(noted.await.unwrap().installed, Some(at("7")));
    let second = keep(key("two", Some(at("8")))).await;
    assert_eq!(second.key.installed, Some(at("8")));
    assert_eq!(second.replaced.unwrap().installed, Some(at("7")));
    // What was replaced meanwhile is not installed.
    let late = store.note_installed_key(tenant, project, &first.key, Some(&nine));
    assert!(matches!(late.await, Err(StoreError::NotFound(_))));
    let all = store.installed_deploy_keys(tenant, project).await.unwrap();
    assert_eq!(all, [second.key]);
    let used = store.delete_integration(tenant, hub.id).await;
    assert!(matches!(used, Err(StoreError::Conflict { .. })));
}
