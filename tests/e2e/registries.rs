//! A team's registries: images are pushed there when they are built, and come back from there; by the team's login, which is
//! found nowhere else.

use serde_json::{Value, json};
use towline_tests::agent::AgentPlan;
use towline_tests::canary::{Canary, found};
use towline_tests::compose::ComposeFolder;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::patience::wait_until;
use towline_tests::registry::{PASSWORD, Registry, USER};
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, Project, unique};

use crate::DEPLOY_LIMIT;

#[test]
fn images_are_pushed_and_come_back_embedded() {
    images_are_pushed_and_come_back(DatabaseKind::Sqlite, EngineKind::New);
}

#[test]
fn images_are_pushed_and_come_back_scaled_out() {
    images_are_pushed_and_come_back(DatabaseKind::Postgres, EngineKind::Old);
}

fn begin(database: DatabaseKind, engine: EngineKind) -> Installation {
    let mut agent = AgentPlan::new(&unique("host"));
    agent.policy = Some("build = \"allow\"\n".to_owned());
    Installation::over(ServerPlan::new(database), Engine::shared(engine), agent)
}

/// What is built is told from all others by its page.
fn built(page: &str) -> ComposeFolder {
    let folder = ComposeFolder::new("services:\n  web:\n    build: .\n    init: true\n");
    folder.write(
        "Dockerfile",
        "FROM towline-test/busybox:1\nCOPY page /page\nCMD [\"sleep\", \"1000000\"]\n",
    );
    folder.write("page", page);
    folder
}

/// It is asked for at the registry where the host does not have it.
fn pulled(image: &str) -> ComposeFolder {
    ComposeFolder::new(&format!(
        "services:\n  web: {{image: \"{image}\", command: sleep 1000000, init: true}}\n"
    ))
}

fn add(story: &Installation, registry: &str) {
    let arguments = ["registries", "add", registry, "--user", USER, "--no-check"];
    story.cli().run_with(&arguments, PASSWORD).ok();
}

fn deploy(story: &Installation, project: &Project<'_>, end: &str) -> Value {
    let body = json!({ "target": story.target(), "settle_ms": 300 });
    let asked = project.request_deployment(&body).ok();
    project.deployment(&asked).wait(end, DEPLOY_LIMIT)
}

/// The image that runs, and under which digest a registry has it.
fn image(deployment: &Value) -> (String, String) {
    let image = &deployment["images"][0];
    let digest = image["digests"][0].as_str();
    let digest = digest.unwrap_or_else(|| panic!("it is at no registry: {deployment}"));
    (image["id"].as_str().unwrap().to_owned(), digest.to_owned())
}

fn images_are_pushed_and_come_back(database: DatabaseKind, engine: EngineKind) {
    let mut story = begin(database, engine);
    let mut registry = Registry::start(&story.engine);
    let (address, cli) = (registry.address(), story.cli());
    let one = unique("one");
    {
        let story = &story;
        let project = story.project("pushed", &built(&one));
        let repository = format!("{address}/acme/{}", project.name);
        let push_to = ["projects", "registry", &project.name, &repository];
        let unknown = cli.run(&push_to);
        assert!(unknown.errors.contains("no login of"), "{unknown:?}");
        add(story, &address);
        cli.run(&push_to).ok();
        let first = deploy(story, &project, "succeeded");
        let (id, digest) = image(&first);
        assert!(
            digest.starts_with(&format!("{repository}/web@sha256:")),
            "{digest}"
        );
        no_name_stays(story, &registry);

        project.upload(&built(&unique("two"))).ok();
        let second = deploy(story, &project, "succeeded");
        assert_ne!(image(&second).0, id);
        story.engine.run_docker(&["image", "rm", "--force", &id]);
        let back = cli.run(&["rollback", &project.name, "--json"]).json();
        assert_eq!(back["status"], "succeeded", "{back}");
        assert_eq!(image(&back), (id, digest.clone()));
        let log = project.deployment(&back).log().join("\n");
        assert!(
            log.contains("which this host has no more; pulling it"),
            "{log}"
        );

        others_pull_it_by_the_login_alone(story, &image(&second), &address);
        wrong_passwords_are_named(story, &project, &address);
        a_registry_that_fails_is_named(story, &project, &registry);
    }
    a_push_goes_on_although_its_agent_dies(&mut story, &mut registry);
    the_password_is_nowhere(story);
}

fn others_pull_it_by_the_login_alone(
    story: &Installation,
    (id, digest): &(String, String),
    address: &str,
) {
    let project = story.project("pulled", &pulled(digest));
    let lose = || {
        story.engine.remove_project(&project.name);
        story.engine.run_docker(&["image", "rm", "--force", id]);
    };
    lose();
    deploy(story, &project, "succeeded");
    // Without the login, and with it again.
    let cli = story.cli();
    let shown = cli.run(&["registries", "ls", "--json"]).json();
    assert_eq!(shown[0]["projects"], 1, "{shown}");
    let refused = cli.run(&["registries", "rm", address, "--yes"]);
    assert!(
        refused.errors.contains("push their images to it"),
        "{refused:?}"
    );
    let other = story.api.get(&format!("/projects/{}/registry", project.id));
    other.problem(404);
    let wrong = ["registries", "set-password", address, "--no-check"];
    cli.run_with(&wrong, "another password").ok();
    lose();
    let failed = deploy(story, &project, "failed");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("towline registries add"), "{message}");
    cli.run_with(&wrong, PASSWORD).ok();
    deploy(story, &project, "succeeded");
}

fn wrong_passwords_are_named(story: &Installation, project: &Project<'_>, address: &str) {
    let cli = story.cli();
    let set = ["registries", "set-password", address, "--no-check"];
    cli.run_with(&set, "a wrong password").ok();
    project.upload(&built(&unique("three"))).ok();
    let failed = deploy(story, project, "failed");
    assert_eq!(failed["reason"], "push_failed", "{failed}");
    let message = failed["message"].as_str().unwrap();
    for words in [address, "user ada may not push", "set-password"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    cli.run_with(&set, PASSWORD).ok();
}

fn a_registry_that_fails_is_named(
    story: &Installation,
    project: &Project<'_>,
    registry: &Registry,
) {
    let repository = format!("acme/{}/web", project.name);
    registry.damage(&repository);
    let failed = deploy(story, project, "failed");
    assert_eq!(failed["reason"], "push_failed", "{failed}");
    let message = failed["message"].as_str().unwrap();
    for words in [&*registry.address(), "500", "It failed 3 times"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    let log = project.deployment(&failed).log().join("\n");
    assert!(log.contains("trying again in 4 s"), "{log}");
    no_name_stays(story, registry);
    registry.mend(&repository);
    deploy(story, project, "succeeded");
}

/// Names of the registry's would keep images for ever.
fn no_name_stays(story: &Installation, registry: &Registry) {
    let all = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"];
    let all = story.engine.run_docker(&all);
    let stays = |line: &&str| line.starts_with(&registry.address()) && !line.ends_with("<none>");
    let stay: Vec<_> = all.lines().filter(stays).collect();
    assert_eq!(stay, Vec::<&str>::new());
}

fn a_push_goes_on_although_its_agent_dies(story: &mut Installation, registry: &mut Registry) {
    let (name, id) = {
        let project = story.project("dying", &built(&unique("four")));
        let repository = format!("{}/acme/dying", registry.address());
        let to = ["projects", "registry", &project.name, &repository];
        story.cli().run(&to).ok();
        registry.freeze();
        let body = json!({ "target": story.target(), "settle_ms": 300 });
        let asked = project.request_deployment(&body).ok();
        let (_, name) = project.leave();
        (name, asked["id"].as_str().unwrap().to_owned())
    };
    wait_until("it pushes", DEPLOY_LIMIT, || {
        (story.deployment(&id).show()["step"] == "publishing").then_some(())
    });
    story.agent.kill();
    registry.resume();
    story.agent.start();
    let ended = story.deployment(&id).wait("succeeded", DEPLOY_LIMIT);
    assert!(
        image(&ended).1.contains("/acme/dying/web@sha256:"),
        "{ended}"
    );
    story.engine.remove_project(&name);
}

fn the_password_is_nowhere(mut story: Installation) {
    let canaries = [Canary::new("password", PASSWORD)];
    story.agent.stop();
    story.server.stop();
    for folder in [story.agent.state_dir(), story.server.data_dir()] {
        for path in crate::canaries::files_below(&folder) {
            let bytes = std::fs::read(&path).unwrap_or_default();
            assert!(found(&canaries, &bytes).is_empty(), "{}", path.display());
        }
    }
    for log in [story.agent.log(), story.server.log()] {
        assert!(found(&canaries, log.as_bytes()).is_empty(), "{log}");
    }
}
