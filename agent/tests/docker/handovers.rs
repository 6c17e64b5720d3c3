//! New containers that run before the old ones stop.

use towline_agent::task::Start;
use towline_shared::outcome::{FailureReason, Outcome, Step};

use crate::host::{Host, JobOptions, Kind};

crate::on_both_engines! {
    a_new_container_is_well_before_the_old_one_stops,
    what_does_not_come_up_leaves_what_serves,
    a_handover_goes_on_after_the_agent_has_died,
    what_the_new_ones_need_comes_first_and_once,
    what_two_containers_cannot_have_is_replaced_as_usual,
}

/// Replicas that are well after a second, and again and again after each release.
const WEB: &str = "services:
  web:
    image: IMAGE
    init: true
    command: sh -c 'echo RELEASE begins; sleep 1; WELL; exec sleep 1000'
    healthcheck: {test: ['CMD', 'test', '-e', '/well'], interval: 500ms, timeout: 2s, retries: 8}
    deploy: {replicas: 2, update_config: {order: start-first}}
";

fn release(name: &str) -> String {
    WEB.replace("RELEASE", name).replace("WELL", "touch /well")
}

fn never_well(name: &str) -> String {
    WEB.replace("RELEASE", name)
        .replace("WELL", "true")
        .replace("retries: 8", "retries: 3")
}

/// What the engine tells of these containers, as `web: event`, in its order.
fn told(host: &Host, since: i64, names: &[(&str, &[String])]) -> Vec<String> {
    let until = chrono::Utc::now().timestamp() + 1;
    let text = host.engine("GET", &format!("/events?since={since}&until={until}"));
    let events = text.unwrap();
    let events = serde_json::Deserializer::from_str(&events).into_iter::<serde_json::Value>();
    let told = events.filter_map(|event| {
        let event = event.unwrap();
        let id = event["Actor"]["ID"].as_str()?.to_owned();
        let (name, _) = names.iter().find(|(_, ids)| ids.contains(&id))?;
        Some(format!("{name}: {}", event["Action"].as_str()?))
    });
    told.collect()
}

async fn a_new_container_is_well_before_the_old_one_stops(kind: Kind) {
    let host = Host::new(kind);
    host.deploy(&[("compose.yaml", &release("one"))])
        .await
        .succeeded();
    let old = host.ids("web");
    let since = chrono::Utc::now().timestamp();
    let ended = host.deploy(&[("compose.yaml", &release("two"))]).await;
    ended.succeeded();
    let new = host.ids("web");
    assert_eq!((old.len(), new.len()), (2, 2));
    assert!(new.iter().all(|id| !old.contains(id)), "all are new");
    let told = told(&host, since, &[("old", &old), ("new", &new)]);
    let is = |event: &'static str| move |told: &&String| told.starts_with(event);
    let well = told
        .iter()
        .filter(is("new: health_status: healthy"))
        .count();
    assert_eq!(well, 2, "{told:?}");
    let last_well = told
        .iter()
        .rposition(|told| told == "new: health_status: healthy");
    let first_stop = told.iter().position(|told| told == "old: kill");
    assert!(last_well.is_some() && last_well < first_stop, "{told:?}");
    assert_eq!(told.iter().filter(is("old: die")).count(), 2, "{told:?}");
    for source in ["web-3", "web-4"] {
        assert_eq!(ended.of(source), ["two begins"], "{:#?}", ended.texts());
    }
    let again = host.deploy(&[("compose.yaml", &release("two"))]).await;
    again.succeeded();
    assert_eq!(host.ids("web"), new, "what is the same is left alone");
}

async fn what_does_not_come_up_leaves_what_serves(kind: Kind) {
    let host = Host::new(kind);
    host.deploy(&[("compose.yaml", &release("one"))])
        .await
        .succeeded();
    let old = host.ids("web");
    let sick = never_well("two");
    let ended = host.deploy(&[("compose.yaml", &sick)]).await;
    ended.failed(FailureReason::Unhealthy, "is unhealthy");
    assert_eq!(host.ids("web"), old, "{:#?}", ended.texts());
    let log = ended.texts().join("\n");
    assert!(log.contains("the old containers keep serving"), "{log}");
    assert!(log.contains("two begins"), "{log}");
    // So it is when somebody cancels it, and when it is to go back.
    let running = host.begin(
        &host.executor(),
        host.deploy_work(&[("compose.yaml", &sick)]),
        JobOptions::default(),
    );
    running.printed("two begins").await;
    running.cancel.cancel();
    let ended = running.ended().await;
    assert!(matches!(ended.outcome, Outcome::Cancelled { .. }));
    assert_eq!(host.ids("web"), old, "{:#?}", ended.texts());
    let back = host.giving_way_work(&[("compose.yaml", &sick)]);
    let ended = host.run(back, JobOptions::default()).await;
    ended.failed(FailureReason::Unhealthy, "what ran before runs again");
    assert_eq!(host.ids("web"), old, "{:#?}", ended.texts());
}

async fn a_handover_goes_on_after_the_agent_has_died(kind: Kind) {
    let host = Host::new(kind);
    host.deploy(&[("compose.yaml", &release("one"))])
        .await
        .succeeded();
    let old = host.ids("web");
    let two = release("two");
    let work = || host.deploy_work(&[("compose.yaml", &two)]);
    let first = JobOptions::default();
    let job = first.job;
    let running = host.begin(&host.executor(), work(), first);
    running.printed("two begins").await;
    running.kill().await;
    let both = host.ids("web");
    assert!(
        both.len() > 2 && old.iter().all(|id| both.contains(id)),
        "{both:?}"
    );
    let resumed = JobOptions {
        job,
        start: Start::Resumed(Some(Step::Applying)),
        ..JobOptions::default()
    };
    let ended = host.run(work(), resumed).await;
    ended.succeeded();
    let new = host.ids("web");
    assert!(
        new.len() == 2 && new.iter().all(|id| !old.contains(id)),
        "{:#?}",
        ended.texts()
    );
    let made: Vec<_> = both.iter().filter(|id| !old.contains(id)).collect();
    assert!(made.iter().all(|id| new.contains(id)), "none is made twice");
}

/// A migration runs once before, a store that has changed is there, and who waits for the service follows it.
async fn what_the_new_ones_need_comes_first_and_once(kind: Kind) {
    let host = Host::new(kind);
    let text = |name: &str| {
        let needs = "    depends_on: {migrate: {condition: service_completed_successfully}, store: {condition: service_started}}\n";
        let others = format!(
            "  migrate:
    image: IMAGE
    command: sh -c 'echo {name} >> /runs/migrations'
    volumes: ['./runs:/runs']
  store: {{image: IMAGE, init: true, command: sleep 1000, environment: {{AT: '{name}'}}}}
  proxy: {{image: IMAGE, init: true, command: sleep 1000, depends_on: [web]}}
"
        );
        format!(
            "{}{needs}{others}",
            release(name).replace("replicas: 2", "replicas: 1")
        )
    };
    host.deploy(&[("compose.yaml", &text("one"))])
        .await
        .succeeded();
    let before = ["web", "store", "proxy"].map(|service| host.ids(service));
    let ended = host.deploy(&[("compose.yaml", &text("two"))]).await;
    ended.succeeded();
    let after = ["web", "store", "proxy"].map(|service| host.ids(service));
    let is_new: Vec<bool> = before
        .iter()
        .zip(&after)
        .map(|(before, after)| before != after)
        .collect();
    assert_eq!(is_new, [true, true, false], "{:#?}", ended.texts());
    let runs = host
        .state
        .path()
        .join("projects")
        .join(&host.name)
        .join("files/runs/migrations");
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "one\ntwo\n");
}

async fn what_two_containers_cannot_have_is_replaced_as_usual(kind: Kind) {
    let host = Host::new(kind);
    let text = |name: &str| {
        let web = release(name).replace("replicas: 2", "replicas: 1");
        format!("{web}    container_name: {}-only\n", host.name)
    };
    host.deploy(&[("compose.yaml", &text("one"))])
        .await
        .succeeded();
    let ended = host.deploy(&[("compose.yaml", &text("two"))]).await;
    ended.succeeded();
    let log = ended.texts().join("\n");
    assert!(
        log.contains("web is stopped before its new containers start"),
        "{log}"
    );
    assert!(log.contains("(container_name)"), "{log}");
}
