//! A full disk under PostgreSQL: refusals that say what to do, nothing half-written, and all well when there is room.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use towline_pki::AgentKey;
use towline_tests::api::{Answer, Api};
use towline_tests::compose::ComposeFolder;
use towline_tests::patience::wait_until;
use towline_tests::postgres::{Postgres, Wal};
use towline_tests::server::{DatabaseKind, ServerPlan, ServerProcess};
use towline_tests::story::{enrolment_token_for, set_up};

/// An empty cluster takes some 45 MB, its log 16 MB more.
const DATA: u64 = 96 << 20;
/// What each upload of a project adds, and no compression takes away.
const LOAD: usize = 2 << 20;
/// More uploads than either disk has room for.
const UPLOADS: usize = 60;
const RECOVERY: Duration = Duration::from_mins(1);

struct Story {
    server: ServerProcess,
    api: Api,
    project: String,
    target: String,
}

impl Story {
    fn begin(wal: Wal) -> Self {
        let database = Postgres::start_on_small_disk(DATA, wal).database();
        let mut server =
            ServerProcess::start_over(ServerPlan::new(DatabaseKind::Postgres), database);
        let setup = server.setup_link();
        let api = set_up(&server.public_api(), &setup);
        let made = api.post("/projects", &json!({ "name": "shop" })).ok();
        let target = target(&server.public_api(), &api);
        let project = made["id"].as_str().unwrap().to_owned();
        Self {
            server,
            api,
            project,
            target,
        }
    }

    /// Replaces the project's files by a compose file and one named after `number`.
    fn upload(&self, number: usize) -> Answer {
        let files = ComposeFolder::new("services:\n  web:\n    image: web:1\n");
        files.write(&format!("load-{number}"), &noise(number));
        let path = format!("/projects/{}/files", self.project);
        let request = self.api.request(Method::PUT, &path);
        let request = request.header("Content-Type", "application/x-tar");
        self.api.send(request.body(files.archive()))
    }

    fn deploy(&self) -> Answer {
        let path = format!("/projects/{}/deployments", self.project);
        self.api.post(&path, &json!({ "target": self.target }))
    }

    /// The number of the project's one load.
    fn load(&self) -> usize {
        let files = self
            .api
            .get(&format!("/projects/{}/files", self.project))
            .ok();
        let paths: Vec<&str> = files["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file["path"].as_str().unwrap())
            .collect();
        let [compose, load] = paths[..] else {
            panic!("{paths:?}")
        };
        assert_eq!(compose, "docker-compose.yml");
        load.strip_prefix("load-").unwrap().parse().unwrap()
    }

    fn deployments(&self) -> usize {
        self.api.get("/deployments?limit=200").ok()["items"]
            .as_array()
            .unwrap()
            .len()
    }

    fn fill(&mut self) {
        self.server.database().server().disk().fill();
    }

    /// Makes room, starts PostgreSQL again if the full disk has ended it, and waits for the control plane to notice.
    fn make_room(&mut self) {
        let postgres = self.server.database().server();
        postgres.disk().clear();
        // It ends its processes one after the other.
        std::thread::sleep(Duration::from_secs(1));
        if postgres.has_ended() {
            postgres.start_again();
        }
        let api = &self.api;
        wait_until("the control plane goes on", RECOVERY, || {
            (api.get("//readyz").status == 200).then_some(())
        });
    }

    /// With room, everything goes on, and the audit log is whole.
    fn end(mut self) {
        self.upload(UPLOADS).ok();
        assert_eq!(self.load(), UPLOADS);
        let before = self.deployments();
        assert_eq!(self.deploy().status, 202);
        assert_eq!(self.deployments(), before + 1);
        self.server.stop();
        let audit = self.server.admin(&["verify-audit"]);
        assert!(audit.contains("The audit log is whole"), "{audit}");
    }
}

/// An agent that never connects: deploys wait for it.
fn target(stranger: &Api, api: &Api) -> String {
    let token: towline_pki::EnrollToken = enrolment_token_for(api, "host").parse().unwrap();
    let csr = AgentKey::generate().unwrap().csr_pem().unwrap();
    let secret = token.secret.reveal().to_string();
    let request = json!({ "secret": secret, "csr": csr, "hostname": "host", "version": "test" });
    stranger.post("/agent/enroll", &request).ok();
    "host".to_owned()
}

/// Text that no database makes smaller, another for each number.
fn noise(number: usize) -> String {
    let mut state = number as u64 + 1;
    let mut text = String::with_capacity(LOAD);
    while text.len() < LOAD {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.push(char::from(b' ' + u8::try_from((state >> 33) % 95).unwrap()));
    }
    text
}

/// A problem document that says what to do.
fn remedy(problem: &Value) -> &str {
    assert!(
        problem["type"]
            .as_str()
            .unwrap()
            .starts_with("urn:towline:problem:"),
        "{problem}"
    );
    problem["remedy"].as_str().unwrap_or_default()
}

#[test]
fn a_full_disk_under_the_data_refuses_changes_and_shows_what_is_there() {
    let mut story = Story::begin(Wal::Beside);
    story.upload(0).ok();
    assert_eq!(story.deploy().status, 202);
    story.fill();

    let refused = (1..UPLOADS)
        .map(|number| (number, story.upload(number)))
        .find(|(_, answer)| answer.status != 200);
    let (number, refused) = refused.expect("the disk is full");
    let refused = refused.problem(507);
    assert!(remedy(&refused).contains("free space"), "{refused}");
    assert_eq!(story.load(), number - 1, "the files are as they were");
    let refused = (0..UPLOADS)
        .map(|_| (story.deployments(), story.deploy()))
        .find(|(_, answer)| answer.status != 202);
    let (before, refused) = refused.expect("the disk is full");
    assert!(remedy(&refused.problem(507)).contains("free space"));
    assert_eq!(story.deployments(), before, "no half of a deployment");
    assert_eq!(story.api.get("//readyz").status, 200, "it can be read");

    story.make_room();
    story.end();
}

#[test]
fn a_full_disk_under_the_write_ahead_log_ends_postgresql_and_loses_nothing() {
    let mut story = Story::begin(Wal::Inside);
    story.upload(0).ok();
    story.fill();

    let refused = (1..UPLOADS)
        .map(|number| (number, story.upload(number)))
        .find(|(_, answer)| answer.status != 200);
    let (number, refused) = refused.expect("the disk is full");
    assert!([503, 507].contains(&refused.status), "{refused:?}");
    assert!(!remedy(&refused.body).is_empty(), "{refused:?}");

    story.make_room();
    // What was not answered with success is there whole, or not at all.
    let load = story.load();
    assert!(
        load == number - 1 || load == number,
        "{load} after {number}"
    );
    story.end();
}
