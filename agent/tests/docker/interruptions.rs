//! Cancels, deaths of the agent, and going on after them.

use std::time::Duration;

use towline_agent::task::{GateState, Start};
use towline_shared::ids::JobId;
use towline_shared::outcome::{Outcome, Step};

use crate::host::{Ended, Host, JobOptions, Kind, compose_of, kill_compose_of, resume_points};

crate::on_both_engines! {
    a_cancel_before_the_gate_opens_has_no_effect,
    a_cancel_ends_compose_and_says_what_is_left,
    a_deploy_goes_on_with_the_compose_process_of_a_dead_agent,
    what_ran_to_its_end_does_not_run_again_after_both_died,
    what_was_taken_away_is_made_again_without_what_ran,
    a_verified_deploy_is_adopted_as_it_is,
    two_deploys_of_a_project_take_turns,
}

/// A one-shot service that counts its runs, and one that waits for it.
const COUNTING: &str = "services:
  count:
    image: IMAGE
    command: sh -c 'echo run >> /count/runs; echo counting; sleep 2; echo counted'
    volumes: ['./count:/count']
  slow:
    image: IMAGE
    command: sh -c 'echo slow begins; sleep 3; echo slow ends'
    depends_on: {count: {condition: service_completed_successfully}}
  web:
    image: IMAGE
    command: sleep 1000
    init: true
    depends_on: {slow: {condition: service_completed_successfully}}
";

fn runs(host: &Host) -> usize {
    let path = host
        .state
        .path()
        .join("projects")
        .join(&host.name)
        .join("files/count/runs");
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .count()
}

fn resumed(job: JobId, step: Step) -> JobOptions {
    JobOptions {
        job,
        start: Start::Resumed(Some(step)),
        ..JobOptions::default()
    }
}

/// The lines of one source over a death, each once and in order.
fn joined(before: &[towline_shared::log::LogLine], after: &Ended, source: &str) -> Vec<String> {
    let of = |lines: &[towline_shared::log::LogLine]| -> Vec<String> {
        lines
            .iter()
            .filter(|line| line.source == source)
            .map(|line| line.text.clone())
            .collect()
    };
    [of(before), of(&after.lines)].concat()
}

async fn a_cancel_before_the_gate_opens_has_no_effect(kind: Kind) {
    let host = Host::new(kind);
    let options = JobOptions {
        gate: GateState::Shut,
        ..JobOptions::default()
    };
    let running = host.begin(
        &host.executor(),
        host.deploy_work(&[("compose.yaml", COUNTING)]),
        options,
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.cancel.cancel();
    let ended = running.ended().await;
    assert!(
        matches!(ended.outcome, Outcome::Cancelled { .. }),
        "{:?}",
        ended.outcome
    );
    assert!(host.ids("count").is_empty());
}

async fn a_cancel_ends_compose_and_says_what_is_left(kind: Kind) {
    let host = Host::new(kind);
    let options = JobOptions::default();
    let job = options.job;
    let running = host.begin(
        &host.executor(),
        host.deploy_work(&[("compose.yaml", COUNTING)]),
        options,
    );
    running.printed("counting").await;
    running.cancel.cancel();
    let ended = running.ended().await;
    let Outcome::Cancelled { left } = &ended.outcome else {
        panic!("{:?}", ended.outcome)
    };
    assert!(
        left.contains("count-1 (") && left.contains("stay on the host"),
        "{left}"
    );
    assert!(compose_of(job).is_empty(), "compose goes on");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(!ended.texts().concat().contains("slow begins"));
    assert_eq!(
        host.compose(&["logs", "slow"])
            .matches("slow begins")
            .count(),
        0
    );
}

async fn a_deploy_goes_on_with_the_compose_process_of_a_dead_agent(kind: Kind) {
    let host = Host::new(kind);
    let first = JobOptions::default();
    let job = first.job;
    let work = || host.deploy_work(&[("compose.yaml", COUNTING)]);
    let running = host.begin(&host.executor(), work(), first);
    running.printed("counting").await;
    let before = running.kill().await;
    assert_eq!(compose_of(job).len(), 1, "compose lives on");
    let output = host
        .state
        .path()
        .join("jobs")
        .join(job.to_string())
        .join("compose.out");
    let options = JobOptions {
        resume: resume_points(&before, &output),
        ..resumed(job, Step::Applying)
    };
    let after = host.run(work(), options).await;
    after.succeeded();
    assert_eq!(runs(&host), 1);
    assert_eq!(joined(&before, &after, "count-1"), ["counting", "counted"]);
    assert_eq!(
        joined(&before, &after, "slow-1"),
        ["slow begins", "slow ends"]
    );
    let compose = joined(&before, &after, "compose").concat();
    for (service, times) in [("count", 1), ("slow", 1), ("web", 1)] {
        let started = format!("{}-{service}-1  Started", host.name);
        assert_eq!(compose.matches(&started).count(), times, "{compose}");
    }
}

async fn what_ran_to_its_end_does_not_run_again_after_both_died(kind: Kind) {
    let host = Host::new(kind);
    let first = JobOptions::default();
    let job = first.job;
    let work = || host.deploy_work(&[("compose.yaml", COUNTING)]);
    let running = host.begin(&host.executor(), work(), first);
    running.printed("slow begins").await;
    let before = running.kill().await;
    kill_compose_of(job);
    let output = host
        .state
        .path()
        .join("jobs")
        .join(job.to_string())
        .join("compose.out");
    let options = JobOptions {
        resume: resume_points(&before, &output),
        ..resumed(job, Step::Applying)
    };
    let after = host.run(work(), options).await;
    after.succeeded();
    assert_eq!(runs(&host), 1, "{:#?}", after.texts());
    assert_eq!(joined(&before, &after, "count-1"), ["counting", "counted"]);
    assert_eq!(
        joined(&before, &after, "slow-1"),
        ["slow begins", "slow ends"]
    );
    assert_eq!(host.ids("web").len(), 1);
}

/// One of two replicas of a task is taken away after both have run: only that one runs again.
async fn what_was_taken_away_is_made_again_without_what_ran(kind: Kind) {
    let host = Host::new(kind);
    let text = COUNTING.replace("  count:\n", "  count:\n    scale: 2\n");
    let first = JobOptions::default();
    let job = first.job;
    let work = || host.deploy_work(&[("compose.yaml", &text)]);
    let running = host.begin(&host.executor(), work(), first);
    running.printed("slow begins").await;
    running.kill().await;
    kill_compose_of(job);
    assert_eq!(runs(&host), 2);
    let taken = host.ids("count").pop().unwrap();
    host.remove_container(&taken);
    let after = host.run(work(), resumed(job, Step::Applying)).await;
    after.succeeded();
    assert_eq!(runs(&host), 3, "{:#?}", after.texts());
    assert_eq!((host.ids("count").len(), host.ids("web").len()), (2, 1));
}

async fn a_verified_deploy_is_adopted_as_it_is(kind: Kind) {
    let host = Host::new(kind);
    let first = JobOptions::default();
    let job = first.job;
    let work = || host.deploy_work(&[("compose.yaml", COUNTING)]);
    host.run(work(), first).await.succeeded();
    let web = host.ids("web");
    let after = host.run(work(), resumed(job, Step::Verifying)).await;
    after.succeeded();
    assert_eq!((runs(&host), host.ids("web")), (1, web));
    assert!(after.of("compose").len() <= joined(&[], &after, "compose").len());
    // Another deploy of the same files is another one: compose runs what is to run once more.
    host.deploy(&[("compose.yaml", COUNTING)]).await.succeeded();
    assert_eq!(runs(&host), 2);
}

async fn two_deploys_of_a_project_take_turns(kind: Kind) {
    let host = Host::new(kind);
    let executor = host.executor();
    let text = "services:\n  web: {image: IMAGE, command: sleep 1000, init: true}\n";
    let begin = || {
        host.begin(
            &executor,
            host.deploy_work(&[("compose.yaml", text)]),
            JobOptions::default(),
        )
    };
    let (one, other) = tokio::join!(begin().ended(), begin().ended());
    one.succeeded();
    other.succeeded();
    assert_eq!(host.ids("web").len(), 1);
}
