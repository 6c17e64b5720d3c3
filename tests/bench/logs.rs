//! How fast log lines become durable, and what they weigh at rest.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::story::Installation;

use crate::report::Row;

/// Lines as a web server writes them: a counter, an address, a path, a status, a size.
const SCRIPT: &str = "awk 'BEGIN{for(i=1;i<=LINES;i++)printf \"%d 10.0.%d.%d GET /api/items/%d HTTP/1.1 200 %d in %d ms\\n\",\
    i,i%7,i%251,(i*7919)%100003,(i*31)%9973,(i*17)%97}'; touch /done; exec sleep 1000000";

/// Measures one flood of lines from a container.
pub fn measure(story: &mut Installation, lines: u64) -> Vec<Row> {
    let script = SCRIPT.replace("LINES", &lines.to_string());
    let flood = Service::script("flood", &script).healthy_when("test -e /done");
    let (ours, theirs, raw) = {
        let project = story.project("flood", &ComposeFolder::of(&[flood]));
        let body = json!({ "target": story.target(), "deadline_s": 900 });
        let begun = Instant::now();
        let deployment = project.deployment(&project.request_deployment(&body).ok());
        deployment.wait("succeeded", Duration::from_mins(15));
        let took = begun.elapsed().as_secs_f64();
        let id = project.containers()[0]["ID"].as_str().unwrap().to_owned();
        let (read, raw) = docker_logs(story.engine.docker(&["logs", &id]));
        (lines as f64 / took, lines as f64 / read, raw)
    };
    // The compaction runs every few seconds; a graceful stop writes the log back into the file.
    std::thread::sleep(Duration::from_secs(25));
    story.server.stop();
    let stored = std::fs::metadata(story.server.data_dir().join("telemetry.db"))
        .unwrap()
        .len();
    story.server.start_again();
    vec![
        Row {
            against: Some(("docker logs | wc".into(), theirs)),
            at_least: Some(0.95),
            ..Row::figure("log lines, written to stored", "lines/s", ours)
        },
        Row {
            against: Some(("raw text".into(), raw as f64 / lines as f64)),
            at_most: Some(0.30),
            ..Row::figure("bytes of a line at rest", "B", stored as f64 / lines as f64)
        },
    ]
}

/// How long `docker logs` takes to give all lines, in seconds, and their bytes.
fn docker_logs(mut command: Command) -> (f64, u64) {
    let begun = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let bytes = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
    (begun.elapsed().as_secs_f64(), bytes)
}
