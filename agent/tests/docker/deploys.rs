//! Deploys and what becomes of them.

use towline_shared::log::LogStream;
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::Secret;

use crate::host::{Host, JobOptions, Kind};

crate::on_both_engines! {
    a_deploy_runs_and_a_second_one_changes_nothing,
    a_change_replaces_only_what_changed,
    a_service_that_crashes_again_and_again_fails_with_its_last_lines,
    a_service_that_ends_with_an_error_fails,
    an_unhealthy_service_fails_with_its_check_s_output,
    what_was_unhealthy_before_gets_time_to_recover,
    what_stays_unhealthy_fails_after_its_check_s_own_time,
    a_one_shot_service_counts_as_done,
    a_port_that_is_taken_is_named,
    an_image_that_is_missing_is_named,
    secrets_reach_the_containers_and_never_the_log,
    many_lines_arrive_complete_and_in_order,
    the_deadline_says_what_was_waited_for,
    variables_come_from_the_project_and_profiles_are_kept,
}

const TWO: &str = "services:
  web:
    image: IMAGE
    command: sh -c 'echo hello from web; exec httpd -f -p 80 -h /www'
    init: true
    volumes: ['./www:/www:ro']
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, 'http://127.0.0.1/'], interval: 200ms, retries: 50}
  db:
    image: IMAGE
    command: sleep 1000
    init: true
    volumes: ['data:/data']
volumes: {data: {}}
";

async fn a_deploy_runs_and_a_second_one_changes_nothing(kind: Kind) {
    let host = Host::new(kind);
    let files = [("compose.yaml", TWO), ("www/index.html", "one")];
    let first = host.deploy(&files).await;
    let images = first.succeeded();
    assert_eq!(images.len(), 2);
    assert!(
        images
            .iter()
            .all(|image| image.id.starts_with("sha256:") && image.reference.contains("busybox"))
    );
    assert_eq!(first.of("web-1"), ["hello from web"]);
    assert!(
        first
            .of("compose")
            .iter()
            .any(|line| line.contains("Started")),
        "{:#?}",
        first.texts()
    );
    assert_eq!(
        first.steps,
        [Step::Preparing, Step::Applying, Step::Verifying]
    );
    let before = (host.ids("web"), host.ids("db"));
    assert_eq!((before.0.len(), before.1.len()), (1, 1));
    let second = host.deploy(&files).await;
    second.succeeded();
    assert_eq!(
        (host.ids("web"), host.ids("db")),
        before,
        "nothing was made anew"
    );
    assert!(
        second.of("web-1").is_empty(),
        "the log has new containers only: {:#?}",
        second.texts()
    );
}

async fn a_change_replaces_only_what_changed(kind: Kind) {
    let host = Host::new(kind);
    let executor = host.executor();
    let files = [("compose.yaml", TWO), ("www/index.html", "one")];
    let run = |files: &[(&str, &str)]| {
        host.begin(&executor, host.deploy_work(files), JobOptions::default())
            .ended()
    };
    run(&files).await.succeeded();
    let (web, db) = (host.ids("web"), host.ids("db"));
    // A file that a service mounts is part of what it is.
    run(&[files[0], ("www/index.html", "two")])
        .await
        .succeeded();
    assert_ne!(host.ids("web"), web);
    assert_eq!(host.ids("db"), db);
    assert!(
        host.compose(&["exec", "-T", "web", "cat", "/www/index.html"])
            .contains("two")
    );
    let changed = TWO.replace("sleep 1000", "sleep 1001");
    let web = host.ids("web");
    run(&[("compose.yaml", &changed), ("www/index.html", "two")])
        .await
        .succeeded();
    assert_eq!(host.ids("web"), web);
    assert_ne!(host.ids("db"), db);
    // A service that is no more goes.
    let one = "services:\n  web:\n    image: IMAGE\n    command: sleep 1000\n    init: true\n";
    run(&[("compose.yaml", one)]).await.succeeded();
    assert!(host.ids("db").is_empty());
}

async fn a_service_that_crashes_again_and_again_fails_with_its_last_lines(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:
  good: {image: IMAGE, command: sleep 1000, init: true}
  bad:
    image: IMAGE
    restart: always
    command: sh -c 'echo about to fail; echo out of luck >&2; exit 3'
";
    let ended = host.deploy(&[("compose.yaml", text)]).await;
    ended.failed(FailureReason::CrashLoop, "bad-1 starts and exits again");
    let last = ended.lines.last().unwrap();
    assert_eq!(last.source, "bad-1", "{:#?}", ended.texts());
    // The engine takes the two streams apart, and not always in the order of writing.
    let tail: Vec<&str> = ended
        .lines
        .iter()
        .rev()
        .map(|line| line.text.as_str())
        .take_while(|text| !text.ends_with("The last lines of bad-1:"))
        .collect();
    assert!(
        tail.len() < ended.lines.len()
            && tail.contains(&"out of luck")
            && tail.contains(&"about to fail"),
        "{:#?}",
        ended.texts()
    );
}

async fn a_service_that_ends_with_an_error_fails(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:\n  bad:\n    image: IMAGE\n    command: sh -c 'echo no luck; exit 4'\n";
    let ended = host.deploy(&[("compose.yaml", text)]).await;
    ended.failed(FailureReason::CrashLoop, "bad-1 ended with exit code 4");
    assert_eq!(ended.lines.last().unwrap().text, "no luck");
}

async fn an_unhealthy_service_fails_with_its_check_s_output(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:
  sick:
    image: IMAGE
    command: sleep 1000
    init: true
    healthcheck: {test: [CMD, sh, -c, 'echo no pulse; exit 1'], interval: 200ms, retries: 2}
";
    let ended = host.deploy(&[("compose.yaml", text)]).await;
    ended.failed(FailureReason::Unhealthy, "no pulse");
}

/// `sick` is healthy as soon as `mender` has written a file, and `web` waits for that.
const MENDED: &str = "services:
  mender:
    image: IMAGE
    command: sleep 1000
    init: true
    volumes: ['data:/data']
  sick:
    image: IMAGE
    command: sleep 1000
    init: true
    volumes: ['data:/data']
    healthcheck: {test: [CMD, test, -e, /data/mended], interval: 200ms, timeout: 3s, retries: 10}
  web:
    image: IMAGE
    command: sleep 1000
    init: true
    depends_on: {sick: {condition: service_healthy}}
volumes: {data: {}}
";

async fn what_was_unhealthy_before_gets_time_to_recover(kind: Kind) {
    let host = Host::new(kind);
    host.deploy(&[("compose.yaml", MENDED)])
        .await
        .failed(FailureReason::Unhealthy, "sick-1 is unhealthy");
    let sick = host.ids("sick");
    let mending = MENDED.replacen(
        "sleep 1000",
        "sh -c 'sleep 1; touch /data/mended; exec sleep 1000'",
        1,
    );
    let ended = host.deploy(&[("compose.yaml", &mending)]).await;
    ended.succeeded();
    let log = ended.texts().join("\n");
    assert!(
        log.contains("sick-1 was unhealthy before this deploy"),
        "{log}"
    );
    assert_eq!(host.ids("sick"), sick, "it was not touched");
    assert_eq!(host.compose(&["ps", "--quiet", "web"]).lines().count(), 1);
}

async fn what_stays_unhealthy_fails_after_its_check_s_own_time(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:
  sick:
    image: IMAGE
    command: sleep 1000
    init: true
    healthcheck: {test: [CMD, 'false'], interval: 500ms, timeout: 500ms, retries: 3}
";
    for _ in 0..2 {
        let began = std::time::Instant::now();
        let ended = host.deploy(&[("compose.yaml", text)]).await;
        ended.failed(FailureReason::Unhealthy, "sick-1 is unhealthy");
        assert!(began.elapsed() >= std::time::Duration::from_millis(1200));
    }
}

async fn a_one_shot_service_counts_as_done(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:
  migrate: {image: IMAGE, command: echo migrated}
  web:
    image: IMAGE
    command: sleep 1000
    init: true
    depends_on: {migrate: {condition: service_completed_successfully}}
";
    let ended = host.deploy(&[("compose.yaml", text)]).await;
    ended.succeeded();
    assert_eq!(ended.of("migrate-1"), ["migrated"]);
}

async fn a_port_that_is_taken_is_named(kind: Kind) {
    let (one, other) = (Host::new(kind), Host::new(kind));
    let port = match kind {
        Kind::Old => 18_431,
        Kind::New => 18_432,
    };
    let text = format!(
        "services:\n  web: {{image: IMAGE, command: sleep 1000, init: true, ports: ['{port}:80']}}\n"
    );
    one.deploy(&[("compose.yaml", &text)]).await.succeeded();
    let ended = other.deploy(&[("compose.yaml", &text)]).await;
    ended.failed(
        FailureReason::ComposeFailed,
        &format!("port {port} is already taken"),
    );
}

async fn an_image_that_is_missing_is_named(kind: Kind) {
    let host = Host::new(kind);
    for image in ["localhost:9/no/such:1", "towline-test/never-made:7"] {
        let text = format!("services:\n  web: {{image: '{image}'}}\n");
        let ended = host.deploy(&[("compose.yaml", &text)]).await;
        let named = format!("the image {image} is not on the host and cannot be pulled");
        ended.failed(FailureReason::ComposeFailed, &named);
    }
}

async fn secrets_reach_the_containers_and_never_the_log(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:
  show:
    image: IMAGE
    environment: {PASSWORD: '${DB_PASSWORD}'}
    secrets: [token]
    command: sh -c 'echo env $$PASSWORD; echo file $$(cat /run/secrets/token); echo -n user:$$PASSWORD | base64; printf \"%s\" $$PASSWORD | wc -c'
secrets:
  token: {environment: API_TOKEN}
";
    let secret = |name: &str, value: &str| Secret {
        name: name.into(),
        value: value.into(),
    };
    let options = JobOptions {
        secrets: vec![
            secret("DB_PASSWORD", "correct-horse-battery"),
            secret("API_TOKEN", "staple-token-1"),
        ],
        ..JobOptions::default()
    };
    let ended = host
        .run(host.deploy_work(&[("compose.yaml", text)]), options)
        .await;
    ended.succeeded();
    let shown = ended.of("show-1");
    assert!(
        shown.contains(&"env ***") && shown.contains(&"file ***") && shown.contains(&"21"),
        "{:#?}",
        ended.texts()
    );
    let all = ended.texts().concat();
    for secret in ["correct-horse", "staple", "Y29ycmVjdC1ob3JzZS1iYXR0ZX"] {
        assert!(!all.contains(secret), "{all}");
    }
    // Nor does any file of the agent's hold one.
    for entry in walk(host.state.path()) {
        let content = std::fs::read(&entry).unwrap();
        assert!(
            !String::from_utf8_lossy(&content).contains("correct-horse"),
            "{}",
            entry.display()
        );
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

async fn many_lines_arrive_complete_and_in_order(kind: Kind) {
    const COUNT: usize = 50_000;
    let host = Host::new(kind);
    let text = format!("services:\n  talk:\n    image: IMAGE\n    command: seq 1 {COUNT}\n");
    let ended = host.deploy(&[("compose.yaml", &text)]).await;
    ended.succeeded();
    let lines = ended.of("talk-1");
    assert_eq!(lines.len(), COUNT);
    assert!(
        lines
            .iter()
            .zip(1..)
            .all(|(line, number)| line.parse() == Ok(number))
    );
    let streams = ended
        .lines
        .iter()
        .filter(|line| line.source == "talk-1")
        .map(|line| line.stream);
    assert!(
        streams
            .into_iter()
            .all(|stream| stream == LogStream::Stdout)
    );
}

async fn the_deadline_says_what_was_waited_for(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:
  slow:
    image: IMAGE
    command: sleep 1000
    init: true
    healthcheck: {test: [CMD, 'false'], interval: 1s, retries: 1000}
";
    let options = JobOptions {
        // Long enough for compose to be done, also on a busy machine.
        deadline_s: 15,
        ..JobOptions::default()
    };
    let ended = host
        .run(host.deploy_work(&[("compose.yaml", text)]), options)
        .await;
    ended.failed(FailureReason::Deadline, "slow-1 is not yet healthy");
}

async fn variables_come_from_the_project_and_profiles_are_kept(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:
  shown:
    image: IMAGE
    profiles: [extra]
    environment: {WORD: '${WORD}'}
    secrets: [own]
    command: sh -c 'echo $$WORD; cat /run/secrets/own'
  hidden: {image: IMAGE, profiles: [other], command: echo never}
secrets: {own: {environment: WORD}}
";
    let files = [
        ("compose.yaml", text),
        (".env", "COMPOSE_PROFILES=extra\nWORD=from dotenv\n"),
    ];
    let ended = host.deploy(&files).await;
    assert_eq!(ended.succeeded().len(), 1);
    assert_eq!(ended.of("shown-1"), ["from dotenv", "from dotenv"]);
}
