//! Releases whose images are settled: what ran then runs again, whatever its tag names today.

use towline_agent::task::Start;
use towline_shared::ids::JobId;
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::policy::Permission;
use towline_shared::spec::{PinnedImage, Term, Terms, VolumeFate};

use crate::host::{Host, IMAGE, JobOptions, Kind};
use crate::registry::Registry;

crate::on_both_engines! {
    a_settled_image_runs_whatever_its_tag_names_today,
    a_former_build_runs_again_without_being_built,
    an_image_that_is_gone_is_named_and_nothing_is_changed,
    an_image_that_the_host_has_lost_is_pulled_by_its_digest,
    a_release_that_fails_gives_way_to_what_ran_before,
    what_ran_before_is_brought_back_although_the_agent_dies,
    where_nothing_ran_before_there_is_no_way_back,
}

const TWO: &str = "services:
  web: {image: 'LATEST', command: sleep 1000, init: true, pull_policy: missing}
  db: {image: IMAGE, command: sleep 1000, init: true}
";

/// A name of its own, which a test may move.
fn latest(host: &Host) -> String {
    let latest = format!("towline-test/{}:latest", host.name);
    host.tag(IMAGE, &latest);
    latest
}

fn id_of<'a>(images: &'a [PinnedImage], service: &str) -> &'a str {
    let image = images.iter().find(|image| image.service == service);
    &image.expect("the service runs").id
}

async fn a_settled_image_runs_whatever_its_tag_names_today(kind: Kind) {
    let host = Host::new(kind);
    let latest = latest(&host);
    let text = TWO.replace("LATEST", &latest);
    let files = [("compose.yaml", text.as_str())];
    let first = host.deploy(&files).await.succeeded().to_vec();
    assert_eq!(first[1].reference, latest);
    host.move_tag(&host.ids("web")[0], &latest);
    let second = host.deploy(&files).await.succeeded().to_vec();
    let (old, new) = (id_of(&first, "web"), id_of(&second, "web"));
    assert_ne!(old, new, "the tag has moved");
    let db = host.ids("db");

    let release = |images: &[PinnedImage]| host.release_work(&files, images);
    let back = host.run(release(&first), JobOptions::default()).await;
    assert_eq!(back.succeeded(), first, "{:#?}", back.texts());
    assert_eq!(host.image_of(&host.ids("web")[0]), old);
    assert_eq!(host.ids("db"), db, "what is the same is left alone");
    let log = back.texts().join("\n");
    assert!(log.contains("today that names another"), "{log}");
    assert_eq!(
        host.image_id(&latest).as_deref(),
        Some(new),
        "the tag is others', too"
    );

    let web = host.ids("web");
    let same = host.run(release(&first), JobOptions::default()).await;
    assert_eq!(same.succeeded(), first);
    assert_eq!(host.ids("web"), web, "the same release changes nothing");

    // The agent has died when all was applied, and in the middle of it.
    for step in [Step::Verifying, Step::Applying] {
        let resumed = JobOptions {
            job: JobId::new(),
            start: Start::Resumed(Some(step)),
            ..JobOptions::default()
        };
        let resumed = host.run(release(&first), resumed).await;
        assert_eq!(resumed.succeeded(), first, "{:#?}", resumed.texts());
        assert_eq!(host.ids("web"), web);
    }
    assert_eq!(
        host.deploy(&files).await.succeeded(),
        second,
        "a plain deploy means the tag"
    );
    assert_eq!(
        host.kept("web").len(),
        2,
        "both are kept by a name of our own"
    );
    let alone = JobOptions {
        terms: Terms::new(vec![Term::KeepReleases(1)]),
        ..JobOptions::default()
    };
    let alone = host.run(release(&second), alone).await;
    assert_eq!(alone.succeeded(), second, "{:#?}", alone.texts());
    assert_eq!(host.kept("web").len(), 1, "what runs, and nothing else");
    host.remove(VolumeFate::Delete).await.succeeded();
    assert!(host.kept("web").is_empty() && host.kept("db").is_empty());
    host.untag(&latest);
}

async fn a_former_build_runs_again_without_being_built(kind: Kind) {
    let mut host = Host::new(kind);
    host.config.policy.build = Permission::Allow;
    let compose = "services:\n  web: {build: ./app, init: true}\n";
    let dockerfile =
        "FROM IMAGE\nCOPY page /page\nCMD [\"sh\", \"-c\", \"cat /page; exec sleep 1000\"]\n";
    let page = |word: &str| format!("{word} of {}\n", host.name);
    let (one, two) = (page("one"), page("two"));
    let project = |page| {
        [
            ("compose.yaml", compose),
            ("app/Dockerfile", dockerfile),
            ("app/page", page),
        ]
    };
    let first = host.deploy(&project(&one)).await.succeeded().to_vec();
    let second = host.deploy(&project(&two)).await.succeeded().to_vec();
    assert_ne!(first[0].id, second[0].id);
    let release = host.release_work(&project(&one), &first);
    let back = host.run(release, JobOptions::default()).await;
    assert_eq!(back.succeeded()[0].id, first[0].id, "{:#?}", back.texts());
    assert_eq!(back.of("web-1"), [one.trim()]);
    assert!(!back.steps.contains(&Step::Building), "{:?}", back.steps);
    // What runs already is found unchanged although its project would build it.
    let web = host.ids("web");
    host.run(
        host.release_work(&project(&one), &first),
        JobOptions::default(),
    )
    .await
    .succeeded();
    assert_eq!(host.ids("web"), web);
    host.remove(VolumeFate::Delete).await.succeeded();
    // The host's policy is judged as ever.
    host.config.policy.build = Permission::Deny;
    let refused = host.run(
        host.release_work(&project(&one), &first),
        JobOptions::default(),
    );
    refused
        .await
        .failed(FailureReason::PolicyRefused, "(rule build)");
}

async fn an_image_that_is_gone_is_named_and_nothing_is_changed(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:\n  web: {image: IMAGE, command: sleep 1000, init: true}\n";
    let files = [("compose.yaml", text)];
    let ran = host.deploy(&files).await.succeeded().to_vec();
    let ids = host.ids("web");
    let gone = |digests: &[&str]| PinnedImage {
        id: format!("sha256:{}", "0f".repeat(32)),
        digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
        ..ran[0].clone()
    };
    let digest = format!("localhost:9/gone@sha256:{}", "0e".repeat(32));
    let table = [
        (gone(&[&digest]), "push it there again"),
        (gone(&[]), "no registry has it"),
    ];
    for (image, remedy) in table {
        let ended = host
            .run(host.release_work(&files, &[image]), JobOptions::default())
            .await;
        for part in ["service `web`", IMAGE, "sha256:0f0f", remedy] {
            ended.failed(FailureReason::ComposeFailed, part);
        }
        let is_pulled = ended.texts().iter().any(|line| line.contains("pulling it"));
        assert_eq!(is_pulled, remedy.contains("push"));
        assert_eq!(host.ids("web"), ids);
    }
}

async fn an_image_that_the_host_has_lost_is_pulled_by_its_digest(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:\n  web: {image: IMAGE, command: sleep 1000, init: true}\n";
    let files = [("compose.yaml", text)];
    let ran = host.deploy(&files).await.succeeded().to_vec();
    let lost = format!("towline-test/{}-lost:1", host.name);
    host.move_tag(&host.ids("web")[0], &lost);
    let id = host.image_id(&lost).unwrap();
    let registry = Registry::of(&host.save(&lost), host.engine_process().as_deref());
    host.untag(&lost);
    assert_eq!(host.image_id(&id), None, "the host has lost it");
    let pin = |id: &str| PinnedImage {
        id: id.to_owned(),
        digests: vec![registry.digest().to_owned()],
        ..ran[0].clone()
    };
    // What a digest gives must be the very image.
    let another = pin(&format!("sha256:{}", "0f".repeat(32)));
    let ended = host
        .run(host.release_work(&files, &[another]), JobOptions::default())
        .await;
    ended.failed(FailureReason::ComposeFailed, "did not give it");
    assert_eq!(
        host.image_id(registry.digest()).as_ref(),
        Some(&id),
        "{:#?}",
        ended.texts()
    );
    host.untag(registry.digest());
    assert_eq!(host.image_id(&id), None);

    let release = host.release_work(&files, &[pin(&id)]);
    let back = host.run(release, JobOptions::default()).await;
    assert_eq!(back.succeeded()[0].id, id, "{:#?}", back.texts());
    assert_eq!(back.succeeded()[0].digests, [registry.digest().to_owned()]);
    assert_eq!(host.image_of(&host.ids("web")[0]), id);
    let log = back.texts().join("\n");
    assert!(
        log.contains("which this host has no more; pulling it"),
        "{log}"
    );

    // A registry that the host's policy does not allow is not asked.
    let mut narrow = Host::new(kind);
    narrow.config.policy.registries = vec!["docker.io".to_owned()];
    let unknown = pin(&format!("sha256:{}", "0d".repeat(32)));
    let ended = narrow
        .run(
            narrow.release_work(&files, &[unknown]),
            JobOptions::default(),
        )
        .await;
    ended.failed(FailureReason::ComposeFailed, "(127.0.0.1:");
    ended.failed(FailureReason::ComposeFailed, "rule registries)");
    assert!(!ended.texts().join("\n").contains("pulling it"));
}

const GOOD: &str = "services:
  web: {image: IMAGE, command: sh -c 'echo good; exec sleep 1000', init: true}
";
/// It stays up for a while, and ends then.
const BAD: &str = "services:
  web: {image: IMAGE, command: sh -c 'echo bad; exit 3', init: true}
";

fn is_good(host: &Host) {
    let ids = host.ids("web");
    assert_eq!(ids.len(), 1);
    let log = host.compose(&["logs", "--no-log-prefix", "web"]);
    assert!(log.contains("good") && !log.contains("bad"), "{log}");
    let running = host.compose(&["ps", "--quiet", "--status", "running", "web"]);
    assert!(running.contains(&ids[0][..12]), "{running}");
}

async fn a_release_that_fails_gives_way_to_what_ran_before(kind: Kind) {
    let host = Host::new(kind);
    let before = host
        .deploy(&[("compose.yaml", GOOD)])
        .await
        .succeeded()
        .to_vec();
    let bad = [("compose.yaml", BAD), ("more", "more")];
    let ended = host
        .run(host.giving_way_work(&bad), JobOptions::default())
        .await;
    ended.failed(FailureReason::CrashLoop, "web-1");
    ended.failed(FailureReason::CrashLoop, "what ran before runs again");
    let log = ended.texts().join("\n");
    for part in ["web-1|bad", "bringing back what ran before", "web-1|good"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    is_good(&host);
    assert!(
        !host
            .state
            .path()
            .join("projects")
            .join(&host.name)
            .join("files/more")
            .exists()
    );
    // The one that failed was never the last that ran.
    let ended = host
        .run(host.giving_way_work(&bad), JobOptions::default())
        .await;
    ended.failed(FailureReason::CrashLoop, "what ran before runs again");
    is_good(&host);
    assert_eq!(
        host.deploy(&[("compose.yaml", GOOD)]).await.succeeded(),
        before
    );
    // What changes nothing has no way back, and needs none.
    let ids = host.ids("web");
    let unfit = host.giving_way_work(&[(
        "compose.yaml",
        "services:\n  web: {image: IMAGE, ports: [x]}\n",
    )]);
    let refused = host.run(unfit, JobOptions::default()).await;
    refused.failed(FailureReason::InvalidProject, "");
    assert!(!refused.texts().join("\n").contains("bringing back"));
    assert_eq!(host.ids("web"), ids);
}

async fn what_ran_before_is_brought_back_although_the_agent_dies(kind: Kind) {
    let host = Host::new(kind);
    host.deploy(&[("compose.yaml", GOOD)]).await.succeeded();
    let first = JobOptions::default();
    let job = first.job;
    let work = || host.giving_way_work(&[("compose.yaml", BAD)]);
    let running = host.begin(&host.executor(), work(), first);
    running.printed("bringing back what ran before").await;
    running.kill().await;
    // A process that dies takes its threads with it; here one may still write a file of the job's folder.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let options = JobOptions {
        job,
        start: Start::Resumed(Some(Step::Verifying)),
        ..JobOptions::default()
    };
    let after = host.run(work(), options).await;
    after.failed(FailureReason::CrashLoop, "what ran before runs again");
    is_good(&host);
}

async fn where_nothing_ran_before_there_is_no_way_back(kind: Kind) {
    let host = Host::new(kind);
    let work = host.giving_way_work(&[("compose.yaml", BAD)]);
    let ended = host.run(work, JobOptions::default()).await;
    ended.failed(
        FailureReason::CrashLoop,
        "nothing of this project ran on this host before",
    );
}
