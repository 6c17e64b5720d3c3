//! Deployments that wait for what another host builds.

use towline_shared::ids::{AgentId, TeamId};
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::policy::Permission;
use towline_shared::protocol::v1::{Attempt, Progress};
use towline_shared::relay::{Digest, Image, Images};
use towline_shared::spec::Work;

use super::world::{Host, World, deployment, finished, hello, on_both, succeeded};
use crate::domain::secrets::{SecretName, SecretScope};
use crate::egress::Egress;
use crate::job::JobState;
use crate::ops::{self, NewDeployment, OpsError};
use crate::store::{Deployment, DeploymentFilter, DeploymentKind, Page, Project};

on_both!(
    a_deployment_begins_when_its_build_has_ended,
    a_build_that_fails_fails_who_waits_for_it,
    who_cancels_a_deployment_cancels_its_build,
    deployments_of_a_project_keep_their_order,
    builders_and_runners_reach_their_own_images_alone,
    a_build_is_given_its_own_secrets_and_the_names_of_others,
    the_idlest_host_of_a_label_builds,
    hosts_that_build_and_serve_are_warned_of,
    hosts_that_cannot_build_are_refused
);

const PAGE: Page = Page {
    limit: 10,
    after: None,
};
const BUILT: &str = "services:\n  web:\n    build: .\n";

struct Place {
    project: Project,
    builder: Host,
    target: Host,
}

async fn place(world: &World) -> Place {
    let project = world.project("web").await;
    world.upload(project.id, BUILT).await;
    let builder = world.host("builder").await;
    builds(world, &builder).await;
    Place {
        project,
        builder,
        target: world.host("target").await,
    }
}

fn wish(place: &Place) -> NewDeployment {
    NewDeployment {
        build_on: Some("builder".to_owned()),
        ..deployment(&place.project, &place.target)
    }
}

async fn ask(world: &World, new: NewDeployment) -> Result<Deployment, OpsError> {
    ops::deploy(&world.store, &Egress::closed(), &world.tenant, new, None).await
}

async fn build_of(world: &World, deployment: &Deployment) -> Deployment {
    let build = deployment.build_id.expect("it is built elsewhere");
    world.store.deployment(&world.tenant, build).await.unwrap()
}

async fn is_idle(world: &World, host: &Host) -> bool {
    world.store.claim(host.id).await.unwrap().is_empty()
}

async fn end(world: &World, host: &Host, attempt: Attempt, outcome: Outcome) {
    let end = finished(attempt, outcome);
    world.store.finished(host.id, &end).await.unwrap();
}

fn failed() -> Outcome {
    Outcome::Failed {
        reason: FailureReason::ComposeFailed,
        message: "exit code 1".to_owned(),
    }
}

async fn a_deployment_begins_when_its_build_has_ended(world: &World) {
    let place = place(world).await;
    let deployment = ask(world, wish(&place)).await.unwrap();
    let build = build_of(world, &deployment).await;
    assert_eq!(
        (build.kind, build.target.name.as_str()),
        (DeploymentKind::Build, "builder")
    );
    assert_eq!(build.release_id, deployment.release_id);
    assert!(is_idle(world, &place.target).await, "nothing is built yet");
    assert_eq!(world.store.overlooked().await.unwrap(), [place.builder.id]);

    let offer = world.claim(&place.builder).await;
    assert!(matches!(offer.spec.open().unwrap().work, Work::Build(_)));
    let attempt = offer.attempt;
    world
        .store
        .accepted(place.builder.id, attempt)
        .await
        .unwrap();
    world
        .store
        .started(place.builder.id, attempt)
        .await
        .unwrap();
    assert!(is_idle(world, &place.target).await, "it is at work");
    end(world, &place.builder, attempt, succeeded()).await;
    assert_eq!(world.show(&deployment).await.status, JobState::Queued);

    let offer = world.claim(&place.target).await;
    let Work::Relayed(relayed) = offer.spec.open().unwrap().work else {
        panic!("it runs what was built");
    };
    assert_eq!(relayed.build, attempt.job);
    world
        .store
        .accepted(place.target.id, offer.attempt)
        .await
        .unwrap();
    world
        .store
        .started(place.target.id, offer.attempt)
        .await
        .unwrap();
    end(world, &place.target, offer.attempt, succeeded()).await;
    assert_eq!(world.show(&deployment).await.status, JobState::Succeeded);
    // A build is nothing that was deployed.
    let targets = world
        .store
        .deployed_targets(&world.tenant, place.project.id)
        .await
        .unwrap();
    assert_eq!(
        targets
            .iter()
            .map(|target| target.name.as_str())
            .collect::<Vec<_>>(),
        ["target"]
    );
    let releases = world
        .store
        .list_releases(&world.tenant, place.project.id, PAGE)
        .await
        .unwrap();
    assert_eq!(releases.items[0].deployments, 1);
    let back = ops::retry(&world.store, &Egress::closed(), &world.tenant, build.id).await;
    assert!(matches!(back, Err(OpsError::Refused { .. })), "{back:?}");
    let again = ops::retry(
        &world.store,
        &Egress::closed(),
        &world.tenant,
        deployment.id,
    )
    .await
    .unwrap();
    assert_eq!(
        build_of(world, &again).await.target.name,
        "builder",
        "it is built again, there"
    );
}

async fn a_build_that_fails_fails_who_waits_for_it(world: &World) {
    let place = place(world).await;
    let deployment = ask(world, wish(&place)).await.unwrap();
    let attempt = world.start(&place.builder).await;
    let building = Progress {
        attempt,
        step: Step::Building,
    };
    world
        .store
        .progress(place.builder.id, &building)
        .await
        .unwrap();
    end(world, &place.builder, attempt, failed()).await;
    let ended = world.show(&deployment).await;
    assert_eq!(ended.status, JobState::Failed);
    assert_eq!(ended.reason.as_deref(), Some("build_failed"));
    let build = deployment.build_id.unwrap().to_string();
    assert!(ended.message.unwrap().contains(&build));
    assert!(is_idle(world, &place.target).await);
}

async fn who_cancels_a_deployment_cancels_its_build(world: &World) {
    let place = place(world).await;
    let waiting = ask(world, wish(&place)).await.unwrap();
    ops::cancel(&world.store, &world.tenant, waiting.id)
        .await
        .unwrap();
    assert_eq!(world.show(&waiting).await.status, JobState::Cancelled);
    assert_eq!(build_of(world, &waiting).await.status, JobState::Cancelled);
    assert!(is_idle(world, &place.builder).await);

    let begun = ask(world, wish(&place)).await.unwrap();
    let attempt = world.start(&place.builder).await;
    ops::cancel(&world.store, &world.tenant, begun.id)
        .await
        .unwrap();
    assert_eq!(world.show(&begun).await.status, JobState::Cancelled);
    let build = build_of(world, &begun).await;
    assert!(build.cancel_requested_at.is_some() && !build.status.is_terminal());
    // It was done before it heard of that: nobody runs it.
    end(world, &place.builder, attempt, succeeded()).await;
    assert!(is_idle(world, &place.target).await);
    assert_eq!(world.show(&begun).await.status, JobState::Cancelled);
}

async fn deployments_of_a_project_keep_their_order(world: &World) {
    let place = place(world).await;
    let other = world.project("other").await;
    let built = ask(world, wish(&place)).await.unwrap();
    let text = "services:\n  web:\n    image: busybox\n";
    world.upload(place.project.id, text).await;
    let later = world.deploy(&place.project, &place.target).await;
    let of_other = world.deploy(&other, &place.target).await;
    // The other project does not wait for a build that is none of its.
    let offer = world.claim(&place.target).await;
    assert_eq!(offer.attempt.job, of_other.job);
    world
        .store
        .accepted(place.target.id, offer.attempt)
        .await
        .unwrap();
    end(world, &place.target, offer.attempt, succeeded()).await;
    assert!(
        is_idle(world, &place.target).await,
        "what was asked for later comes later"
    );
    let attempt = world.start(&place.builder).await;
    end(world, &place.builder, attempt, succeeded()).await;
    for expected in [&built, &later] {
        let offer = world.claim(&place.target).await;
        assert_eq!(offer.attempt.job, expected.job);
        world
            .store
            .accepted(place.target.id, offer.attempt)
            .await
            .unwrap();
        end(world, &place.target, offer.attempt, succeeded()).await;
    }
    let filter = DeploymentFilter::default();
    let listed = world
        .store
        .list_deployments(&world.tenant, &filter, PAGE)
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 4);
}

fn images() -> Images {
    let layer = Digest([3; 32]);
    let config = format!(r#"{{"rootfs":{{"diff_ids":["{layer}"]}}}}"#).into_bytes();
    Images(vec![Image {
        service: "web".to_owned(),
        reference: "web-web".to_owned(),
        id: Digest([1; 32]),
        config,
        layers: vec![layer],
        size: 5 << 40,
    }])
}

async fn builders_and_runners_reach_their_own_images_alone(world: &World) {
    let place = place(world).await;
    let stranger = world.host("stranger").await;
    let deployment = ask(world, wish(&place)).await.unwrap();
    let attempt = world.start(&place.builder).await;
    let team = world.tenant.team();
    let builder = |agent: AgentId, attempt| world.store.builder(agent, attempt);
    assert_eq!(
        builder(place.builder.id, attempt).await.unwrap(),
        Some(team)
    );
    let mut stale = attempt;
    stale.fence.epoch += 1;
    assert_eq!(
        builder(place.builder.id, stale).await.unwrap(),
        None,
        "another fence"
    );
    assert_eq!(
        builder(stranger.id, attempt).await.unwrap(),
        None,
        "another agent"
    );
    let put = |agent: AgentId, attempt| async move {
        world
            .store
            .put_images(agent, attempt, &images())
            .await
            .unwrap()
    };
    assert!(!put(stranger.id, attempt).await && !put(place.builder.id, stale).await);
    assert!(put(place.builder.id, attempt).await && put(place.builder.id, attempt).await);
    let id = images().0[0].id;
    assert_eq!(
        world
            .store
            .known_images(team, &[id, Digest([9; 32])])
            .await
            .unwrap(),
        [id]
    );
    assert!(
        world
            .store
            .known_images(TeamId::new(), &[id])
            .await
            .unwrap()
            .is_empty()
    );
    end(world, &place.builder, attempt, succeeded()).await;
    assert_eq!(
        builder(place.builder.id, attempt).await.unwrap(),
        None,
        "it has ended"
    );
    assert!(!put(place.builder.id, attempt).await);

    let runs = world.start(&place.target).await;
    assert_eq!(runs.job, deployment.job);
    let runner = |agent: AgentId, attempt| world.store.runner(agent, attempt);
    assert_eq!(
        runner(place.target.id, runs).await.unwrap(),
        Some((team, attempt.job))
    );
    assert_eq!(runner(place.builder.id, runs).await.unwrap(), None);
    assert_eq!(runner(stranger.id, runs).await.unwrap(), None);
    assert_eq!(
        world.store.built_images(attempt.job).await.unwrap(),
        images()
    );
    end(world, &place.target, runs, succeeded()).await;
    assert_eq!(runner(place.target.id, runs).await.unwrap(), None);
}

async fn a_build_is_given_its_own_secrets_and_the_names_of_others(world: &World) {
    let place = place(world).await;
    let put = async |key, scope, value| {
        let name = SecretName {
            key,
            scope,
            environment: None,
        };
        let put = world
            .store
            .put_secret(&world.tenant, place.project.id, name, value);
        put.await.unwrap();
    };
    put("TOKEN", SecretScope::Build, "for builds").await;
    put("PASSWORD", SecretScope::Deploy, "for deploys").await;
    put("BOTH", SecretScope::Build, "both, built").await;
    put("BOTH", SecretScope::Deploy, "both, deployed").await;
    ask(world, wish(&place)).await.unwrap();
    let given = async |host: &Host| {
        let offer = world.claim(host).await;
        let secrets = offer.secrets.into_iter();
        let mut secrets: Vec<_> = secrets.map(|secret| (secret.name, secret.value)).collect();
        secrets.sort();
        (offer.attempt, secrets)
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    };
    let (attempt, secrets) = given(&place.builder).await;
    let expected = [
        ("BOTH", "both, built"),
        ("PASSWORD", "not-given-to-builds"),
        ("TOKEN", "for builds"),
    ];
    assert_eq!(secrets, pairs(&expected));
    world
        .store
        .accepted(place.builder.id, attempt)
        .await
        .unwrap();
    world
        .store
        .started(place.builder.id, attempt)
        .await
        .unwrap();
    end(world, &place.builder, attempt, succeeded()).await;
    let (_, secrets) = given(&place.target).await;
    let expected = [("BOTH", "both, deployed"), ("PASSWORD", "for deploys")];
    assert_eq!(secrets, pairs(&expected));
}

/// Has a host be online and build.
pub(super) async fn builds(world: &World, host: &Host) {
    let mut hello = hello();
    hello.capabilities.policy.build = Permission::Allow;
    let before = world.before(host).await;
    let session = uuid::Uuid::now_v7();
    let connected = world
        .store
        .agent_connected(host.id, session, before, &hello);
    connected.await.unwrap();
}

async fn label(world: &World, host: &Host, labels: &[&str]) -> Vec<String> {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    let set = world
        .store
        .set_target_labels(&world.tenant, host.target, labels);
    set.await.unwrap().labels
}

async fn the_idlest_host_of_a_label_builds(world: &World) {
    let place = place(world).await;
    let labelled = || NewDeployment {
        build_on: Some("label:linux".to_owned()),
        ..wish(&place)
    };
    let refused = async || match ask(world, labelled()).await {
        Err(OpsError::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    assert!(refused().await.contains("no target has the label linux"));
    label(world, &place.target, &["linux"]).await;
    assert!(refused().await.contains("target is the target itself"));
    let second = world.host("second").await;
    assert_eq!(
        label(world, &second, &["linux", "gpu"]).await,
        ["gpu", "linux"]
    );
    assert!(refused().await.contains("second allows no builds"));
    builds(world, &second).await;
    label(world, &place.builder, &["linux"]).await;
    // The one has a build to do when the next is asked for.
    let first = ask(world, labelled()).await.unwrap();
    let next = ask(world, labelled()).await.unwrap();
    let (first, next) = (build_of(world, &first).await, build_of(world, &next).await);
    assert_ne!(first.target, next.target);
    label(world, &second, &[]).await;
    let last = ask(world, labelled()).await.unwrap();
    assert_eq!(build_of(world, &last).await.target.name, "builder");
    let stranger = world.stranger().await;
    let set = world
        .store
        .set_target_labels(&stranger, second.target, vec!["x".to_owned()]);
    assert!(set.await.is_err(), "another team's");
}

async fn hosts_that_build_and_serve_are_warned_of(world: &World) {
    let place = place(world).await;
    let log = async |deployment: &Deployment| {
        let range = world.store.log_range(&world.tenant, deployment.id, 0, 10);
        format!("{:?}", range.await.unwrap().lines)
    };
    let quiet = ask(world, wish(&place)).await.unwrap();
    assert_eq!(log(&quiet).await, "[]");
    let cancelled = ops::cancel(&world.store, &world.tenant, quiet.id).await;
    cancelled.unwrap();
    let serves = deployment(&place.project, &place.builder);
    let serves = ask(world, serves).await.unwrap();
    let attempt = world.claim(&place.builder).await.attempt;
    let builder = place.builder.id;
    world.store.accepted(builder, attempt).await.unwrap();
    world.store.started(builder, attempt).await.unwrap();
    end(world, &place.builder, attempt, succeeded()).await;
    assert_eq!(log(&serves).await, "[]");
    let told = ask(world, wish(&place)).await.unwrap();
    let told = log(&told).await;
    assert!(
        told.contains("builder builds, and projects run there"),
        "{told}"
    );
    label(world, &place.target, &["builder"]).await;
    let told = log(&ask(world, wish(&place)).await.unwrap()).await;
    assert!(told.contains("target has the label builder"), "{told}");
}

async fn hosts_that_cannot_build_are_refused(world: &World) {
    let place = place(world).await;
    let refused = async |new: NewDeployment| match ask(world, new).await {
        Err(OpsError::Refused { message, field, .. }) => {
            assert_eq!(field, Some("build_on"));
            message
        }
        other => panic!("{other:?}"),
    };
    let itself = NewDeployment {
        build_on: Some("target".to_owned()),
        ..wish(&place)
    };
    assert!(refused(itself).await.contains("the target itself"));
    let mut arm = hello();
    arm.capabilities.arch = "arm64".to_owned();
    arm.capabilities.policy.build = Permission::Allow;
    let before = world.before(&place.builder).await;
    let session = uuid::Uuid::now_v7();
    let connected = world
        .store
        .agent_connected(place.builder.id, session, before, &arm);
    connected.await.unwrap();
    assert!(refused(wish(&place)).await.contains("builds for arm64"));
    // Hosts of the tests allow no builds once they have said what they are.
    world.connect(&place.builder, uuid::Uuid::now_v7()).await;
    world.connect(&place.target, uuid::Uuid::now_v7()).await;
    assert!(refused(wish(&place)).await.contains("allows no builds"));
    let nothing_built = world.project("plain").await;
    let plain = NewDeployment {
        project: nothing_built.id,
        ..wish(&place)
    };
    assert!(refused(plain).await.contains("no service"));
    let listed = world
        .store
        .list_deployments(&world.tenant, &DeploymentFilter::default(), PAGE)
        .await
        .unwrap();
    assert!(listed.items.is_empty(), "nothing is queued");
}
