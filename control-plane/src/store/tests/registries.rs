//! Registries that teams log in to, and what jobs are told and given of them.

use futures_util::future::join_all;
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{Held, HeldPhase, Hello, Offer, SecretsNeed, Verdict};
use towline_shared::spec::{PinnedImage, PushTo, REGISTRY_PASSWORD, RegistryLogin, Work};

use super::world::{World, deployment, finished, hello, on_both};
use crate::domain::registry::{ImageRepository, MAX_REGISTRIES, RegistryHost};
use crate::egress::Egress;
use crate::ops::{self, NewDeployment};
use crate::store::{NewRegistry, Page, Registry, Resource, StoreError};

on_both!(
    a_team_has_its_registries_and_no_other_sees_them,
    a_job_is_given_the_team_s_logins_and_their_passwords_of_now,
    a_registry_stays_while_a_project_pushes_to_it,
    who_runs_what_was_built_elsewhere_is_told_its_digests,
);

const RACERS: usize = 16;

fn new(registry: &str, password: &str) -> NewRegistry {
    NewRegistry {
        registry: RegistryHost::parse(registry).unwrap(),
        user: "ada".to_owned(),
        password: password.to_owned().into(),
        note: "pulls".to_owned(),
    }
}

/// A registry of the world's team.
pub(super) async fn added(world: &World, registry: &str) -> Registry {
    let new = new(registry, "a password");
    let made = world.store.add_registry(&world.tenant, &new);
    made.await.unwrap()
}

fn absent(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound(Resource::Registry))
}

async fn a_team_has_its_registries_and_no_other_sees_them(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let tried = join_all((0..RACERS).map(|_| {
        let (store, tenant) = (store.clone(), tenant.clone());
        async move { store.add_registry(&tenant, &new("ghcr.io", "pass")).await }
    }))
    .await;
    let made: Vec<_> = tried.into_iter().filter_map(Result::ok).collect();
    assert_eq!(made.len(), 1, "a team has one login of each");
    let one = &made[0];
    assert_eq!((one.user.as_str(), one.projects), ("ada", 0));
    assert_eq!(one.added_by.as_ref().unwrap().id, tenant.user().uuid());

    let stranger = world.stranger().await;
    assert!(absent(
        &store.registry(&stranger, one.id).await.unwrap_err()
    ));
    let theirs = store.set_registry_password(&stranger, one.id, "theirs");
    assert!(absent(&theirs.await.unwrap_err()));
    let theirs = store.remove_registry(&stranger, one.id).await;
    assert!(absent(&theirs.unwrap_err()));
    let listed = store.list_registries(&stranger, Page::default()).await;
    assert!(listed.unwrap().items.is_empty());
    let theirs = store.add_registry(&stranger, &new("ghcr.io", "pass")).await;
    theirs.expect("each team has its own");

    for number in 1..MAX_REGISTRIES {
        added(world, &format!("registry-{number}.example.com")).await;
    }
    let full = store.add_registry(tenant, &new("quay.io", "pass")).await;
    assert!(matches!(full, Err(StoreError::Conflict { .. })), "{full:?}");
    store.remove_registry(tenant, one.id).await.unwrap();
    assert!(absent(&store.registry(tenant, one.id).await.unwrap_err()));
    added(world, "quay.io").await;
}

/// What a job is told of registries, and given.
fn told(offer: &Offer) -> (Vec<RegistryLogin>, Vec<(String, String)>, Option<PushTo>) {
    let (_, terms) = offer.spec.open().unwrap().split();
    let secrets = offer.secrets.iter();
    let given = secrets.filter(|secret| secret.name.starts_with(REGISTRY_PASSWORD));
    let given = given.map(|secret| (secret.name.clone(), secret.value.clone()));
    let logins = terms.registries().cloned().collect();
    (logins, given.collect(), terms.push().cloned())
}

async fn a_job_is_given_the_team_s_logins_and_their_passwords_of_now(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let stranger = world.stranger().await;
    let theirs = new("theirs.example.com", "theirs");
    store.add_registry(&stranger, &theirs).await.unwrap();
    world.deploy(&project, &host).await;
    let offer = world.claim(&host).await;
    let plain = offer.spec.open().unwrap().work;
    assert!(matches!(plain, Work::Deploy(_)), "in words of older agents");
    assert_eq!(told(&offer), (vec![], vec![], None));
    let end = finished(offer.attempt, super::world::succeeded());
    store.accepted(host.id, offer.attempt).await.unwrap();
    store.started(host.id, offer.attempt).await.unwrap();
    store.finished(host.id, &end).await.unwrap();

    let ghcr = added(world, "ghcr.io").await;
    let quay = added(world, "quay.io").await;
    let repository = ImageRepository::parse("ghcr.io/acme/web").unwrap();
    let set = store.set_project_registry(tenant, project.id, Some(&repository));
    assert_eq!(set.await.unwrap().unwrap().registry_id, ghcr.id);
    world.deploy(&project, &host).await;
    // What is replaced and removed until the job is offered counts already; what comes later, no more.
    let changed = store.set_registry_password(tenant, ghcr.id, "of now");
    changed.await.unwrap();
    store.remove_registry(tenant, quay.id).await.unwrap();
    added(world, "late.example.com").await;
    let offer = world.claim(&host).await;
    let (logins, given, push) = told(&offer);
    let hosts: Vec<_> = logins.iter().map(|login| login.registry.as_str()).collect();
    assert_eq!(hosts, ["ghcr.io", "quay.io"]);
    assert!(logins.iter().all(|login| login.user == "ada"));
    assert_eq!(given, [(logins[0].secret.clone(), "of now".to_owned())]);
    assert_eq!(push.unwrap().repository, "ghcr.io/acme/web");

    // An agent that was started again in the middle needs it once more.
    store.accepted(host.id, offer.attempt).await.unwrap();
    store.started(host.id, offer.attempt).await.unwrap();
    let held = Held {
        attempt: offer.attempt,
        phase: HeldPhase::Running,
        secrets: SecretsNeed::Lost,
        log_from: towline_shared::log::LogPosition::default(),
    };
    let again = Hello {
        held: vec![held],
        ..hello()
    };
    let verdicts = store.hello(host.id, &again).await.unwrap();
    let [(_, Verdict::Continue { secrets, .. })] = verdicts.as_slice() else {
        panic!("{verdicts:?}")
    };
    assert_eq!(*secrets, offer.secrets);
}

async fn a_registry_stays_while_a_project_pushes_to_it(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let project = world.project("web").await;
    let repository = ImageRepository::parse("ghcr.io/acme/web").unwrap();
    let set = || store.set_project_registry(tenant, project.id, Some(&repository));
    let unknown = set().await.unwrap_err();
    assert!(
        matches!(
            &unknown,
            StoreError::Invalid {
                field: "repository",
                ..
            }
        ),
        "{unknown}"
    );
    let one = added(world, "ghcr.io").await;
    // Whichever comes first, a project never pushes by a login that is gone.
    let (set_now, removed) = tokio::join!(set(), store.remove_registry(tenant, one.id));
    assert_ne!(set_now.is_ok(), removed.is_ok(), "{set_now:?} {removed:?}");
    let one = match removed {
        Ok(()) => {
            let one = added(world, "ghcr.io").await;
            set().await.unwrap();
            one
        }
        Err(_) => one,
    };
    assert_eq!(store.registry(tenant, one.id).await.unwrap().projects, 1);
    let removed = store.remove_registry(tenant, one.id).await;
    assert!(matches!(removed, Err(StoreError::Conflict { .. })));
    let stranger = world.stranger().await;
    let theirs = store
        .set_project_registry(&stranger, project.id, None)
        .await;
    assert!(matches!(
        theirs,
        Err(StoreError::NotFound(Resource::Project))
    ));
    let none = store.set_project_registry(tenant, project.id, None).await;
    assert_eq!(none.unwrap(), None);
    assert_eq!(
        store.project_registry(tenant, project.id).await.unwrap(),
        None
    );
    store.remove_registry(tenant, one.id).await.unwrap();
}

async fn who_runs_what_was_built_elsewhere_is_told_its_digests(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let project = world.project("web").await;
    let compose = "services:\n  web:\n    build: .\n";
    world.upload(project.id, compose).await;
    let (builder, target) = (world.host("builder").await, world.host("target").await);
    super::builds_elsewhere::builds(world, &builder).await;
    added(world, "ghcr.io").await;
    let repository = ImageRepository::parse("ghcr.io/acme/web").unwrap();
    let set = store.set_project_registry(tenant, project.id, Some(&repository));
    set.await.unwrap();
    let wish = NewDeployment {
        build_on: Some("builder".to_owned()),
        ..deployment(&project, &target)
    };
    let asked = ops::deploy(store, &Egress::closed(), tenant, wish, None).await;
    let asked = asked.unwrap();
    let image = |digests: &[&str]| PinnedImage {
        service: "web".to_owned(),
        reference: "web-web".to_owned(),
        id: "sha256:1".to_owned(),
        digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
    };
    let digest = "ghcr.io/acme/web/web@sha256:2";
    for (host, digests, pushes) in [(&builder, &[digest][..], true), (&target, &[], false)] {
        let offer = world.claim(host).await;
        assert_eq!(told(&offer).2.is_some(), pushes, "the builder alone pushes");
        store.accepted(host.id, offer.attempt).await.unwrap();
        store.started(host.id, offer.attempt).await.unwrap();
        let images = vec![image(digests)];
        let end = finished(offer.attempt, Outcome::Ran { images });
        store.finished(host.id, &end).await.unwrap();
    }
    assert_eq!(world.show(&asked).await.images[0].digests, [digest]);
}
