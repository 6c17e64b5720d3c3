//! What breaks: the API, the agent, the peace between two of them. Always with the cluster in memory.

use std::fmt::Write as _;
use std::time::Duration;

use towline_agent::task::Start;
use towline_cluster::Failure;
use towline_shared::fence::Fence;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::spec::VolumeFate;

use crate::host::{Host, Options};

fn config_maps(count: usize, text: &str) -> String {
    let mut all = String::new();
    for index in 0..count {
        let _ = write!(
            all,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map-{index}}}\ndata: {{text: '{text}'}}\n"
        );
    }
    all
}

async fn all_are(host: &Host, count: usize, text: &str) {
    let listed = host
        .kubectl(&[
            "get",
            "configmap",
            "-n",
            &host.namespace,
            "-o",
            "json",
            "-l",
            "towline.io/project",
        ])
        .await
        .unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let maps: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|map| {
            map["metadata"]["name"]
                .as_str()
                .unwrap()
                .starts_with("map-")
        })
        .collect();
    assert_eq!(maps.len(), count);
    for map in maps {
        assert_eq!(map["data"]["text"], text, "{map}");
    }
}

/// How many objects were really applied since the mark.
fn applied(host: &Host) -> usize {
    let requests = host.fake().requests();
    let real = requests.iter().filter(|(kind, _)| {
        kind.verb == "patch" && !kind.dry_run && kind.resource.starts_with("configmaps")
    });
    real.map(|(_, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_goes_away_in_the_middle_is_waited_for() {
    let host = Host::in_memory().await;
    host.fake().delay(Duration::from_millis(20));
    let running = host.start(Host::one(&config_maps(50, "one")), Options::default());
    running.says("created").await;
    host.fake().away(Duration::from_secs(3));
    running.says("waiting until it is back").await;
    let ended = running.ended().await;
    ended.succeeded();
    assert!(
        ended
            .texts()
            .contains(&"the cluster's API is back".to_owned())
    );
    host.fake().delay(Duration::ZERO);
    all_are(&host, 50, "one").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_is_not_there_at_all_fails_a_job_that_has_changed_nothing() {
    let host = Host::in_memory().await;
    host.fake().away(Duration::from_mins(1));
    let options = Options {
        deadline_s: 5,
        ..Options::default()
    };
    let ended = host.run(Host::one(&config_maps(1, "one")), options).await;
    let message = ended.failed(FailureReason::Deadline);
    assert!(
        message.contains("Nothing was changed in the cluster"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_is_busy_or_changes_its_leader_is_asked_again() {
    let host = Host::in_memory().await;
    for (code, reason, message) in [
        (429, "TooManyRequests", "please try again later"),
        (503, "ServiceUnavailable", "etcd is away"),
        (500, "InternalError", "etcdserver: leader changed"),
        (504, "Timeout", "request did not complete"),
    ] {
        host.fake().fail(Failure {
            method: "PATCH".into(),
            path: "/configmaps/map-".into(),
            times: 2,
            code,
            reason,
            message: message.into(),
        });
    }
    host.deploy(&config_maps(5, "one")).await.succeeded();
    all_are(&host, 5, "one").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_dies_between_any_two_objects_leaves_nothing_undone_or_forgotten() {
    const COUNT: usize = 50;
    let host = Host::in_memory().await;
    host.deploy(&format!(
        "{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: old}}\n",
        config_maps(1, "zero")
    ))
    .await
    .succeeded();
    let mut deaths = 0;
    for at in 0..COUNT {
        let text = format!("round-{at}");
        host.fake().mark();
        host.fake().delay(Duration::from_millis(1));
        let fence = host.next_fence();
        let options = |start| Options {
            start,
            fence: Some(fence),
            ..Options::default()
        };
        let running = host.start(Host::one(&config_maps(COUNT, &text)), options(Start::Fresh));
        while applied(&host) < at && !running.work.is_finished() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        let was_at_work = !running.work.is_finished();
        running.kill().await;
        if was_at_work {
            deaths += 1;
        }
        host.fake().delay(Duration::ZERO);
        let resumed = options(Start::Resumed(Some(Step::Applying)));
        host.run(Host::one(&config_maps(COUNT, &text)), resumed)
            .await
            .succeeded();
        if at % 10 == 0 {
            all_are(&host, COUNT, &text).await;
        }
    }
    assert!(deaths >= COUNT - 5, "{deaths} deaths were in the middle");
    all_are(&host, COUNT, &format!("round-{}", COUNT - 1)).await;
    assert!(
        host.object("secret", "old").await.is_none(),
        "what a former release had is pruned"
    );
    // What a dead agent made is in the inventory: it goes with the project.
    host.run(Host::remove(VolumeFate::Keep), Options::default())
        .await
        .succeeded();
    let left = host.names("configmap").await;
    assert!(
        left.iter()
            .all(|name| !name.starts_with("map-") && !name.starts_with("towline-")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_agents_the_one_with_the_later_fence_wins_and_the_other_stops() {
    let host = Host::in_memory().await;
    host.deploy(&config_maps(200, "zero")).await.succeeded();
    host.fake().delay(Duration::from_millis(50));
    let with = |epoch| Options {
        fence: Some(Fence::new(1, epoch)),
        ..Options::default()
    };
    let early = host.start(Host::one(&config_maps(200, "early")), with(100));
    early.says("configured").await;
    let late = host.start(Host::one(&config_maps(2, "late")), with(200));
    let (early, late) = tokio::join!(early.ended(), late.ended());
    host.fake().delay(Duration::ZERO);
    early.failed(FailureReason::Superseded);
    late.succeeded();
    all_are(&host, 2, "late").await;
    // One that comes too late changes nothing at all.
    let stale = host
        .run(Host::one(&config_maps(3, "stale")), with(150))
        .await;
    let message = stale.failed(FailureReason::Superseded);
    assert!(message.contains("outdated by 1.200"), "{message}");
    all_are(&host, 2, "late").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_goes_is_said() {
    let host = Host::in_memory().await;
    let held =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/held]}\n";
    let apply = [
        "apply",
        "--server-side",
        "--validate=false",
        "-n",
        &host.namespace,
        "-f",
        "-",
    ];
    host.kubectl_with(&apply, held).await.unwrap();
    host.kubectl(&["delete", "namespace", &host.namespace, "--wait=false"])
        .await
        .unwrap();
    let message = host
        .deploy(&config_maps(1, "one"))
        .await
        .failed(FailureReason::ClusterRefused);
    assert!(
        message.contains("being terminated") && message.contains("take another namespace"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_whose_place_is_forgotten_begins_again() {
    let host = Host::in_memory().await;
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: late}\nspec: {nodeSelector: {there: is-none}, containers: [{name: a, image: b}]}\n";
    let running = host.start(Host::one(pod), Options::default());
    running.says("Pod/late created").await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        host.fake().compact();
    }
    let patch = r#"{"metadata":{"labels":{"there":"is-none"}}}"#;
    host.kubectl(&["patch", "node", "node-1", "--type=merge", "-p", patch])
        .await
        .unwrap();
    running.ended().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finalizers_are_waited_for_and_named() {
    let host = Host::in_memory().await;
    let held =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/held]}\n";
    host.deploy(&format!("{held}{}", config_maps(1, "one")))
        .await
        .succeeded();
    let running = host.start(Host::one(&config_maps(1, "one")), Options::default());
    running.says("example.com/held").await;
    assert!(!running.work.is_finished());
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    host.kubectl(&[
        "patch",
        "configmap",
        "held",
        "-n",
        &host.namespace,
        "--type=merge",
        "-p",
        patch,
    ])
    .await
    .unwrap();
    let ended = running.ended().await;
    ended.succeeded();
    assert!(
        ended.texts().contains(&"ConfigMap/held deleted".to_owned()),
        "{:#?}",
        ended.texts()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_of_a_thousand_objects_is_applied_and_changed() {
    let host = Host::in_memory().await;
    host.deploy(&config_maps(1000, "one")).await.succeeded();
    all_are(&host, 1000, "one").await;
    let less = config_maps(1000, "one").replacen("text: 'one'", "text: 'two'", 1);
    host.fake().mark();
    host.deploy(&less).await.succeeded();
    assert_eq!(applied(&host), 1, "only what differs is applied");
    let gone = host
        .run(Host::remove(VolumeFate::Keep), Options::default())
        .await;
    assert!(
        matches!(gone.outcome, Outcome::Succeeded { .. }),
        "{:?}",
        gone.outcome
    );
}
