//! How fast log lines become durable, and what they weigh at rest.

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::patience::wait_until;
use towline_tests::story::{Installation, Project};

use crate::container::{Bare, running};
use crate::report::{Row, median_and_p99};

/// Lines as a web server writes them: a counter, an address, a path, a status, a size. They begin when they are told
/// to, so that no start of a container is measured.
const SCRIPT: &str = "until test -e /go; do usleep 10000; done; \
    awk 'BEGIN{for(i=1;i<=LINES;i++)printf \"%d 10.0.%d.%d GET /api/items/%d HTTP/1.1 200 %d in %d ms\\n\",\
    i,i%7,i%251,(i*7919)%100003,(i*31)%9973,(i*17)%97}'; touch /done; exec sleep 1000000";
const ROUNDS: usize = 3;
const LIMIT: Duration = Duration::from_mins(5);

/// Measures floods of lines from a container, to the control plane and to `docker logs -f`, in turns.
pub fn measure(story: &mut Installation, lines: u64) -> Vec<Row> {
    let script = SCRIPT.replace("LINES", &lines.to_string());
    let folder = ComposeFolder::of(&[Service::script("flood", &script).done_when("test -e /done")]);
    let (mut ours, mut theirs, mut timed, mut raw) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let before = telemetry(story);
    for round in 0..ROUNDS {
        let project = story.project(&format!("flood{round}"), &folder);
        ours.push(lines as f64 / stored(story, &project, lines));
        story.engine.remove_project(&project.name);
        let (took, bytes) = followed(story, &folder, lines, &["logs", "-f"]);
        theirs.push(lines as f64 / took);
        raw += bytes;
        let (took, _) = followed(story, &folder, lines, &["logs", "-f", "--timestamps"]);
        timed.push(lines as f64 / took);
    }
    // The compaction runs every few seconds.
    std::thread::sleep(Duration::from_secs(25));
    let weight = telemetry(story) - before;
    let all = lines as f64 * ROUNDS as f64;
    let ours = median_and_p99(ours).0;
    vec![
        Row {
            against: Some(("docker logs -f".into(), median_and_p99(theirs).0)),
            at_least: Some(0.95),
            ..Row::figure("log lines, written to stored", "lines/s", ours)
        },
        Row {
            against: Some((
                "docker logs -f --timestamps".into(),
                median_and_p99(timed).0,
            )),
            ..Row::figure("the same, beside lines with their times", "lines/s", ours)
        },
        Row {
            against: Some(("raw text".into(), raw as f64 / all)),
            at_most: Some(0.30),
            ..Row::figure("bytes of a line at rest", "B", weight as f64 / all)
        },
    ]
}

/// Seconds from the word to the last line's being stored.
fn stored(story: &Installation, project: &Project<'_>, lines: u64) -> f64 {
    let body = json!({ "target": story.target(), "deadline_s": 900 });
    let deployment = project.deployment(&project.request_deployment(&body).ok());
    let container = running(|| project.containers());
    let stored = || deployment.show()["log"]["lines"].as_u64().unwrap();
    let said_by_compose = stored();
    let begun = go(story, &container);
    wait_until("the lines", LIMIT, || {
        (stored() >= said_by_compose + lines).then_some(())
    });
    let took = begun.elapsed().as_secs_f64();
    deployment.wait("succeeded", LIMIT);
    took
}

/// Seconds from the word to the last line's coming out of `docker logs`, and the bytes of all.
fn followed(story: &Installation, folder: &ComposeFolder, lines: u64, how: &[&str]) -> (f64, u64) {
    let bare = Bare::of(&story.engine, folder);
    bare.start();
    let container = running(|| story.engine.containers(Bare::PROJECT));
    let mut follow = story.engine.docker(how);
    follow.arg(&container);
    let mut child = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let begun = go(story, &container);
    let (mut piece, mut seen, mut bytes) = (vec![0; 64 * 1024], 0, 0);
    while seen < lines {
        let length = out.read(&mut piece).unwrap();
        assert_ne!(length, 0, "docker logs -f ended after {seen} lines");
        seen += piece[..length].split(|byte| *byte == b'\n').count() as u64 - 1;
        bytes += length as u64;
    }
    let took = begun.elapsed().as_secs_f64();
    child.kill().unwrap();
    child.wait().unwrap();
    bare.down();
    (took, bytes)
}

fn go(story: &Installation, container: &str) -> Instant {
    let begun = Instant::now();
    story
        .engine
        .run_docker(&["exec", container, "touch", "/go"]);
    begun
}

/// The bytes of the file with the logs; a graceful stop writes what is beside it back into it.
fn telemetry(story: &mut Installation) -> u64 {
    story.server.stop();
    let file = story.server.data_dir().join("telemetry.db");
    let bytes = std::fs::metadata(file).unwrap().len();
    story.server.start_again();
    story.wait_online(1);
    bytes
}
