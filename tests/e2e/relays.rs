//! Images that one host builds and another runs, which reach each other over the control plane alone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use towline_tests::agent::{AgentPlan, AgentProcess};
use towline_tests::compose::ComposeFolder;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::git_server::GitServer;
use towline_tests::patience::wait_until;
use towline_tests::ports::published_port;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

/// What building and bringing an image takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);
const MIB: u64 = 1024 * 1024;

/// A builder on the run's engine, and a target with an engine of its own that builds nothing.
struct Pair {
    story: Installation,
    engine: Engine,
    target: AgentProcess,
}

impl Pair {
    fn start(database: DatabaseKind, builder: EngineKind, target: EngineKind) -> Self {
        let mut agent = AgentPlan::new(&unique("builder"));
        agent.policy = Some("build = \"allow\"\n".to_owned());
        let mut plan = ServerPlan::new(database);
        plan.arguments = ["--egress-allow", "127.0.0.0/8", "--egress-allow-http"]
            .map(str::to_owned)
            .into();
        let story = Installation::over(plan, Engine::shared(builder), agent);
        let engine = Engine::start(target);
        let target = story.add_agent(&engine, AgentPlan::new(&unique("target")));
        Self {
            story,
            engine,
            target,
        }
    }

    fn target_id(&self) -> Value {
        self.story.agent_named(self.target.name())["target_id"].clone()
    }

    /// Asks for a deployment to the target of what the builder builds.
    fn ask(&self, project: &str) -> Value {
        let body = json!({ "target": self.target_id(), "build_on": self.story.agent.name() });
        let path = format!("/projects/{project}/deployments");
        self.story.api.post(&path, &body).ok()
    }

    fn show(&self, deployment: &Value) -> Value {
        let path = format!("/deployments/{}", deployment.as_str().unwrap());
        self.story.api.get(&path).ok()
    }

    fn log(&self, deployment: &Value) -> String {
        let logs = ["logs", deployment.as_str().unwrap()];
        self.story.cli().run(&logs).ok()
    }

    /// Waits for the end of a deployment, and does something meanwhile.
    fn end(&self, deployment: &Value, mut meanwhile: impl FnMut()) -> Value {
        let until = Instant::now() + LIMIT;
        loop {
            meanwhile();
            let shown = self.show(&deployment["id"]);
            if shown["finished_at"].is_string() {
                return shown;
            }
            assert!(Instant::now() < until, "{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn succeeds(&self, deployment: &Value, meanwhile: impl FnMut()) -> Value {
        let ended = self.end(deployment, meanwhile);
        if ended["status"] != "succeeded" {
            let (own, build) = (self.log(&ended["id"]), self.log(&ended["build_id"]));
            panic!("{ended}\n--- build\n{build}\n--- deploy\n{own}");
        }
        ended
    }
}

fn folder(port: u16, megabytes: u32) -> ComposeFolder {
    let folder = ComposeFolder::new(&format!(
        "services:\n  web:\n    build: .\n    init: true\n    ports: [\"{port}:80\"]\n    \
         healthcheck: {{test: [CMD, wget, -q, -O, /dev/null, \"http://127.0.0.1/\"], interval: 1s, retries: 20}}\n"
    ));
    folder.write(
        "Dockerfile",
        &format!(
            "FROM towline-test/busybox:1\n\
             RUN dd if=/dev/urandom of=/www/large bs=1M count={megabytes} && sha256sum /www/large >/www/sum\n\
             COPY page /www/index.html\nCMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]\n"
        ),
    );
    folder.write("page", "first");
    folder
}

/// Cuts all connections whenever as many more bytes have passed one way, for some times.
struct Cuts {
    every: u64,
    left: u32,
    next: u64,
}

impl Cuts {
    const fn new(passed: u64, every: u64, times: u32) -> Self {
        Self {
            every,
            left: times,
            next: passed + every,
        }
    }

    fn look(&mut self, passed: u64, pair: &Pair) {
        if self.left > 0 && passed >= self.next {
            assert!(pair.story.link.break_connections() > 0);
            self.left -= 1;
            self.next = passed + self.every;
        }
    }
}

/// 200 MiB go over five cuts, and after that only what has changed.
#[test]
fn a_large_image_goes_over_cuts_and_then_only_its_change() {
    let mut pair = Pair::start(DatabaseKind::Sqlite, EngineKind::New, EngineKind::Old);
    let files = folder(published_port(), 200);
    let project = pair.story.project("large", &files);
    let (up, down) = pair.story.link.passed();
    let (mut upwards, mut downwards) = (Cuts::new(up, 40 * MIB, 3), Cuts::new(down, 40 * MIB, 2));
    let asked = pair.ask(&project.id);
    let ended = pair.succeeds(&asked, || {
        let (up, down) = pair.story.link.passed();
        upwards.look(up, &pair);
        downwards.look(down, &pair);
    });
    assert_eq!(
        (upwards.left, downwards.left),
        (0, 0),
        "it was cut five times"
    );
    let (first_up, first_down) = pair.story.link.passed();
    for (way, bytes) in [("up", first_up - up), ("down", first_down - down)] {
        // What a cut has lost of what was under way is sent again.
        assert!(bytes > 199 * MIB && bytes < 230 * MIB, "{way}: {bytes}");
    }
    let runs = ended["images"][0]["id"].as_str().unwrap();
    let builder = &pair.story.engine;
    let built = builder.run_docker(&["image", "inspect", "-f", "{{.Id}}", runs]);
    assert_eq!(built.trim(), runs, "the very image that was built");
    let container = self::container(&pair, &project.name);
    let check = ["exec", &container, "sha256sum", "-c", "/www/sum"];
    assert!(pair.engine.run_docker(&check).contains("OK"));

    files.write("page", "second");
    project.upload(&files).ok();
    let ended = pair.succeeds(&pair.ask(&project.id), || {});
    let (second_up, second_down) = pair.story.link.passed();
    for (way, bytes) in [
        ("up", second_up - first_up),
        ("down", second_down - first_down),
    ] {
        // The layer with the page, beside all that agents and the control plane have to say.
        assert!(bytes < 200_000, "{way}: {bytes}");
    }
    let log = pair.log(&ended["id"]);
    assert!(log.contains("this host lacks 1 of 3 layers"), "{log}");
    let container = self::container(&pair, &project.name);
    let page = pair
        .engine
        .run_docker(&["exec", &container, "cat", "/www/index.html"]);
    assert_eq!(page.trim_end(), "second");

    // The target's agent dies in the middle of the next one, and goes on where it was.
    let larger = std::fs::read_to_string(files.path().join("Dockerfile")).unwrap();
    files.write("Dockerfile", &larger.replace("count=200", "count=60"));
    project.upload(&files).ok();
    let asked = pair.ask(&project.id);
    wait_until("the target receives", LIMIT, || {
        (pair.story.link.passed().1 > second_down + 20 * MIB).then_some(())
    });
    pair.target.kill();
    assert_eq!(pair.show(&asked["id"])["finished_at"], Value::Null);
    pair.target.start();
    let ended = pair.succeeds(&asked, || {});
    let bytes = pair.story.link.passed().1 - second_down;
    assert!(bytes < 70 * MIB, "it does not begin anew: {bytes}");
    let container = self::container(&pair, &project.name);
    let runs = pair
        .engine
        .run_docker(&["inspect", "-f", "{{.Image}}", &container]);
    assert_eq!(runs.trim(), ended["images"][0]["id"].as_str().unwrap());
    nothing_of_it_stays(&pair, &project.name);
}

/// From a commit; what the second one builds fails, and what runs stays.
#[test]
fn a_commit_is_built_here_and_runs_there() {
    let pair = Pair::start(DatabaseKind::Postgres, EngineKind::Old, EngineKind::New);
    let server = GitServer::start();
    let (repository, port) = (server.repository("shop"), published_port());
    let files = folder(port, 1);
    let read = |path: &str| std::fs::read_to_string(files.path().join(path)).unwrap();
    let (compose, dockerfile) = (read("docker-compose.yml"), read("Dockerfile"));
    // What only the target is given, the builder's compose insists on, too.
    let environment = "    init: true\n    environment: {GREETING: \"${GREETING:?set it}\"}\n";
    let compose = compose.replace("    init: true\n", environment);
    repository.commit(
        "Open the shop",
        &[
            ("docker-compose.yml", &compose),
            ("Dockerfile", &dockerfile),
            ("page", "first"),
        ],
    );
    let (cli, project) = (pair.story.cli(), unique("shop"));
    cli.run(&["projects", "create", &project]).ok();
    cli.run(&["source", "set", &project, repository.url()]).ok();
    let secret = ["secrets", "set", &project, "GREETING"];
    cli.run_with(&secret, "good morning").ok();
    let (target, builder) = (pair.target.name(), pair.story.agent.name());
    let deploy = [
        "deploy",
        "--project",
        &project,
        "--target",
        target,
        "--build-on",
        builder,
    ];
    let shown = cli.run(&deploy).ok();
    for words in [
        "sha256sum /www/large",
        "the control plane lacks",
        "this host lacks",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(pair.engine.fetch(port).as_deref(), Some("first"));
    let container = container(&pair, &project);
    let greeting = ["exec", &container, "sh", "-c", "echo $GREETING"];
    assert_eq!(pair.engine.run_docker(&greeting).trim_end(), "good morning");
    let pipelines = cli.run(&["pipelines", "ls", &project, "--json"]).json();
    let steps = pipelines[0]["steps"].as_array().unwrap().iter();
    let steps: Vec<_> = steps
        .map(|step| {
            (
                step["name"].as_str().unwrap(),
                step["status"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = ["clone", "build", "relay", "deploy"].map(|name| (name, "succeeded"));
    assert_eq!(steps, expected);
    each_step_has_lines_of_its_own_log(&pair, &pipelines[0]);

    repository.commit(
        "Break it",
        &[("Dockerfile", &format!("{dockerfile}RUN exit 7\n"))],
    );
    let failed = cli.run(&deploy);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.errors.contains("built elsewhere"), "{failed:?}");
    assert_eq!(pair.engine.fetch(port).as_deref(), Some("first"));
    nothing_of_it_stays(&pair, &project);
}

/// What the builder said is in its own deployment's log, what the target said in the other's, and each from the first line on.
fn each_step_has_lines_of_its_own_log(pair: &Pair, pipeline: &Value) {
    let deployment = pipeline["deployment_id"].as_str().unwrap();
    let build = pair.story.deployment(deployment).show()["build_id"].clone();
    let log = |at: usize| &pipeline["steps"][at]["log"];
    let (clone, building, relay, deploy) = (log(0), log(1), log(2), log(3));
    for (log, of) in [
        (clone, &build),
        (building, &build),
        (relay, &json!(deployment)),
        (deploy, &json!(deployment)),
    ] {
        assert_eq!(&log["deployment_id"], of, "{pipeline}");
    }
    for (first, second) in [(clone, building), (relay, deploy)] {
        assert_eq!(first["from"], 0, "{pipeline}");
        assert_eq!(
            (&first["to"], &second["to"]),
            (&second["from"], &Value::Null),
            "{pipeline}"
        );
    }
    let image = &pair.story.deployment(build.as_str().unwrap()).show()["built"][0];
    assert!(image["layers"].as_array().unwrap().len() > 1, "{image}");
}

fn container(pair: &Pair, project: &str) -> String {
    let containers = pair.engine.containers(project);
    containers[0]["ID"].as_str().unwrap().to_owned()
}

/// Neither in the jobs' folders nor, beyond their names, on the builder.
fn nothing_of_it_stays(pair: &Pair, project: &str) {
    for agent in [&pair.story.agent, &pair.target] {
        let jobs = std::fs::read_dir(agent.state_dir().join("jobs")).unwrap();
        for job in jobs {
            let layers = job.unwrap().path().join("layers");
            assert!(
                !layers.exists() || std::fs::read_dir(&layers).unwrap().count() == 0,
                "{}",
                layers.display()
            );
        }
    }
    assert!(pair.story.engine.containers(project).is_empty());
    assert!(
        !pair
            .story
            .agent
            .state_dir()
            .join("projects")
            .join(project)
            .exists()
    );
}
