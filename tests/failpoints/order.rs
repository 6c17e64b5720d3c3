//! Something asked of the control plane under an idempotency key, so that it can be asked again.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use towline_tests::api::Api;
use towline_tests::events::Event;
use towline_tests::patience::wait_until;

/// States that never change again.
const TERMINAL: [&str; 3] = ["succeeded", "failed", "cancelled"];
/// A deploy of small services on a busy machine, with a death in it; leases last 30 s.
const LIMIT: Duration = Duration::from_secs(90);
/// The log of what has ended ends at once.
const STREAM_LIMIT: Duration = Duration::from_secs(20);

/// An order of a deployment or a removal.
pub struct Order {
    path: String,
    body: Value,
    key: String,
    id: Option<String>,
}

impl Order {
    /// A deployment of this project.
    pub fn deployment(project: &str, target: &str) -> Self {
        let body = json!({ "target": target, "settle_ms": 500 });
        Self::new(format!("/projects/{project}/deployments"), body)
    }

    /// The removal of this project; `volumes` is `keep` or `delete`.
    pub fn removal(project: &str, target: &str, volumes: &str) -> Self {
        let body = json!({ "target": target, "volumes": volumes });
        Self::new(format!("/projects/{project}/removals"), body)
    }

    fn new(path: String, body: Value) -> Self {
        Self {
            path,
            body,
            key: uuid::Uuid::now_v7().to_string(),
            id: None,
        }
    }

    /// Asks for it, unless it is known already that it was taken. A control plane that is not there, or dies meanwhile,
    /// is asked again by the caller.
    pub fn place(&mut self, api: &Api) {
        if self.id.is_some() {
            return;
        }
        let request = api
            .request(Method::POST, &self.path)
            .header("Idempotency-Key", &self.key)
            .json(&self.body);
        if let Ok(answer) = api.try_send(request) {
            let id = answer.ok()["id"]
                .as_str()
                .expect("a deployment has an id")
                .to_owned();
            self.id = Some(id);
        }
    }

    /// Asks for it once more: the answer must be the same deployment.
    pub fn place_again(&mut self, api: &Api) {
        let before = self.id.take();
        self.place(api);
        assert!(self.id.is_some(), "the control plane answers nothing");
        if before.is_some() {
            assert_eq!(self.id, before, "the same key has made another deployment");
        }
    }

    /// The deployment as the API shows it.
    pub fn show(&self, api: &Api) -> Value {
        api.get(&format!("/deployments/{}", self.id())).ok()
    }

    /// Waits for a status; panics when another one is final.
    pub fn wait(&self, api: &Api, status: &str) -> Value {
        wait_until(
            &format!("deployment {} is {status}", self.id()),
            LIMIT,
            || {
                let shown = self.show(api);
                let now = shown["status"].as_str().unwrap_or_default();
                let is_wrong = now != status && TERMINAL.contains(&now);
                assert!(!is_wrong, "{shown}\n{}", self.texts(api).join("\n"));
                (now == status).then_some(shown)
            },
        )
    }

    /// Asks for its cancel. The control plane may not be there, or die meanwhile.
    pub fn try_cancel(&self, api: &Api) {
        let path = format!("/deployments/{}/cancel", self.id());
        if let Ok(answer) = api.try_send(api.request(Method::POST, &path).json(&json!({}))) {
            answer.ok();
        }
    }

    /// Its log, each line as the API gives it.
    pub fn log(&self, api: &Api) -> Vec<Value> {
        let page = api
            .get(&format!("/deployments/{}/log?limit=10000", self.id()))
            .ok();
        page["lines"].as_array().expect("a page has lines").clone()
    }

    /// All that a client sees who follows its log from the first line to its end.
    pub fn follow(&self, api: &Api) -> Vec<Event> {
        let path = format!("/deployments/{}/log/stream", self.id());
        api.events(&path, None).rest(STREAM_LIMIT)
    }

    fn texts(&self, api: &Api) -> Vec<String> {
        self.log(api).iter().map(Value::to_string).collect()
    }

    fn id(&self) -> &str {
        self.id.as_deref().expect("it was ordered")
    }
}
