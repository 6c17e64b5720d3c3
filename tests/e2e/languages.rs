//! Repository → detect → generate → build on the host → deploy → answers on its port, language by language: what is generated
//! works with the real package managers, compilers and servers.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use towline_tests::base_images;
use towline_tests::engine::EngineKind;
use towline_tests::git_server::GitServer;
use towline_tests::parts::repository;
use towline_tests::server::DatabaseKind;
use towline_tests::story::{Installation, unique};

use crate::sources::{BUILD_LIMIT, installation};

/// The folder of `tests/samples`, what it is detected as, its port, and what it answers.
const SAMPLES: [(&str, &str, u16, &str); 6] = [
    ("node", "node", 3000, "Hello from Node.js"),
    ("python", "python", 8000, "Hello from Python"),
    ("go", "go", 8081, "Hello from Go"),
    ("ruby", "ruby", 9292, "Hello from Ruby"),
    ("site", "site", 8080, "Hello from static files"),
    // It takes the port of the one before.
    ("php", "php", 8080, "Hello from PHP"),
];

#[test]
fn what_is_generated_for_each_language_is_built_and_answers() {
    let story = installation(DatabaseKind::Sqlite, EngineKind::New);
    let server = GitServer::start();
    let mut images = BTreeSet::new();
    let samples = SAMPLES.map(|(folder, language, port, answers)| {
        let sample = Sample::generate(&story, &server, folder, language);
        images.extend(base_images::named_in(&sample.dockerfile));
        (sample, port, answers)
    });
    base_images::provide(&story.engine, &images);
    let (first, last) = samples.split_at(SAMPLES.len() - 1);
    for samples in [first, last] {
        let begun: Vec<String> = samples.iter().map(|(one, ..)| one.deploy(&story)).collect();
        for ((sample, port, answers), deployment) in samples.iter().zip(begun) {
            sample.runs(&story, &deployment);
            let answer = story.engine.fetch(*port).unwrap_or_default();
            assert!(answer.contains(answers), "{}: {answer:?}", sample.name);
        }
        for (sample, ..) in samples {
            story.engine.remove_project(&sample.name);
        }
    }
}

/// A project from a repository with what was generated for it.
struct Sample {
    id: String,
    name: String,
    dockerfile: String,
}

impl Sample {
    fn generate(story: &Installation, server: &GitServer, folder: &str, language: &str) -> Self {
        let from = server.repository(folder);
        from.commit_folder(
            "Open the shop",
            &repository().join("tests/samples").join(folder),
        );
        let name = unique(folder);
        let project = story.api.post("/projects", &json!({ "name": name })).ok();
        let id = project["id"].as_str().unwrap().to_owned();
        let source = json!({ "url": from.url() });
        story
            .api
            .put(&format!("/projects/{id}/source"), &source)
            .ok();
        let wish = json!({ "mode": "write" });
        let made = story
            .api
            .post(&format!("/projects/{id}/generate"), &wish)
            .ok();
        assert_eq!(made["detected"]["app"]["language"], language, "{made}");
        let files = made["files"].as_array().unwrap();
        assert!(files.iter().all(|file| file["state"] == "new"), "{made}");
        let dockerfile = files
            .iter()
            .find(|file| file["path"] == "Dockerfile")
            .unwrap();
        let dockerfile = dockerfile["content"].as_str().unwrap().to_owned();
        Self {
            id,
            name,
            dockerfile,
        }
    }

    fn deploy(&self, story: &Installation) -> String {
        let path = format!("/projects/{}/deployments", self.id);
        let deployment = story
            .api
            .post(&path, &json!({ "target": story.target() }))
            .ok();
        deployment["id"].as_str().unwrap().to_owned()
    }

    /// Waits until it is deployed; its container is well, and is not root.
    fn runs(&self, story: &Installation, deployment: &str) {
        story.deployment(deployment).wait("succeeded", BUILD_LIMIT);
        let containers = story.engine.containers(&self.name);
        let [container] = &containers[..] else {
            panic!("{containers:?}");
        };
        let id = container["ID"].as_str().unwrap();
        let shown = story.engine.run_docker(&["inspect", id]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let (state, config) = (&shown[0]["State"], &shown[0]["Config"]);
        assert_eq!(
            state["Health"]["Status"], "healthy",
            "{}: {state}",
            self.name
        );
        let user = config["User"].as_str().unwrap();
        assert!(!["", "0", "root"].contains(&user), "{}: {user}", self.name);
    }
}
