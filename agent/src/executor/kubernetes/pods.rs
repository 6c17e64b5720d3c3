//! The pods of a cluster, as people list them and read their logs.

use chrono::DateTime;
use futures_util::{AsyncBufReadExt as _, StreamExt as _, pin_mut, stream};
use serde_json::Value;
use towline_shared::log::{LogLine, LogStream};
use towline_shared::metrics::Health;
use towline_shared::query::{ContainerSummary, Follow, StreamRequest};

use super::api::{Api, text};
use super::at::{At, Kind, is_name};
use super::cluster::Cluster;
use super::error::ApiError;
use super::images::workload;
use super::labels::{NAME, label};
use crate::executor::BoxStream;
use crate::executor::pieces::encoded;

/// How many lines at most are made a piece of.
const LINES: usize = 512;
/// How soon a log that has ended is looked at again, when its container may be started again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// All containers of the pods in the namespaces that jobs may work in.
pub(super) async fn containers(cluster: &Cluster) -> Result<Vec<ContainerSummary>, ApiError> {
    let api = cluster.api().await?;
    let mut found = Vec::new();
    for namespace in cluster.namespaces() {
        let take = |pod: Value| found.extend(summaries(&pod));
        api.each(&Kind::pod(), namespace.as_deref(), "", take)
            .await?;
    }
    Ok(found)
}

fn summaries(pod: &Value) -> Vec<ContainerSummary> {
    let (namespace, name) = (
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name"),
    );
    let created = text(pod, "/metadata/creationTimestamp");
    let created_s = DateTime::parse_from_rfc3339(&created).map_or(0, |at| at.timestamp());
    let project = label(pod, NAME).unwrap_or_default().to_owned();
    let (_, service) = workload(pod);
    let listed = pod.pointer("/spec/containers").and_then(Value::as_array);
    let containers = listed.into_iter().flatten();
    containers
        .map(|container| {
            let called = text(container, "/name");
            let status = status_of(pod, &called);
            ContainerSummary {
                id: format!("{namespace}/{name}/{called}"),
                name: format!("{name}/{called}"),
                image: text(container, "/image"),
                project: project.clone(),
                service: service.clone(),
                state: state(pod, status),
                status: sentence(pod, status),
                health: health(container, status),
                created_s,
                ports: ports(container),
            }
        })
        .collect()
}

fn status_of<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let statuses = pod.pointer("/status/containerStatuses")?.as_array()?;
    statuses
        .iter()
        .find(|status| text(status, "/name") == container)
}

/// In the words that engines have.
fn state(pod: &Value, status: Option<&Value>) -> String {
    let is = |state: &str| {
        status.is_some_and(|status| status.pointer(&format!("/state/{state}")).is_some())
    };
    let word = if is("running") {
        "running"
    } else if is("terminated") {
        "exited"
    } else if status.is_some_and(|status| restarts(status) > 0) {
        "restarting"
    } else if pod.pointer("/metadata/deletionTimestamp").is_some() {
        "removing"
    } else {
        "created"
    };
    word.to_owned()
}

fn restarts(status: &Value) -> i64 {
    status
        .get("restartCount")
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

fn sentence(pod: &Value, status: Option<&Value>) -> String {
    let Some(status) = status else {
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let why = conditions
            .into_iter()
            .flatten()
            .find(|condition| text(condition, "/status") == "False")
            .map(|condition| text(condition, "/message"));
        return why
            .filter(|why| !why.is_empty())
            .unwrap_or_else(|| text(pod, "/status/phase"));
    };
    let again = match restarts(status) {
        0 => String::new(),
        count => format!(", started again {count} times"),
    };
    let now = match (
        status.pointer("/state/waiting"),
        status.pointer("/state/terminated"),
    ) {
        (Some(waiting), _) => text(waiting, "/reason"),
        (None, Some(ended)) => format!(
            "{} ({})",
            text(ended, "/reason"),
            ended.get("exitCode").and_then(Value::as_i64).unwrap_or(0)
        ),
        (None, None) => format!("Up since {}", text(status, "/state/running/startedAt")),
    };
    format!("{now}{again}")
}

fn health(container: &Value, status: Option<&Value>) -> Health {
    if container.get("readinessProbe").is_none() {
        return Health::None;
    }
    match status.and_then(|status| status.get("ready")?.as_bool()) {
        Some(true) => Health::Healthy,
        _ if status.is_some_and(|status| restarts(status) > 0) => Health::Unhealthy,
        _ => Health::Starting,
    }
}

fn ports(container: &Value) -> Vec<String> {
    let listed = container.get("ports").and_then(Value::as_array);
    let ports = listed.into_iter().flatten();
    ports
        .filter_map(|port| {
            let number = port.get("containerPort")?.as_u64()?;
            let protocol = text(port, "/protocol").to_lowercase();
            let protocol = if protocol.is_empty() {
                "tcp"
            } else {
                &protocol
            };
            Some(format!("{number}/{protocol}"))
        })
        .collect()
}

/// The log of a container as a stream of pieces. It goes on when the container is started again.
pub(super) fn log(
    cluster: std::sync::Arc<Cluster>,
    request: StreamRequest,
) -> BoxStream<Result<Vec<u8>, String>> {
    let StreamRequest::ContainerLog {
        container,
        tail,
        follow,
    } = request;
    let opened = stream::once(async move {
        match Reader::open(&cluster, &container).await {
            Ok(reader) => reader.read(tail, follow).boxed(),
            Err(why) => stream::once(async move { Err(why) }).boxed(),
        }
    });
    Box::pin(opened.flatten())
}

/// Who reads the log of one container.
struct Reader {
    api: Api,
    pod: At,
    container: String,
    /// The last time that was read, and how many lines bear it.
    last: Option<(String, usize)>,
}

/// How far a reader is.
enum Reading {
    First(Option<u32>),
    Again,
    End,
}

impl Reader {
    async fn open(cluster: &Cluster, container: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "there is no container `{container}` in this cluster; `towline ps` lists those there are"
            )
        };
        let parts: Vec<&str> = container.split('/').collect();
        let (namespace, pod, container) = match parts.as_slice() {
            [namespace, pod, container] => (*namespace, *pod, *container),
            [pod, container] => (cluster.config.namespace.as_str(), *pod, *container),
            _ => return Err(unknown()),
        };
        if ![namespace, pod, container].into_iter().all(is_name) {
            return Err(unknown());
        }
        if cluster.check_namespace(namespace).is_some() {
            return Err(format!(
                "the namespace {namespace} is not among those of this agent"
            ));
        }
        let api = cluster.api().await.map_err(|error| error.to_string())?;
        let pod = At::new(Kind::pod(), namespace, pod);
        let there = api.get(&pod).await.map_err(|error| error.to_string())?;
        there.map(|_| ()).ok_or_else(unknown)?;
        Ok(Self {
            api,
            pod,
            container: container.to_owned(),
            last: None,
        })
    }

    fn read(
        self,
        tail: Option<u32>,
        follow: Follow,
    ) -> impl futures_util::Stream<Item = Result<Vec<u8>, String>> + Send {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let reading = tokio::spawn(self.run(tail, follow, sender));
        let stop = AbortOnDrop(reading);
        stream::unfold((receiver, stop), |(mut receiver, stop)| async move {
            let piece = receiver.recv().await?;
            Some((piece, (receiver, stop)))
        })
    }

    async fn run(
        mut self,
        tail: Option<u32>,
        follow: Follow,
        pieces: tokio::sync::mpsc::Sender<Result<Vec<u8>, String>>,
    ) {
        let mut reading = Reading::First(tail);
        loop {
            let query = match reading {
                Reading::End => return,
                Reading::First(Some(tail)) => format!("&tailLines={tail}"),
                Reading::First(None) => String::new(),
                Reading::Again => match &self.last {
                    // The server takes whole seconds, and reads from their beginning.
                    Some((at, _)) => format!("&sinceTime={at}"),
                    None => String::new(),
                },
            };
            let follows = if follow == Follow::Yes {
                "&follow=true"
            } else {
                ""
            };
            let query = format!("&container={}{query}{follows}", self.container);
            let ended = self.pass(&query, &pieces).await;
            reading = match (ended, follow) {
                (Err(Stopped::Refused(why)), _) => {
                    let _ = pieces.send(Err(why)).await;
                    Reading::End
                }
                (Err(Stopped::NobodyReads), _) | (Ok(()), Follow::No) => Reading::End,
                (Ok(()), Follow::Yes) => {
                    tokio::time::sleep(AGAIN).await;
                    if self.goes_on().await {
                        Reading::Again
                    } else {
                        Reading::End
                    }
                }
            };
        }
    }

    /// Whether the container may have more to say.
    async fn goes_on(&self) -> bool {
        match self.api.get(&self.pod).await {
            Ok(Some(pod)) => {
                !matches!(text(&pod, "/status/phase").as_str(), "Succeeded" | "Failed")
            }
            Ok(None) => false,
            Err(error) => error.is_outage(),
        }
    }

    /// Reads a log to its present end; lines that were read before are passed over.
    async fn pass(
        &mut self,
        query: &str,
        pieces: &tokio::sync::mpsc::Sender<Result<Vec<u8>, String>>,
    ) -> Result<(), Stopped> {
        let log = match self.api.log(&self.pod, query).await {
            Ok(log) => log,
            // It is not started yet, or again; or the API is away.
            Err(error)
                if error.is_outage() || error.to_string().contains("is waiting to start") =>
            {
                return Ok(());
            }
            Err(error) => return Err(Stopped::Refused(error.to_string())),
        };
        let mut known = self.last.clone().map(|(at, count)| Known { at, count });
        pin_mut!(log);
        let mut lines = log.lines().ready_chunks(LINES);
        while let Some(ready) = lines.next().await {
            let mut batch = Vec::new();
            for line in ready {
                // A log that breaks off goes on where it was.
                let Ok(line) = line else { break };
                let (at, said) = line.split_once(' ').unwrap_or((line.as_str(), ""));
                if known.as_mut().is_some_and(|known| known.has(at)) {
                    continue;
                }
                self.note(at);
                batch.push(self.line(at, said));
            }
            for piece in encoded(&batch) {
                pieces.send(piece).await.map_err(|_| Stopped::NobodyReads)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, at: &str) {
        match &mut self.last {
            Some((last, count)) if last == at => *count += 1,
            last => *last = Some((at.to_owned(), 1)),
        }
    }

    fn line(&self, at: &str, said: &str) -> LogLine {
        let at_us = DateTime::parse_from_rfc3339(at).map_or(0, |at| at.timestamp_micros());
        LogLine {
            at_us,
            stream: LogStream::Stdout,
            source: format!("{}/{}", self.pod.name, self.container),
            text: said.to_owned(),
        }
    }
}

/// What was read already of a log that is read again.
struct Known {
    at: String,
    count: usize,
}

impl Known {
    /// Whether a line of this time was read before: all of earlier times, and as many of that very time as were counted.
    fn has(&mut self, at: &str) -> bool {
        match at.cmp(self.at.as_str()) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal if self.count > 0 => {
                self.count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// Why reading ends.
enum Stopped {
    NobodyReads,
    Refused(String),
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_s_containers_are_told_in_the_words_of_engines() {
        let pod = json!({
            "metadata": {"namespace": "shop", "name": "web-1", "labels": {"towline.io/name": "shop"}, "creationTimestamp": "2026-11-29T08:00:00Z"},
            "spec": {"containers": [{"name": "app", "image": "nginx", "readinessProbe": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}]}, {"name": "side", "image": "x"}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "app", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-29T08:00:01Z"}}},
                {"name": "side", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}
        });
        let found = summaries(&pod);
        assert_eq!(found[0].id, "shop/web-1/app");
        assert_eq!(
            (&*found[0].state, found[0].health),
            ("running", Health::Healthy)
        );
        assert_eq!(
            (&*found[0].project, &found[0].ports[..]),
            ("shop", &["80/tcp".to_owned()][..])
        );
        assert_eq!(
            (&*found[1].state, &*found[1].status),
            ("restarting", "CrashLoopBackOff, started again 2 times")
        );
    }

    #[test]
    fn lines_that_were_read_are_passed_over_to_the_line() {
        let mut known = Known {
            at: "2".into(),
            count: 2,
        };
        let again: Vec<bool> = ["1", "2", "2", "2", "3"]
            .into_iter()
            .map(|at| known.has(at))
            .collect();
        assert_eq!(again, [true, true, true, false, false]);
    }
}
