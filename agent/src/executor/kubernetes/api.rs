//! The API of a cluster: the only place that knows how it is spoken to.
//!
//! Objects are JSON throughout: what a release has is the user's own, of kinds that nobody here knows. Each request has a
//! time; what may pass by itself is an outage, and everything else the server's word.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{AsyncBufRead, Stream, StreamExt as _};
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::WatchEvent;
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::timeout;

use super::at::{At, Kind};
use super::error::ApiError;

/// The name under which our fields are owned in a cluster.
pub(super) const MANAGER: &str = "towline";
/// The name under which fields are owned that people have set through us; a release takes them back.
pub(super) const HAND: &str = "towline-actions";
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// How many objects a page of a list has.
const PAGE: usize = 500;
/// How long one watch lasts, before the next is begun where it ended.
const WATCH_S: u32 = 290;

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a pod of it, by its service account.
    InCluster,
    /// By a kubeconfig, and the context in it; its current one when none is named.
    Kubeconfig(PathBuf, Option<String>),
}

/// The API of one cluster.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
}

/// Whether a request is done, or only said what it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Real,
    Dry,
}

/// Whether fields of other managers are taken from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    No,
    Yes,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    Object(Value),
    Gone(Value),
    /// Nothing, but that all before this was told.
    Mark(String),
}

impl Api {
    /// Reads how the cluster is reached; nothing is connected yet.
    pub async fn new(access: &Access) -> Result<(Self, String), ApiError> {
        let config = match access {
            Access::InCluster => Config::incluster().map_err(ApiError::config)?,
            Access::Kubeconfig(path, context) => {
                let file = Kubeconfig::read_from(path).map_err(ApiError::config)?;
                let options = KubeConfigOptions {
                    context: context.clone(),
                    ..KubeConfigOptions::default()
                };
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(ApiError::config)?
            }
        };
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(ApiError::config)?;
        Ok((Self { client }, namespace))
    }

    /// The cluster's version, as it calls it.
    pub async fn version(&self) -> Result<String, ApiError> {
        let answer = self.ask(Method::GET, "/version", None).await?;
        Ok(text(&answer, "/gitVersion"))
    }

    /// The kinds of a group's version (`apps/v1`); nothing where it is not served.
    pub async fn kinds(&self, api_version: &str) -> Result<Vec<Kind>, ApiError> {
        let path = if api_version.contains('/') {
            format!("/apis/{api_version}")
        } else {
            format!("/api/{api_version}")
        };
        let answer = match self.ask(Method::GET, &path, None).await {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            answer => answer?,
        };
        let listed = answer.get("resources").and_then(Value::as_array);
        let kinds = listed.into_iter().flatten();
        Ok(kinds
            .filter_map(|resource| Kind::listed(api_version, resource))
            .collect())
    }

    /// An object; nothing where it is not there.
    pub async fn get(&self, at: &At) -> Result<Option<Value>, ApiError> {
        absent(self.ask(Method::GET, &at.path(), None).await)
    }

    /// All objects of a kind in a namespace, or in all where none is given.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let mut objects = Vec::new();
        self.each(kind, namespace, selector, |object| objects.push(object))
            .await?;
        Ok(objects)
    }

    /// The same, of which no more than a page is held at a time.
    pub async fn each(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
        mut take: impl FnMut(Value) + Send,
    ) -> Result<(), ApiError> {
        let mut next = String::new();
        loop {
            let path = format!(
                "{}?limit={PAGE}{selector}{next}",
                kind.collection(namespace)
            );
            let mut page = self.ask(Method::GET, &path, None).await?;
            let more = text(&page, "/metadata/continue");
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                for item in items {
                    take(typed(kind, item));
                }
            }
            if more.is_empty() {
                return Ok(());
            }
            next = format!("&continue={more}");
        }
    }

    /// Applies an object under our name, and gives it as the cluster has it then.
    pub async fn apply(
        &self,
        at: &At,
        object: &Value,
        run: Run,
        force: Force,
    ) -> Result<Value, ApiError> {
        let dry = match run {
            Run::Real => "",
            Run::Dry => "&dryRun=All",
        };
        let force = force == Force::Yes;
        let path = format!(
            "{}?fieldManager={MANAGER}&force={force}&fieldValidation=Strict{dry}",
            at.path()
        );
        let request = Request::builder()
            .method(Method::PATCH)
            .header("content-type", "application/apply-patch+yaml");
        self.send(request, &path, Some(object)).await
    }

    /// Makes an object that must not be there.
    pub async fn create(&self, at: &At, object: &Value) -> Result<Value, ApiError> {
        let path = format!(
            "{}?fieldManager={MANAGER}",
            at.kind.collection(at.namespace.as_deref())
        );
        self.ask(Method::POST, &path, Some(object)).await
    }

    /// Replaces an object at the version that it names.
    pub async fn replace(&self, at: &At, object: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={MANAGER}", at.path());
        self.ask(Method::PUT, &path, Some(object)).await
    }

    /// Merges a patch into an object, or into a part of it (`/scale`), by the hand of people.
    pub async fn merge(&self, at: &At, part: &str, patch: &Value) -> Result<Value, ApiError> {
        let whole = at.path();
        let place = format!("{whole}{part}?fieldManager={HAND}");
        let request = Request::builder()
            .method(Method::PATCH)
            .header("content-type", "application/merge-patch+json");
        self.send(request, &place, Some(patch)).await
    }

    /// Deletes the very object of this uid, with all that belongs to it. It may stay until its finalizers are done. Nothing
    /// when it is gone already, or another has its name.
    pub async fn delete(&self, at: &At, uid: &str) -> Result<Option<Value>, ApiError> {
        let options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "propagationPolicy": "Background", "preconditions": {"uid": uid},
        });
        match self.ask(Method::DELETE, &at.path(), Some(&options)).await {
            Err(error) if error.is_conflict() => Ok(None),
            answer => absent(answer),
        }
    }

    /// The changes of objects after a version, until the server ends it.
    pub async fn watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
        version: &str,
    ) -> Result<impl Stream<Item = Result<Seen, ApiError>> + Send + use<>, ApiError> {
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_S}&resourceVersion={version}{selector}",
            kind.collection(namespace)
        );
        let request = request(Request::builder().method(Method::GET), &path, None)?;
        let events = timeout(REQUEST, self.client.request_events::<Value>(request));
        let events = events.await.map_err(|_| ApiError::Hung)??;
        Ok(events.filter_map(|event| async move {
            match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    Some(Ok(Seen::Object(object)))
                }
                Ok(WatchEvent::Deleted(object)) => Some(Ok(Seen::Gone(object))),
                Ok(WatchEvent::Bookmark(mark)) => {
                    Some(Ok(Seen::Mark(mark.metadata.resource_version)))
                }
                Ok(WatchEvent::Error(status)) => Some(Err(ApiError::refused(&status))),
                Err(error) => Some(Err(error.into())),
            }
        }))
    }

    /// The version of a kind's collection: where a watch of it begins.
    pub async fn list_with_version(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<(Vec<Value>, String), ApiError> {
        let path = format!("{}?limit=0{selector}", kind.collection(namespace));
        let mut page = self.ask(Method::GET, &path, None).await?;
        let version = text(&page, "/metadata/resourceVersion");
        let items = match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let items = items.into_iter().map(|item| typed(kind, item)).collect();
        Ok((items, version))
    }

    /// The log of a container, line by line with its times.
    pub async fn log(
        &self,
        pod: &At,
        query: &str,
    ) -> Result<impl AsyncBufRead + Send + use<>, ApiError> {
        let path = format!("{}/log?timestamps=true{query}", pod.path());
        let request = request(Request::builder().method(Method::GET), &path, None)?;
        let opened = timeout(REQUEST, self.client.request_stream(request));
        opened
            .await
            .map_err(|_| ApiError::Hung)?
            .map_err(ApiError::from)
    }

    /// Asks for what stands at a path.
    pub async fn read(&self, path: &str) -> Result<Value, ApiError> {
        self.ask(Method::GET, path, None).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let request = Request::builder()
            .method(method)
            .header("content-type", "application/json");
        self.send(request, path, body).await
    }

    async fn send(
        &self,
        builder: http::request::Builder,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let request = request(builder, path, body)?;
        let answer = timeout(REQUEST, self.client.request_text(request)).await;
        let answer = answer.map_err(|_| ApiError::Hung)??;
        // Neither the answer nor where it breaks off is shown: it may hold a secret.
        serde_json::from_str(&answer)
            .map_err(|_| ApiError::Unclear("its answer is no JSON".to_owned()))
    }
}

fn request(
    builder: http::request::Builder,
    path: &str,
    body: Option<&Value>,
) -> Result<Request<Vec<u8>>, ApiError> {
    let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
    builder
        .uri(path)
        .header("accept", "application/json")
        .body(body)
        .map_err(|error| ApiError::Unclear(error.to_string()))
}

/// Items of a list do not say what they are.
fn typed(kind: &Kind, mut item: Value) -> Value {
    if let Value::Object(fields) = &mut item {
        fields.insert("apiVersion".to_owned(), kind.api_version.clone().into());
        fields.insert("kind".to_owned(), kind.kind.clone().into());
    }
    item
}

fn absent(answer: Result<Value, ApiError>) -> Result<Option<Value>, ApiError> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A text in an object; empty where it is not there.
pub(super) fn text(object: &Value, pointer: &str) -> String {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}
