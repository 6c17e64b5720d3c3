//! An image's way from the host that has built it to the one that runs it, beside the bare tools on the same engines.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use towline_tests::agent::AgentPlan;
use towline_tests::compose::ComposeFolder;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, Project, unique};

use crate::report::{Row, median_and_p99};

/// Random bytes, which nobody can make smaller.
const MEGABYTES: u64 = 200;
const ROUNDS: u32 = 3;
const LIMIT: Duration = Duration::from_mins(3);
/// How often it is looked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Measures images that are new, and one of which little is.
pub fn measure() -> Vec<Row> {
    let mut builder = AgentPlan::new(&unique("builder"));
    builder.policy = Some("build = \"allow\"\n".to_owned());
    let plan = ServerPlan::new(DatabaseKind::Sqlite);
    let story = Installation::over(plan, Engine::start(EngineKind::New), builder);
    let (engine, bare) = (
        Engine::start(EngineKind::New),
        Engine::start(EngineKind::New),
    );
    let target = story.add_agent(&engine, AgentPlan::new(&unique("target")));
    let target = story.agent_named(target.name())["target_id"].clone();

    let (mut ours, mut theirs, mut bytes) = (Vec::new(), Vec::new(), 0.0_f64);
    let files =
        ComposeFolder::new("services: {web: {build: ., command: [sleep, \"1000\"], init: true}}\n");
    let project = story.project("relayed", &files);
    for round in 0..ROUNDS {
        write(&files, round, "page");
        let before = story.link.passed().0;
        let (way, image) = relay(&story, &project, &files, &target);
        bytes = bytes.max((story.link.passed().0 - before) as f64);
        ours.push(way.as_secs_f64());
        theirs.push(save_and_load(&story.engine, &bare, &image).as_secs_f64());
    }
    write(&files, ROUNDS - 1, "another page");
    let before = story.link.passed().0;
    relay(&story, &project, &files, &target);
    let changed = (story.link.passed().0 - before) as f64;
    let (ours, p99) = median_and_p99(ours);
    let (theirs, _) = median_and_p99(theirs);
    let all = (MEGABYTES * 1024 * 1024) as f64;
    vec![
        Row {
            p99: Some(p99),
            against: Some(("docker save | docker load".into(), theirs)),
            ..Row::figure("relay of an image of 200 MiB", "s", ours)
        },
        Row {
            against: Some(("its new layers".into(), all / 1e6)),
            at_most: Some(1.05),
            ..Row::figure("relay of an image of 200 MiB, sent", "MB", bytes / 1e6)
        },
        Row::figure(
            "relay of the same with one page changed, sent",
            "kB",
            changed / 1e3,
        )
        .at_most(200.0),
    ]
}

fn write(files: &ComposeFolder, round: u32, page: &str) {
    files.write("page", page);
    files.write(
        "Dockerfile",
        &format!(
            "FROM towline-test/busybox:1\nRUN : {round}; dd if=/dev/urandom of=/large bs=1M count={MEGABYTES}\nCOPY page /page\n"
        ),
    );
}

/// Deploys, and tells how long the image was under way: from the end of its build until it is loaded.
fn relay(
    story: &Installation,
    project: &Project<'_>,
    files: &ComposeFolder,
    target: &Value,
) -> (Duration, String) {
    project.upload(files).ok();
    let body = json!({ "target": target, "build_on": story.agent.name() });
    let asked = project.request_deployment(&body).ok();
    let show = |id: &Value| {
        let path = format!("/deployments/{}", id.as_str().unwrap());
        story.api.get(&path).ok()
    };
    let (until, mut began, mut ended) = (Instant::now() + LIMIT, None, None);
    loop {
        assert!(Instant::now() < until, "{}", show(&asked["id"]));
        let now = Instant::now();
        if began.is_none() && show(&asked["build_id"])["step"] == "publishing" {
            began = Some(now);
        }
        let shown = show(&asked["id"]);
        if began.is_some()
            && ended.is_none()
            && ["applying", "verifying"].contains(&shown["step"].as_str().unwrap_or(""))
        {
            ended = Some(now);
        }
        if shown["status"] == "succeeded" {
            let image = shown["images"][0]["id"].as_str().unwrap().to_owned();
            let way = ended.unwrap_or(now) - began.expect("it was published");
            return (way, image);
        }
        assert!(shown["status"] != "failed", "{shown}");
        std::thread::sleep(LOOK_EVERY);
    }
}

fn save_and_load(from: &Engine, to: &Engine, image: &str) -> Duration {
    let began = Instant::now();
    let mut save = from.docker(&["save", image]);
    let mut save = save.stdout(Stdio::piped()).spawn().unwrap();
    let mut load = to.docker(&["load", "--quiet"]);
    let loaded = load
        .stdin(save.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status();
    assert!(loaded.unwrap().success() && save.wait().unwrap().success());
    began.elapsed()
}
