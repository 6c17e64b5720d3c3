//! Projects that bring the sources of their images.

use towline_agent::task::{GateState, Start};
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::policy::Permission;
use towline_shared::spec::{PinnedImage, Secret};

use crate::host::{Host, JobOptions, Kind};

crate::on_both_engines! {
    a_build_is_seen_live_and_a_changed_context_makes_a_new_image,
    a_build_that_fails_is_a_failed_deploy_that_ends_with_its_error,
    a_base_image_that_is_missing_is_named,
    secrets_are_masked_in_what_a_build_prints,
    a_build_is_not_told_a_secret_that_its_image_would_keep,
    an_interrupted_build_is_done_before_what_runs_is_believed,
    the_default_policy_refuses_builds,
}

const BUILT: &str = "services:
  web:
    build: ./app
    init: true
";

/// It prints what its own text does not say, works for a while, and prints more.
const SLOW: &str = "FROM IMAGE
COPY page /page
RUN echo first $((40 + 2)); sleep 3; echo last $((40 + 3))
CMD [\"sh\", \"-c\", \"cat /page; exec sleep 1000\"]
";

fn builder(kind: Kind) -> Host {
    let mut host = Host::new(kind);
    host.config.policy.build = Permission::Allow;
    host
}

fn project<'a>(dockerfile: &'a str, page: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("compose.yaml", BUILT),
        ("app/Dockerfile", dockerfile),
        ("app/page", page),
    ]
}

/// A page that no other test builds: the engine's cache is shared.
fn page(host: &Host, word: &str) -> String {
    format!("{word} of {}\n", host.name)
}

async fn a_build_is_seen_live_and_a_changed_context_makes_a_new_image(kind: Kind) {
    let host = builder(kind);
    let (page_one, page_two) = (page(&host, "one"), page(&host, "two"));
    let one = project(SLOW, &page_one);
    let running = host.begin(
        &host.executor(),
        host.deploy_work(&one),
        JobOptions::default(),
    );
    running.printed("first 42").await;
    assert!(!running.work.is_finished());
    running.printed("last 43").await;
    let first = running.ended().await;
    let images = first.succeeded().to_vec();
    let steps = [
        Step::Preparing,
        Step::Applying,
        Step::Building,
        Step::Applying,
        Step::Verifying,
    ];
    assert_eq!(first.steps, steps);
    assert_eq!(images[0].reference, format!("{}-web", host.name));
    assert_eq!(first.of("web-1"), [page_one.trim()]);
    let ids = host.ids("web");
    let (images, ids) = until_cached(&host, &one, (images, ids)).await;
    let changed = host.deploy(&project(SLOW, &page_two)).await;
    assert_ne!(changed.succeeded()[0].id, images[0].id);
    assert_eq!(changed.of("web-1"), [page_two.trim()]);
    assert_ne!(host.ids("web"), ids);
}

type Made = (Vec<PinnedImage>, Vec<String>);

/// The same sources make the same image, and nothing is made anew. An engine that has much to do at
/// once may have lost a step from its cache and build it again, which its output tells.
async fn until_cached(host: &Host, project: &[(&str, &str)], mut before: Made) -> Made {
    for _ in 0..3 {
        let same = host.deploy(project).await;
        let after = (same.succeeded().to_vec(), host.ids("web"));
        let log = same.texts().join("\n");
        if !log.contains("last 43") {
            assert_eq!(after, before, "{log}");
            return after;
        }
        before = after;
    }
    panic!("the engine keeps nothing in its cache");
}

async fn a_build_that_fails_is_a_failed_deploy_that_ends_with_its_error(kind: Kind) {
    let host = builder(kind);
    host.deploy(&project(SLOW, "one\n")).await.succeeded();
    let ids = host.ids("web");
    // The words of an engine that went away and of a registry that is not there, from a program.
    let bad = "FROM IMAGE
RUN echo about to fail; echo dial tcp: connection refused; echo unexpected EOF; exit 7
";
    let ended = host.deploy(&project(bad, "two\n")).await;
    ended.failed(FailureReason::ComposeFailed, "`docker compose build` ended");
    ended.failed(FailureReason::ComposeFailed, "exit code: 7");
    let last = ended.lines.last().unwrap();
    assert!(last.text.contains("exit code: 7"), "{:#?}", ended.texts());
    let log = ended.texts().join("\n");
    assert!(log.contains(" about to fail"), "{log}");
    let builds = log.matches("building with \"default\" instance").count();
    assert_eq!(builds, 1, "it was built again: {log}");
    assert_eq!(host.ids("web"), ids, "what ran runs on");
}

async fn a_base_image_that_is_missing_is_named(kind: Kind) {
    let host = builder(kind);
    let base = "localhost:9/never/made:1";
    let ended = host.deploy(&project(&format!("FROM {base}\n"), "")).await;
    ended.failed(FailureReason::ComposeFailed, "never/made");
    assert!(ended.texts().join("\n").contains(base));
}

async fn secrets_are_masked_in_what_a_build_prints(kind: Kind) {
    let host = builder(kind);
    let text = "services:
  web:
    build: {context: ./app, secrets: [token]}
    init: true
secrets: {token: {environment: API_TOKEN}}
";
    let dockerfile = format!(
        "FROM IMAGE
ENV NAME={}
RUN --mount=type=secret,id=token echo told $(cat /run/secrets/token) and $(base64 /run/secrets/token)
CMD [\"sleep\", \"1000\"]
",
        host.name
    );
    let options = JobOptions {
        secrets: vec![Secret {
            name: "API_TOKEN".into(),
            value: "staple-token-1".into(),
        }],
        ..JobOptions::default()
    };
    let work = host.deploy_work(&[("compose.yaml", text), ("app/Dockerfile", &dockerfile)]);
    let ended = host.run(work, options).await;
    ended.succeeded();
    let log = ended.texts().join("\n");
    assert!(log.contains("told *** and ***"), "{log}");
    for secret in ["staple-token", "c3RhcGxlLXRva2Vu"] {
        assert!(!log.contains(secret), "{log}");
    }
}

async fn a_build_is_not_told_a_secret_that_its_image_would_keep(kind: Kind) {
    let host = builder(kind);
    let text = "services:
  web:
    build:
      context: ./app
      args: {TOKEN: 'x-${API_TOKEN}'}
";
    let options = JobOptions {
        gate: GateState::Shut,
        secrets: vec![Secret {
            name: "API_TOKEN".into(),
            value: "staple-token-1".into(),
        }],
        ..JobOptions::default()
    };
    let work = host.deploy_work(&[("compose.yaml", text), ("app/Dockerfile", SLOW)]);
    let ended = host.run(work, options).await;
    ended.failed(
        FailureReason::InvalidProject,
        "compose.yaml:3: the build of service `web`",
    );
}

async fn an_interrupted_build_is_done_before_what_runs_is_believed(kind: Kind) {
    let host = builder(kind);
    let (one, two) = (page(&host, "one"), page(&host, "two"));
    host.deploy(&project(SLOW, &one)).await.succeeded();
    let first = JobOptions::default();
    let job = first.job;
    let work = || host.deploy_work(&project(SLOW, &two));
    let running = host.begin(&host.executor(), work(), first);
    running.printed("first 42").await;
    running.kill().await;
    crate::host::kill_compose_of(job);
    let options = JobOptions {
        job,
        start: Start::Resumed(Some(Step::Building)),
        ..JobOptions::default()
    };
    let after = host.run(work(), options).await;
    after.succeeded();
    assert_eq!(after.of("web-1"), [two.trim()], "{:#?}", after.texts());
}

async fn the_default_policy_refuses_builds(kind: Kind) {
    let host = Host::new(kind);
    let ended = host.deploy(&project(SLOW, "one\n")).await;
    ended.failed(
        FailureReason::PolicyRefused,
        "compose.yaml:3: service `web` is built here (`build`)",
    );
    ended.failed(FailureReason::PolicyRefused, "(rule build)");
}
