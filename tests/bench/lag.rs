//! From a container's write to a subscriber, beside `docker logs -f` of the same container.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::story::Installation;

use crate::container::running;
use crate::report::{Row, median_and_p99};

const LIMIT: Duration = Duration::from_mins(2);

/// Each line says when it was written; the first wait for both subscribers.
const SCRIPT: &str = "until test -e /go; do sleep 0.1; done; i=0; while [ $i -lt TICKS ]; do \
    echo tick $(cut -d' ' -f1 /proc/uptime); i=$((i+1)); usleep 20000; done; touch /done; exec sleep 1000000";

/// Measures the lag of so many lines.
pub fn measure(story: &Installation, ticks: usize) -> Vec<Row> {
    let script = SCRIPT.replace("TICKS", &ticks.to_string());
    let clock = Service::script("clock", &script).done_when("test -e /done");
    let project = story.project("lag", &ComposeFolder::of(&[clock]));
    let deployment = project.deploy();
    let events = deployment.follow(None);
    let container = running(|| project.containers());
    let uptime = Uptime::calibrate();
    let theirs = docker_follow(story, &container, ticks, uptime);
    story
        .engine
        .run_docker(&["exec", &container, "touch", "/go"]);
    let mut ours = Vec::with_capacity(ticks);
    while ours.len() < ticks {
        let event = events.wait_for("a tick", LIMIT, |event| {
            event.data["text"].as_str().is_some_and(is_tick)
        });
        ours.push(uptime.lag(event.data["text"].as_str().unwrap(), event.at));
    }
    deployment.wait("succeeded", LIMIT);
    let (median, p99) = median_and_p99(ours);
    let (their_median, their_p99) = median_and_p99(theirs.join().unwrap());
    vec![
        Row {
            p99: Some(p99),
            against: Some(("docker logs -f".into(), their_median)),
            ..Row::figure("a line's way to a subscriber", "ms", median)
        },
        Row::figure("its p99 beyond docker logs -f's", "ms", p99 - their_p99).at_most(30.0),
    ]
}

fn docker_follow(
    story: &Installation,
    container: &str,
    ticks: usize,
    uptime: Uptime,
) -> JoinHandle<Vec<f64>> {
    let mut command = story.engine.docker(&["logs", "-f", container]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    std::thread::spawn(move || {
        let ticking = lines.map_while(Result::ok).filter(|line| is_tick(line));
        let lags = ticking
            .take(ticks)
            .map(|line| uptime.lag(&line, Instant::now()));
        let lags = lags.collect();
        child.kill().unwrap();
        child.wait().unwrap();
        lags
    })
}

fn is_tick(text: &str) -> bool {
    text.starts_with("tick ")
}

/// The machine's clock that a container's script can read, in seconds. It counts hundredths, so a lag seems up to
/// 10 ms longer than it is, to both subscribers alike.
#[derive(Clone, Copy)]
struct Uptime {
    seconds: f64,
    at: Instant,
}

impl Uptime {
    /// Waits until the clock moves on, to know the moment better than the clock tells it.
    fn calibrate() -> Self {
        let before = Self::read();
        loop {
            let now = Self::read();
            if now.seconds > before.seconds {
                return now;
            }
        }
    }

    fn read() -> Self {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        Self {
            seconds: text.split(' ').next().unwrap().parse().unwrap(),
            at: Instant::now(),
        }
    }

    /// Milliseconds between the writing of a line and its arrival.
    fn lag(self, text: &str, arrived: Instant) -> f64 {
        let written: f64 = text["tick ".len()..].parse().unwrap();
        (self.seconds + arrived.duration_since(self.at).as_secs_f64() - written) * 1e3
    }
}
